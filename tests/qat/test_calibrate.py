"""Calibrated ranges are those of the data, in closed form."""

import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite import qat
from tests.common.eager import eagerly, quantize_apply, quantize_model

layers = tf_keras.layers


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def ends(wrapper, part) -> list:
    return [
        next(v.numpy() for v in wrapper.weights if f"{part}_{end}" in v.name)
        for end in ("min", "max")
    ]


def linear_model(**kwargs):
    """An input of four numbers, and each of them times two."""
    dense = layers.Dense(4, use_bias=False, name="fc", **kwargs)
    model = tf_keras.Sequential([tf_keras.Input((4,), name="x"), dense])
    dense.kernel.assign(2 * tf.eye(4))
    return model


@pytest.mark.parametrize("calibration", ["minmax", "moving_average"])
def test_ranges_are_the_extremes_or_the_mean_of_the_samples(calibration):
    x = data(96, 4)
    model = qat.quantize_model(linear_model())
    assert qat.calibrate(model, x, calibration=calibration) is model
    quantize_layer, fc = model.layers
    np.testing.assert_array_equal(ends(quantize_layer, "layer"), [x.min(), x.max()])
    np.testing.assert_array_equal(ends(fc, "kernel"), [-2, 2])
    # Layers see what is not rounded yet: here twice the input.
    low, high = np.minimum(2 * x.min(1), 0), np.maximum(2 * x.max(1), 0)
    expected = [low.min(), high.max()]
    if calibration == "moving_average":
        expected = [low.mean(), high.mean()]
    np.testing.assert_allclose(ends(fc, "post_activation"), expected, rtol=1e-5)


def mixed_model():
    """Quantizers of every kind, per tensor and per axis, a shared layer, steps in time."""
    tf_keras.utils.set_random_seed(1)
    range_quantizers = qat.quantizers
    configs = {
        "last": range_quantizers.LastValueQuantizer(4, symmetric=False),
        "axis": range_quantizers.MovingAverageQuantizer(6, per_axis=True),
        "one": range_quantizers.MovingAverageQuantizer(1),
        "symmetric": range_quantizers.MovingAverageQuantizer(symmetric=True),
    }
    inputs = tf_keras.Input((6, 6, 2))
    shared = layers.Conv2D(2, 3, padding="same", activation="relu", name="shared")
    x = layers.BatchNormalization()(shared(shared(inputs)))
    for name, quantizer in configs.items():
        layer = layers.Dense(3, name=name)
        config = qat.LayerQuantizeConfig(
            {"kernel": "LastValueQuantizer"}, outputs=quantizer
        )
        x = qat.quantize_annotate_layer(layer, config)(x)
    x = layers.TimeDistributed(layers.Dense(3))(x)
    outputs = layers.Dense(2, activation="softmax")(layers.Flatten()(x) + 1.0)
    return qat.quantize_annotate_model(tf_keras.Model(inputs, outputs))


MINMAX = pytest.param("minmax", marks=pytest.mark.slow)


