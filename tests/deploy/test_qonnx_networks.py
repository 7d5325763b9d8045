"""A QONNX file computes what Keras does: networks, and what is refused."""

from __future__ import annotations

import functools
import importlib
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq

if sys.version_info < (3, 11):
    pytest.skip("qonnx asks for an older onnx there", allow_module_level=True)

from larqlite_zoo.literature.dorefanet import MagnitudeAwareSignUnclipped
from tests.deploy.qonnx_files import (
    assert_same,
    batch_for,
    executed,
    nodes,
    randomized,
)

layers = tf_keras.layers


@functools.cache
def network() -> tf_keras.Model:
    """To be read. Two binary convolutions with a shortcut, both poolings, and a classifier."""
    x = inputs = layers.Input((12, 12, 3))
    x = layers.Conv2D(16, 3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    for kernel in ("ste_sign", "magnitude_aware_sign"):
        shortcut = x
        x = lq.layers.QuantConv2D(
            *(16, 3),
            padding="same",
            input_quantizer="ste_sign",
            kernel_quantizer=kernel,
            use_bias=False,
        )(x)
        x = layers.BatchNormalization()(x)
        x = layers.Add()([x, shortcut])
    x = layers.AveragePooling2D(2)(layers.MaxPooling2D(2)(x))
    x = layers.Flatten()(x)
    x = lq.layers.QuantDense(
        5, input_quantizer="ste_sign", kernel_quantizer="ste_sign", use_bias=False
    )(x)
    x = layers.BatchNormalization()(x)
    return randomized(tf_keras.Model(inputs, layers.Activation("softmax")(x)))


def test_accumulators_and_signs_of_a_network_are_keras_bit_for_bit(tmp_path):
    model = network()
    batch = batch_for(model)
    file, tensors = executed(model, tmp_path / "m.onnx", batch)
    layer = next(
        layer for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)
    )
    before = tf_keras.Model(model.input, layer.input)(batch, training=False).numpy()
    accumulators = layer(before).numpy()
    assert (accumulators == np.rint(accumulators)).all()
    convolution = next(node for node in nodes(file, "Conv") if node.name == layer.name)
    found = tensors[convolution.output[0]].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(found, accumulators)
    signs = tensors[convolution.input[0]].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(signs, np.where(before < 0, -1, 1))
    expected = model(batch, training=False).numpy()
    np.testing.assert_allclose(tensors[file.graph.output[0].name], expected, atol=1e-6)


ZOO = {"QuickNetSmall": ("sota", 32)}
SLOW_ZOO = {
    "BiRealNet": ("literature", 32),
    "BinaryResNetE18": ("literature", 64),
    "DoReFaNet": ("literature", 67),
    "BinaryAlexNet": ("literature", 67),
    "XNORNet": ("literature", 227),
    "RealToBinaryNet": ("literature", 64),
    "BinaryDenseNet28": ("literature", 64),
    "MeliusNet22": ("literature", 64),
    "ReActNetA": ("literature", 64),
}


@pytest.mark.parametrize(
    "name", [*ZOO, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_ZOO)]
)
def test_a_zoo_model_computes_what_keras_does(name, tmp_path):
    module, size = {**ZOO, **SLOW_ZOO}[name]
    shape = (size, size, 3)
    build = getattr(importlib.import_module(f"larqlite_zoo.{module}"), name)
    model = build(weights=None, input_shape=shape, num_classes=10)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            randomized_statistics(layer)
    assert_same(model, tmp_path / "m.onnx", tolerance=1e-5)


def test_a_network_of_more_bits_computes_what_keras_does(tmp_path):
    """The kinds of layers of a DoReFaNet, in their order."""
    x = inputs = layers.Input((14, 14, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    bits = {
        "input_quantizer": lq.quantizers.DoReFa(2),
        "kernel_quantizer": MagnitudeAwareSignUnclipped(),
    }
    for filters, padding in ((12, "valid"), (16, "same")):
        x = lq.layers.QuantConv2D(filters, 3, padding=padding, use_bias=False, **bits)(
            x
        )
        x = layers.BatchNormalization(scale=False)(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(layers.ReLU(1.0)(x))
    x = lq.layers.QuantDense(20, use_bias=False, **bits)(x)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.Dense(5)(layers.ReLU(1.0)(x))
    model = randomized(tf_keras.Model(inputs, layers.Softmax()(x)))
    assert_same(model, tmp_path / "m.onnx", tolerance=1e-5)


def randomized_statistics(layer) -> None:
    rng = np.random.default_rng(7)
    values = []
    for weight in layer.weights:
        is_scale = "gamma" in weight.name or "variance" in weight.name
        drawn = rng.uniform(0.5, 1.5, weight.shape) if is_scale else 0
        values.append(
            np.broadcast_to(drawn + rng.normal(0, 0.1, weight.shape), weight.shape)
        )
    layer.set_weights(values)


def test_the_batch_has_the_size_that_was_asked_for(tmp_path):
    made = lq.deploy.to_qonnx(network(), tmp_path / "m.onnx", batch_size=3)
    sizes = [
        dim.dim_value
        for tensor in (*made.graph.input, *made.graph.value_info, *made.graph.output)
        for dim in tensor.type.tensor_type.shape.dim
    ]
    assert all(sizes)
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 3
    opsets = {entry.domain: entry.version for entry in made.opset_import}
    assert opsets == {"": 18, "qonnx.custom_op.general": 1}
    assert not made.functions


@pytest.mark.parametrize("batch_size", [0, -1, None, 2.0, True])
def test_a_batch_that_is_no_size_is_refused(batch_size, tmp_path):
    with pytest.raises(
        lq.errors.ArgumentError, match=r"(?s)to_qonnx: batch_size=.*Fix:"
    ):
        lq.deploy.to_qonnx(network(), tmp_path / "m.onnx", batch_size=batch_size)
    assert not (tmp_path / "m.onnx").exists()


def test_what_cannot_be_expressed_is_refused_by_name(tmp_path):
    inputs = layers.Input((4,))
    model = tf_keras.Model(inputs, layers.Lambda(tf.math.erf, name="mine")(inputs))
    with pytest.raises(lq.errors.UnsupportedLayerError) as caught:
        lq.deploy.to_qonnx(model, tmp_path / "m.onnx")
    assert str(caught.value).startswith('lq.deploy.to_qonnx: Lambda "mine"')
    assert not (tmp_path / "m.onnx").exists()


def test_an_export_afterwards_names_itself(tmp_path):
    inputs = layers.Input((4,))
    model = tf_keras.Model(inputs, layers.Lambda(tf.math.erf, name="mine")(inputs))
    for function in (lq.deploy.to_qonnx, lq.deploy.export):
        with pytest.raises(lq.errors.UnsupportedLayerError) as caught:
            function(model, tmp_path / "m.onnx")
        assert str(caught.value).startswith(f"lq.deploy.{function.__name__}:")
