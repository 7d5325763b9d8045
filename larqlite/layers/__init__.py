"""Layers whose inputs and kernels are quantized: Keras' layers, with `Quant` before the name.

Beside them the activation layers that stand between binary convolutions.
"""

from larqlite.layers._base import QuantLayer
from larqlite.layers._conv import QuantConv1D, QuantConv2D, QuantConv3D
from larqlite.layers._dense import QuantDense
from larqlite.layers._depthwise import QuantDepthwiseConv1D, QuantDepthwiseConv2D
from larqlite.layers._local import QuantLocallyConnected1D, QuantLocallyConnected2D
from larqlite.layers._rprelu import RPReLU, TwoSlopeReLU
from larqlite.layers._separable import QuantSeparableConv1D, QuantSeparableConv2D
from larqlite.layers._transpose import (
    QuantConv1DTranspose,
    QuantConv2DTranspose,
    QuantConv3DTranspose,
)

__all__ = [
    "QuantConv1D",
    "QuantConv1DTranspose",
    "QuantConv2D",
    "QuantConv2DTranspose",
    "QuantConv3D",
    "QuantConv3DTranspose",
    "QuantDense",
    "QuantDepthwiseConv1D",
    "QuantDepthwiseConv2D",
    "QuantLayer",
    "QuantLocallyConnected1D",
    "QuantLocallyConnected2D",
    "QuantSeparableConv1D",
    "QuantSeparableConv2D",
    "RPReLU",
    "TwoSlopeReLU",
]
