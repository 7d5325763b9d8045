"""How far a tensor of a file may be off whatever its magnitude is.

A runtime computes a sigmoid to some 1e-7 of 1, so that one of 1e-11 may come out as 0.
That is no fault, and the rest of the network carries it on. Likewise, a sum with a large
constant is rounded to the last place of the constant, however small the sum is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

# The last places of float32 that one addition may lose.
ROUNDING = 2.0**-22
# Runtimes may take numbers that are smaller than this for zero.
TINY = float(np.finfo(np.float32).tiny)

# What is computed by approximation from a range of about 1.
_SATURATING = frozenset(
    """Sigmoid Tanh Softmax Erf Softplus HardSigmoid HardSwish Gelu Mish Elu Celu Selu
    Sin Cos Acos Asin Atan""".split()  # noqa: SIM905  (one on each line is hard to read)
)
# Weights enlarge a difference, but to no more than this many times that of a function that
# saturates: bounds multiplied from layer to layer would soon allow anything.
_MOST = 100
_SHIFTS = frozenset(["Add", "Sub"])
_PRODUCTS = frozenset(["MatMul", "Gemm", "Conv", "ConvTranspose"])


def floors_of(
    model: onnx.ModelProto, absolute: float, begins: Iterable[str] = ()
) -> dict[str, float]:
    """For each tensor the difference that is none, from the graph and its constants.

    Args:
        model: a file, its nodes in the order in which they run.
        absolute: how far a function that saturates may be off.
        begins: tensors that parts of the file begin with, which are given: what is
            computed from them is not off because they are.
    """
    given = frozenset(begins)
    constants = {
        item.name: numpy_helper.to_array(item) for item in model.graph.initializer
    }
    floors: dict[str, float] = {}
    for node in model.graph.node:
        passed = {
            name: 0.0 if name in given else floors.get(name, 0.0) for name in node.input
        }
        floor = _floor(node, passed, constants, _MOST * absolute)
        if node.op_type in _SATURATING and not node.domain:
            floor = max(floor, absolute)
        floors.update(dict.fromkeys(node.output, floor))
    return {name: max(floor, TINY) for name, floor in floors.items()}


def _floor(
    node: onnx.NodeProto,
    floors: Mapping[str, float],
    constants: Mapping[str, np.ndarray],
    most: float,
) -> float:
    given = [floors[name] for name in node.input]
    largest = max(given, default=0.0)
    most = max(most, largest)
    arrays = [constants[name] for name in node.input if name in constants]
    numbers = [array for array in arrays if array.dtype.kind == "f" and array.size]
    if node.op_type in _SHIFTS:
        size = max((largest_magnitude(array) for array in numbers), default=0.0)
        return min(sum(given), most) + ROUNDING * size
    if node.op_type == "Mul" and numbers:
        return min(largest * largest_magnitude(numbers[0]), most)
    if node.op_type == "Div" and node.input[1] in constants and numbers:
        return min(largest / max(float(np.abs(numbers[0]).min()), TINY), most)
    if node.op_type in _PRODUCTS and numbers and largest:
        return min(largest * _gain(node, numbers[0]), most)
    return largest


def _gain(node: onnx.NodeProto, kernel: np.ndarray) -> float:
    """How much the largest change of an input can change an output."""
    if node.op_type == "Conv":
        axes = tuple(range(1, kernel.ndim))
    elif node.op_type == "ConvTranspose":
        axes = (0, *range(2, kernel.ndim))
    else:
        is_turned = any(a.name == "transB" and a.i for a in node.attribute)
        axes = (kernel.ndim - 1,) if is_turned else (max(kernel.ndim - 2, 0),)
    return float(np.abs(kernel).sum(axis=axes, dtype=np.float64).max())


def largest_magnitude(array: np.ndarray) -> float:
    """The largest finite one, 0 if there is none."""
    finite = array[np.isfinite(array)]
    return float(np.abs(finite).max(initial=0))
