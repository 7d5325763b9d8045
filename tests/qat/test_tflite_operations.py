"""Operations whose integers stop, or are far off, in TFLite's interpreter."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite import qat
from larqlite.errors import UnsupportedModelError
from tests.common.eager import quantize_apply, quantize_model
from tests.qat.tflite_models import L, all_tensors, net

SHAPE = (4, 4, 4)


def above(x):
    return tf.abs(x) + 0.5


# Functions of one tensor, and whether they compute in float32.
ONE = {
    "rsqrt": lambda a: tf.math.rsqrt(above(a)),
    "sqrt": lambda a: tf.sqrt(above(a)),
    "log": lambda a: tf.math.log(above(a)),
    "exp": tf.exp,
    "power": lambda a: above(a) ** 0.5,
    "square": lambda a: a**2,
    "reciprocal": lambda a: 1.0 / above(a),
    "half": lambda a: a / 2.0,
    "floor division": lambda a: a // 0.3,
    "remainder": lambda a: a % 0.7,
    "softmax over rows": lambda a: tf.nn.softmax(a, axis=1),
    "softmax over an image": L.Softmax(axis=(1, 2)),
    "mean of rows": lambda a: tf.reduce_mean(a, 1),
    "mean of two axes": lambda a: tf.reduce_mean(a, [1, 3]),
    "sum": lambda a: tf.reduce_sum(a, 3, keepdims=True),
    "product": lambda a: tf.reduce_prod(a, 3),
    "variance": lambda a: tf.math.reduce_variance(a, 3),
    "unit vectors": lambda a: tf.nn.l2_normalize(a, axis=-1),
    "long unit vectors": lambda a: tf.nn.l2_normalize(tf.reshape(a, [-1, 64]), axis=-1),
    "mean pooling": lambda a: tf.nn.avg_pool2d(a, 3, 1, "VALID"),
    "large mean pooling": L.AveragePooling2D(4, 1),
    "resized": lambda a: tf.image.resize(a, (7, 3)),
    "made smaller": lambda a: tf.image.resize(a, (2, 2)),
    "Resizing": L.Resizing(3, 7),
    "one-hot": lambda a: tf.one_hot(tf.argmax(a, -1), 4),
    "product with itself": lambda a: tf.matmul(a, a, transpose_b=True),
    "gelu": tf.nn.gelu,
    "swish": tf.nn.silu,
    "groups": L.GroupNormalization(2),
    "padded by -7": lambda a: tf.pad(
        a, [[0, 0], [1, 1], [0, 0], [0, 0]], "CONSTANT", -7.0
    ),
    "above 3": lambda a: tf.maximum(a, 3.0),
}
TWO = {
    "division": lambda a, b: a / above(b),
    "division or 0": tf.math.divide_no_nan,
    "division in shape": lambda a, b: tf.reshape(a / above(b), [-1, 64]),
    "floor division": lambda a, b: a // above(b),
    "remainder": lambda a, b: a % above(b),
    "squared difference": tf.math.squared_difference,
    "power": lambda a, b: above(a) ** b,
    "maximum of three": lambda a, b: L.Maximum()([a, b, L.ReLU()(a)]),
    "cosine": lambda a, b: L.Dot(axes=1, normalize=True)(
        [L.Flatten()(a), L.Flatten()(b)]
    ),
    "select": lambda a, b: tf.where(a > 0, a, b),
}
STOPS = ["division", "division or 0", "one-hot"]
FAST = ["division", "one-hot", "groups"]
CASES = [
    pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
    for name in dict.fromkeys((*ONE, *TWO))
]


@pytest.mark.parametrize("name", CASES)
def test_an_operation_computes_what_keras_computes(name):
    rng = np.random.default_rng(0)
    data = [(s * rng.normal(size=(48, *SHAPE))).astype("float32") for s in (1, 1.7)]
    data[1][:2] = 0
    for function, count in ((ONE.get(name), 1), (TWO.get(name), 2)):
        if function is None:
            continue
        sources = [tf_keras.Input(SHAPE) for _ in range(count)]
        model = tf_keras.Model(sources, function(*sources))
        given = data[:count] if count > 1 else data[0]
        quantized = quantize_model(model, calibrate=given)
        content = qat.to_tflite(quantized)
        found = qat.compare_tflite(quantized, content, given)
        step = found.step or np.ptp(np.asarray(quantized(given, training=False))) / 255
        assert found.largest_difference <= 1.01 * step
        if name in STOPS:
            assert content.float_layers != ()


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (tf.math.erf, "tf.Erf"),
        pytest.param(lambda x: tf.roll(x, 1, 1), "tf.Roll", marks=pytest.mark.slow),
        pytest.param(
            lambda x: L.MaxPooling3D(1)(L.Reshape((1, 4, 4, 4))(x)),
            "tf.MaxPool3D",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_tflite_has_no_operation_for_is_refused_by_name(
    function, operation, capfd
):
    data = np.random.default_rng(0).normal(size=(8, *SHAPE)).astype("float32")
    source = tf_keras.Input(SHAPE)
    outputs = function(source)
    model = quantize_model(tf_keras.Model(source, outputs), calibrate=data)
    layer = outputs.node.layer.name
    with pytest.raises(UnsupportedModelError) as error:
        qat.to_tflite(model)
    message = str(error.value)
    assert f"no operation for {operation}" in message
    assert layer in message
    assert "float it is as unknown" in message.replace("\n", " ")
    assert len(message) < 500
    assert capfd.readouterr().err == ""


def test_operators_that_a_relu_rounds_are_not_reported_as_float():
    source = tf_keras.Input((4,))
    layers = [L.Dense(4, name=name)(source) for name in "abc"]
    added = L.ReLU(name="relu")(layers[0] + layers[1])
    taken = tf.nn.relu(layers[1] - layers[2])
    joined = tf.stack([added, taken, tf.sigmoid(layers[2])], 1)
    model = quantize_model(tf_keras.Model(source, joined), calibrate=np.ones((4, 4)))
    found = {row.path: row for row in qat.report(model, verbose=False).layers}
    assert not [row for row in found.values() if "not quantized" in row.reason]
    # What the ReLU gives is rounded with the rest, after the stack.
    assert found["tf.__operators__.add"].reason == "output quantized after quant_relu"
    assert found["tf.stack"].reason == "output quantized after quantize_tf.stack"
    assert found["tf.math.sigmoid"].reason == "its range is known: nothing to quantize"


def test_notes_say_why_layers_are_float():
    float_model = net(
        (4, 4, 4),
        L.Conv2D(4, 1, name="quantized"),
        L.Conv2D(4, 1, name="kept"),
        L.Conv2D(4, 1, use_bias=False, name="binary"),
        L.LayerNormalization(name="norm"),
    )
    schemes = {"kept": "float", "binary": "binary", "*": "int8"}
    data = np.random.default_rng(0).normal(size=(8, 4, 4, 4)).astype("float32")
    model = quantize_apply(float_model, schemes, calibrate=data)
    content = qat.to_tflite(model)
    notes = [note for note in content.notes if note.startswith("computed in float32")]
    assert set(content.float_layers) == {"kept", "quant_norm", "quant_binary"}
    reasons = {
        "kept": "the model does not quantize it",
        "quant_norm": "TFLite has no integers for it",
        "quant_binary": "no operation for such kernels",
    }
    for name, reason in reasons.items():
        (note,) = (note for note in notes if f'"{name}"' in note)
        assert reason in note


def test_a_file_that_stops_is_refused_by_the_name_of_its_layer():
    float_model = net((6, 6, 4), L.Conv2D(4, 3), L.GroupNormalization(2, name="groups"))
    data = np.random.default_rng(0).normal(size=(8, 6, 6, 4)).astype("float32")
    schemes = {"groups": "float", "*": "int8"}
    model = quantize_apply(float_model, schemes, calibrate=data)
    with pytest.raises(UnsupportedModelError, match=r'stops in the file[^$]*"groups"'):
        qat.to_tflite(model)


@pytest.mark.slow
def test_a_conversion_says_nothing_on_the_standard_error(run_python):
    printed = run_python(
        """
        import os, tempfile
        os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
        import numpy as np, tf_keras, larqlite as lq
        model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,))])
        data = np.ones((8, 4), "float32")
        model = lq.qat.quantize_model(model, calibrate=data)
        with tempfile.TemporaryFile() as said:
            os.dup2(said.fileno(), 2)
            content = lq.qat.to_tflite(model)
            lq.qat.compare_tflite(model, content, data)
            os.write(2, b"own words")
            said.seek(0)
            print(said.read().decode())
        """
    )
    assert printed.strip() == "own words"


@pytest.mark.parametrize(
    ("dtype", "layer"),
    [
        ("uint8", lambda: L.Rescaling(1 / 255)),
        *(
            pytest.param(dtype, layer, marks=pytest.mark.slow)
            for dtype in ("uint8", "int8", "int16", "int32", "int64", "float16")
            for layer in (
                lambda: L.Rescaling(1 / 127.5, -1),
                lambda: L.Dense(3, activation="relu"),
                lambda: L.BatchNormalization(),
                lambda: L.Normalization(mean=3.0, variance=4.0),
            )
        ),
    ],
)
def test_whole_numbers_go_in_as_keras_casts_them(dtype, layer):
    quantized, data = before_a_convolution(layer(), dtype)
    found = qat.compare_tflite(quantized, qat.to_tflite(quantized), data)
    assert found.largest_steps < 2.01


def before_a_convolution(layer, dtype):
    source = tf_keras.Input((4, 4, 3), dtype=dtype)
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Model(source, L.Conv2D(4, 3, activation="relu")(layer(source)))
    low, high = (-100, 100) if dtype.startswith(("int", "float")) else (0, 256)
    data = np.random.default_rng(0).integers(low, high, (32, 4, 4, 3)).astype(dtype)
    return quantize_model(model, calibrate=data), data


@pytest.mark.slow
@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "int32", "int64", "float16"]
)
def test_whole_numbers_are_resized_within_a_step(dtype):
    """Each layer by itself.

    The file rounds twice: in steps of what goes in (1.0 for int8), then in those of what
    comes out (0.7), of which a third is one off. The convolution sums 27 such values to
    3 of its own steps of 0.3; on the interpreter's values it is within one.
    """
    quantized, data = before_a_convolution(L.Resizing(3, 3), dtype)
    content = qat.to_tflite(quantized)
    rows = qat.compare_tflite(quantized, content, data).layers
    resized, summed = rows[-2:]
    assert (resized.layer, summed.layer) == ("quant_resizing", "quant_conv2d")
    assert resized.largest_steps < 1.01
    values, found = all_tensors(content, data, resized.tensor, summed.tensor)
    expected = quantized.get_layer(summed.layer)(values)
    assert np.abs(expected - found).max() < 1.01 * summed.step


def test_inputs_of_one_range_and_size_are_told_apart():
    tf_keras.utils.set_random_seed(1)
    sources = [tf_keras.Input((8, 8, 1), name=name) for name in ("right", "left")]
    tower = net((8, 8, 1), L.Conv2D(4, 3, activation="relu"), L.Flatten(), L.Dense(8))
    right, left = (tower(source) for source in sources)
    model = tf_keras.Model(sources, L.Dense(3)(right - 2 * left))
    images = np.random.default_rng(0).uniform(0, 1, (48, 8, 8, 1)).astype("float32")
    pair = [images, np.roll(images, 7, 0)]
    quantized = quantize_model(model, calibrate=pair)
    found = qat.compare_tflite(quantized, qat.to_tflite(quantized), pair)
    assert [row.largest_steps for row in found.layers[:2]] == [0.0, 0.0]
    assert found.first_departing is None


def test_parallel_layers_of_one_range_are_told_apart():
    source = tf_keras.Input((6,))
    fixed = qat.quantizers.FixedQuantizer(8, 0.0, 6.0)
    layer = qat.LayerQuantizeConfig(activations={"activation": fixed})
    tf_keras.utils.set_random_seed(0)
    sides = [
        qat.quantize_annotate_layer(L.Dense(6, activation="relu6", name=name), layer)(
            source
        )
        for name in "cab"
    ]
    model = tf_keras.Model(source, L.Concatenate()(sides[::-1]))
    data = np.random.default_rng(0).normal(size=(48, 6)).astype("float32")
    quantized = quantize_apply(model, calibrate=data)
    found = qat.compare_tflite(quantized, qat.to_tflite(quantized), data)
    assert found.first_departing is None
    assert max(row.largest_steps for row in found.layers) < 1.01


def test_the_last_layer_has_its_name_among_the_float_ones():
    float_model = net((8,), L.Dense(4, name="one"), L.Dense(2, name="last"))
    data = np.random.default_rng(0).normal(size=(8, 8)).astype("float32")
    schemes = {"one": "int8", "*": "float"}
    model = quantize_apply(float_model, schemes, calibrate=data)
    assert qat.to_tflite(model).float_layers == ("last",)
