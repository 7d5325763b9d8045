"""The finished graph as an ONNX model, checked and written to disk."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from larqlite._version import __version__
from larqlite.errors import UnsupportedModelError
from larqlite.onnx_graph import _functions
from larqlite.onnx_graph._parts import Shape, Value
from larqlite.onnx_graph._refusal import WHERE
from larqlite.onnx_graph._writer import OnnxNode, Writer
from larqlite.outputs import ONNX, require, written_whole

IR_VERSION = 9
BATCH = "batch"
# What a protocol buffer can hold, less room for everything but the weights.
MOST_BYTES = 2**31 - 2**24
# Shapes, axes and the like are needed to infer sizes; weights are not.
_SMALL = 64


@dataclasses.dataclass(frozen=True)
class FinishedGraph:
    """A graph with everything else that its file says.

    Attributes:
        graph: nodes and constants.
        name: of the model.
        inputs, outputs: the values by name, in Keras' order and layout.
        batch: the size of the batch; None leaves it open.
        versions: of domains that are neither ONNX' nor ours, by their names; 1 by default.
    """

    graph: Writer
    name: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    batch: int | None = None
    versions: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @property
    def renamed(self) -> dict[str, str]:
        """The outputs' names by those of the tensors in the graph."""
        return {value.name: name for name, value in self.outputs.items()}

    def tensor_info(
        self, name: str, shape: Shape, kind: int = TensorProto.FLOAT
    ) -> onnx.ValueInfoProto:
        """A tensor with its sizes."""
        return tensor_info(name, shape, kind, self.batch or BATCH)


def tensor_info(
    name: str, shape: Shape, kind: int = TensorProto.FLOAT, batch: int | str = BATCH
) -> onnx.ValueInfoProto:
    """A tensor with its type, and with its sizes, of which open ones are `batch`."""
    sizes = [batch if size is None else int(size) for size in shape]
    return helper.make_tensor_value_info(name, kind, sizes)


def assembled(
    graph: onnx.GraphProto,
    imports: Mapping[str, int],
    functions: Sequence[onnx.FunctionProto],
    ir_version: int = IR_VERSION,
) -> onnx.ModelProto:
    """A model by larqlite, with the versions of domains that its graph uses."""
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(*item) for item in imports.items()],
        functions=functions,
        ir_version=ir_version,
        producer_name="larqlite",
        producer_version=__version__,
    )


def read_model(
    file: str | os.PathLike | bytes, where: str, fix: str, name: str = ""
) -> onnx.ModelProto:
    """The ONNX model in a file that is there, or in its bytes.

    Args:
        file: its path, or its bytes.
        where: the function that messages name.
        fix: what messages propose.
        name: of the file in messages; its path by default.

    Raises:
        UnsupportedModelError: it is damaged, or no ONNX model.

    Example:
        >>> read_model(b"no model", "here", "write it again.", "net.onnx")
        Traceback (most recent call last):
        larqlite.errors.UnsupportedModelError: here: net.onnx is damaged, or no ONNX model.
          Fix: write it again.
    """
    is_content = isinstance(file, bytes)
    try:
        model = onnx.load_from_string(file) if is_content else onnx.load(file)
    except (DecodeError, onnx.checker.ValidationError) as error:
        model, fault = None, error
    else:
        fault = None
    # No bytes at all are a message too.
    if model is None or not model.HasField("graph"):
        name = name or ("the file" if is_content else os.fsdecode(file))
        raise UnsupportedModelError(
            f"{where}: {name} is damaged, or no ONNX model.\n  Fix: {fix}"
        ) from fault
    return model


def fault_of(model: onnx.ModelProto | Path) -> Exception | None:
    """What is wrong with a model or a file, as ONNX' checker says; None if it is valid."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,  # bytes that are no text, or no message
        TypeError,
    ) as error:
        return error
    return None


def onnx_model(finished: FinishedGraph, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The ONNX model of a graph.

    Args:
        finished: the graph, its inputs and outputs.
        metadata: texts that the file carries.

    Raises:
        UnsupportedModelError: more bytes than an ONNX file holds, or a tensor whose
            sizes cannot be told.
    """
    _require_size(finished)
    finished.graph.sort()
    model = _model_of(finished, is_skeleton=False)
    model.graph.value_info.extend(_sizes_of_all(finished))
    helper.set_model_props(model, dict(sorted(metadata.items())))
    return model


def write(
    model: onnx.ModelProto,
    path: str | os.PathLike,
    accept: Callable[[bytes], None] | None = None,
) -> int:
    """Checks a model and writes it; what was there before stays if anything fails.

    Args:
        model: the model.
        path: of the file.
        accept: raises an error if the bytes of the file are not to be written.

    Returns:
        The number of bytes.

    Raises:
        MissingFileError: there is no folder to write to.
        ArgumentError: the path must not be written; see `larqlite.outputs.require`.
        UnsupportedModelError: it is not valid ONNX.
    """
    path = require(path, ONNX, WHERE.get())
    content = model.SerializeToString(deterministic=True)
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
        _check(temporary)
        if accept is not None:
            accept(content)
    return len(content)


def _check(path: Path) -> None:
    fault = fault_of(path)
    if fault is not None:
        raise UnsupportedModelError(
            f"{WHERE.get()}: the model that came out is not valid ONNX: {fault}\n"
            "  Fix: see that each converter of your own (@lq.deploy.converter) gives its "
            "nodes valid inputs and attributes, and graph.value() the shape that comes out."
        ) from fault


