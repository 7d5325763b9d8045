"""Configs of one's own, in the form with getters and setters, become right files."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from larqlite import qat
from tests.common.eager import quantize_apply
from tests.qat.tflite_models import L, randomized, run, tensors

IMAGE, ROW = (8, 8, 3), (9, 3)
# Shape of the inputs, the layer, the weights that are quantized.
LAYERS = {
    "Conv2D": (IMAGE, lambda: L.Conv2D(6, 3, activation="relu"), ["kernel"]),
    "dilated": (IMAGE, lambda: L.Conv2D(6, 3, dilation_rate=2), ["kernel"]),
    "grouped": ((8, 8, 4), lambda: L.Conv2D(6, 3, groups=2), ["kernel"]),
    "DepthwiseConv2D": (
        IMAGE,
        lambda: L.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        ["depthwise_kernel"],
    ),
    "Conv2DTranspose": (
        IMAGE,
        lambda: L.Conv2DTranspose(5, 3, strides=2, activation="relu"),
        ["kernel"],
    ),
    "Dense": ((12,), lambda: L.Dense(5, activation="relu"), ["kernel"]),
    "Dense on a sequence": ((4, 12), lambda: L.Dense(5), ["kernel"]),
    "SeparableConv2D": (
        IMAGE,
        lambda: L.SeparableConv2D(5, 3, activation="relu"),
        ["depthwise_kernel", "pointwise_kernel"],
    ),
    "SeparableConv1D": (
        ROW,
        lambda: L.SeparableConv1D(5, 3),
        ["depthwise_kernel", "pointwise_kernel"],
    ),
    "Conv1D": (ROW, lambda: L.Conv1D(5, 3, activation="relu"), ["kernel"]),
    "DepthwiseConv1D": (ROW, lambda: L.DepthwiseConv1D(3), ["depthwise_kernel"]),
    "Conv1DTranspose": (ROW, lambda: L.Conv1DTranspose(5, 3), ["kernel"]),
    "Conv3D": ((5, 5, 5, 2), lambda: L.Conv3D(4, 3, activation="relu"), ["kernel"]),
    "Conv3DTranspose": ((3, 3, 3, 2), lambda: L.Conv3DTranspose(4, 2), ["kernel"]),
    "EinsumDense": (
        (4, 6),
        lambda: L.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d"),
        ["kernel"],
    ),
    "LocallyConnected2D": ((5, 5, 2), lambda: L.LocallyConnected2D(3, 2), ["kernel"]),
}


class SixMethods(qat.QuantizeConfig):
    """As the guides of this field write it."""

    def __init__(self, names, bits, per_axis, narrow=True, factor=1.0):
        self.names, self.bits, self.per_axis = names, bits, per_axis
        self.narrow, self.factor = narrow, factor

    def get_weights_and_quantizers(self, layer):
        quantizer = qat.quantizers.LastValueQuantizer(
            num_bits=self.bits,
            symmetric=True,
            narrow_range=self.narrow,
            per_axis=self.per_axis,
        )
        return [(getattr(layer, name), quantizer) for name in self.names]

    def get_activations_and_quantizers(self, layer):
        quantizer = qat.quantizers.MovingAverageQuantizer(
            num_bits=8, symmetric=False, narrow_range=False, per_axis=False
        )
        return [(layer.activation, quantizer)]

    def set_quantize_weights(self, layer, quantize_weights):
        for name, weight in zip(self.names, quantize_weights, strict=True):
            setattr(layer, name, weight if self.factor == 1 else weight * self.factor)

    def set_quantize_activations(self, layer, quantize_activations):
        (layer.activation,) = quantize_activations

    def get_output_quantizers(self, layer):
        return []

    def get_config(self):
        return {
            name: getattr(self, name)
            for name in ("names", "bits", "per_axis", "narrow", "factor")
        }


def converted(name, bits, per_axis, **kwargs):
    tf_keras.utils.set_random_seed(1)
    shape, make, names = LAYERS[name]
    source = tf_keras.Input(shape)
    config = SixMethods(names, bits, per_axis, **kwargs)
    outputs = qat.quantize_annotate_layer(make(), config)(source)
    model = randomized(tf_keras.Model(source, L.Flatten()(outputs)))
    data = np.random.default_rng(0).normal(size=(24, *shape)).astype("float32")
    quantized = quantize_apply(model, calibrate=data)
    content = qat.to_tflite(quantized)
    found = qat.compare_tflite(quantized, content, data)
    # Not by the comparison alone: the interpreter, and Keras.
    outputs, _ = run(content, data)
    largest = np.abs(outputs - quantized(data, training=False)).max()
    np.testing.assert_allclose(found.largest_difference, largest, atol=1e-5)
    return found, content


@pytest.mark.parametrize(
    ("name", "bits", "per_axis"),
    [
        ("Conv2D", 4, False),
        ("Conv2DTranspose", 4, False),
        ("DepthwiseConv2D", 3, True),
    ],
)
def test_a_kernel_of_few_bits(name, bits, per_axis):
    found, content = converted(name, bits, per_axis)
    assert found.largest_steps <= 1.01
    for tensor in tensors(content):  # kernels, whose zero TFLite has at code 0
        if len(tensor["shape"]) == 4 and tensor["name"].endswith("kernel"):
            assert not np.any(tensor["quantization_parameters"]["zero_points"])


@pytest.mark.slow
@pytest.mark.parametrize("per_axis", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_and_width(name, per_axis):
    for bits in range(2, 9):
        found, _ = converted(name, bits, per_axis)
        assert found.largest_steps <= 1.01, bits
    found, _ = converted(name, 4, per_axis, narrow=False)
    assert found.largest_steps <= 1.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Conv2D", "Dense"])
def test_a_setter_that_changes_the_values(name):
    found, _ = converted(name, 4, False, factor=0.5)
    assert found.largest_steps <= 1.01
