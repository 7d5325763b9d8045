"""The operators of ONNX that become integers: by what, how exactly, and what is refused."""

from __future__ import annotations

from typing import NamedTuple

from larqlite.integer.onnx.layers import (
    OnnxLayer,
    QuantizedAdd,
    QuantizedConcat,
    QuantizedConv2D,
    QuantizedConvTranspose2D,
    QuantizedDense1D,
    QuantizedDepthwise2D,
    QuantizedFunction,
    QuantizedGlobalAveragePool,
    QuantizedMove,
    QuantizedMul,
    QuantizedSeriesConv,
    QuantizedSeriesConvTranspose,
    QuantizedSum,
)
from larqlite.integer.onnx.quantization._regions import FUNCTIONS

__all__ = ["OPERATORS", "Operators"]


class Operators(NamedTuple):
    """Operators that become one kind of layer.

    Attributes:
        names: their types in ONNX.
        layers: the classes that it becomes, of `larqlite.integer.onnx.layers`.
        integers: what is computed.
        refused: forms that stay float, and are named.
    """

    names: tuple[str, ...]
    layers: tuple[type[OnnxLayer], ...]
    integers: str
    refused: str = ""


_SCALED = "`floor((sum(x * Wi) + B) * M / 2^S_out + 1/2)`"
OPERATORS = (
    Operators(
        ("Conv",),
        (QuantizedConv2D, QuantizedDepthwise2D, QuantizedSeriesConv),
        f"{_SCALED}; ReLU, MaxPool and a mean of known size after it are part of it",
        "three dimensions",
    ),
    Operators(
        ("ConvTranspose",),
        (QuantizedConvTranspose2D, QuantizedSeriesConvTranspose),
        f"{_SCALED}; a ReLU after it is part of it",
        "`output_shape`, `auto_pad`, three dimensions",
    ),
    Operators(
        ("Gemm", "MatMul"),
        (QuantizedDense1D,),
        f"{_SCALED}, or the sums themselves at the end; of any number of axes; Flatten "
        "before, Add of a bias and ReLU after it are part of it",
        "products of two tensors, `transA`",
    ),
    Operators(
        ("BatchNormalization", "AveragePool", "Relu"),
        (QuantizedDepthwise2D,),
        "as a convolution with one number, or equal ones, for each channel",
        "AveragePool of fewer numbers at a border",
    ),
    Operators(
        ("GlobalAveragePool", "ReduceMean"),
        (QuantizedGlobalAveragePool,),
        "the nearest integer to `sum(x) * M / (n * 2^S_out)`, n counted at each call",
        "a ReduceMean over other axes than those of the image",
    ),
    Operators(
        FUNCTIONS,
        (QuantizedFunction,),
        "a table, of each number alone beside constants of one axis, any number of them "
        "in a row: of int8 all 256 integers; of int16 1025, and straight lines between",
        "constants of several axes",
    ),
    Operators(
        ("Add",),
        (QuantizedAdd,),
        "`floor((x1 * 2^x1_shift + x2 * 2^x2_shift) / 2^S_out + 1/2)`, of one shape",
    ),
    Operators(
        ("Add", "Sub", "Sum"),
        (QuantizedSum,),
        "`floor(sum(x_i * m_i) / 2^S_out + 1/2)`, where they broadcast, are more than two, "
        "or come from a layer whose scale is no power of two",
        "more than nine tensors",
    ),
    Operators(
        ("Mul",),
        (QuantizedMul,),
        "`floor(x1 * x2 * M / 2^S_out + 1/2)`, of two tensors that may broadcast",
    ),
    Operators(
        ("Concat",),
        (QuantizedConcat,),
        "the integers as they are along channels; else each "
        "`floor(x_i * m_i / 2^s_i + 1/2)`",
        "constants, the axis of the batch",
    ),
    Operators(
        ("MaxPool", "GlobalMaxPool"),
        (QuantizedMove,),
        "the largest integer",
        "`ceil_mode` of open sizes, dilations",
    ),
    Operators(
        (
            *(
                "DepthToSpace",
                "Flatten",
                "Identity",
                "Pad",
                "Reshape",
                "Resize",
                "Slice",
            ),
            *("SpaceToDepth", "Split", "Squeeze", "Transpose", "Unsqueeze"),
        ),
        (QuantizedMove,),
        "the same integers, elsewhere",
        "Resize that interpolates, Pad with another value than zero, sizes and bounds "
        "that depend on the input",
    ),
)
