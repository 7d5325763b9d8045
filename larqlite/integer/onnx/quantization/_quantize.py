"""Quantization of float ONNX models to integers."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import onnx
from onnx import helper

from larqlite.errors import ArgumentError, UnsupportedLayerError
from larqlite.integer.onnx.layers import TensorRange
from larqlite.integer.onnx.quantization._calibrate import ranges_of
from larqlite.integer.onnx.quantization._custom_patterns import custom_patterns
from larqlite.integer.onnx.quantization._emit import emitted
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.integer.onnx.quantization._patterns import OnnxPartition, partition_of
from larqlite.integer.onnx.quantization._prepare import FUNCTION, prepared
from larqlite.integer.onnx.quantization._samples import batches_by_input
from larqlite.integer.onnx.quantization._settle import settled

__all__ = ["quantize_onnx"]


def quantize_onnx(
    model: onnx.ModelProto,
    *,
    activation_bits: int = 8,
    weight_bits: int = 8,
    output_bits: int = 8,
    input_weight_bits: int = 8,
    buffer_bits: int = 32,
    per_tensor_activations: bool = False,
    q_config: dict | None = None,
    samples: Any = None,
    num_samples: int = 1024,
    batch_size: int | None = None,
    epochs: int = 1,
    on_unsupported: str = "warn",
) -> onnx.ModelProto:
    """A float ONNX model as one that computes in integers, for a stock ONNX Runtime.

    Operations are quantized from the inputs on, along each path up to the first that no
    pattern knows; what follows from that stays float, and a warning says so.

    Args:
        model: with inputs of which one at least is float32.
        activation_bits: of the integers between layers: 8, or 16 for outputs nearer to
            those of the float model, at a few times the work.
        weight_bits: of the integers of kernels: 8 or 16.
        input_weight_bits: of kernels that take an input of the model: 8 or 16.
        output_bits: 8.
        buffer_bits: 32.
        per_tensor_activations: one scale for all channels of a tensor.
        q_config: None; there are no settings by layer for ONNX models.
        samples: for calibration: an array, or an iterable of batches; for a model of
            several inputs, a dictionary of arrays, or an iterable of dictionaries, by
            their names. None for random ones, which make for poor ranges.
        num_samples: how many of them count.
        batch_size: of arrays.
        epochs: 1.
        on_unsupported: "raise" to refuse a model of which something would stay float.

    Returns:
        The integer model; `model` is left as it is.

    Raises:
        ArgumentError: other bits, a `q_config`, epochs, or samples that do not fit.
        UnsupportedModelError: a model that is damaged or quantized already, or has no
            input of float32.
        UnsupportedLayerError: nothing in it could be quantized, or not all of it with
            `on_unsupported="raise"`.

    >>> import onnx
    >>> from larqlite.integer.onnx import quantize_onnx
    >>> text = '''<ir_version: 9, opset_import: ["": 18]>
    ...     one (float[N, 4] x) => (float[N, 2] y) { y = Gemm (x, w, b) }'''
    >>> model = onnx.parser.parse_model(text)
    >>> weights = {"w": np.ones((4, 2), "float32"), "b": np.ones(2, "float32")}
    >>> model.graph.initializer.extend(
    ...     onnx.numpy_helper.from_array(w, name) for name, w in weights.items())
    >>> quantized = quantize_onnx(model, samples=np.eye(4, dtype="float32"))
    >>> [node.op_type for node in quantized.graph.node]
    ['InputQuantizer', 'QuantizedDense1DBiased', 'Dequantizer']
    """
    bits = {
        "activation_bits": (activation_bits, (8, 16)),
        "weight_bits": (weight_bits, (8, 16)),
        "output_bits": (output_bits, (8,)),
        "input_weight_bits": (input_weight_bits, (8, 16)),
        "buffer_bits": (buffer_bits, (32,)),
        "epochs": (epochs, (1,)),
        "q_config": (q_config or None, (None,)),
    }
    for name, (value, known) in bits.items():
        if value not in known:
            those = " or ".join(map(repr, known))
            raise ArgumentError(
                f"{FUNCTION}: {name}={value!r}, and ONNX models are quantized with "
                f"{name}={those} only.\n  Fix: leave it out, or quantize a Keras model."
            )
    if on_unsupported not in ("warn", "raise"):
        raise ArgumentError(
            f'{FUNCTION}: on_unsupported={on_unsupported!r}.\n  Fix: "warn" or "raise".'
        )
    if not isinstance(model, onnx.ModelProto):
        raise ArgumentError(
            f"{FUNCTION}: the model is a {type(model).__name__}, not an onnx.ModelProto.\n"
            '  Fix: onnx.load("model.onnx").'
        )
    graph = FloatGraph(prepared(model), activation_bits)
    partition = partition_of(graph)
    hidden = _hidden(model, graph)
    partition.stops = [(node, reason + hidden) for node, reason in partition.stops]
    _require_blocks(partition)
    if partition.stops and on_unsupported == "raise":
        raise UnsupportedLayerError(
            f"{FUNCTION}: {_rest(graph, partition)}\n"
            '  Fix: on_unsupported="warn", or patterns for them in a '
            "larqlite.integer.onnx.quantization.custom_pattern_scope."
        )
    found = settled(graph, partition, weight_bits, input_weight_bits)
    shapes = {
        given.name: (
            graph.shape(given.name),
            helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type),
        )
        for given in graph.inputs
    }
    batches = batches_by_input(samples, shapes, num_samples, batch_size)
    tensors = [*partition.starts, *(block.output for block in partition.blocks)]
    ranges = ranges_of(graph, tensors, batches, per_tensor_activations)
    if samples is None:
        _warn(
            f"{FUNCTION}: calibrated on random samples, so the ranges are not those of real "
            "inputs. Fix: samples=some real ones."
        )
    ranges |= {t: _joined(seen) for t, seen in ranges.items() if t in found.one_scale}
    for start in partition.starts:
        found.layers[start].quantize(
            out_tensor_range=ranges[start], force_fp=start in found.summed
        )
    for block in partition.blocks:
        block.layer.quantize(
            *(found.layers[tensor] for tensor in block.inputs),
            out_tensor_range=ranges[block.output],
            force_fp=block.output in found.summed,
        )
    quantized = emitted(graph, partition, found.layers)
    if partition.stops:
        _warn(f"{FUNCTION}: {_rest(graph, partition)}")
    elif hidden:
        _warn(f"{FUNCTION}: all operations are quantized{hidden}.")
    return quantized


def _joined(seen: TensorRange) -> TensorRange:
    """The range of all channels."""
    return TensorRange(np.min(seen.minimum), np.max(seen.maximum))


def _require_blocks(partition: OnnxPartition) -> None:
    if not partition.blocks:
        what = _stopped(partition) if partition.stops else "it has no operations"
        raise UnsupportedLayerError(
            f"{FUNCTION}: nothing of the model can be quantized: {what}.\n"
            "  Fix: give the operations it starts with a pattern, in a "
            "larqlite.integer.onnx.quantization.custom_pattern_scope."
        )


def _stopped(partition: OnnxPartition) -> str:
    """Which operations are the first to stay float, and why."""
    found = [
        f'the operation {node.op} "{node.name}" is not, since {reason}'
        for node, reason in partition.stops
    ]
    more = f"; and {len(found) - 5} more" if len(found) > 5 else ""
    return "; ".join(found[:5]) + more


def _hidden(model: onnx.ModelProto, graph: FloatGraph) -> str:
    """Says which operations of custom patterns the optimisation has replaced."""
    named = {name for names, _ in custom_patterns() for name in names}
    before = {node.op_type for node in model.graph.node}
    hidden = sorted((before - {node.op for node in graph.nodes}) & named)
    if not hidden:
        return ""
    return (
        f" (ONNX Runtime's optimisation has written {', '.join(hidden)} of your patterns "
        "as other operations)"
    )


def _rest(graph: FloatGraph, partition: OnnxPartition) -> str:
    """What is quantized, what is not, and why."""
    done = {n for block in partition.blocks for n in block.nodes} | set(partition.moves)
    rest = [
        f'{node.op} "{node.name}"'
        for node in graph.nodes
        if node not in done and node.op != "Constant"
    ]
    more = f" and {len(rest) - 5} more" if len(rest) > 5 else ""
    return (
        f"{len(done) - len(partition.moves)} operations are quantized, up to "
        f'"{partition.blocks[-1].output}"; {_stopped(partition)}. These stay float: '
        f"{', '.join(rest[:5])}{more}."
    )


def _warn(text: str) -> None:
    """A warning at the line outside larqlite that led here."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals["__name__"].startswith("larqlite."):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, UserWarning, stacklevel=level)
