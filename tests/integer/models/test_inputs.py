"""What integer models are fed: numbers that integers hold, or words about them."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer import models
from larqlite.integer.export import compare, to_onnx, to_qdq, to_tflite
from tests.common.eager import quantize

layers = tf_keras.layers
PARAMS = models.QuantizationParams(per_tensor_activations=True)


def network(dtype="float32", size=6):
    tf_keras.utils.set_random_seed(1)
    return tf_keras.Sequential(
        [
            tf_keras.Input((size,), dtype=dtype, name="sensor"),
            layers.Dense(8, activation="relu", name="hidden"),
            layers.Dense(4, name="labels"),
        ]
    )


def numbers(low, high, count=64, dtype="float32", size=6):
    random = np.random.default_rng(0)
    return random.integers(low, high + 1, (count, size)).astype(dtype)


FRACTIONS = np.random.default_rng(0).random((64, 6)).astype("float32")
NOT_HELD = {
    "images in [0, 1]": FRACTIONS,
    "standardised": 6 * (FRACTIONS - 0.5),
    "a sensor of 12 bits": numbers(-2048, 2047),
    "bytes in float64 with one fraction": numbers(0, 255, dtype="float64") + 0.25,
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("images in [0, 1]", "array"),
        pytest.param("standardised", "dataset", marks=pytest.mark.slow),
        ("a sensor of 12 bits", "batches"),
        pytest.param(
            "bytes in float64 with one fraction", "array", marks=pytest.mark.slow
        ),
    ],
)
def test_samples_that_integers_do_not_hold_are_warned_of_and_the_fix_works(name, kind):
    model, samples = network(), NOT_HELD[name]
    given = {
        "array": samples,
        "dataset": tf.data.Dataset.from_tensor_slices(samples).batch(16),
        "batches": [(samples[:32], np.zeros(32)), (samples[32:], np.zeros(32))],
    }[kind]
    with pytest.warns(UserWarning, match=r"(?s)\"sensor\".*Fix: scale = ") as seen:
        integers = quantize(model, samples=given)
    (issue,) = models.check_quantization(integers)
    assert "sensor" in issue
    (first, *_) = models.data_report(integers, given).layers
    assert first.cut == first.saturated > 0
    assert not first.fits
    # The fix of the warning, word for word.
    (words,) = [str(w.message) for w in seen if "Fix" in str(w.message)]
    scale = float(words.split("scale = ")[1].split(";")[0])
    scaled = models.transforms.insert_rescaling(model, scale, 0.0)
    samples = np.round(samples / scale)
    integers = quantize(scaled, samples=samples)
    assert models.check_quantization(integers) == []
    wanted = model(samples * scale).numpy()
    found = integers(samples).numpy()
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.99


def test_a_rescaling_in_front_of_a_rescaling_is_one():
    samples = FRACTIONS
    inputs = tf_keras.Input((6,))
    outputs = layers.Dense(3)(layers.Rescaling(2.0)(inputs))
    model = tf_keras.Model(inputs, outputs)
    scaled = models.transforms.insert_rescaling(model, 1 / 255, 0.0)
    integers = quantize(scaled, samples=np.round(samples * 255), on_unsupported="raise")
    wanted = model(samples).numpy()
    found = integers(np.round(samples * 255)).numpy()
    assert np.abs(wanted - found).max() < 0.02 * np.ptp(wanted)


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(0, 255, "float32"), (-256, 255, "float32"), (-9000, 9000, "int16")],
)
def test_samples_that_integers_hold_are_taken_without_a_word(low, high, dtype):
    samples = numbers(low, high, dtype=dtype)
    integers = quantize(network(dtype), samples=samples)
    assert models.check_quantization(integers) == []
    rows = models.data_report(integers, samples).layers
    assert sum(row.cut for row in rows) == 0


def test_samples_of_one_number_are_warned_of():
    with pytest.warns(UserWarning, match=r'"sensor" are 7.*\n.*Fix: '):
        quantize(network(), samples=np.full((8, 6), 7))


def test_a_model_without_ranges_looks_at_its_samples_too():
    model = tf_keras.Sequential([layers.Dense(2, input_shape=(6,))])
    with pytest.warns(UserWarning, match="no whole numbers"):
        integers = quantize(model, samples=FRACTIONS)
    assert models.check_quantization(integers)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.full((4, 6), np.nan), "NaN or infinite"),
        (np.full((4, 6), np.inf), "NaN or infinite"),
        (np.zeros((0, 6)), "no samples"),
        (np.full((4, 6), "7"), "numbers"),
        (np.zeros((4, 5)), "shapes"),
    ],
    ids=["NaN", "infinity", "empty", "text", "shape"],
)
def test_samples_that_are_no_numbers_are_refused(samples, message):
    with pytest.raises(ArgumentError, match=rf"(?s){message}.*Fix: "):
        quantize(network(), samples=samples)


@pytest.mark.parametrize("samples", [FRACTIONS, numbers(-3, 3), numbers(0, 300)])
def test_an_input_of_bytes_takes_bytes_only(samples):
    with pytest.raises(ArgumentError, match=r"(?s)uint8 has not.*Fix: .*0 to 255"):
        quantize(network("uint8"), samples=samples)


@pytest.mark.slow
def test_random_samples_say_which_inputs_they_stand_for(tmp_path):
    with pytest.warns(UserWarning, match="random samples"):
        integers = quantize(
            tf_keras.Sequential(
                [
                    layers.Conv2D(4, 3, input_shape=(8, 8, 3)),
                    layers.ReLU(),
                    layers.Conv2D(2, 3),
                ]
            )
        )
    first = integers.layers[0]
    assert first.calibrated_inputs == {"low": 0.0, "high": 255.0, "cut": 0.0}
    for suffix in (".keras", ".h5"):
        integers.save(tmp_path / f"m{suffix}")
        loaded = models.load_model(tmp_path / f"m{suffix}")
        assert loaded.layers[0].calibrated_inputs == first.calibrated_inputs


SIGNED = numbers(-100, 100)


@pytest.fixture(scope="module")
def signed():
    return quantize(network(), qparams=PARAMS, samples=SIGNED)


def test_signed_inputs_are_int8_in_files_by_themselves(signed):
    for content in (to_qdq(signed), to_tflite(signed, samples=SIGNED)):
        assert compare(signed, content, SIGNED).label_agreement == 1
    for export in (to_qdq, to_tflite):
        with pytest.raises(ArgumentError, match=r"(?s)-100 to 100.*uint8.*leave inp"):
            export(signed, samples=SIGNED, input_dtype="uint8") if (
                export is to_tflite
            ) else export(signed, input_dtype="uint8")


@pytest.mark.slow
def test_each_of_two_inputs_has_a_type_of_its_own():
    one, other = (tf_keras.Input((6,), name=name) for name in ("one", "other"))
    x = layers.Add()([layers.Dense(4)(one), layers.Dense(4)(other)])
    samples = [numbers(0, 255), numbers(-128, 127)]
    model = quantize(tf_keras.Model([one, other], x), qparams=PARAMS, samples=samples)
    for content in (to_qdq(model), to_tflite(model, samples=samples)):
        found = compare(model, content, samples)
        assert found.largest_units < 3
        assert found.label_agreement > 0.95


def test_inputs_of_more_than_8_bits_are_refused_by_the_files_of_8_bits():
    samples = numbers(-200, 250)
    model = quantize(network(), qparams=PARAMS, samples=samples)
    for export in (to_qdq, to_tflite):
        with pytest.raises(ArgumentError, match=r"(?s)-199 to 249.*Fix: .*to_onnx"):
            export(model)
    assert compare(model, to_onnx(model), samples).is_exact


def test_a_comparison_on_numbers_that_a_file_cannot_take_is_refused(signed):
    with pytest.raises(ArgumentError, match=r"(?s)no whole numbers.*insert_rescaling"):
        compare(signed, to_onnx(signed), FRACTIONS)
    with pytest.raises(ArgumentError, match=r"(?s)takes uint8.*-100 to 100"):
        compare(signed, to_onnx(signed, input_dtype="uint8"), SIGNED)


@pytest.mark.filterwarnings("ignore:.*stays float")
def test_a_check_names_what_computes_in_float_nested_or_not():
    inner = tf_keras.Sequential(
        [tf_keras.Input((8,)), layers.ThresholdedReLU(), layers.Dense(2)]
    )
    inputs = tf_keras.Input((6,))
    hidden = layers.Dense(8, name="first")(inputs)
    model = tf_keras.Model(inputs, inner(hidden))
    integers = quantize(model, samples=SIGNED)
    (issue,) = models.check_quantization(integers)
    assert issue.startswith("2 layers compute in float: thresholded_re_lu")
    assert "1 layers in integers" in issue
    (issue,) = models.check_quantization(model)
    assert "0 layers in integers" in issue


def test_probabilities_at_the_very_end_are_no_issue():
    start = network()
    model = tf_keras.Model(start.inputs, layers.Softmax()(start.output))
    assert models.check_quantization(quantize(model, samples=SIGNED)) == []
