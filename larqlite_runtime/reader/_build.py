"""From a decoded file to a `CheckedGraph`: names, constants, nodes in order, what it declares."""

from __future__ import annotations

import numpy as np

from larqlite_runtime._errors import ModelFileError, quoted, shape_text
from larqlite_runtime._graph import CheckedGraph, GraphNode, Shape
from larqlite_runtime.reader._budget import MAX_NODES
from larqlite_runtime.reader._order import in_order, require_name
from larqlite_runtime.reader._tensors import MAX_RANK, dtype_of, to_array
from larqlite_runtime.reader._wire import DAMAGED

WRITE_AGAIN = (
    "\n  Fix: write the file with `lq.deploy.export(model, path)` of this version of "
    "larqlite."
)
# Numbers of AttributeProto.AttributeType: the field that holds the value, what is absent.
_ATTRIBUTES = {
    1: ("f", 0.0),
    2: ("i", 0),
    3: ("s", ""),
    4: ("t", {}),
    6: ("floats", []),
    7: ("ints", []),
}
_VALUE_FIELDS = {field for field, _ in _ATTRIBUTES.values()}
_CONSTANTS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def build(message: dict, budget: int) -> CheckedGraph:
    """Nodes in order, constants, and the shapes of inputs and constants.

    Args:
        message: a decoded "Graph".
        budget: most bytes that the constants may have.

    Raises:
        ModelFileError: names that occur twice or nowhere, cycles, wrong constants.
    """
    graph = CheckedGraph()
    for item in message.get("input", ()):
        name = _new_name(graph, item, "an input")
        graph.shapes[name] = graph.inputs[name] = _input_shape(item, name)
        graph.dtypes[name] = np.dtype(np.float32)
    if not graph.inputs:
        raise ModelFileError("it has no input" + DAMAGED)
    stored = 0
    for item in message.get("initializer", ()):
        name = _new_name(graph, item, "a constant")
        array = to_array(item, f"the constant {quoted(name)}", budget - stored)
        stored += array.nbytes
        _add_constant(graph, name, array)
    nodes = message.get("node", ())
    if len(nodes) > MAX_NODES:
        raise ModelFileError(
            f"it has {len(nodes):,} nodes; {MAX_NODES:,} are the limit" + DAMAGED
        )
    rest = []
    for number, item in enumerate(nodes):
        node = _node(item, number)
        if node.op == "Constant" and node.domain == "":
            stored += _add_constant_node(graph, node, budget - stored)
        else:
            rest.append(node)
    graph.nodes = in_order(rest, graph.shapes)
    for item in message.get("output", ()):
        name = item.get("name", "")
        if name in graph.outputs:
            raise ModelFileError(f"the output {quoted(name)} occurs twice" + DAMAGED)
        graph.outputs[name] = ()
    if not graph.outputs:
        raise ModelFileError("it has no output" + DAMAGED)
    return graph


def _new_name(graph: CheckedGraph, item: dict, what: str) -> str:
    name = item.get("name", "")
    require_name(name, what)
    if name in graph.shapes:
        raise ModelFileError(f"two tensors have the name {quoted(name)}" + DAMAGED)
    return name


def _add_constant(graph: CheckedGraph, name: str, array: np.ndarray) -> None:
    graph.constants[name] = array
    graph.shapes[name] = array.shape
    graph.dtypes[name] = array.dtype


def _input_shape(item: dict, name: str) -> Shape:
    where = f"the input {quoted(name)}"
    declared = _declared_type(item, where)
    if declared is None or declared[0] != np.float32:
        found = "no type" if declared is None else str(declared[0])
        raise ModelFileError(f"{where} has {found}, not float32" + WRITE_AGAIN)
    shape = declared[1]
    is_known = shape and shape[0] is None and all(type(n) is int for n in shape[1:])
    if not is_known:
        text = "no shape" if shape is None else f"the shape {shape_text(shape)}"
        raise ModelFileError(
            f"{where} has {text}; the batch first and then fixed sizes are needed.\n"
            "  Fix: give the Keras model a fixed input shape before "
            "`lq.deploy.export(model, path)`."
        )
    return tuple(shape)


def _declared_type(item: dict, where: str):
    """dtype and sizes that a "Value" states: integers, None for the batch, "?"."""
    kind = item.get("type", {}).get("tensor_type")
    if kind is None:
        return None
    dtype = dtype_of(kind.get("elem_type", 0), where)
    if "shape" not in kind:
        return dtype, None
    shape: list[int | str | None] = []
    dims = kind["shape"].get("dim", ())
    for axis, dim in enumerate(dims):
        if "dim_value" in dim:
            if "dim_param" in dim or not 1 <= dim["dim_value"] < 1 << 31:
                raise ModelFileError(
                    f"{where} has the size {dim['dim_value']} at axis {axis}" + DAMAGED
                )
            shape.append(dim["dim_value"])
        elif "dim_param" in dim and axis == 0:
            shape.append(None)
        else:
            shape.append("?")
    if len(dims) > MAX_RANK:
        raise ModelFileError(f"{where} has {len(dims)} axes" + DAMAGED)
    return dtype, shape


