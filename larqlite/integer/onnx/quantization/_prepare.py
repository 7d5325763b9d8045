"""A float ONNX model made ready for quantization: checked, converted, simplified."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter

from larqlite import onnx_graph
from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.integer.onnx.quantization._fold import fold_affine, join_gates
from larqlite.integer.onnx.quantization._sizes import write_sizes
from larqlite.onnx_graph import OnnxNode, node_of

__all__ = ["FUNCTION", "prepared", "session"]

FUNCTION = "larqlite.integer.models.quantize"
_VALID = (b"NOTSET", b"VALID")


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A simplified copy of a model, at least of the opset that functions are written in.

    Raises:
        UnsupportedModelError: a model that is damaged, quantized already, or has no
            input of float32.
    """
    _require_valid(model)
    _require_float(model)
    _require_inputs(model)
    model = _optimised(_converted(model))
    constants = {initializer.name for initializer in model.graph.initializer}
    for values in (model.graph.input, model.graph.output):
        kept = [value for value in values if value.name not in constants]
        del values[:]
        values.extend(kept)
    write_sizes(model)
    fold_pads(model)
    fold_affine(model)
    join_gates(model)
    return model


def session(model: onnx.ModelProto, **options) -> onnxruntime.InferenceSession:
    """A session of the stock ONNX Runtime on the processor.

    Raises:
        UnsupportedModelError: it cannot run the model.
    """
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    for key, value in options.items():
        setattr(settings, key, value)
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no base but Exception.
        raise UnsupportedModelError(
            f"{FUNCTION}: ONNX Runtime cannot run the model: {error}\n"
            "  Fix: export the float model anew, and see that "
            "onnxruntime.InferenceSession loads it."
        ) from error


def _require_valid(model: onnx.ModelProto) -> None:
    fault = onnx_graph.fault_of(model) or _unreadable(model)
    if fault is not None:
        raise UnsupportedModelError(
            f"{FUNCTION}: the model is no valid ONNX: {fault}\n"
            "  Fix: export the float model anew, and load it with onnx.load, weights "
            "beside the file included."
        ) from fault
    damaged = [
        initializer.name
        for initializer in model.graph.initializer
        if initializer.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
        and np.isnan(numpy_helper.to_array(initializer)).any()
    ]
    if damaged:
        raise UnsupportedModelError(
            f"{FUNCTION}: the weights {damaged} hold NaN.\n"
            "  Fix: give a model whose training has not diverged."
        )


def _unreadable(model: onnx.ModelProto) -> Exception | None:
    """What cannot be read of a model that the checker takes for valid.

    Protocol buffers return the bytes of a text that is no UTF-8.
    """
    graph = model.graph
    names = [graph.name]
    for named in [*graph.initializer, *graph.input, *graph.output, *graph.value_info]:
        names.append(named.name)
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    unreadable = [name for name in names if not isinstance(name, str)]
    if unreadable:
        return ValueError(f"the name {unreadable[0]!r} is no UTF-8")
    try:
        for initializer in graph.initializer:
            numpy_helper.to_array(initializer)
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        return error
    return None


def _require_float(model: onnx.ModelProto) -> None:
    quantized = [n.name for n in model.graph.node if n.domain == onnx_graph.DOMAIN]
    if quantized:
        raise UnsupportedModelError(
            f"{FUNCTION}: the model holds operations of {onnx_graph.DOMAIN} already: "
            f"{quantized[:3]}.\n  Fix: quantize the float model it came from, once."
        )


