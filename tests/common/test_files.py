"""Every layer and quantizer through every file format, in this and in a fresh process."""

import copy
import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.common import cases

FORMATS = {"keras": ".keras", "h5": ".h5", "saved_model": ""}

LOAD_ALL = """
    import json, sys
    from pathlib import Path
    import numpy as np
    import larqlite
    import tf_keras
    known = [name for name in sys.modules if name.startswith("larqlite")]
    differing = []
    for folder in map(Path, {folders!r}):
        expected = np.load(folder / "expected.npz")
        for path in sorted(p for p in folder.iterdir() if p.name != "expected.npz"):
            name = path.stem
            model = tf_keras.models.load_model(path)
            y = model(expected[name + "/x"], training=False)
            types = [type(layer).__module__.split(".")[0] for layer in model.layers]
            if not np.array_equal(y, expected[name + "/y"]) or "larqlite" not in types:
                differing.append((path.name, types))
    # Nothing that is imported for one file makes another one load.
    imported = [name for name in sys.modules if name.startswith("larqlite")]
    differing += [name for name in imported if name not in known]
    print(json.dumps(differing))
"""


# A SavedModel takes a second to write: of these in the fast tests, of all in the slow ones.
IN_SAVED_MODELS = ("QuantConv2D", "QuantSeparableConv1D", "SteTern", "RSign", "RPReLU")

# Their files hold an optimizer too.
COMPILED = ("QuantConv2D", "QuantSeparableConv1D", "SteTern")

# In the fast tests each model has one of the other formats, in the slow ones all of them.
_NAMES = (*cases.LAYERS, *cases.QUANTIZERS, *cases.ACTIVATION_LAYERS)
_FEW = {
    "saved_model": IN_SAVED_MODELS,
    "h5": tuple(dict.fromkeys([*COMPILED, *_NAMES[::2]])),
    "keras": tuple(dict.fromkeys([*COMPILED, *_NAMES[1::2]])),
}


@pytest.fixture(scope="module")
def trained():
    """All models with weights that are not those of the start, their inputs, and what
    they compute."""
    found = {}
    random = np.random.default_rng(0)
    for name, model in cases.all_models().items():
        x = cases.model_inputs(name)
        if name in COMPILED:
            model.compile("adam", "mse")
            model.run_eagerly = True  # of a setting that files do not hold: no tracing
            model.train_on_batch(x, np.ones((4, model.output_shape[-1])))
            model.run_eagerly = False
        else:
            for weight in model.weights:
                weight.assign(weight * random.uniform(0.5, 1, weight.shape))
        found[name] = model, x, model(x, training=False).numpy()
    return found


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    """Makes a folder with models in a format, and with what they predict."""

    @functools.cache
    def folder_of(kind, names=None):
        folder = tmp_path_factory.mktemp(kind)
        expected = {}
        for name in names or trained:
            model, expected[f"{name}/x"], expected[f"{name}/y"] = trained[name]
            model.save(folder / f"{name}{FORMATS[kind]}")
        np.savez(folder / "expected.npz", **expected)
        return folder

    return folder_of


@pytest.mark.parametrize(
    "kinds",
    [
        _FEW,
        pytest.param(dict.fromkeys(_FEW), marks=pytest.mark.slow),
    ],
    ids=list,
)
def test_all_models_load_in_a_fresh_process_after_importing_larqlite(
    kinds, saved, run_fork
):
    folders = [str(saved(kind, names)) for kind, names in kinds.items()]
    printed = run_fork(LOAD_ALL.format(folders=folders))
    assert printed.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", COMPILED)
def test_our_loader_reads_what_keras_wrote_and_training_goes_on(kind, name, saved):
    folder = saved(kind, _FEW[kind])
    path = folder / f"{name}{FORMATS[kind]}"
    expected = np.load(folder / "expected.npz")
    model = lq.models.load(path)
    x = expected[f"{name}/x"]
    np.testing.assert_array_equal(model(x, training=False), expected[f"{name}/y"])
    before = copy.deepcopy(model.get_weights())
    model.run_eagerly = name != "QuantConv2D"
    model.train_on_batch(x, np.ones((4, model.output_shape[-1])))
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(before, model.get_weights(), strict=True)
    )


