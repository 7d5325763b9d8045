"""Operations of segments: standard ones for ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.format import float_weights

# Adds a node to a segment: operation, names of inputs, attributes -> name of the output.
Add = Callable[..., str]
# Adds a constant to a segment: array -> name.
Constant = Callable[[np.ndarray], str]

_FLOAT = 1  # TensorProto.FLOAT


def _scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def _sign(node: GraphNode, x: str, add: Add, constant: Constant) -> str:
    negative = add("Less", [x, constant(_scalar(0))])
    return add("Where", [negative, constant(_scalar(-1)), constant(_scalar(1))])


def _heaviside(node: GraphNode, x: str, add: Add, constant: Constant) -> str:
    return add("Cast", [add("Greater", [x, constant(_scalar(0))])], to=_FLOAT)


def _ternary(node: GraphNode, x: str, add: Add, constant: Constant) -> str:
    threshold = constant(_scalar(node.attributes["threshold"]))
    signs = [add("Sign", [add(op, [x, threshold])]) for op in ("Add", "Sub")]
    return add("Sign", [add("Add", signs)])


def _steps(node: GraphNode, x: str, add: Add, constant: Constant) -> str:
    count = constant(_scalar((1 << int(node.attributes["bits"])) - 1))
    clipped = add("Clip", [x, constant(_scalar(0)), constant(_scalar(1))])
    return add("Div", [add("Round", [add("Mul", [clipped, count])]), count])


QUANTIZERS: dict[str, Callable[[GraphNode, str, Add, Constant], str]] = {
    "Sign": _sign,
    "Heaviside": _heaviside,
    "Ternary": _ternary,
    "Steps": _steps,
}


def float_layer(
    node: GraphNode, x: str, stream: np.ndarray, add: Add, constant: Constant
) -> str:
    """A packed layer in floats, exact as long as its sums are below 2^24.

    `Round` at the end leaves whole numbers as they are, and keeps ONNX Runtime from
    folding a scale that follows into the weights.
    """
    given = node.attributes
    weights = float_weights(node, stream)
    if node.op.startswith("Q"):
        scaled = add("Mul", [x, constant(_scalar(given["input_steps"]))])
        x = add("Round", [scaled])
    if node.op.endswith("Dense"):
        return add("Round", [add("MatMul", [x, constant(weights.T.copy())])])
    rank = weights.ndim - 2
    windows = {
        name: [int(value) for value in given.get(name) or [missing] * count]
        for name, missing, count in (
            ("strides", 1, rank),
            ("dilations", 1, rank),
            ("pads", 0, 2 * rank),
        )
    }
    if "Transpose" in node.op:
        moved = np.ascontiguousarray(np.moveaxis(weights, -1, 0))
        padding = [int(value) for value in given.get("output_padding") or [0] * rank]
        sums = add(
            "ConvTranspose",
            [x, constant(moved)],
            output_padding=padding,
            group=int(given.get("group", 1)),
            **windows,
        )
        return add("Round", [sums])
    pad_value = float(given.get("pad_value", 0))
    if pad_value and any(windows["pads"]):
        begins, ends = windows["pads"][:rank], windows["pads"][rank:]
        pads = np.array([0, 0, *begins, 0, 0, *ends], np.int64)
        x = add(
            "Pad",
            [x, constant(pads), constant(_scalar(pad_value * _inverse_scale(node)))],
        )
        windows["pads"] = [0] * 2 * rank
    moved = np.ascontiguousarray(np.moveaxis(weights, -1, 1))
    sums = add(
        "Conv", [x, constant(moved)], group=int(given.get("group", 1)), **windows
    )
    return add("Round", [sums])


def _inverse_scale(node: GraphNode) -> float:
    """Whole numbers in 1.0 of the input."""
    return float(node.attributes["input_steps"]) if node.op.startswith("Q") else 1.0
