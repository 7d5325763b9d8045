"""Quantization of float ONNX models to integers."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import onnx
from onnx import helper

from larqlite.errors import ArgumentError, UnsupportedLayerError, UnsupportedModelError
from larqlite.integer.onnx.layers import (
    InputQuantizer,
    OnnxLayer,
    QuantizedAdd,
    QuantizedConv2D,
    TensorShape,
)
from larqlite.integer.onnx.quantization._calibrate import ranges_of
from larqlite.integer.onnx.quantization._custom_patterns import custom_patterns
from larqlite.integer.onnx.quantization._emit import emitted
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.integer.onnx.quantization._patterns import (
    Block,
    OnnxPartition,
    partition_of,
)
from larqlite.integer.onnx.quantization._prepare import FUNCTION, prepared
from larqlite.integer.onnx.quantization._samples import batches_of
from larqlite_runtime.names import unique_name

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

    Operations are quantized from the input on, up to the first that no pattern knows;
    from there on the model stays float, and a warning says so.

    Args:
        model: with one float32 input and one output.
        activation_bits, weight_bits, output_bits, input_weight_bits: 8.
        buffer_bits: 32.
        per_tensor_activations: one scale for all channels of a tensor.
        q_config: None; there are no settings by layer for ONNX models.
        samples: for calibration: an array, or an iterable of batches. None for random
            ones, which make for poor ranges.
        num_samples: how many of them count.
        batch_size: of arrays.
        epochs: 1.
        on_unsupported: "raise" to refuse a model of which something would stay float.

    Returns:
        The integer model; `model` is left as it is.

    Raises:
        ArgumentError: other bits, a `q_config`, epochs, or samples that do not fit.
        UnsupportedModelError: a model that is damaged or quantized already, or has
            several inputs or outputs, or another input than float32.
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
        "activation_bits": (activation_bits, 8),
        "weight_bits": (weight_bits, 8),
        "output_bits": (output_bits, 8),
        "input_weight_bits": (input_weight_bits, 8),
        "buffer_bits": (buffer_bits, 32),
        "epochs": (epochs, 1),
        "q_config": (q_config or None, None),
    }
    for name, (value, only) in bits.items():
        if value != only:
            raise ArgumentError(
                f"{FUNCTION}: {name}={value!r}, and ONNX models are quantized with "
                f"{name}={only!r} only.\n  Fix: leave it out, or quantize a Keras model."
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
    graph = FloatGraph(prepared(model))
    partition = partition_of(graph)
    partition.reason += _hidden(model, graph)
    _require_blocks(graph, partition)
    if partition.stop is not None and on_unsupported == "raise":
        raise UnsupportedLayerError(
            f"{FUNCTION}: {_rest(graph, partition)}\n"
            '  Fix: on_unsupported="warn", or patterns for them in a '
            "larqlite.integer.onnx.quantization.custom_pattern_scope."
        )
    layers = _built(graph, partition)
    shape = graph.shape(graph.input.name)
    batches = batches_of(samples, shape, num_samples, batch_size)
    tensors = [partition.start, *(block.output for block in partition.blocks)]
    ranges = ranges_of(graph, tensors, batches, per_tensor_activations)
    if samples is None:
        _warn(
            f"{FUNCTION}: calibrated on random samples, so the ranges are not those of real "
            "inputs. Fix: samples=some real ones."
        )
    summed = {t for block in partition.blocks if _adds(block) for t in block.inputs}
    layers[partition.start].quantize(
        out_tensor_range=ranges[partition.start], force_fp=partition.start in summed
    )
    for block in partition.blocks:
        block.layer.quantize(
            *(layers[tensor] for tensor in block.inputs),
            out_tensor_range=ranges[block.output],
            force_fp=block.output in summed,
        )
    quantized = emitted(graph, partition, layers)
    if partition.stop is not None:
        _warn(f"{FUNCTION}: {_rest(graph, partition)}")
    return quantized


def _adds(block: Block) -> bool:
    return isinstance(block.layer, QuantizedAdd)


def _require_blocks(graph: FloatGraph, partition: OnnxPartition) -> None:
    if not partition.blocks:
        what = "it has no operations" if partition.stop is None else _stopped(partition)
        raise UnsupportedLayerError(
            f"{FUNCTION}: nothing of the model can be quantized: {what}.\n"
            "  Fix: give the operations it starts with a pattern, in a "
            "larqlite.integer.onnx.quantization.custom_pattern_scope."
        )


def _stopped(partition: OnnxPartition) -> str:
    node = partition.stop
    return f'the operation {node.op} "{node.name}" is not, since {partition.reason}'


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


def _built(graph: FloatGraph, partition: OnnxPartition) -> dict[str, OnnxLayer]:
    """The layers by the tensor that they give out, with types and sizes."""
    taken: dict[str, list[Block]] = {}
    for block in partition.blocks:
        for tensor in block.inputs:
            taken.setdefault(tensor, []).append(block)
    is_image = all(_takes_images(block, graph) for block in taken[partition.start])
    names = _Names(graph)
    shape = graph.shape(partition.start)
    entry = helper.make_tensor_value_info(
        partition.start, onnx.TensorProto.FLOAT, shape
    )
    first = InputQuantizer(
        entry, input_signed=not is_image, name=names.new("input_quantizer")
    )
    layers: dict[str, OnnxLayer] = {partition.start: first}
    for block in partition.blocks:
        layer = block.layer
        if is_image and partition.start in block.inputs:
            layer.take_image()
        name = layer.name or block.nodes[0].name or layer.base_name
        layer.name = names.new(name)
        inputs = [layers[tensor].output for tensor in block.inputs]
        layer.build(*inputs, downscale=bool(taken.get(block.output)))
        _require_size(graph, block, layer.output)
        layers[block.output] = layer
    return layers


def _takes_images(block: Block, graph: FloatGraph) -> bool:
    """Whether a block can take uint8 images with zero points."""
    kernel = block.layer.weights.get("kernel")
    if not isinstance(block.layer, QuantizedConv2D) or kernel is None:
        return False
    return kernel.shape[1] in (1, 3) and block.layer.attributes["group"].i == 1


def _require_size(graph: FloatGraph, block: Block, found: TensorShape) -> None:
    wanted = graph.shape(block.output)
    fits = wanted is None or (
        len(wanted) == len(found.shape)
        and all(
            None in pair or pair[0] == pair[1]
            for pair in zip(wanted, found.shape, strict=True)
        )
    )
    if not fits or found.dtype == np.float32:
        raise UnsupportedModelError(
            f'{FUNCTION}: the layer "{block.layer.name}" ({block.layer.op_type}) gives out '
            f"{found.dtype} of shape {found.shape} in the place of {wanted}.\n"
            "  Fix: return the integer dtype and the sizes of its output from __build__."
        )


class _Names:
    """Names of nodes that no node has yet."""

    def __init__(self, graph: FloatGraph):
        tensors = {t for node in graph.nodes for t in [*node.inputs, *node.outputs]}
        self._taken = tensors

    def new(self, wanted: str) -> str:
        name = unique_name(wanted, self._taken, first=2)
        self._taken.add(name)
        return name
