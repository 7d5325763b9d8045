"""`lq.deploy.verify` judges a file by what Keras predicts, whatever way the data come."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_runtime
from tests.deploy.keras_and_file import with_random_weights
from tests.deploy.verified_network import BINARY

K = tf_keras.layers


def exported(model, tmp_path):
    """The file, written with the check that `export` itself runs."""
    lq.deploy.export(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class TrainedByDefault(K.Layer):
    """A layer of a user whose `call` augments unless it is told not to."""

    def call(self, inputs, training=True):
        return inputs * 3.0 - 1.0 if training else inputs


@lq.deploy.converter(TrainedByDefault)
def convert_trained_by_default(graph, layer, value):
    return value


class Around(K.Layer):
    """A layer that passes no `training` on to the one inside of it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = TrainedByDefault()

    def call(self, inputs):
        return self.inside(inputs)


@lq.deploy.converter(Around)
def convert_around(graph, layer, value):
    return value


AUGMENTING = {
    "flip": lambda: K.RandomFlip(),
    "rotation": lambda: K.RandomRotation(0.3),
    "zoom": lambda: K.RandomZoom(0.3),
    "contrast": lambda: K.RandomContrast(0.5),
    "translation": lambda: K.RandomTranslation(0.3, 0.3),
    "brightness": lambda: K.RandomBrightness(0.5),
    "height": lambda: K.RandomHeight(0.5),
    "width": lambda: K.RandomWidth(0.5),
    "nested": lambda: tf_keras.Sequential([K.RandomFlip(), K.RandomContrast(0.5)]),
    "own": TrainedByDefault,
    "inside of an own layer": Around,
    "noise": lambda: tf_keras.Sequential([K.GaussianNoise(1.0), K.Dropout(0.5)]),
}


def compare_augmented(names, phase, tmp_path):
    inputs = tf_keras.Input((6, 6, 3))
    x = [AUGMENTING[name]()(inputs) for name in names]
    x = K.Concatenate()(x) if len(x) > 1 else x[0]
    x = lq.layers.QuantConv2D(4, 3, **BINARY)(x)
    model = with_random_weights(tf_keras.Model(inputs, K.BatchNormalization()(x)))
    x = normal(4, 6, 6, 3)
    predicted = model.predict(x, verbose=0)
    if phase is not None:
        with pytest.warns(UserWarning, match="deprecated"):
            tf_keras.backend.set_learning_phase(phase)
    try:
        file = exported(model, tmp_path)
        assert lq.deploy.verify(model, file, x, stock=False).exact
    finally:
        tf_keras.backend.clear_session()
    np.testing.assert_allclose(larqlite_runtime.load(file)(x), predicted, atol=1e-5)


