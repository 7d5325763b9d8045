"""The finished graph as an ONNX model, checked and written to disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import TensorProto, helper, numpy_helper

from larqlite._version import __version__
from larqlite.deploy import _functions
from larqlite.deploy._writer import Node, Shape, Value, Writer
from larqlite.errors import MissingFileError, UnsupportedModelError

IR_VERSION = 9
BATCH = "batch"
# What a protocol buffer can hold, less room for everything but the weights.
MOST_BYTES = 2**31 - 2**24
# Shapes, axes and the like are needed to infer sizes; weights are not.
_SMALL = 64


def onnx_model(
    graph: Writer,
    name: str,
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """The ONNX model of a graph.

    Args:
        graph: nodes and constants.
        name: of the model.
        inputs, outputs: the values by name, in Keras' order and layout.
        metadata: texts that the file carries.

    Raises:
        UnsupportedModelError: more bytes than an ONNX file holds, or a tensor whose
            sizes cannot be told.
    """
    _require_size(graph, name)
    model = _assembled(graph, name, inputs, outputs, with_weights=True)
    sizes = _sizes_of_all(graph, name, inputs, outputs)
    model.graph.value_info.extend(sizes)
    helper.set_model_props(model, dict(sorted(metadata.items())))
    return model


def write(model: onnx.ModelProto, path: str | os.PathLike) -> int:
    """Checks a model and writes it; what was there before stays if anything fails.

    Returns:
        The number of bytes.

    Raises:
        MissingFileError: there is no folder to write to.
    """
    path = Path(path)
    require_folder(path)
    content = model.SerializeToString(deterministic=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".part"
    )
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        onnx.checker.check_model(temporary, full_check=True)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return len(content)


def require_folder(path: Path) -> None:
    """Refuses a path that no file can be written to.

    Raises:
        MissingFileError: its folder does not exist, or it is a folder itself.
    """
    if path.is_dir():
        raise MissingFileError(
            f'lq.deploy.export: "{path}" is a folder.\n'
            f'  Fix: name a file in it, e.g. "{path / "model.onnx"}".'
        )
    if not path.parent.is_dir():
        raise MissingFileError(
            f'lq.deploy.export: the folder "{path.parent}" of "{path.name}" does not '
            f'exist.\n  Fix: os.makedirs("{path.parent}"), or another path.'
        )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _require_size(graph: Writer, name: str) -> None:
    size = sum(array.nbytes for array in graph.constants.values())
    if size > MOST_BYTES:
        raise UnsupportedModelError(
            f'lq.deploy.export: the weights of "{name}" take {size:,} bytes, and one ONNX '
            f"file holds {MOST_BYTES:,}.\n"
            "  Fix: quantize the kernels of its largest layers (lq.models.summary shows "
            "them), or export the model in parts: tf_keras.Model(model.input, "
            "some_layer.output) and the rest."
        )


def _assembled(
    graph: Writer,
    name: str,
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
    with_weights: bool,
) -> onnx.ModelProto:
    renamed = {value.name: output for output, value in outputs.items()}
    given = [_tensor_info(key, value.shape) for key, value in inputs.items()]
    initializers = []
    for key, array in graph.constants.items():
        if with_weights or array.size <= _SMALL:
            initializers.append(numpy_helper.from_array(array, key))
        else:
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            given.append(helper.make_tensor_value_info(key, kind, array.shape))
    operations = {node.op for node in graph.nodes if node.domain == _functions.DOMAIN}
    domains = {node.domain for node in graph.nodes} - {"", _functions.DOMAIN}
    imports = {"": _functions.OPSET, **dict.fromkeys(sorted(domains), 1)}
    if operations:
        imports[_functions.DOMAIN] = _functions.VERSION
    return helper.make_model(
        helper.make_graph(
            [_node_proto(node, renamed) for node in graph.nodes],
            name,
            given,
            [_tensor_info(key, value.shape) for key, value in outputs.items()],
            initializers,
        ),
        opset_imports=[helper.make_opsetid(*item) for item in imports.items()],
        functions=[_functions.function(f) for f in _functions.used_by(operations)],
        ir_version=IR_VERSION,
        producer_name="larqlite",
        producer_version=__version__,
    )


def _node_proto(node: Node, renamed: Mapping[str, str]) -> onnx.NodeProto:
    return helper.make_node(
        node.op,
        [renamed.get(name, name) for name in node.inputs],
        [renamed.get(name, name) for name in node.outputs],
        name=node.name,
        domain=node.domain,
        **dict(sorted(node.attributes.items())),
    )


def _tensor_info(
    name: str, shape: Shape, kind: int = TensorProto.FLOAT
) -> onnx.ValueInfoProto:
    sizes = [BATCH if size is None else int(size) for size in shape]
    return helper.make_tensor_value_info(name, kind, sizes)


def _sizes_of_all(
    graph: Writer,
    name: str,
    inputs: Mapping[str, Value],
    outputs: Mapping[str, Value],
) -> list[onnx.ValueInfoProto]:
    """Type and sizes of every tensor between input and output."""
    skeleton = _assembled(graph, name, inputs, outputs, with_weights=False)
    renamed = {value.name: output for output, value in outputs.items()}
    produced = [
        (renamed.get(output, output), node)
        for node in graph.nodes
        for output in node.outputs
    ]
    known = {renamed.get(key, key): shape for key, shape in graph.shapes.items()}
    skeleton.graph.value_info.extend(
        _tensor_info(tensor, known[tensor])
        for tensor, _ in produced
        if tensor in known and tensor not in outputs
    )
    inferred = onnx.shape_inference.infer_shapes(
        skeleton, strict_mode=True, data_prop=True
    )
    types = {info.name: info.type.tensor_type for info in inferred.graph.value_info}
    infos = []
    for tensor, node in produced:
        if tensor in outputs:
            continue
        kind = types[tensor].elem_type if tensor in types else TensorProto.FLOAT
        shape = known.get(tensor) or _inferred_shape(types.get(tensor))
        if shape is None:
            raise UnsupportedModelError(
                f'lq.deploy.export: the sizes of "{tensor}", which the node "{node.name}" '
                f"({node.op}) gives out, cannot be told.\n"
                "  Fix: state them in the converter of that layer, with "
                "graph.value(name, shape)."
            )
        infos.append(_tensor_info(tensor, shape, kind))
    return infos


def _inferred_shape(tensor_type: onnx.TypeProto.Tensor | None) -> Shape | None:
    """Sizes that were inferred, the first of them None for the batch; None if unknown."""
    if tensor_type is None or not tensor_type.HasField("shape"):
        return None
    sizes = [
        dim.dim_value if dim.HasField("dim_value") else None
        for dim in tensor_type.shape.dim
    ]
    return None if None in sizes[1:] else tuple(sizes)