def _node(item: dict, number: int) -> GraphNode:
    op = item.get("op_type", "")
    domain = item.get("domain", "")
    node = GraphNode(
        op,
        "" if domain == "ai.onnx" else domain,
        item.get("name") or f"{op}:{number}",
        tuple(item.get("input", ())),
        tuple(item.get("output", ())),
    )
    where = f"node {quoted(node.name)}"
    if item.get("overload"):
        raise ModelFileError(f"{where} asks for an overloaded operation" + WRITE_AGAIN)
    for attribute in item.get("attribute", ()):
        name = attribute.get("name", "")
        if name in node.attributes:
            raise ModelFileError(
                f"{where} has the attribute {quoted(name)} twice" + DAMAGED
            )
        node.attributes[name] = _attribute(attribute, f"{where}, {quoted(name)}")
    return node


def _attribute(attribute: dict, where: str):
    field, absent = _ATTRIBUTES.get(attribute.get("type", 0), (None, None))
    filled = _VALUE_FIELDS & attribute.keys()
    if field is None or filled - {field}:
        raise ModelFileError(
            f"{where} is an attribute of type {attribute.get('type', 0)} with values in "
            f"{', '.join(sorted(filled)) or 'no field'}" + DAMAGED
        )
    value = attribute.get(field, absent)
    return (
        list(map(float if field == "floats" else int, value))
        if (field in ("floats", "ints"))
        else value
    )


def _add_constant_node(graph: CheckedGraph, node: GraphNode, budget: int) -> int:
    """Turns a `Constant` node into a constant; returns its bytes."""
    where = f"Constant {quoted(node.name)}"
    if node.inputs or len(node.outputs) != 1 or len(node.attributes) != 1:
        raise ModelFileError(
            f"{where} must have one output and one attribute" + DAMAGED
        )
    ((attribute, value),) = node.attributes.items()
    name = _new_name(graph, {"name": node.outputs[0]}, where)
    if attribute == "value" and isinstance(value, dict):
        array = to_array(value, where, budget)
    elif attribute in _CONSTANTS and not isinstance(value, (dict, str)):
        array = np.array(value, _CONSTANTS[attribute])
        if array.size == 0 or not np.isfinite(array).all():
            raise ModelFileError(f"{where} holds no finite numbers" + DAMAGED)
        array.flags.writeable = False
    else:
        raise ModelFileError(f"{where}: {quoted(attribute)} is not supported" + DAMAGED)
    _add_constant(graph, name, array)
    return array.nbytes


def check_declared(graph: CheckedGraph, message: dict) -> None:
    """Compares what a file says of its outputs and other tensors with what is so.

    Args:
        graph: with the shapes of all tensors; those of its outputs are filled in.
        message: a decoded "Graph".

    Raises:
        ModelFileError: an output that no node makes, or another shape or dtype.
    """
    made = {name for node in graph.nodes for name in node.outputs}
    for item in message.get("output", ()):
        name = item.get("name", "")
        where = f"the output {quoted(name)}"
        if name not in made:
            raise ModelFileError(f"{where} is made by no node" + DAMAGED)
        if graph.dtypes[name] != np.float32 or graph.shapes[name][:1] != (None,):
            raise ModelFileError(
                f"{where} is {graph.dtypes[name]} {shape_text(graph.shapes[name])}; "
                "float32 with the batch first is needed" + WRITE_AGAIN
            )
        _compare(graph, item, where)
        graph.outputs[name] = graph.shapes[name]
    for item in message.get("value_info", ()):
        _compare(graph, item, f"the tensor {quoted(item.get('name', ''))}")


def _compare(graph: CheckedGraph, item: dict, where: str) -> None:
    name = item.get("name", "")
    if name not in graph.shapes:
        raise ModelFileError(f"{where} is described, but does not exist" + DAMAGED)
    declared = _declared_type(item, where)
    if declared is None:
        return
    dtype, shape = declared
    actual = graph.shapes[name]
    if dtype != graph.dtypes[name] or not _agree(shape, actual):
        text = "no shape" if shape is None else shape_text(shape)
        raise ModelFileError(
            f"{where} is said to be {dtype} {text}, but is {graph.dtypes[name]} "
            f"{shape_text(actual)}" + DAMAGED
        )


def _agree(shape: list | None, actual: Shape) -> bool:
    if shape is None:
        return True
    return len(shape) == len(actual) and all(
        said in (is_so, "?") for said, is_so in zip(shape, actual, strict=True)
    )
