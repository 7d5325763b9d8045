"""Shapes and dtypes of every tensor, from the operations alone.

What a file says of the tensors between its nodes is never used; it is only compared.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from larqlite_runtime._errors import ModelFileError, quoted, shape_text
from larqlite_runtime._graph import CheckedGraph, GraphNode
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.reader._tensors import MAX_RANK
from larqlite_runtime.reader.operators import (
    OPERATORS,
    REQUIRED,
    Attribute,
    NodeCall,
    Operator,
    size,
)

MAX_VALUES = 1 << 40  # of one tensor; far beyond any budget


@dataclass(frozen=True)
class Cost:
    """What one node costs, for one sample.

    Attributes:
        node: which.
        macs: products, or values that a window reads.
        scratch: bytes that it may need while it runs.
        unpacked: bytes of its weights once they are unpacked.
    """

    node: GraphNode
    macs: int
    scratch: int
    unpacked: int


def infer(graph: CheckedGraph) -> list[Cost]:
    """Fills in shapes and dtypes of all tensors that nodes make.

    Args:
        graph: with nodes in order, constants, and shapes and dtypes of inputs and
            constants. Attributes that a node leaves out get their default.

    Returns:
        What each node costs.

    Raises:
        ModelFileError: an unknown operation or attribute, or one that makes no sense.
    """
    facts: dict = {}
    return [_infer_node(NodeCall(node, graph, facts)) for node in graph.nodes]


def operator_of(node: GraphNode) -> Operator:
    """What is known of a node's operation.

    Raises:
        ModelFileError: nothing is.
    """
    known = OPERATORS.get(node.domain)
    if known is None:
        raise ModelFileError(
            f"node {quoted(node.name)}: the domain {quoted(node.domain)} is not supported."
            f"\n  Fix: a packed model has standard operations and those of {DOMAIN}."
        )
    if node.op in known:
        return known[node.op]
    close = difflib.get_close_matches(node.op[:80], known, n=1, cutoff=0.8)
    hint = f' Did you mean "{close[0]}"?' if close else ""
    raise ModelFileError(
        f"node {quoted(node.name)}: the operation {quoted(node.op)} of the domain "
        f"{quoted(node.domain or 'ai.onnx')} is not supported.{hint}\n  Fix: write the "
        "file with `lq.deploy.export(model, path)` of this version of larqlite; it says "
        "which layers can't be deployed. Or update larqlite_runtime, if the file is newer."
    )


def _infer_node(call: NodeCall) -> Cost:
    node, graph = call.node, call.graph
    operator = operator_of(node)
    _check_arity(call, operator)
    _check_attributes(call, operator.attributes)
    results = operator.rule(call)
    if len(results) != len(node.outputs):
        call.fail(f"it has {len(node.outputs)} outputs, not {len(results)}")
    for name, (shape, dtype) in zip(node.outputs, results, strict=True):
        if len(shape) > MAX_RANK or size(shape) > MAX_VALUES:
            call.fail(f"its output would have the shape {shape_text(shape)}, too large")
        graph.shapes[name] = shape
        graph.dtypes[name] = dtype
    return Cost(node, call.macs, call.scratch, call.unpacked)


def _check_arity(call: NodeCall, operator: Operator) -> None:
    node = call.node
    least, most = operator.inputs
    if not least <= len(node.inputs) <= most:
        call.fail(f"it has {len(node.inputs)} inputs, not {_span(least, most)}")
    for index in range(least):
        call.require(call.has(index), f"its input {index} is missing")
    variadic = most > 5
    call.require(not variadic or "" not in node.inputs, "one of its inputs is missing")
    least, most = operator.outputs
    if not least <= len(node.outputs) <= most:
        call.fail(f"it has {len(node.outputs)} outputs, not {_span(least, most)}")
    call.require("" not in node.outputs, "one of its outputs has no name")


def _check_attributes(call: NodeCall, known: dict[str, Attribute]) -> None:
    given = call.node.attributes
    for name in given:
        if name not in known:
            call.fail(f"the attribute {quoted(name)} is not supported")
    for name, attribute in known.items():
        if name not in given:
            call.require(
                attribute.default is not REQUIRED, f"its attribute {name} is missing"
            )
            if attribute.default is not None:
                given[name] = attribute.default
            continue
        value = given[name]
        if _kind(value) != attribute.kind or not attribute.allows(value):
            call.fail(f"{name} is {quoted(value, '')}; it must be {attribute.says}")


def _kind(value: object) -> str:
    """The kind of an attribute, in the words of `Attribute`."""
    if isinstance(value, list):
        # An empty list has no kind of its own.
        return "floats" if value and isinstance(value[0], float) else "ints"
    return type(value).__name__


def _span(least: int, most: int) -> str:
    return f"{least}" if least == most else f"{least} to {most}"
