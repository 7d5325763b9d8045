"""The integer convolutions of quantized ONNX models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from larqlite.integer.onnx.layers._convolution import Convolution

__all__ = [
    "QuantizedSeriesConv",
    "QuantizedConv2D",
    "QuantizedSeriesConvTranspose",
    "QuantizedConvTranspose2D",
    "QuantizedDepthwise2D",
]


class QuantizedConv2D(Convolution):
    """Conv, ReLU, pooling and requantization in one node, in integers.

    `clip(floor((sum(x * Wi) + B) * M / 2^S_out + 1/2), -128, 127)`, ReLU before and
    pooling before or after the scale, to the same result. `Wi` is int8 `(filters,
    channels, height, width)`, `B` int32, `M` and `S_out` uint8 per filter. Inputs are
    int8 `(batch, channels, height, width)`; uint8 with a zero point per channel if
    `input_conv`. Weights are set by `set_weight("kernel", ...)` and `"bias"`; the upper
    bound of a clipped ReLU by `"max_value"`.

    Args:
        strides: of the convolution.
        pool_type: "none", "max", or "gap" for the mean of the whole image.
        pool_size: of the window of "max".
        pool_strides: of "max".
        pool_pads: of "max": top, left, bottom, right.
        activation: whether to apply ReLU.
        name: of the node.
        input_conv: whether it takes uint8 images, whose zero points (of each channel)
            are what it pads with.

    Raises:
        ArgumentError: another `pool_type`.

    >>> from larqlite.integer.onnx.layers import QuantizedConv2D
    >>> QuantizedConv2D(pool_type="max", activation=True).op_type
    'QuantizedConv2DBiasedMaxPoolReLUScaled'

    References:
        Jacob et al., Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference, https://arxiv.org/abs/1712.05877
    """

    def __init__(
        self,
        strides: Sequence[int] = (1, 1),
        pool_type: str = "none",
        pool_size: Sequence[int] = (2, 2),
        pool_strides: Sequence[int] = (2, 2),
        pool_pads: Sequence[int] = (0, 0, 0, 0),
        activation: bool = False,
        name: str = "",
        *,
        input_conv: bool = False,
    ):
        super().__init__(
            "QuantizedInputConv2D" if input_conv else "QuantizedConv2D",
            name,
            strides=strides,
            activation=activation,
            input_conv=input_conv,
            pool_type=pool_type,
            pool_size=pool_size,
            pool_strides=pool_strides,
            pool_pads=pool_pads,
        )


class QuantizedDepthwise2D(Convolution):
    """Conv of each channel alone, ReLU and requantization in one node, in integers.

    As `QuantizedConv2D`, with a kernel `(filters, 1, height, width)` and as many groups
    as channels.

    Args:
        strides: of the convolution.
        activation: whether to apply ReLU.
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedDepthwise2D
    >>> QuantizedDepthwise2D(activation=True).op_type
    'QuantizedDepthwise2DBiasedReLUScaled'

    References:
        MobileNets, https://arxiv.org/abs/1704.04861
    """

    def __init__(
        self, strides: Sequence[int] = (1, 1), activation: bool = False, name: str = ""
    ):
        super().__init__(
            "QuantizedDepthwise2D", name, strides=strides, activation=activation
        )


class QuantizedSeriesConv(Convolution):
    """Conv along one axis, ReLU and requantization in one node, in integers.

    As `QuantizedConv2D` on series `(batch, channels, length)`, which it computes as
    images of height 1: kernel, strides, pads and dilations have a first axis for it.

    Args:
        strides: of the convolution, the first one 1.
        activation: whether to apply ReLU.
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedSeriesConv
    >>> QuantizedSeriesConv().op_type
    'QuantizedSeriesConvBiasedScaled'
    """

    def __init__(
        self, strides: Sequence[int] = (1, 1), activation: bool = False, name: str = ""
    ):
        super().__init__(
            "QuantizedSeriesConv", name, strides=strides, activation=activation
        )


class QuantizedConvTranspose2D(Convolution):
    """ConvTranspose, ReLU and requantization in one node, in integers.

    As `QuantizedConv2D`; `Wi` is int8 `(channels, filters / groups, height, width)`, while
    `set_weight("kernel", ...)` takes `(filters, channels / groups, height, width)`.

    Args:
        strides: of the convolution.
        output_padding: rows and columns more at the end.
        activation: whether to apply ReLU.
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedConvTranspose2D
    >>> QuantizedConvTranspose2D(strides=(2, 2)).op_type
    'QuantizedConvTranspose2DBiasedScaled'

    References:
        https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
    """

    is_transposed = True
    _base = "QuantizedConvTranspose2D"

    def __init__(
        self,
        strides: Sequence[int] = (1, 1),
        output_padding: Sequence[int] = (0, 0),
        activation: bool = False,
        name: str = "",
    ):
        super().__init__(self._base, name, strides=strides, activation=activation)
        self.set_geometry(output_padding=[int(n) for n in output_padding])

    def _stored(self, codes: np.ndarray) -> np.ndarray:
        group, (filters, channels, *window) = self._group, codes.shape
        parts = codes.reshape(group, filters // group, channels, *window)
        return parts.swapaxes(1, 2).reshape(group * channels, filters // group, *window)


class QuantizedSeriesConvTranspose(QuantizedConvTranspose2D):
    """ConvTranspose along one axis, as `QuantizedConvTranspose2D` on images of height 1.

    Args:
        strides: of the convolution, the first one 1.
        output_padding: numbers more at the end, after a first 0.
        activation: whether to apply ReLU.
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedSeriesConvTranspose
    >>> QuantizedSeriesConvTranspose(strides=(1, 2)).op_type
    'QuantizedSeriesConvTransposeBiasedScaled'
    """

    _base = "QuantizedSeriesConvTranspose"
