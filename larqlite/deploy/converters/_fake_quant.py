"""Quantization-aware layers: what they compute in inference, in standard operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from larqlite.deploy._converter_tables import ACTIVATIONS, converter
from larqlite.deploy.converters._activations import activation, clipped
from larqlite.deploy.converters._dispatch import converter_of, quantize
from larqlite.deploy.converters._elementwise import unary, with_arrays
from larqlite.deploy.converters._quantizers import convert_sign
from larqlite.onnx_graph import WHERE, StoredRounding, refuse
from larqlite.qat import QuantizeLayer, QuantizeWrapperV2, inference
from larqlite.qat.inference import Rounding
from larqlite_runtime.format import MOST_BITS, ValueType

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer


@converter(QuantizeLayer)
def convert_quantize_layer(graph: Writer, layer, value: Value) -> Value:
    """The rounding of its quantizer."""
    for role, quantizer, variables in inference.value_quantizers(layer):
        value = rounded(graph, layer, value, role, quantizer, variables)
    return value


@converter(QuantizeWrapperV2)
def convert_wrapper(graph: Writer, wrapper, inputs: Any, *args, **kwargs) -> Any:
    """The layer inside with the weights that it computes with, and roundings around it."""
    path, inner = graph.path, wrapper.layer
    quantizers = inference.value_quantizers(wrapper)
    twin = inference.quant_twin(wrapper, _reads_integers(inputs))
    if twin is not None:
        inner = twin.layer
    if twin is None or not twin.takes_input:
        before = [q for q in quantizers if q[0] == "input"]
        inputs = _each(graph, wrapper, inputs, before)
    codes = {} if twin is not None else _codes(wrapper)
    with graph.wrapping(path, codes), inference.reading_quantized(wrapper):
        outputs = converter_of(inner, path)(graph, inner, inputs, *args, **kwargs)
    return _each(graph, wrapper, outputs, [q for q in quantizers if q[0] == "output"])


def _reads_integers(inputs: Any) -> bool:
    """Whether a layer is given whole numbers times a step, few enough to be packed."""
    flat = tf.nest.flatten(inputs)
    levels = flat[0].levels if len(flat) == 1 else None
    return isinstance(levels, ValueType) and levels.bits > 0


def _convert_activation(graph: Writer, function, value: Value) -> Value:
    """The activation of a wrapped layer: a rounding before it, after it, or both."""
    roundings = dict.fromkeys(("pre-activation", "activation"))
    roundings.update({role: (role, q, v) for role, q, v in function.quantizers})
    before, after = roundings["pre-activation"], roundings["activation"]
    path = graph.path
    if before is not None:
        value = rounded(graph, function, value, *before)
    value = activation(graph, value, function.function, path)
    return value if after is None else rounded(graph, function, value, *after)


ACTIVATIONS[inference.QuantizedActivation] = _convert_activation


def rounded(
    graph: Writer, layer: Any, value: Value, role: str, quantizer: Any, variables: dict
) -> Value:
    """A value behind a quantizer of quantization-aware training.

    Args:
        graph: the graph.
        layer: what quantizes, for messages.
        value: what goes in.
        role: what for: "input", "pre-activation", "activation", "output".
        quantizer, variables: the quantizer, and what it stores.

    Raises:
        UnsupportedLayerError: what it computes is not known.
        ArgumentError: its range is not set yet.
    """
    path = graph.wrapper or graph.path
    named = inference.quantizer_by_name(quantizer, variables)
    if named is not None:
        value = quantize(graph, value, named, f"{graph.path}/{role}")
    else:
        rounding = inference.rounding_of(quantizer, variables)
        if rounding is None:
            name = type(quantizer).__name__
            raise refuse(
                layer,
                graph.path,
                f"its {role} is quantized by a {name}, and what that computes is not known",
                "a quantizer of lq.qat.quantizers, or one of lq.quantizers by its name; "
                'or leave the layer float: {"its_name": "float"} in the scheme of '
                "lq.qat.quantize_apply",
            )
        inference.require_range(path, role, quantizer, variables, WHERE.get())
        value = _arithmetic(graph, value, rounding, f"{graph.path}/{role}")
    graph.roundings.append(StoredRounding(path, role, value.name, value.is_moved))
    return value


def _arithmetic(graph: Writer, value: Value, r: Rounding, name: str) -> Value:
    outer, graph.path = graph.path, name
    if r.bits == 1:
        steps = [("Mul", r.step)]
        value = convert_sign(graph, None, value)
    else:
        unit = ("Div", r.step) if r.per_unit is None else ("Mul", r.per_unit)
        before = [("Max", r.lowest), ("Min", r.highest), ("Sub", r.lowest)]
        steps = [*before, unit, ("Sub", r.zero), ("Add", np.float32(0.5))]
        if not r.lowest.ndim:
            value = clipped(graph, value, r.lowest, r.highest)
            steps = steps[2:]
    for op, array in steps:
        if op != "Sub" or array.any():
            value = with_arrays(graph, value, op, array)
    if r.bits != 1:
        value = unary(graph, value, "Floor")
        value = _times_step(graph, value, r)
    graph.path = outer
    return value


def _times_step(graph: Writer, value: Value, r: Rounding) -> Value:
    """Whole numbers times the step; packed layers read the numbers, where they are few."""
    if r.step.ndim or r.bits > MOST_BITS:
        return with_arrays(graph, value, "Mul", r.step)
    most = np.floor((r.highest - r.lowest) / r.step - r.zero + np.float32(0.5))
    low, high = int(-r.zero), max(int(most), 1)
    codes = graph.with_levels(value, "Integers", low=low, high=high)
    return graph.scaled(codes, float(r.step), 0.0)


def _each(graph: Writer, wrapper, values: Any, quantizers: list) -> Any:
    """Each of the values behind its quantizer; there may be fewer of these."""
    flat = tf.nest.flatten(values)
    for index, quantizer in enumerate(quantizers[: len(flat)]):
        flat[index] = rounded(graph, wrapper, flat[index], *quantizer)
    return tf.nest.pack_sequence_as(values, flat)


def _codes(wrapper) -> dict[int, tuple[int, np.ndarray | None]]:
    """Bits and steps of the quantized weights of the layer inside, by id of the weight."""
    codes = {}
    for weight, quantizer, variables, _ in wrapper.weight_slots:
        bits = getattr(quantizer, "precision", None)
        if bits is not None:
            rounding = inference.rounding_of(quantizer, variables)
            codes[id(weight)] = bits, None if rounding is None else rounding.step
    return codes
