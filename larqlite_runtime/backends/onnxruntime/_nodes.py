"""Operations of segments: standard ones for ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.format import (
    OPERATIONS,
    PACKED_LAYERS,
    float_weights,
    input_steps,
    integer_pad_value,
    windows_of,
)

# Adds a node to a segment: operation, names of inputs, attributes -> name of the output.
Add = Callable[..., str]
# Adds a constant to a segment: array -> name.
Constant = Callable[[np.ndarray], str]


def _scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def quantized(node: GraphNode, x: str, add: Add, constant: Constant) -> str:
    """The nodes of the body of a quantizer, or of an operation of rows."""
    names = {"x": x}
    for made in OPERATIONS[node.op].nodes_of(node.attributes):
        if made.op == "Constant":
            (value,) = made.attributes.values()
            dtype = np.float32 if isinstance(value, float) else np.int64
            names[made.output] = constant(np.array(value, dtype))
            continue
        inputs = [names[name] for name in made.inputs]
        names[made.output] = add(made.op, inputs, **made.attributes)
    return names["y"]


def float_layer(
    node: GraphNode, x: str, stream: np.ndarray, add: Add, constant: Constant
) -> str:
    """A packed layer in floats, exact as long as its sums are below 2^24.

    `Round` at the end leaves whole numbers as they are, and keeps ONNX Runtime from
    folding a scale that follows into the weights.
    """
    weights, family = float_weights(node, stream), PACKED_LAYERS[node.op].family
    if "input_steps" in node.attributes:
        scaled = add("Mul", [x, constant(_scalar(input_steps(node)))])
        x = add("Round", [scaled])
    if family == "Dense":
        return add("Round", [add("MatMul", [x, constant(weights.T.copy())])])
    given, rank = node.attributes, weights.ndim - 2
    windows = windows_of(given, rank)
    if family == "ConvTranspose":
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
    border = integer_pad_value(node)
    if border and any(windows["pads"]):
        begins, ends = windows["pads"][:rank], windows["pads"][rank:]
        pads = np.array([0, 0, *begins, 0, 0, *ends], np.int64)
        x = add("Pad", [x, constant(pads), constant(_scalar(border))])
        windows["pads"] = [0] * 2 * rank
    moved = np.ascontiguousarray(np.moveaxis(weights, -1, 1))
    sums = add(
        "Conv", [x, constant(moved)], group=int(given.get("group", 1)), **windows
    )
    return add("Round", [sums])