@pytest.mark.parametrize("calibration", ["moving_average", MINMAX])
def test_ranges_do_not_depend_on_how_the_data_are_split(calibration):
    x, model = data(23, 6, 6, 2), qat.quantize_apply(mixed_model())
    found = []
    for batches in (x, np.split(x[::-1], [3]), np.split(x, [9, 18])):
        # In a graph, as users do, only the whole: the others are to agree with it.
        with contextlib.nullcontext() if batches is x else eagerly():
            qat.calibrate(model, batches, calibration=calibration)
        found.append([w.numpy() for w in model.non_trainable_weights])
    for others in found[1:]:
        for expected, other in zip(found[0], others, strict=True):
            np.testing.assert_allclose(other, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("calibration", ["moving_average", "minmax"])
def test_ranges_do_not_depend_on_the_batch_size(calibration):
    x, model = data(23, 4), qat.quantize_model(linear_model())
    found = []
    for size in (1, 2, 8, 23, 64):
        with contextlib.nullcontext() if size == 8 else eagerly():
            qat.calibrate(model, x, batch_size=size, calibration=calibration)
        found.append(ends(model.layers[1], "post_activation"))
    np.testing.assert_allclose(found, np.tile(found[0], (5, 1)), rtol=1e-6)


def test_an_unknown_calibration_is_refused_before_anything_is_done():
    message = "unknown calibration 'moving_averge'. Did you mean \"moving_average\""
    for function in (qat.quantize_model, qat.quantize_apply, qat.binarize):
        with pytest.raises(lq.errors.ArgumentError, match=message):
            function(linear_model(), calibration="moving_averge")


def test_what_was_stored_before_is_replaced():
    model = quantize_model(linear_model(), calibrate=100 * data(32, 4))
    x = data(32, 4, seed=1)
    qat.calibrate(model, x)
    again = quantize_model(linear_model(), calibrate=x)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_range_always_holds_zero():
    model = quantize_model(linear_model(), calibrate=5 + abs(data(32, 4)))
    quantize_layer, fc = model.layers
    assert ends(quantize_layer, "layer")[0] == 0
    assert ends(fc, "post_activation")[0] == 0


def as_array(x):
    return x


def as_tensor(x):
    return tf.constant(x)


def as_list_of_arrays(x):
    return [x]


def as_dictionary(x):
    return {"x": x}


def as_dataset(x):
    return tf.data.Dataset.from_tensor_slices(x).batch(32)


def as_dataset_with_labels(x):
    return tf.data.Dataset.from_tensor_slices((x, np.arange(len(x)))).batch(32)


def as_dataset_with_weights(x):
    count = np.arange(len(x))
    return tf.data.Dataset.from_tensor_slices((x, count, count)).batch(32)


def as_generator(x):
    return (x[i : i + 32] for i in range(0, len(x), 32))


def as_list_of_batches(x):
    return [(x[i : i + 32], None) for i in range(0, len(x), 32)]


def as_sequence(x):
    class Batches(tf_keras.utils.Sequence):
        def __len__(self):
            return len(x) // 32

        def __getitem__(self, index):
            if index >= len(self):
                raise IndexError
            return x[32 * index : 32 * index + 32], np.zeros(32)

    return Batches()


def as_inputs_and_labels(x):
    return x, np.arange(len(x))


def as_representative_dataset(x):
    def samples():
        for sample in x:
            yield [sample[np.newaxis]]

    return samples


def as_representative_dataset_of_names(x):
    return lambda: ({"x": sample[np.newaxis]} for sample in x)


def as_function_that_returns_arrays(x):
    return lambda: x


def as_indexable(x):
    class Samples:
        def __len__(self):
            return len(x) // 16

        def __getitem__(self, index):
            if index >= len(self):
                raise IndexError
            return x[16 * index : 16 * index + 16]

    return Samples()


def as_double_precision(x):
    return x.astype("float64")


FORMS = [f for name, f in list(globals().items()) if name.startswith("as_")]


# An array in a graph is above; a generator is what a representative dataset returns.
IN_A_GRAPH = (as_dictionary, as_dataset_with_labels, as_representative_dataset)


@functools.cache
def expected_weights() -> list[np.ndarray]:
    return quantize_model(linear_model(), calibrate=data(64, 4)).get_weights()


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.__name__)
def test_data_in_every_form_gives_the_same_ranges(form):
    with contextlib.nullcontext() if form in IN_A_GRAPH else eagerly():
        model = qat.quantize_model(linear_model(), calibrate=form(data(64, 4)))
    for a, b in zip(model.get_weights(), expected_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def looks_up(layer, x):
    """A model that looks up what it is given; what `adapt` finds is no variable."""
    layer.adapt(x)
    inputs = tf_keras.Input(
        x.shape[1:], dtype="string" if x.dtype.kind == "U" else "int64"
    )
    outputs = tf_keras.layers.Dense(2, name="last")(layer(inputs))
    return tf_keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    ("cls", "values"),
    [
        (tf_keras.layers.StringLookup, ["a", "b", "c"]),
        (tf_keras.layers.TextVectorization, ["a b", "b", "c a"]),
        (tf_keras.layers.IntegerLookup, [3, 5, 9]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_words_and_codes_are_data_of_models_that_look_them_up(cls, values):
    x = np.array(values * 8)[:, None]
    model = looks_up(cls(output_mode="count", name="words"), x)
    scheme = {"words": "float", "*": "int8"}
    batches = tf.data.Dataset.from_tensor_slices(x).batch(5)
    one, other = (
        apply(model, scheme, calibrate=given)
        for apply, given in ((qat.quantize_apply, x), (quantize_apply, batches))
    )
    found, expected = one(x).numpy(), model(x).numpy()
    np.testing.assert_array_equal(found, other(x))
    np.testing.assert_allclose(found, expected, atol=0.02 * np.ptp(expected))
    # What the tables hold is counted nowhere among the weights.
    assert (
        lq.models.profile(one).trained_params == lq.models.profile(other).trained_params
    )
    assert qat.report(one, verbose=False).layer("quant_last").weights == {"kernel": 8}


def test_words_are_no_data_of_models_that_take_numbers():
    model = qat.quantize_model(linear_model())
    with pytest.raises(lq.errors.ArgumentError, match="numbers"):
        qat.calibrate(model, np.array([["a", "b"]]))
    batches = tf.data.Dataset.from_tensor_slices(np.full((4, 4), "a")).batch(2)
    with pytest.raises(lq.errors.ArgumentError, match=r"is string, .* takes float32"):
        qat.calibrate(model, batches)


def test_a_function_that_needs_arguments_is_refused():
    model = qat.quantize_model(linear_model())
    with pytest.raises(
        lq.errors.ArgumentError, match=r"needs the arguments \['count'\]"
    ):
        qat.calibrate(model, lambda count: count)


def test_steps_end_the_data_a_repeated_one_too():
    x = data(64, 4)
    model = qat.quantize_model(linear_model())
    with eagerly():
        qat.calibrate(model, as_dataset(x).repeat(), steps=1)
    expected = quantize_model(linear_model(), calibrate=x[:32])
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_inputs_are_told_apart_by_name():
    numbers = tf_keras.Input((3,), name="numbers")
    words = tf_keras.Input((2,), dtype="int32", name="a_word")
    joint = layers.Concatenate()([numbers, layers.Embedding(5, 3)(words)[:, 0]])
    model = tf_keras.Model([numbers, words], joint)
    x, w = data(16, 3), np.random.default_rng(0).integers(0, 5, (16, 2))
    by_name = qat.quantize_model(model, calibrate={"numbers": x, "a_word": w})
    by_place = quantize_model(model, calibrate=[x, w])
    for a, b in zip(by_name.get_weights(), by_place.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("names", [["other"], ["x", "more"], []])
def test_a_dictionary_of_other_names_is_refused_by_the_names(names):
    model = qat.quantize_model(linear_model())
    with pytest.raises(lq.errors.ArgumentError, match=r"names of the inputs .*\['x'\]"):
        qat.calibrate(model, [dict.fromkeys(names, data(4, 4))])


def test_weights_statistics_and_steps_are_not_touched():
    model = tf_keras.Sequential(
        [
            layers.Conv2D(4, 3, input_shape=(6, 6, 2)),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
        ]
    )
    model.layers[1].set_weights(list(np.random.default_rng(0).uniform(1, 2, (4, 4))))
    quantized = quantize_model(model, calibrate=data(8, 6, 6, 2))
    for before, after in zip(
        model.weights,
        [w for layer in quantized.layers[1:] for w in layer.layer.weights],
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)
    steps = [w.numpy() for w in quantized.weights if "optimizer_step" in w.name]
    assert steps == [-1, -1, -1, -1]


def test_a_shared_layers_range_holds_all_of_its_uses():
    inputs = tf_keras.Input((4,))
    double = layers.Dense(4, use_bias=False, name="double")
    model = tf_keras.Model(inputs, double(double(double(inputs)) * -1.0))
    double.kernel.assign(2 * tf.eye(4))
    x = np.array([[0.25, 0.5, 0.75, 1.0]], "float32")
    quantized = qat.quantize_model(model, calibrate=[x, x])
    (wrapper,) = [part for part in quantized.layers if "double" in part.name]
    # Its outputs are 2 and 4 and -8 times the input.
    low, high = ends(wrapper, "post_activation")
    np.testing.assert_allclose([low, high], [-8, 4], rtol=0.02)


def test_calibrated_outputs_are_near_to_float_and_uncalibrated_ones_not():
    x = data(64, 4)
    model = linear_model()
    quantized = qat.quantize_model(model)
    assert np.abs(quantized(x) - model(x)).max() > 1  # the input's range is [0, 0]
    qat.calibrate(quantized, x)
    step = np.ptp(2 * x) / 255
    assert np.abs(quantized(x) - model(x)).max() < 1.6 * step


def test_ctrl_c_leaves_the_ranges_as_they_were():
    model = tf_keras.Sequential([tf_keras.layers.ReLU(input_shape=(2,))])
    quantized = quantize_model(model, calibrate=np.float32([[0.0, 3.0]]))
    before = quantized.get_weights()

    def batches():
        yield np.float32([[50.0, 70.0]])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        qat.calibrate(quantized, batches())
    for kept, found in zip(before, quantized.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, found)