def _require_inputs(model: onnx.ModelProto) -> None:
    constants = {initializer.name for initializer in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if not model.graph.output:
        raise UnsupportedModelError(
            f"{FUNCTION}: the model has no outputs.\n  Fix: export the float model anew."
        )
    kinds = [value.type.tensor_type for value in inputs]
    for value, kind in zip(inputs, kinds, strict=True):
        if not kind.HasField("shape"):
            raise UnsupportedModelError(
                f'{FUNCTION}: the input "{value.name}" is of an unknown number of axes.\n'
                "  Fix: export the model with inputs of known shape."
            )
    if not any(kind.elem_type == TensorProto.FLOAT for kind in kinds):
        found = ", ".join(
            f'"{value.name}" is {TensorProto.DataType.Name(kind.elem_type)}'
            for value, kind in zip(inputs, kinds, strict=True)
        )
        raise UnsupportedModelError(
            f"{FUNCTION}: the model has no input that could be quantized: "
            f"{found or 'it has none'}; one has to be FLOAT.\n"
            "  Fix: export the model with a float32 input, without operations that make "
            "it one."
        )


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    versions = {item.domain or "ai.onnx": item.version for item in model.opset_import}
    if versions.get("ai.onnx", 0) >= onnx_graph.OPSET:
        return model
    try:
        return version_converter.convert_version(model, onnx_graph.OPSET)
    except Exception as error:  # the converter raises RuntimeError and its own.
        raise UnsupportedModelError(
            f"{FUNCTION}: the model cannot be converted from opset "
            f"{versions.get('ai.onnx')} to {onnx_graph.OPSET}: {error}\n"
            f"  Fix: export it with opset {onnx_graph.OPSET} or a later one."
        ) from error


def _optimised(model: onnx.ModelProto) -> onnx.ModelProto:
    """After ONNX Runtime's basic optimisation, which folds batch normalizations."""
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        session(
            model, graph_optimization_level=level, optimized_model_filepath=str(path)
        )
        simplified = onnx.load(path)
    for named in [*simplified.opset_import, *simplified.graph.node]:
        named.domain = "" if named.domain == "ai.onnx" else named.domain
    used = {node.domain for node in simplified.graph.node} | {""}
    kept = [item for item in simplified.opset_import if item.domain in used]
    del simplified.opset_import[:]
    simplified.opset_import.extend(kept)
    simplified.graph.name = model.graph.name
    return simplified


def fold_pads(model: onnx.ModelProto) -> bool:
    """Zeros around images become pads of the convolution that takes them.

    Args:
        model: changed in place.

    Returns:
        Whether there were any.
    """
    graph = FloatGraph(model)
    before = graph.nodes
    for node in before:
        takers = graph.consumers(node.outputs[0]) if node.outputs else []
        pads = _image_pads(graph, node) if node.op == "Pad" else None
        if pads is None or len(takers) != 1 or node.outputs[0] in graph.outputs:
            continue
        (conv,) = takers
        if (
            conv.op != "Conv"
            or conv.inputs[0] != node.outputs[0]
            or conv.attributes.get("auto_pad", b"NOTSET") not in _VALID
        ):
            continue
        own = conv.attributes.get("pads", [0] * 4)
        if conv.attributes.get("auto_pad") == b"VALID":
            own = [0] * 4
        padded = conv.source
        kept = [a for a in padded.attribute if a.name not in ("pads", "auto_pad")]
        total = [a + b for a, b in zip(own, pads, strict=True)]
        del padded.attribute[:]
        padded.attribute.extend([*kept, helper.make_attribute("pads", total)])
        padded.input[0] = node.inputs[0]
        graph.replace(conv, node_of(padded))
        graph.remove(node)
        model.graph.node.remove(node.source)
    return graph.nodes != before


def _image_pads(graph: FloatGraph, node: OnnxNode) -> list[int] | None:
    """(top, left, bottom, right) of a `Pad` with zeros; None if it is another one."""
    inputs = [*node.inputs, "", "", ""][:4]
    pads = graph.constant(inputs[1])
    value = graph.constant(inputs[2]) if inputs[2] else np.zeros(1)
    axes = graph.constant(inputs[3]) if inputs[3] else np.arange(4)
    if graph.rank(node.inputs[0]) != 4 or pads is None or value is None or axes is None:
        return None
    if node.attributes.get("mode", b"constant") != b"constant":
        return None
    by_axis = np.zeros((2, 4), np.int64)
    by_axis[:, [int(axis) % 4 for axis in axes]] = pads.reshape(2, -1)
    is_zero = math.prod(value.shape) == 0 or float(value.reshape(-1)[0]) == 0
    if not is_zero or by_axis.min() < 0 or by_axis[:, :2].any():
        return None
    return by_axis[:, 2:].reshape(-1).tolist()
