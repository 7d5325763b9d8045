"""Preprocessing inside of a model, and layers that only train it, before integers."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.integer.models.transforms import sanitize
from tests.common.eager import quantize

layers, applications = tf_keras.layers, tf_keras.applications
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3))


def adapted():
    layer = layers.Normalization()
    layer.adapt(IMAGES.astype("float32"))
    return layer


def classifier(start, dtype="float32", padding="same"):
    tf_keras.utils.set_random_seed(1)
    inputs = tf_keras.Input((8, 8, 3), dtype=dtype)
    x = start(inputs)
    if padding == "zeros":
        # On both sides, as ResNet does: not what "same" padding adds here.
        x = layers.ZeroPadding2D(1)(x)
    settings = {"padding": "valid" if padding == "zeros" else padding}
    x = layers.Conv2D(4, 3, strides=2, activation="relu", **settings)(x)
    return tf_keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def classes_of(model):
    return [type(layer).__name__ for layer in model.layers]


PREPROCESSING = {
    "tf mode": applications.mobilenet.preprocess_input,
    "caffe mode": applications.resnet50.preprocess_input,
    "torch mode": applications.densenet.preprocess_input,
    "a Lambda in caffe mode": layers.Lambda(applications.resnet50.preprocess_input),
    "operators": lambda x: (x - 127.5) * 0.01,
    "a constant first": lambda x: 1 - x / 255,
    "a negative scale": lambda x: -(x / 255.0),
    "tensors": lambda x: (
        (x - tf.constant([[[[1.0, 2, 3]]]])) / tf.constant([5.0, 6, 7])
    ),
    "channels turned": lambda x: tf.reverse(x, [-1])[:, :, :, ::-1] - [1.0, 2.0, 3.0],
    "Normalization": lambda x: adapted()(x),
    "Normalization of Rescaling": lambda x: layers.Normalization(
        mean=[0.4, 0.5, 0.6], variance=[0.04, 0.05, 0.06]
    )(layers.Rescaling(1 / 255)(x)),
    "augmented first": lambda x: layers.RandomRotation(0.2)(x) / 127.5 - 1,
}


FAST = {
    ("a Lambda in caffe mode", "zeros"),
    ("torch mode", "same"),
    ("a constant first", "valid"),
    ("Normalization of Rescaling", "zeros"),
    ("channels turned", "same"),
}


@pytest.mark.parametrize(
    ("name", "padding"),
    [
        pytest.param(
            name,
            padding,
            marks=[] if (name, padding) in FAST else pytest.mark.slow,
        )
        for name in PREPROCESSING
        for padding in ("zeros", "same", "valid")
    ],
)
def test_arithmetic_on_the_input_becomes_one_rescaling(name, padding):
    model = classifier(PREPROCESSING[name], padding=padding)
    sane = sanitize(model)
    assert classes_of(sane)[:2] == ["InputLayer", "Rescaling"]
    assert classes_of(sane)[2].endswith(("Conv2D", "ZeroPadding2D"))
    assert "Lambda" not in "".join(classes_of(sane))
    rescaling = sane.layers[1]
    assert np.ndim(rescaling.scale) == 0
    assert rescaling.scale > 0
    assert not rescaling.offset
    inputs = IMAGES.astype("float32")
    wanted = model(inputs, training=False)
    np.testing.assert_allclose(
        sane(inputs, training=False), wanted, atol=1e-5 * np.ptp(wanted)
    )


@pytest.mark.parametrize(
    "name",
    [
        "caffe mode",
        pytest.param("Normalization of Rescaling", marks=pytest.mark.slow),
    ],
)
def test_a_network_with_preprocessing_is_integers_from_bytes_on(name):
    start = PREPROCESSING[name]
    model = classifier(lambda x: start(tf.cast(x, tf.float32)), "uint8", "zeros")
    images = IMAGES.astype("uint8")
    quantized = quantize(model, samples=images, on_unsupported="raise")
    wanted, found = (m(images).numpy() for m in (model, quantized))
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > 0.999


def test_preprocessing_of_two_inputs_becomes_a_rescaling_of_each():
    one, other = (tf_keras.Input((8, 8, 3)) for _ in range(2))
    x = layers.Conv2D(4, 3)(one / 127.5 - 1)
    y = layers.Conv2D(4, 3)((other - 3.0) * 0.5)
    model = tf_keras.Model([one, other], layers.Add()([x, y]))
    sane = sanitize(model)
    assert classes_of(sane).count("Rescaling") == 2
    inputs = [IMAGES.astype("float32"), IMAGES[::-1].astype("float32")]
    wanted = [y.numpy() for y in tf.nest.flatten(model(inputs))]
    found = [y.numpy() for y in tf.nest.flatten(sane(inputs))]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.ptp(wanted))


def test_a_rescaling_behind_the_network_is_no_preprocessing():
    inputs = tf_keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 3, activation="tanh")(layers.Rescaling(1 / 255)(inputs))
    model = tf_keras.Model(inputs, layers.Rescaling(127.5, 127.5)(x))
    with pytest.warns(UserWarning, match="stays float"):
        quantized = quantize(model, samples=IMAGES)
    assert "QuantizedConv2D" in classes_of(quantized)


@pytest.mark.parametrize(
    ("start", "error"),
    [
        (lambda x: layers.DepthwiseConv2D(3)(x / 127.5 - 1), ArgumentError),
        (tf.sqrt, UnsupportedModelError),
        (lambda x: x[:, 1:] / 255.0, UnsupportedModelError),
        (lambda x: layers.DepthwiseConv2D(3)(x[..., ::-1]), UnsupportedModelError),
    ],
    ids=["offset of a depthwise", "root", "crop", "turned channels of a depthwise"],
)
def test_other_preprocessing_is_refused_with_the_way_out(start, error):
    with pytest.raises(error, match=r"(?s)Fix: .*Conv2D or Dense"):
        quantize(classifier(start), samples=IMAGES)


INACTIVE = [
    layers.ActivityRegularization(0.1),
    layers.AlphaDropout(0.5),
    layers.GaussianDropout(0.5),
    layers.GaussianNoise(0.5),
    layers.Identity(),
    layers.RandomBrightness(0.5),
    layers.RandomContrast(0.5),
    layers.RandomFlip(),
    layers.RandomHeight(0.2),
    layers.RandomRotation(0.5),
    layers.RandomTranslation(0.5, 0.5),
    layers.RandomWidth(0.2),
    layers.RandomZoom(0.5),
    layers.SpatialDropout2D(0.5),
    layers.Activation("linear"),
    layers.Lambda(tf.identity),
]


@pytest.mark.parametrize(
    ("layer", "is_first"),
    [
        pytest.param(
            layer,
            bool(place % 2),
            marks=pytest.mark.slow if place % 3 else [],
        )
        for place, layer in enumerate(INACTIVE)
    ],
    ids=lambda value: type(value).__name__,
)
def test_integers_go_on_behind_a_layer_that_does_nothing_in_inference(layer, is_first):
    tf_keras.utils.set_random_seed(1)
    inputs = tf_keras.Input((8, 8, 3))
    clone = type(layer).from_config(layer.get_config())
    chain = [layers.Rescaling(1 / 255), layers.Conv2D(2, 3)]
    x = inputs
    for part in [clone, *chain] if is_first else [*chain, clone]:
        x = part(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = tf_keras.Model(inputs, x)
    sane = sanitize(model)
    assert classes_of(sane)[1:] == ["Rescaling", "Conv2D", "GlobalAveragePooling2D"]
    images = IMAGES.astype("float32")
    assert np.array_equal(sane(images, training=False), model(images, training=False))


def test_augmentation_of_bytes_keeps_its_cast_and_the_network_its_integers():
    inputs = tf_keras.Input((8, 8, 3), dtype="uint8")
    x = layers.Conv2D(2, 3)(layers.RandomFlip()(inputs))
    x = layers.SpatialDropout2D(0.5)(layers.ReLU()(x))
    model = tf_keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    quantized = quantize(model, samples=IMAGES.astype("uint8"), on_unsupported="raise")
    assert not lq.integer.models.check_quantization(quantized)


def test_a_dropout_that_is_called_in_training_mode_stays_float():
    inputs = tf_keras.Input((8, 8, 3))
    x = layers.Dropout(0.5)(layers.Conv2D(2, 3)(inputs), training=True)
    with pytest.warns(UserWarning, match="called with training=True"):
        quantized = quantize(tf_keras.Model(inputs, x), samples=IMAGES)
    assert "Dropout" in classes_of(quantized)
