"""Quantizers of activations: what they become, and which levels they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from larqlite import math, quantizers
from larqlite.deploy._converter_tables import activation_converter
from larqlite.onnx_graph import DOMAIN, ScaledRows, along, as_in_first_use, refuse
from larqlite_runtime.format import MOST_BITS, ternary

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer


@activation_converter(
    quantizers.SteSign,
    quantizers.ApproxSign,
    quantizers.EDESign,
    quantizers.StochasticSign,
    quantizers.SwishSign,
    math.sign,
)
def convert_sign(graph: Writer, quantizer: Any, value: Value) -> Value:
    """-1 below zero, else +1."""
    return graph.quantized(value, "Sign")


@activation_converter(quantizers.SteHeaviside, math.heaviside)
def convert_heaviside(graph: Writer, quantizer: Any, value: Value) -> Value:
    """1 above zero, else 0."""
    return graph.quantized(value, "Heaviside")


@activation_converter(tf.sign)
def convert_sign_with_zero(graph: Writer, function: Any, value: Value) -> Value:
    """-1, 0 or +1."""
    name = graph.node("Sign", [value.name], name=graph.path)
    return graph.value(name, value.shape, like=value, levels=ternary())


@activation_converter(quantizers.RSign)
def convert_rsign(graph: Writer, quantizer: Any, value: Value) -> Value:
    """The sign of `x - threshold`."""
    value = as_in_first_use(graph, value)
    stored = _channel_weight(graph, quantizer, value, "threshold", quantizer.axis)
    name = graph.node("Sub", [value.name, stored])
    return convert_sign(graph, quantizer, graph.value(name, value.shape, like=value))


@activation_converter(quantizers.StochasticTernary)
def convert_rounded_ternary(graph: Writer, quantizer: Any, value: Value) -> Value:
    """-1, 0 or +1, as in inference."""
    return graph.quantized(value, "Ternary", threshold=0.5)


@activation_converter(quantizers.SteTern)
def convert_ternary(graph: Writer, quantizer: Any, value: Value) -> Value:
    """-1, 0 or +1 with a fixed threshold."""
    if quantizer.ternary_weight_networks:
        raise refuse(
            quantizer,
            graph.path,
            "ternary_weight_networks=True takes its threshold from the mean magnitude of "
            "whatever batch it sees, so an image would get other values in other company",
            "ternary_weight_networks=False with a threshold_value",
        )
    threshold = float(np.float32(quantizer.threshold_value))
    return graph.quantized(value, "Ternary", threshold=threshold)


@activation_converter(quantizers.DoReFa)
def convert_dorefa(graph: Writer, quantizer: Any, value: Value) -> Value:
    """2^k steps from 0 to 1."""
    if quantizer.mode != "activations":
        raise refuse(
            quantizer,
            graph.path,
            f'mode="{quantizer.mode}" divides by the largest value of whatever batch it '
            "sees, so an image would get other values in other company",
            f'DoReFa(k_bit={quantizer.k_bit}, mode="activations")',
        )
    if quantizer.k_bit > MOST_BITS:
        raise refuse(
            quantizer,
            graph.path,
            f"k_bit={quantizer.k_bit}, and packed activations have at most "
            f"{MOST_BITS} bits",
            f"DoReFa(k_bit={MOST_BITS}), or no quantizer here",
        )
    return graph.quantized(value, "Steps", bits=quantizer.k_bit)


@activation_converter(
    quantizers.LSQ, quantizers.LSQPlus, quantizers.PACT, quantizers.Uniform
)
def convert_learned_levels(graph: Writer, quantizer: Any, value: Value) -> Value:
    """`step * Integers((x - offset) / step) + offset`."""
    if quantizer.bits > MOST_BITS:
        raise refuse(
            quantizer,
            graph.path,
            f"bits={quantizer.bits}, and packed activations have at most {MOST_BITS} bits",
            f"bits={MOST_BITS}, or no quantizer here",
        )
    names = [*quantizer.own_weights(value.shape)]
    variables = [getattr(quantizer, name) for name in names]
    _require_begun(graph, quantizer, names[0], np.asarray(variables[0]))
    parts = quantizer.step_and_offset(*map(tf.convert_to_tensor, variables))
    if quantizer.axis is not None:
        value = as_in_first_use(graph, value)

    def shaped(part: Any) -> np.ndarray:
        array = np.asarray(part)
        return along(value, array, [quantizer.axis]) if array.ndim else array

    stored = [
        graph.weight(graph.path, name, shaped(part), variable=variable)
        for name, part, variable in zip(
            ("step", "offset"), parts, variables, strict=False
        )
    ]
    if len(stored) == 1:
        stored.append(graph.scale(graph.path, "offset", np.float32(0)))
    else:
        name = graph.node("Sub", [value.name, stored[1]])
        value = graph.value(name, value.shape, like=value)
    name = graph.node("Div", [value.name, stored[0]])
    value = graph.value(name, value.shape, like=value)
    ends = {"low": quantizer.low, "high": quantizer.high}
    value = graph.quantized(value, "Integers", **ends)
    if quantizer.axis is None:
        step, *offset = map(float, parts)
        return graph.scaled(value, step, sum(offset), tuple(stored))
    for op, name in zip(("Mul", "Add"), stored[: len(parts)], strict=False):
        made = graph.node(op, [value.name, name])
        value = graph.value(made, value.shape, like=value)
    graph.uneven[value.name] = (
        "each channel of its input has a step of its own, which sums of integers over the "
        "channels cannot have (axis=None gives all channels one)"
    )
    return value


@activation_converter(quantizers.LQLevels)
def convert_learned_codebook(graph: Writer, quantizer: Any, value: Value) -> Value:
    """The level of a table, which has those that are equal once."""
    basis = np.asarray(quantizer.basis)
    _require_begun(graph, quantizer, "basis", np.abs(basis).sum(-1))
    levels = np.unique(np.asarray(quantizer.level_table(np.zeros((1, 1), np.float32))))
    if len(levels) < 2:
        raise refuse(
            quantizer,
            graph.path,
            f"all of its levels are {levels[0]:g}",
            "train it on data that are not all alike",
        )
    return graph.table(value, (levels[1:] + levels[:-1]) / 2, levels)


@activation_converter(quantizers.AbsmaxInt8)
def convert_absmax(graph: Writer, quantizer: Any, value: Value) -> Value:
    """Integers of 8 bits, times a scale of each row that is computed as it runs."""
    is_moved = value.is_moved
    if is_moved:
        # Not `channels_last`: the layer's own input is to stay a tensor of the file.
        order = [0, *range(2, value.rank), 1]
        name = graph.node("Transpose", [value.name], perm=order)
        value = graph.value(name, value.shape)
    name = graph.node(
        "AbsmaxScale",
        [value.name],
        name=f"{graph.path}/scale",
        domain=DOMAIN,
        steps=127,
    )
    scale = graph.value(name, (*value.shape[:-1], 1))
    name = graph.node("Div", [value.name, scale.name])
    integers = graph.quantized(
        graph.value(name, value.shape), "Integers", low=-127, high=127
    )
    name = graph.node("Mul", [integers.name, scale.name])
    made = graph.value(name, value.shape)
    graph.rows[name] = ScaledRows(integers.name, integers.levels, scale.name)
    if is_moved:
        made = graph.channels_first(made)
        graph.rows[made.name] = graph.rows[name]
    return made


def _require_begun(
    graph: Writer, quantizer: Any, name: str, learned: np.ndarray
) -> None:
    """Raises if what is learned is not set yet, or has left the numbers above zero."""
    if (learned > 0).all():
        return
    raise refuse(
        quantizer,
        graph.path,
        f"its {name} is {learned.min():g}, and is to be above zero: training sets it from "
        "the first batch",
        "train the model, or call it once on a batch of data: model(x, training=True)",
    )


@activation_converter(quantizers.AdaBinActivations)
def convert_adabin(graph: Writer, quantizer: Any, value: Value) -> Value:
    """`alpha * sign((x - beta) / alpha) + beta`."""
    alpha, beta = (
        graph.weight(graph.path, name, np.asarray(variable), variable=variable)
        for name, variable in (("alpha", quantizer.alpha), ("beta", quantizer.beta))
    )
    centred = graph.node("Sub", [value.name, beta])
    graph.value(centred, value.shape, like=value)
    # An alpha of 0 gives a NaN here, of which the sign is +1, times 0.
    standardized = graph.node("Div", [centred, alpha])
    inner = graph.value(standardized, value.shape, like=value)
    sign = convert_sign(graph, quantizer, inner)
    scale, offset = float(quantizer.alpha), float(quantizer.beta)
    return graph.scaled(sign, scale, offset, (alpha, beta))


@activation_converter(quantizers.XnorPlus)
def convert_scaled_sign(graph: Writer, quantizer: Any, value: Value) -> Value:
    """`scale * sign(x)`."""
    if quantizer.axis is not None:
        raise refuse(
            quantizer,
            graph.path,
            f"axis={quantizer.axis} gives each channel of an input a scale of its own, "
            "which sums of integers over the channels cannot have",
            f"{type(quantizer).__name__}(axis=None), one scale of all",
        )
    number = float(quantizer.scale)
    array = np.asarray(quantizer.scale)
    scale = graph.weight(graph.path, "scale", array, variable=quantizer.scale)
    return graph.scaled(convert_sign(graph, quantizer, value), number, 0.0, (scale, ""))


@activation_converter(quantizers.NoOp)
def convert_no_op(graph: Writer, quantizer: Any, value: Value) -> Value:
    """The value itself."""
    return value


@activation_converter(
    quantizers.AbsmeanTernary,
    quantizers.AdaBinWeights,
    quantizers.Libra,
    quantizers.IntSymmetric,
    quantizers.MagnitudeAwareSign,
    quantizers.ReCU,
    quantizers.TTQ,
    quantizers.XnorScale,
)
def refuse_kernel_quantizer(graph: Writer, quantizer: Any, value: Value) -> Value:
    """Never: these are for kernels."""
    raise refuse(
        quantizer,
        graph.path,
        "it scales by statistics of whatever batch it sees, so an image would get other "
        "values in other company",
        'a quantizer for activations, e.g. "ste_sign"; learned levels are '
        "AdaBinActivations",
    )


@activation_converter(quantizers.Seq)
def refuse_stretched_levels(graph: Writer, quantizer: Any, value: Value) -> Value:
    """Never: the paper has them for kernels."""
    raise refuse(
        quantizer,
        graph.path,
        "its levels are for kernels, and no node of a file rounds to them",
        "a quantizer for activations, e.g. lq.quantizers.XnorPlus(axis=None) for one bit or "
        "lq.quantizers.DoReFa(2)",
    )


def _channel_weight(
    graph: Writer, quantizer: Any, value: Value, name: str, axis: int
) -> str:
    variable = getattr(quantizer, name)
    array = np.asarray(variable)
    shaped = along(value, array, [axis]) if array.ndim else array
    return graph.weight(graph.path, name, shaped, variable=variable)
