"""A copy computes what the model does, whatever its layers hold."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import qat
from tests.common.eager import quantize, quantize_apply, quantize_model
from tests.copies.stateful import MODELS, NUMBERS, L, normalization

T = lq.integer.models.transforms


def left_float(model):
    last = model.layers[-1].name
    return qat.quantize_apply(model, {last: qat.NoOpQuantizeConfig(), "*": "float"})


def wrapped(model):
    copied = qat.quantize_apply(model, {"*": qat.NoOpQuantizeConfig()})
    is_float = model.inputs[0].dtype.is_floating
    return qat.remove_input_range(copied) if is_float else copied


def outputs_of(model, x):
    return np.asarray(model(tf.constant(x)))


FILES_IN_SHORT = [("in_a_sequential", ".h5"), ("discretization", ".keras")]
IN_SHORT = (
    *("normalization", "discretization", "string_lookup", "text_counts", "in_time"),
    "discretization_one_hot",
    *("own_attributes", "own_random_numbers", "frozen_part", "nested_in_nested"),
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in IN_SHORT else pytest.mark.slow) for n in MODELS],
)
def test_a_copy_computes_what_the_model_does(name):
    model, x = MODELS[name]()
    expected = outputs_of(model, x)
    flags = [
        layer.trainable for layer in model.submodules if isinstance(layer, L.Layer)
    ]
    frozen = lq.models.freeze(model)
    for copied in (frozen, left_float(model), wrapped(model)):
        np.testing.assert_array_equal(outputs_of(copied, x), expected)
    parts = [layer for layer in frozen.submodules if isinstance(layer, L.Layer)]
    assert [layer.trainable for layer in parts] == flags
    np.testing.assert_array_equal(outputs_of(model, x), expected)


def test_a_wrapper_made_by_hand_takes_the_state_of_its_layer():
    model, x = normalization()
    layer = model.layers[1]
    wrapped = qat.QuantizeWrapperV2(layer, qat.NoOpQuantizeConfig())
    np.testing.assert_array_equal(wrapped(x), layer(x))


def test_an_annotated_model_computes_the_same():
    model, x = MODELS["nested_in_nested"]()
    marked = qat.quantize_annotate_model(model)
    expected = outputs_of(model, x)
    np.testing.assert_array_equal(outputs_of(marked, x), expected)
    quantized = quantize_apply(marked, "int16", calibrate=x)
    off = np.abs(outputs_of(quantized, x) - expected).max()
    assert off < 1e-2 * np.abs(expected).max()


def test_the_state_is_there_after_the_transforms_and_in_the_float_tail():
    x = np.random.default_rng(0).integers(0, 256, (64, 4)).astype("float32")
    inputs = tf_keras.Input((4,))
    hidden = L.Dense(3)(inputs)
    norm = L.Normalization()
    model = tf_keras.Model(inputs, L.Dense(2)(L.Activation("relu")(norm(hidden))))
    norm.adapt(outputs_of(tf_keras.Model(inputs, hidden), x))
    expected = outputs_of(model, x)
    sane = T.sanitize(model)
    assert sane is not model
    np.testing.assert_allclose(outputs_of(sane, x), expected, atol=1e-5)
    with pytest.warns(UserWarning, match="stays float"):
        integers = quantize(model, samples=x)
    found = outputs_of(integers, x)
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.999


FILES = [
    pytest.param(n, e, marks=() if (n, e) in FILES_IN_SHORT else pytest.mark.slow)
    for n in ("in_a_sequential", "discretization", "nested")
    for e in (".keras", ".h5", "")
]


@pytest.mark.parametrize(("name", "ending"), FILES)
def test_a_copy_is_the_same_in_every_format(name, ending, tmp_path):
    model, x = MODELS[name]()
    scheme = {"discretization*": "float", "*": "int8"}
    if name != "discretization":
        scheme = "int8"
    marked = qat.quantize_annotate_model(model) if scheme == "int8" else model
    for copied in (
        quantize_apply(marked, scheme, calibrate=x),
        lq.models.freeze(model),
    ):
        copied.compile()
        copied.save(tmp_path / f"copy{ending}")
        again = lq.models.load(tmp_path / f"copy{ending}")
        np.testing.assert_array_equal(outputs_of(again, x), outputs_of(copied, x))


def test_a_stateful_sequence_goes_on_where_it_was():
    inputs = tf_keras.Input(batch_shape=(2, 3, 4))
    y = L.LSTM(5, stateful=True, return_sequences=True)(inputs)
    model = tf_keras.Model(inputs, L.Bidirectional(L.SimpleRNN(3, stateful=True))(y))
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    model(x)
    frozen = lq.models.freeze(model)
    np.testing.assert_allclose(frozen(x), model(x), atol=1e-6)


def test_seeds_and_generators_go_on():
    dice = L.RandomFlip(seed=4)
    model = tf_keras.Sequential([tf_keras.Input((4, 4, 1)), dice])
    x = np.arange(640, dtype="float32").reshape(40, 4, 4, 1)
    first = model(x, training=True)
    copied = lq.models.freeze(model)
    assert copied.layers[0].get_config()["seed"] == 4
    second = model(x, training=True)
    np.testing.assert_array_equal(copied(x, training=True), second)
    assert not np.array_equal(first, second)


def test_settings_that_few_configurations_hold_are_kept():
    relu = L.ReLU(activity_regularizer="l2", dtype="float64", name="r")
    model = tf_keras.Sequential([tf_keras.Input((3,)), L.Dense(3), relu, L.Dense(1)])
    for copied in (
        lq.models.freeze(model),
        quantize_apply(model, {"r": "float", "*": "int8"}, calibrate=NUMBERS),
    ):
        kept = copied.get_layer("r")
        assert kept.activity_regularizer is relu.activity_regularizer
        assert kept.compute_dtype == "float64"


class Locked(L.Layer):
    """Opens something that no copy can have."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.file = None

    def call(self, x):
        return x + 1


