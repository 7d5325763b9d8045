"""Quantization-aware models through every file format, in this and in a fresh process."""

import copy
import functools
import json
import pickle

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import qat
from tests.common.eager import quantize_apply, quantize_model
from tests.common.samples import in_turn

layers = tf_keras.layers
FORMATS = {"keras": ".keras", "h5": ".h5", "saved_model": ""}


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def mixed():
    """Eight, four and one bit in one model."""
    model = tf_keras.Sequential(
        [
            layers.Conv2D(4, 3, input_shape=(8, 8, 3), name="first"),
            layers.BatchNormalization(),
            layers.ReLU(),
            # Without a bias sums of steps are exactly 0, and the sign behind them is noise.
            layers.SeparableConv2D(
                4, 3, activation="relu", bias_initializer="random_normal", name="inner"
            ),
            layers.Conv2D(4, 3, name="binary"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", name="last"),
        ]
    )
    scheme = {"inner": "int4", "binary": "binary", "*": "int8"}
    return model, rows(8, 8, 8, 3), scheme


def named():
    """Quantizers of larqlite by name and as objects, one with a learned threshold."""
    first = qat.LayerQuantizeConfig(
        {"kernel": "magnitude_aware_sign"},
        {"activation": "dorefa"},
        inputs=lq.quantizers.SteHeaviside(),
        reason="by name",
    )
    second = qat.LayerQuantizeConfig({"kernel": "ste_tern"}, inputs="ste_sign")
    third = qat.LayerQuantizeConfig(
        {"kernel": "approx_sign"}, outputs=lq.quantizers.RSign()
    )
    model = tf_keras.Sequential(
        [
            layers.Dense(4, input_shape=(6,), name="first", activation="relu"),
            layers.Dense(4, name="second"),
            layers.Dense(4, name="third"),
        ]
    )
    return model, rows(8, 6), {"first": first, "second": second, "third": third}


def nested():
    """A model used twice inside of another, operators, and a shared layer."""
    inner = tf_keras.Sequential(
        [layers.Dense(4, input_shape=(8, 4)), layers.ReLU()], name="inner"
    )
    inputs = tf_keras.Input((8, 4))
    x = inner(inputs) + 2.0 * inner(inputs)
    x = tf.nn.relu(x)[:, 1:]
    dense = layers.Dense(4, activation="tanh")
    x = dense(dense(layers.Multiply()([x, x])))
    return tf_keras.Model(inputs, x), rows(8, 8, 4), None


def attention():
    query, value = tf_keras.Input((5, 8)), tf_keras.Input((3, 6))
    x = layers.MultiHeadAttention(2, 4)(query, value)
    x = layers.LayerNormalization()(layers.Add()([query, x]))
    return tf_keras.Model([query, value], x), [rows(8, 5, 8), rows(8, 3, 6)], None


def recurrent():
    """States that go from layer to layer, and a mask."""
    inputs = tf_keras.Input((7,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(inputs)
    outputs, h, c = layers.LSTM(4, return_state=True)(x)
    x = layers.LSTM(4)(x, initial_state=[h, c])
    x = layers.Concatenate()([x, outputs])
    data = np.random.default_rng(0).integers(0, 9, (8, 7)).astype("int32")
    return tf_keras.Model(inputs, x), data, None


MODELS = {f.__name__: f for f in (mixed, named, nested, attention, recurrent)}
# These are saved after a step, and train on in a fresh process.
TRAINED_ON = ("mixed",)


def targets(model):
    return np.random.default_rng(1).normal(size=(8, *model.output_shape[1:]))


@functools.cache
def quantized_once(name):
    """A quantization-aware model that nothing changes, and its inputs."""
    tf_keras.utils.set_random_seed(1)
    model, x, scheme = MODELS[name]()
    return quantize_model(model, scheme=scheme, calibrate=x), x


@functools.cache
def uncalibrated_once(name):
    """One that is filled by each test: its values are those of another one."""
    model, _, scheme = MODELS[name]()
    return quantize_model(model, scheme=scheme)


def compiled(name):
    """A quantization-aware model, and its inputs."""
    model, x, scheme = MODELS[name]()
    quantized = quantize_model(model, scheme=scheme, calibrate=x)
    quantized.compile(tf_keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    if name in TRAINED_ON:
        quantized.fit(x, targets(quantized), batch_size=8, verbose=0)
    return quantized, x


LOAD_ALL = """
    import json, pickle
    from pathlib import Path
    import numpy as np
    import larqlite
    import tf_keras
    folder = Path({folder!r})
    expected = pickle.loads((folder / "expected.pickle").read_bytes())
    found = []
    for name, (x, targets, before, after) in expected.items():
        for ending in {endings!r}:
            file = name + ending
            model = tf_keras.models.load_model(folder / file)
            is_equal = np.array_equal(model(x, training=False), before)
            found.append((file, "predicts as before" if is_equal else "otherwise"))
            if not after:
                continue
            model.run_eagerly = True  # as before; a traced step may round otherwise
            model.fit(x, targets, batch_size=8, shuffle=False, verbose=0)
            for key, value in {{w.name: w.numpy() for w in model.weights}}.items():
                if not np.array_equal(value, after[ending][key]):
                    found.append((file, "trains otherwise: " + key))
    print(json.dumps(found))
"""


QUICK, LARGE = ("mixed", "named"), ("nested", "attention", "recurrent")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folders with models as files, and what they do before and after a step."""
    folders = {}

    def folder_of(names, endings):
        if (names, endings) not in folders:
            folders[names, endings] = tmp_path_factory.mktemp("saved")
            _save(names, endings, folders[names, endings])
        return folders[names, endings]

    return folder_of


def _save(names, endings, folder):
    expected = {}
    for name in names:
        tf_keras.backend.clear_session()
        model, x = compiled(name)
        for ending in endings:
            model.save(folder / f"{name}{ending}")
        before, y, after = model(x, training=False).numpy(), targets(model), None
        if name in TRAINED_ON:
            kept = model.get_weights()
            model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
            resumed = {w.name: w.numpy() for w in model.weights}
            # Keras does not load the state of an optimizer from a SavedModel.
            model.set_weights(kept)
            model.compile(tf_keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
            model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
            afresh = {w.name: w.numpy() for w in model.weights}
            after = {".keras": resumed, ".h5": resumed, "": afresh}
        expected[name] = (x, y, before, after)
    (folder / "expected.pickle").write_bytes(pickle.dumps(expected))


@pytest.mark.parametrize(
    "endings", [(".keras", ".h5"), pytest.param(("",), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("names", [QUICK, pytest.param(LARGE, marks=pytest.mark.slow)])
def test_all_load_in_a_fresh_process_without_a_scope_and_train_on_as_if_never_saved(
    names, endings, saved, run_fork
):
    folder = str(saved(names, endings))
    printed = run_fork(LOAD_ALL.format(folder=folder, endings=endings))
    assert json.loads(printed.strip().splitlines()[-1]) == [
        [name + ending, "predicts as before"] for name in names for ending in endings
    ]


@pytest.mark.parametrize(
    ("name", "ending"),
    in_turn(["mixed", "attention", "named"], [".weights.h5", ".h5", ".tf"]),
)
def test_weight_files_hold_kernels_and_ranges(name, ending, tmp_path):
    model, x = quantized_once(name)
    twin = uncalibrated_once(name)
    twin.set_weights([np.zeros_like(w) for w in twin.get_weights()])
    assert np.any(twin(x) != model(x))
    model.save_weights(tmp_path / f"weights{ending}")
    status = twin.load_weights(tmp_path / f"weights{ending}")
    if status is not None:
        status.assert_existing_objects_matched()
    np.testing.assert_array_equal(twin(x), model(x))


@functools.cache
def every_width():
    """A quantization-aware model that nothing changes, and its inputs.

    Of a nested model, an operator, and convolutions of eight, four and one bit.
    """
    conv = layers.Conv2D(2, 3, padding="same", input_shape=(6, 6, 2))
    inner = tf_keras.Sequential([conv, layers.ReLU()])
    inputs = tf_keras.Input((6, 6, 2))
    x = inner(inputs) + 2.0 * inputs
    for name in ("four", "binary"):
        x = layers.Conv2D(2, 3, bias_initializer="random_normal", name=name)(x)
    outputs = layers.Dense(3, activation="softmax", name="last")(layers.Flatten()(x))
    scheme = {"four": "int4", "binary": "binary", "*": "int8"}
    x = rows(8, 6, 6, 2)
    model = tf_keras.Model(inputs, outputs)
    return quantize_model(model, scheme=scheme, calibrate=x), x


@pytest.mark.parametrize("kind", FORMATS)
def test_untrained_and_uncompiled_models_load_too_as_bare_functions(kind, tmp_path):
    quantized, x = every_width()
    quantized.save(tmp_path / f"model{FORMATS[kind]}")
    loaded = tf_keras.models.load_model(tmp_path / f"model{FORMATS[kind]}")
    np.testing.assert_array_equal(loaded(x), quantized(x))
    assert loaded.optimizer is None
    if kind == "saved_model":
        bare = tf.saved_model.load(str(tmp_path / "model"))
        outputs = bare.signatures["serving_default"](tf.constant(x))["quant_last"]
        np.testing.assert_allclose(outputs, quantized(x), atol=1e-6)


class HalfBits(qat.QuantizeConfig):
    """A config of one's own, with an argument."""

    def __init__(self, bits=4):
        self.bits = bits

    def get_weights_and_quantizers(self, layer):
        return [(layer.kernel, qat.quantizers.LastValueQuantizer(self.bits))]

    def get_activations_and_quantizers(self, layer):
        return [(layer.activation, qat.quantizers.MovingAverageQuantizer(self.bits))]

    def get_output_quantizers(self, layer):
        return []

    def get_config(self):
        return {"bits": self.bits}


class Scaled(layers.Dense):
    """A layer of one's own, with an argument."""

    def __init__(self, units, scale=2.0, **kwargs):
        super().__init__(units, **kwargs)
        self.scale = scale

    def call(self, inputs):
        return self.scale * super().call(inputs)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


def own_classes():
    return tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            qat.quantize_annotate_layer(
                Scaled(5, scale=3.0, activation="relu"), HalfBits(3)
            ),
            qat.quantize_annotate_layer(layers.Dense(2)),
        ]
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_classes_of_ones_own_load_inside_of_the_scope(kind, tmp_path):
    x = rows(8, 6)
    quantized = quantize_apply(own_classes(), calibrate=x)
    path = tmp_path / f"model{FORMATS[kind]}"
    quantized.save(path)
    with qat.quantize_scope({"HalfBits": HalfBits, "Scaled": Scaled}):
        loaded = tf_keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(x), quantized(x))
    wrapper = loaded.layers[1]
    assert wrapper.quantize_config == HalfBits(3)
    assert wrapper.layer.scale == 3.0
    assert wrapper.layer.kernel.precision == 3


@pytest.mark.parametrize("kind", FORMATS)
def test_annotated_models_can_be_saved_and_quantized_later(kind, tmp_path):
    annotated = own_classes()
    path = tmp_path / f"model{FORMATS[kind]}"
    annotated.save(path)
    x = rows(8, 6)
    with qat.quantize_scope({"HalfBits": HalfBits, "Scaled": Scaled}):
        loaded = tf_keras.models.load_model(path)
        later = quantize_apply(loaded, calibrate=x)
    now = quantize_apply(annotated, calibrate=x)
    np.testing.assert_array_equal(later(x), now(x))


@pytest.mark.parametrize("name", ["mixed", "named", "nested", "attention"])
def test_clone_model_gives_the_same_layers_with_weights_of_their_own(name):
    quantized, x = quantized_once(name)
    clone = tf_keras.models.clone_model(quantized)
    assert [layer.name for layer in clone.layers] == [
        layer.name for layer in quantized.layers
    ]
    clone.set_weights(quantized.get_weights())
    np.testing.assert_array_equal(clone(x), quantized(x))
    kept = quantized.get_weights()
    clone.set_weights([0 * w for w in kept])
    for a, b in zip(kept, quantized.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("index", [1, 2, 3])
@pytest.mark.parametrize("name", ["mixed", "named"])
def test_a_deep_copy_of_a_layer_has_weights_and_ranges_of_its_own(name, index):
    layer = quantized_once(name)[0].layers[index]
    inputs = rows(8, *layer.input_shape[1:])
    copied = copy.deepcopy(layer)
    before = layer(inputs).numpy()
    np.testing.assert_array_equal(copied(inputs), before)
    for weight in copied.weights:
        weight.assign(2 * weight + 1)
    np.testing.assert_array_equal(layer(inputs), before)
    assert np.abs(copied(inputs) - before).max() > 0


def test_a_deep_copy_of_a_model_trains_by_itself():
    quantized, x = quantized_once("mixed")
    copied = copy.deepcopy(quantized)
    before = quantized.get_weights()
    np.testing.assert_array_equal(copied(x), quantized(x))
    copied.compile("sgd", "mse", run_eagerly=True)
    copied.fit(x, targets(copied), verbose=0)
    for a, b in zip(before, quantized.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(copied(x) - quantized(x)).max() > 0


@pytest.mark.slow
def test_a_loaded_model_can_be_saved_in_another_format(tmp_path):
    model, x, _ = attention()
    model = quantize_model(model, calibrate=x)
    expected = model(x)
    for number, ending in enumerate([".h5", "", ".keras", "", ".h5"]):
        path = tmp_path / f"model_{number}{ending}"
        model.save(path)
        model = tf_keras.models.load_model(path, compile=False)
        np.testing.assert_array_equal(model(x), expected)


@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_sequential_models_inside_of_sequential_models_are_read(ending, tmp_path):
    inner = [layers.Conv2D(4, 3, name="conv"), layers.ReLU(name="relu")]
    middle = [tf_keras.Sequential(inner, name="inner"), layers.Flatten(name="flat")]
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 3)),
            tf_keras.Sequential(middle, name="middle"),
            layers.Dense(2, name="last"),
        ]
    )
    x = rows(4, 8, 8, 3)
    quantized = quantize_model(model, calibrate=x)
    path = tmp_path / f"model{ending}"
    quantized.save(path)
    with qat.quantize_scope():
        in_scope = tf_keras.models.load_model(path)
    for again in (in_scope, lq.models.load(path)):
        assert type(again.get_layer("middle").get_layer("inner")) is tf_keras.Sequential
        np.testing.assert_array_equal(again(x), quantized(x))
