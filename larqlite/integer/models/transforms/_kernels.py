"""The layers with kernels, and which axis of which weight their output channels are."""

from __future__ import annotations

import numpy as np
import tf_keras

from larqlite.integer.layers import DepthwiseConv2DTranspose, PaddedConv2D
from larqlite.qat.passes import BATCH_NORMALIZATIONS

layers = tf_keras.layers

LAST, LAST_BUT_ONE, LAST_TWO = "last", "last but one", "last two"

# Class: (weight, the axes of the output channels).
_OUTPUTS = {
    layers.Conv1D: ("kernel", LAST),
    layers.Conv2D: ("kernel", LAST),
    layers.Conv3D: ("kernel", LAST),
    PaddedConv2D: ("kernel", LAST),
    layers.Conv1DTranspose: ("kernel", LAST_BUT_ONE),
    layers.Conv2DTranspose: ("kernel", LAST_BUT_ONE),
    layers.Conv3DTranspose: ("kernel", LAST_BUT_ONE),
    layers.DepthwiseConv1D: ("depthwise_kernel", LAST_TWO),
    layers.DepthwiseConv2D: ("depthwise_kernel", LAST_TWO),
    DepthwiseConv2DTranspose: ("depthwise_kernel", LAST_TWO),
    layers.SeparableConv1D: ("pointwise_kernel", LAST),
    layers.SeparableConv2D: ("pointwise_kernel", LAST),
    layers.Dense: ("kernel", LAST),
}
FLOAT = tuple(_OUTPUTS)


def outputs_of(layer) -> tuple[str, str] | None:
    """The weight with a layer's output channels, and where in it they are.

    None for other layers, for those of larqlite that quantize their kernels
    (`QuantConv2D` ...: a factor on the latent kernel would get lost in its sign), and for
    integer layers whose output is quantized.
    """
    if type(layer) in _OUTPUTS:
        return _OUTPUTS[type(layer)]
    if getattr(layer, "out_quantizer", None) is not None:
        return None
    return _quantized_outputs().get(type(layer))


def is_normalization(layer) -> bool:
    """Whether a layer is a batch normalization, or an integer one without a quantizer."""
    if type(layer) in BATCH_NORMALIZATIONS:
        return True
    quantized = _quantized("BatchNormalization")
    return (
        quantized is not None
        and type(layer) is quantized
        and getattr(layer, "out_quantizer", None) is None
    )


def scaled(kernel, scale: np.ndarray, axes: str) -> np.ndarray:
    """A kernel times one number for each of its output channels, in float64."""
    kernel = np.asarray(kernel, np.float64)
    if axes == LAST_BUT_ONE:
        return kernel * scale[:, None]
    return kernel * (scale.reshape(kernel.shape[-2:]) if axes == LAST_TWO else scale)


def _quantized_outputs() -> dict:
    found = {_quantized(c.__name__): where for c, where in _OUTPUTS.items()}
    return {cls: where for cls, where in found.items() if cls is not None}


def _quantized(name: str) -> type | None:
    from larqlite.integer import layers as integer_layers

    return getattr(integer_layers, f"Quantized{name}", None)