def test_an_attribute_that_cannot_be_copied_is_refused_by_name(tmp_path):
    layer = Locked(name="mine")
    model = tf_keras.Sequential([tf_keras.Input((3,)), layer, L.Dense(2)])
    with open(tmp_path / "data", "w", encoding="utf-8") as layer.file:
        with pytest.raises(
            lq.errors.UnsupportedModelError, match=r"\"mine\" \(Locked\).*'file'"
        ):
            qat.quantize_apply(model, {"dense*": "int8"})
        with pytest.raises(lq.errors.UnsupportedModelError, match="'file'"):
            lq.models.freeze(model)


class Growing(L.Layer):
    """Makes a weight that its configuration knows nothing of."""

    def call(self, x):
        return x + 1


def test_a_weight_that_was_added_later_is_refused_by_name():
    layer = Growing(name="mine")
    model = tf_keras.Sequential([tf_keras.Input((3,)), layer, L.Dense(2)])
    layer.add_weight("late", (2,))
    with pytest.raises(lq.errors.UnsupportedModelError, match=r'"mine" \(Growing\)'):
        qat.quantize_apply(model, {"dense*": "int8"})


@pytest.mark.parametrize("is_nested", [False, True])
def test_an_adapted_normalization_says_how_long_the_input_is(is_nested, tmp_path):
    """A Sequential model that begins with one; Keras itself cannot clone or load it."""
    layer, last = L.Normalization(), L.Dense(2, name="last")
    layer.adapt(NUMBERS)
    model = tf_keras.Sequential([layer, last])
    said = tf_keras.Sequential([tf_keras.Input(NUMBERS.shape[1:]), layer, last])
    assert model.input_shape == (None, None)
    if is_nested:
        inputs = tf_keras.Input(NUMBERS.shape[1:])
        model, said = (tf_keras.Model(inputs, each(inputs)) for each in (model, said))
    quantized = quantize_model(model, calibrate=NUMBERS)
    expected = quantize_model(said, calibrate=NUMBERS)
    found = outputs_of(quantized, NUMBERS)
    np.testing.assert_array_equal(found, outputs_of(expected, NUMBERS))
    assert quantized.input_shape == (None, NUMBERS.shape[1])
    quantized.save(tmp_path / "model.keras")
    loaded = lq.models.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(outputs_of(loaded, NUMBERS), found)
