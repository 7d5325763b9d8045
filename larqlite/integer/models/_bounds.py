"""The largest value that an accumulator can reach, by proof from the weights."""

from __future__ import annotations

import math

import numpy as np

from larqlite.graph import facts_of
from larqlite.integer.layers import QuantizedReLU
from larqlite.integer.tensors import FixedPoint
from larqlite.primitives import shape_along


def accumulator_limit(layer, inputs: list[FixedPoint], limits: list[int]) -> int | None:
    r"""The largest \(|x|_{max} \sum |w| + |b|\) of any output channel; of a mean, that of
    its sum.

    Args:
        layer: a quantized layer, whose weights were recorded.
        inputs: its inputs.
        limits: the largest magnitudes that are proven of them.

    Returns:
        An integer, or None for a layer that is no mean, and has no kernel of its own.
    """
    pooling = facts_of(layer).pooling
    if pooling == "global mean":
        return limits[0] * math.prod(inputs[0].shape[1:-1])
    if pooling == "mean":
        return limits[0] * layer.multiple_of(inputs[0].shape)
    axes = facts_of(layer).kernel
    kernel = None if axes is None else _codes(layer.weight_quantizer.qweights.value)
    if kernel is None:
        return None
    largest = _largest_inputs(inputs[0])
    (channels,) = axes.channels_in
    if largest.size > 1 and kernel.shape[channels] == largest.size:
        reach = np.abs(kernel) * largest.reshape(shape_along(kernel.ndim, channels))
    else:
        reach = np.abs(kernel) * np.max(largest)
    return int(np.max(reach.sum(axis=axes.summed) + _largest_bias(layer)))


def output_limit(
    layer, accumulator: int | None, inputs: list[FixedPoint], limits: list[int]
) -> int | None:
    """The largest magnitude that is proven of what a layer without an output quantizer
    gives out; None if nothing is.

    Args:
        layer: a quantized layer.
        accumulator: what `accumulator_limit` says of it.
        inputs: its inputs.
        limits: the largest magnitudes that are proven of its inputs.
    """
    if accumulator is not None:
        return accumulator
    facts = facts_of(layer)
    # Ranges of channels may be aligned on the way, by shifts to the left.
    is_kept = facts.keeps_values and not facts.merge
    is_kept = is_kept and all(x.per_tensor for x in inputs)
    if limits and (is_kept or isinstance(layer, QuantizedReLU)):
        return max(limits)
    return None


def _largest_inputs(x: FixedPoint) -> np.ndarray:
    """The largest magnitudes of the channels of `x`, after they are aligned."""
    frac_bits = np.ravel(x.frac_bits.numpy()).astype(np.int64)
    shifts = frac_bits.max() - frac_bits
    return np.array([x.limit << int(shift) for shift in shifts], dtype=object)


def _largest_bias(layer) -> int:
    if not layer.use_bias:
        return 0
    codes = _codes(layer.bias_quantizer.qweights.value)
    return 0 if codes is None else int(np.max(np.abs(codes)))


def _codes(recorded) -> np.ndarray | None:
    if recorded is None:
        return None
    return (
        getattr(recorded, "fp", recorded).values.numpy().astype(np.int64).astype(object)
    )