def _require_size(finished: FinishedGraph) -> None:
    size = sum(array.nbytes for array in finished.graph.constants.values())
    if size > MOST_BYTES:
        raise UnsupportedModelError(
            f'{WHERE.get()}: the weights of "{finished.name}" take {size:,} bytes, and one '
            f"ONNX file holds {MOST_BYTES:,}.\n"
            "  Fix: quantize the kernels of its largest layers (lq.models.summary shows "
            "them), or export the model in parts: tf_keras.Model(model.input, "
            "some_layer.output) and the rest."
        )


def _model_of(finished: FinishedGraph, is_skeleton: bool) -> onnx.ModelProto:
    """The model without sizes; a skeleton has neither large weights nor functions."""
    graph, renamed = finished.graph, finished.renamed
    given = [
        finished.tensor_info(key, value.shape) for key, value in finished.inputs.items()
    ]
    initializers = []
    for key, array in graph.constants.items():
        if not is_skeleton or array.size <= _SMALL:
            initializers.append(numpy_helper.from_array(array, key))
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            given.append(helper.make_tensor_value_info(key, kind, array.shape))
    operations = {node.op for node in graph.nodes if node.domain == _functions.DOMAIN}
    others = {node.domain for node in graph.nodes} - {"", _functions.DOMAIN}
    imports = {"": _functions.OPSET}
    imports |= {domain: finished.versions.get(domain, 1) for domain in sorted(others)}
    if operations:
        imports[_functions.DOMAIN] = _functions.version_of(operations)
    return assembled(
        helper.make_graph(
            [node_proto(node, renamed) for node in graph.nodes],
            finished.name,
            given,
            [
                finished.tensor_info(key, value.shape)
                for key, value in finished.outputs.items()
            ],
            initializers,
        ),
        imports,
        [] if is_skeleton else _functions.functions_used_by(operations),
    )


def node_of(proto: onnx.NodeProto) -> OnnxNode:
    """A node of a file, with its `source`; texts among its attributes are bytes."""
    return OnnxNode(
        proto.op_type,
        tuple(proto.input),
        tuple(proto.output),
        proto.name,
        proto.domain,
        {
            item.name: helper.get_attribute_value(item)
            for item in proto.attribute
            if item.type != onnx.AttributeProto.UNDEFINED and not item.ref_attr_name
        },
        tuple(_captured(proto)),
        proto,
    )


def _captured(proto: onnx.NodeProto) -> Iterator[str]:
    """Tensors that the subgraphs of a node take, those from around it among them."""
    for attribute in proto.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                yield from filter(None, inner.input)
                yield from _captured(inner)
            yield from (output.name for output in graph.output)


def node_proto(node: OnnxNode, renamed: Mapping[str, str]) -> onnx.NodeProto:
    return helper.make_node(
        node.op,
        [renamed.get(name, name) for name in node.inputs],
        [renamed.get(name, name) for name in node.outputs],
        name=node.name,
        domain=node.domain,
        **dict(sorted(node.attributes.items())),
    )


def _sizes_of_all(finished: FinishedGraph) -> list[onnx.ValueInfoProto]:
    """Type and sizes of every tensor between input and output."""
    graph, renamed = finished.graph, finished.renamed
    inner = {
        output: node
        for node in graph.nodes
        for output in node.outputs
        if output not in renamed
    }
    stated = [
        finished.tensor_info(t, graph.shapes[t]) for t in inner if t in graph.shapes
    ]
    skeleton = _model_of(finished, is_skeleton=True)
    skeleton.graph.value_info.extend(stated)
    _begin_behind_packed(skeleton, finished)
    inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True)
    types = {info.name: info.type.tensor_type for info in inferred.graph.value_info}
    infos = []
    for tensor, node in inner.items():
        kind = types[tensor].elem_type if tensor in types else TensorProto.FLOAT
        shape = graph.shapes.get(tensor) or _inferred_shape(types.get(tensor))
        if shape is None:
            raise UnsupportedModelError(
                f'{WHERE.get()}: the sizes of "{tensor}", which the node "{node.name}" '
                f"({node.op}) gives out, cannot be told.\n"
                "  Fix: state them in the converter of that layer, with "
                "graph.value(name, shape)."
            )
        infos.append(finished.tensor_info(tensor, shape, kind))
    return infos


def _begin_behind_packed(skeleton: onnx.ModelProto, finished: FinishedGraph) -> None:
    """Makes inputs of what operations of other domains give out.

    Behind an operation that it does not know, older inference tells no sizes.
    """
    graph = skeleton.graph
    shapes = finished.graph.shapes | {
        key: value.shape for key, value in finished.outputs.items()
    }
    for node in [node for node in graph.node if node.domain]:
        if all(tensor in shapes for tensor in node.output):
            graph.input.extend(finished.tensor_info(t, shapes[t]) for t in node.output)
            graph.node.remove(node)


def _inferred_shape(tensor_type: onnx.TypeProto.Tensor | None) -> Shape | None:
    """Sizes that were inferred, the first of them None for the batch; None if unknown."""
    if tensor_type is None or not tensor_type.HasField("shape"):
        return None
    sizes = [
        dim.dim_value if dim.HasField("dim_value") else None
        for dim in tensor_type.shape.dim
    ]
    return None if None in sizes[1:] else tuple(sizes)