@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ".ckpt"])
def test_weight_files_hold_latent_weights_and_load_into_a_new_model(ending, tmp_path):
    model = cases.model("QuantConv2D")
    twin = cases.model("QuantConv2D")
    model.save_weights(tmp_path / f"weights{ending}")
    status = twin.load_weights(tmp_path / f"weights{ending}")
    if status is not None:
        status.assert_consumed()
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_checkpoints_equal_those_of_plain_layers(tmp_path):
    quant = lq.layers.QuantDense(
        3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )
    plain = tf_keras.layers.Dense(3)
    quant.build((None, 2))
    plain.build((None, 2))
    path = tf.train.Checkpoint(layer=quant).write(str(tmp_path / "quant"))
    tf.train.Checkpoint(layer=plain).read(path).expect_partial()
    np.testing.assert_array_equal(plain.kernel, quant.kernel)
    assert [n for n, _ in tf.train.list_variables(path)] == [
        n
        for n, _ in tf.train.list_variables(
            tf.train.Checkpoint(layer=plain).write(str(tmp_path / "plain"))
        )
    ]


def test_a_checkpoint_restores_a_layer_that_is_built_later(tmp_path):
    layer = cases.layer("QuantDense")
    layer.build((None, 5))
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "early"))
    late = cases.layer("QuantDense")
    status = tf.train.Checkpoint(layer=late).read(path)
    late(cases.inputs("QuantDense"))
    status.assert_consumed()
    np.testing.assert_array_equal(late.kernel, layer.kernel)
    assert late.kernel.quantizer is late.kernel_quantizer


def test_a_reloaded_model_can_be_saved_in_another_format(tmp_path):
    model = tf_keras.Sequential(
        [tf_keras.Input((5,)), cases.layer("QuantDense"), cases.layer("QuantDense")]
    )
    model.compile("adam", "mse")
    x = cases.inputs("QuantDense")
    model.train_on_batch(x, np.ones((4, 3)))
    model.save(tmp_path / "first.keras")
    again = tf_keras.models.load_model(tmp_path / "first.keras")
    assert [w.name for w in again.weights] == [w.name for w in model.weights]
    again.save(tmp_path / "second.h5")
    third = tf_keras.models.load_model(tmp_path / "second.h5")
    np.testing.assert_array_equal(third(x), model(x))


def test_a_bare_saved_function_has_the_pseudo_gradient(tmp_path):
    model = cases.model("QuantDense")
    model.save(tmp_path / "saved")
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    x = tf.constant(cases.inputs("QuantDense"))
    gradients = []
    for function in (saved, model):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(function(x) ** 2)
        gradients.append(tape.gradient(loss, x))
    assert np.any(gradients[0] != 0)
    np.testing.assert_allclose(*gradients, rtol=1e-5, atol=1e-6)


def test_names_in_new_files_are_prefixed_so_they_never_clash(tmp_path):
    config = cases.model("QuantDense").get_config()
    layer = config["layers"][1]
    assert layer["registered_name"] == "larqlite>QuantDense"
    quantizer = layer["config"]["kernel_quantizer"]
    assert quantizer["registered_name"] == "larqlite>MagnitudeAwareSign"
    constraint = layer["config"]["kernel_constraint"]
    assert constraint["registered_name"] == "larqlite>WeightClip"


def test_a_name_another_library_took_first_is_not_overwritten(run_fork):
    printed = run_fork(
        """
        import tf_keras
        def theirs(x): return x
        tf_keras.saving.get_custom_objects()["ste_sign"] = theirs
        import larqlite as lq
        assert tf_keras.activations.get("ste_sign") is theirs
        layer = lq.layers.QuantDense(2, input_quantizer="ste_sign")
        print(type(layer.input_quantizer).__name__)
        """
    )
    assert printed.split()[-1] == "SteSign"


def test_saving_inside_of_the_scope_is_warned_of(tmp_path, caplog):
    model = cases.model("QuantDense")
    with lq.context.quantized_scope(True):
        model.save(tmp_path / "quantized.keras")
    assert "quantized instead of latent" in caplog.text
    kernel = lq.models.load(tmp_path / "quantized.keras").get_weights()[0]
    assert np.allclose(abs(kernel), abs(kernel).mean(0))
