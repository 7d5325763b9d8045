"""Activations that are spelled out become one layer, and one of integers."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.integer.models.transforms import fuse_activations, sanitize
from tests.common.eager import quantize
from tests.integer.transforms.helpers import check_equal, kinds, layers, transformed


def of_keras(x):
    """As in `tf_keras.applications.mobilenet_v3`."""
    return layers.Multiply()([x, layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)])


def of_rescalings(x):
    """Without an operator."""
    gate = layers.Rescaling(1 / 6)(layers.ReLU(6)(layers.Rescaling(1.0, 3.0)(x)))
    return layers.Multiply()([gate, x])


def of_operators(x):
    return x * tf.nn.relu6(x + 3) / 6


WRITTEN = {
    "of Keras": (of_keras, "hard_swish"),
    "of Rescalings": (of_rescalings, "hard_swish"),
    "of operators": (of_operators, "hard_swish"),
    "a gate": (lambda x: tf.nn.relu6(x + 3) * (1 / 6), "hard_sigmoid6"),
    "a swish": (lambda x: tf.sigmoid(x) * x, "swish"),
    "a swish of layers": (
        lambda x: layers.Multiply()([x, layers.Activation("sigmoid")(x)]),
        "swish",
    ),
    "a function": (tf.nn.silu, "swish"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_spelled_out_becomes_one_activation(name):
    written, function = WRITTEN[name]
    inputs = tf_keras.Input((3, 4, 2))
    model = tf_keras.Model(inputs, written(layers.Conv2D(5, 1)(inputs)))
    sane = transformed(sanitize, model)
    assert kinds(sane) == ["Conv2D", "Activation"]
    assert sane.layers[-1].activation.__name__ == function
    x = np.random.default_rng(0).normal(0, 9, (2, 3, 4, 2)).astype("float32")
    check_equal(model, sane, x=x)


@pytest.mark.parametrize(
    "written",
    [
        lambda x: layers.Multiply()([x, layers.ReLU(6.0)(x + 2.0) * (1 / 6)]),
        lambda x: layers.Multiply()([x, layers.ReLU(6.0)(x + 3.0) * (1 / 5)]),
        lambda x: layers.Multiply()([x, layers.ReLU(5.0)(x + 3.0) * (1 / 6)]),
        lambda x: layers.Multiply()([x + 1.0, layers.ReLU(6.0)(x + 3.0)]) * (1 / 6),
        lambda x: layers.Add()([x, layers.Activation("sigmoid")(x)]),
    ],
    ids=["another sum", "another factor", "another end", "another x", "a sum"],
)
def test_what_is_nearly_one_stays(written):
    inputs = tf_keras.Input((3, 4, 2))
    model = tf_keras.Model(inputs, written(inputs))
    assert fuse_activations(model) is model


def test_a_gate_that_others_read_stays_beside_the_product():
    inputs = tf_keras.Input((3, 4, 2))
    gate = layers.ReLU(6.0, name="relu")(inputs + 3.0)
    sixth = layers.Rescaling(1 / 6, name="gate")(gate)
    product = layers.Multiply(name="product")([inputs, sixth])
    model = tf_keras.Model(inputs, [product, sixth])
    sane = transformed(fuse_activations, model)
    functions = {x.name: x.activation.__name__ for x in sane.layers[1:]}
    assert functions == {"gate": "hard_sigmoid6", "product": "hard_swish"}
    model = tf_keras.Model(inputs, [product, gate])
    assert kinds(fuse_activations(model)) == kinds(model)


def squeezed_and_excited(hard_swish):
    """A block as in MobileNetV3, with its own preprocessing and classifier."""
    inputs = tf_keras.Input((12, 12, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = layers.Conv2D(8, 3, 2, "same", use_bias=False)(x)
    x = hard_swish(layers.BatchNormalization()(x))
    y = layers.Conv2D(16, 1, use_bias=False)(x)
    y = hard_swish(layers.BatchNormalization()(y))
    y = layers.DepthwiseConv2D(5, padding="same", use_bias=False)(y)
    y = hard_swish(layers.BatchNormalization()(y))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.ReLU()(layers.Conv2D(8, 1)(gate))
    gate = layers.ReLU(6.0)(layers.Conv2D(16, 1)(gate) + 3.0) * (1.0 / 6.0)
    y = layers.Multiply()([y, gate])
    x = layers.Add()([x, layers.BatchNormalization()(layers.Conv2D(8, 1)(y))])
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Flatten()(layers.Conv2D(6, 1)(hard_swish(layers.Conv2D(12, 1)(x))))
    return tf_keras.Model(inputs, layers.Activation("softmax")(x))


def settled(model, images, seed=0):
    """The model with normalizations of random scales that fit the images."""
    random = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.gamma.assign(random.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(random.normal(0, 0.5, layer.beta.shape))
            layer.momentum = 0.0
    model(images, training=True)
    return model


def smooth_images(count, size, seed=0):
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, 6, 6, 3)).astype("float32")
    images = tf.image.resize(coarse, (size, size), "bicubic").numpy()
    return np.round(np.clip(images, 0, 255)).astype("float32")


def require_whole_and_exact(model, images, **bits):
    """The integer model, of integers from end to end, equal in a stock ONNX Runtime."""
    params = lq.integer.models.QuantizationParams(**bits)
    integers = quantize(model, samples=images, batch_size=len(images), qparams=params)
    *inside, end, probabilities = integers.layers[1:]
    assert all(isinstance(layer, QuantizedLayer) for layer in inside)
    assert kinds_of(end, probabilities) == ["Dequantizer", "Activation"]
    proto = lq.integer.export.to_onnx(integers)
    assert lq.integer.export.compare(integers, proto, images[:4]).is_exact
    return integers


def kinds_of(*found):
    return [type(layer).__name__ for layer in found]


@pytest.fixture(scope="module")
def block():
    images = smooth_images(32, 12)
    tf_keras.utils.set_random_seed(0)
    return settled(squeezed_and_excited(of_keras), images), images


def sqnr(wanted, found):
    """How much larger a signal is than an error, in decibels."""
    return 10 * np.log10(np.sum(wanted**2) / np.sum((wanted - found) ** 2))


def test_a_block_of_mobilenet_v3_comes_in_whole(block):
    model, images = block
    integers = require_whole_and_exact(model, images)
    wanted, found = (np.log(m(images)) for m in (model, integers))
    assert sqnr(wanted - wanted.mean(0), found - found.mean(0)) > 20
    assert lq.integer.models.check_quantization(integers) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV3Small", "MobileNetV3Large"])
def test_mobilenet_v3_comes_in_whole(name):
    images = smooth_images(48, 64)
    tf_keras.utils.set_random_seed(0)
    build = getattr(tf_keras.applications, name)
    model = settled(build((64, 64, 3), weights=None, classes=10), images)
    require_whole_and_exact(model, images)
