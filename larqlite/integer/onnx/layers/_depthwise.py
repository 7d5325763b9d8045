"""The integer depthwise convolution of quantized ONNX models."""

from __future__ import annotations

from collections.abc import Sequence

from larqlite.integer.onnx.layers._convolution import Convolution

__all__ = ["QuantizedDepthwise2D"]


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