@pytest.mark.parametrize("phase", [None, 1])
def test_what_augments_in_training_is_compared_in_inference(phase, tmp_path):
    compare_augmented(list(AUGMENTING), phase, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", AUGMENTING)
def test_each_layer_that_augments_is_compared_in_inference(name, tmp_path):
    compare_augmented([name], None, tmp_path)


@pytest.mark.parametrize("by_position", [True, False])
def test_a_call_that_was_recorded_in_training_mode_is_refused(by_position, tmp_path):
    inputs = tf_keras.Input((6,))

    def recorded(training):
        norm = K.BatchNormalization(name="norm")
        x = norm(inputs, training) if by_position else norm(inputs, training=training)
        return tf_keras.Model(inputs, lq.layers.QuantDense(4, **BINARY)(x))

    exported(recorded(False), tmp_path)
    exported(recorded(None), tmp_path)
    with pytest.raises(lq.errors.UnsupportedLayerError, match=r'"norm".*training=True'):
        exported(recorded(True), tmp_path)


# A head `activation(kernel * sums + bias)`, and what comes behind it.
HEADS = {
    "sigmoid_near_0": (1, "sigmoid", 0.1, -25.0, None),
    "sigmoid_at_0": (1, "sigmoid", 0.1, -200.0, None),
    "sigmoid_near_1": (1, "sigmoid", 0.1, 40.0, None),
    "tanh": (3, "tanh", 0.1, -30.0, None),
    "swish": (1, "swish", 0.1, -30.0, None),
    "gelu": (1, "gelu", 0.1, -12.0, None),
    "softplus": (1, "softplus", 0.1, -30.0, None),
    "elu": (1, "elu", 0.1, -60.0, None),
    "softmax": (4, "softmax", 40.0, 5.0, None),
    "exponential": (1, "exponential", 0.1, -95.0, None),
    "all_zero": (1, "relu", 0.1, -1000.0, None),
    "tiny": (3, None, 1e-30, 1e-30, None),
    "huge": (3, None, 1e30, 1e30, None),
    "small_difference_of_large_ones": (1, None, 0.1, 1e6, lambda x: x - 1e6),
    "scaled_down": (1, "sigmoid", 0.1, -25.0, lambda x: x * 1e-9),
    "scaled_up": (1, "sigmoid", 0.1, -25.0, lambda x: K.Dense(1)(x) * 1e9),
}


def with_heads(*names):
    """A packed layer with some of the heads behind it."""
    inputs = tf_keras.Input((16,))
    packed = lq.layers.QuantDense(8, **BINARY)(inputs)
    outputs, denses = [], []
    for name in names:
        units, activation, scale, bias, behind = HEADS[name]
        dense = K.Dense(units, activation=activation, name=f"{name}_head")
        x = dense(packed)
        x = x if behind is None else behind(x)
        outputs.append(K.Activation("linear", name=name)(x))
        denses.append((dense, scale, bias))
    model = with_random_weights(tf_keras.Model(inputs, outputs))
    for dense, scale, bias in denses:
        kernel, offset = dense.get_weights()
        dense.set_weights([kernel * np.float32(scale), np.full_like(offset, bias)])
    return model


def test_a_right_file_is_exact_wherever_its_heads_saturate(tmp_path):
    model = with_heads(*HEADS)
    result = lq.deploy.verify(model, exported(model, tmp_path), normal(6, 16))
    assert [output.name for output in result.outputs] == list(HEADS)
    assert {
        output.name for output in result.outputs if output.values.unexplained
    } == set()
    assert result.exact


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_a_right_file_with_one_head_is_exact(name, tmp_path):
    model = with_heads(name)
    assert lq.deploy.verify(model, exported(model, tmp_path), normal(6, 16)).exact


def test_a_wrong_head_is_found_however_small_its_outputs_are(tmp_path):
    names = ["tiny", "huge"]
    model = with_heads(*names)
    file = exported(model, tmp_path)
    for name in names:
        dense = model.get_layer(f"{name}_head")
        kernel, bias = dense.get_weights()
        dense.set_weights([kernel * np.float32(1.01), bias])
    result = lq.deploy.verify(model, file, normal(6, 16))
    assert result.wrong == ("quant_dense",)
    assert all(output.values.unexplained for output in result.outputs)


def uneven(count):
    """Samples of which each has another magnitude, the last ones are equal."""
    x = normal(count, 16) * np.logspace(-3, 3, count, dtype=np.float32)[:, None]
    x[-2:] = 0
    return x


def test_a_fault_behind_many_layers_is_found(tmp_path):
    """What each layer may be off does not add up to a bound that allows anything."""
    inputs = x = K.Input((16,))
    for _ in range(12):
        y = K.BatchNormalization()(K.Dense(16, activation="tanh")(x))
        x = K.Add()([K.Dense(16)(y), x])
    model = with_random_weights(tf_keras.Model(inputs, K.Dense(4, name="head")(x)))
    path, data = exported(model, tmp_path), normal(40, 16)
    assert lq.deploy.verify(model, path, data).exact
    head = model.get_layer("head")
    by = np.float32(0.01 * np.abs(model.predict(data, verbose=0)).max())
    head.bias.assign(head.bias + np.float32([0, 0, 0, by]))
    assert not lq.deploy.verify(model, path, data).exact


@pytest.mark.parametrize(("error", "is_right"), [(3e-5, True), (3e-4, False)])
def test_the_verdict_depends_on_neither_batch_size_nor_order(error, is_right, tmp_path):
    inputs = tf_keras.Input((16,))
    x = K.Dense(8, use_bias=False, name="stem")(inputs)
    packed = lq.layers.QuantDense(8, **BINARY)(x)
    model = tf_keras.Model(inputs, [K.Dense(3, name="out")(x), packed])
    with_random_weights(model)
    file = exported(model, tmp_path)
    out = model.get_layer("out")
    kernel, bias = out.get_weights()
    # An error of the largest output, so of a small sample it is more than all.
    error *= np.abs(model(uneven(8))[0]).max()
    out.set_weights([kernel, bias + np.float32(error)])
    found = []
    for batch, is_turned in ((1, False), (3, True), (8, False)):
        data = uneven(8)[::-1] if is_turned else uneven(8)
        by_batches = (data[i : i + batch] for i in range(0, 8, batch))
        given = by_batches if is_turned else data
        result = lq.deploy.verify(model, file, given, batch_size=batch, stock=False)
        found.append((result.exact, result.wrong, result.before.different))
    assert len(set(found)) == 1
    assert found[0][0] == is_right
