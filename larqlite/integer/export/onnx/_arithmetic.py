"""Integer arithmetic on tensors of the file: saturation, shifts, requantization."""

from __future__ import annotations

import numpy as np

from larqlite.integer.export._integers import (
    Integers,
    TensorQParams,
    smallest_kind,
    whole,
)
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.layers import OutputQuantizer
from larqlite.integer.layers.internal import output_frac_bits, output_scales
from larqlite.primitives import half_step, signed_codes

# What an int64 is let to hold, less room for the sums of a requantization.
MOST = 2**60


def saturated(graph: IntegerWriter, x: Integers, value_bits: int) -> Integers:
    """`x` limited to the range of so many value bits, if it can leave that."""
    return clipped(graph, x, *signed_codes(value_bits))


def clipped(graph: IntegerWriter, x: Integers, low, high) -> Integers:
    """`x` between two integers, or two for each channel."""
    low, high = whole(low), whole(high)
    if np.all(x.low >= low) and np.all(x.high <= high):
        return x
    # A channel that is proven to lie beyond one end becomes that end.
    low, high = (
        whole(np.minimum(np.maximum(low, x.low), high)),
        whole(np.maximum(np.minimum(high, x.high), low)),
    )
    kind = smallest_kind(int(np.min(low)), int(np.max(high)))
    names = [
        graph.along_channels(end, x, name, x.kind)
        for end, name in ((low, "low"), (high, "high"))
    ]
    name = graph.function("IntClip", [x.name, *names], to=kind)
    return graph.like(x, name, kind=kind, low=low, high=high)


def times(
    graph: IntegerWriter, x: Integers, factors, name: str = "factors"
) -> Integers:
    """`x` times an integer, or one for each channel."""
    factors = whole(factors)
    if np.all(factors == 1):
        return x
    ends = (x.low * factors, x.high * factors)
    low, high = np.minimum(*ends), np.maximum(*ends)
    x = wide(graph, x, low, high)
    factor = graph.along_channels(factors, x, name, x.kind)
    return graph.like(
        x, graph.node("Mul", [x.name, factor]), low=whole(low), high=whole(high)
    )


def plus(graph: IntegerWriter, x: Integers, offsets, name: str = "offsets") -> Integers:
    """`x` plus an integer, or one for each channel."""
    offsets = whole(offsets)
    if np.all(offsets == 0):
        return x
    low, high = x.low + offsets, x.high + offsets
    x = wide(graph, x, np.minimum(low, x.low), np.maximum(high, x.high))
    offset = graph.along_channels(offsets, x, name, x.kind)
    return graph.like(
        x, graph.node("Add", [x.name, offset]), low=whole(low), high=whole(high)
    )


def shifted_left(graph: IntegerWriter, x: Integers, shift, value_bits: int) -> Integers:
    """`x` times `2^shift`, saturated; what saturates anyway is limited before it."""
    shift = whole(shift)
    if not np.any(shift):
        return x
    room = 2**value_bits
    far = np.minimum(shift, value_bits + 1)
    x = clipped(graph, x, -room, room)
    return saturated(graph, times(graph, x, 2**far, "steps"), value_bits)


def aligned(graph: IntegerWriter, x: Integers, value_bits: int) -> Integers:
    """`x` with the most fractional bits of any of its channels, as `expand` does it."""
    frac_bits = whole(x.qparams.frac_bits)
    if not frac_bits.ndim or x.qparams.scales is not None:
        return x
    return shifted_left(graph, x, np.max(frac_bits) - frac_bits, value_bits)


def wide(graph: IntegerWriter, x: Integers, low, high) -> Integers:
    """`x` as int32, or as int64 if integers between the bounds do not fit."""
    low, high = int(np.min(low)), int(np.max(high))
    low, high = min(low, x.ends[0]), max(high, x.ends[1])
    if max(-low, high) > MOST:
        raise graph.refusal(
            f"integers from {low} to {high} do not fit into 64 bits",
            'a smaller "buffer_bitwidth" in its quant_config, or an output_quantizer in '
            "the layer before",
        )
    kind = "int32" if smallest_kind(low, high) != "int64" else "int64"
    return graph.as_kind(x, kind)


def requantized(
    graph: IntegerWriter, x: Integers, quantizer: OutputQuantizer
) -> Integers:
    """What an OutputQuantizer makes of an accumulator, with its quantization parameters.

    One multiplication by the quantized scales, one rounding shift, one clip, int64.
    """
    qparams = x.qparams
    bits = quantizer.value_bits
    target = output_frac_bits(quantizer).numpy()
    multiplier, source, buffer_bits = whole(1), qparams.frac_bits, None
    if qparams.scales is not None:
        scales = output_scales(quantizer, qparams.scales)
        multiplier = whole(scales.values.numpy().astype(np.int64))
        source = source + scales.frac_bits.numpy()
        buffer_bits = quantizer.buffer_bitwidth
    y = rounded(graph, x, multiplier, whole(target) - whole(source), bits, buffer_bits)
    new = TensorQParams(bits, 2**bits, np.asarray(target, np.int32))
    return graph.like(y, y.name, qparams=new)


def rounded(
    graph: IntegerWriter,
    x: Integers,
    multiplier,
    shift,
    value_bits: int,
    buffer_bits: int | None = None,
    half: bool = True,
) -> Integers:
    """`clip(floor(clip_buffer(x * multiplier) * 2^shift + 1/2))`.

    Args:
        graph: the graph.
        x: integers.
        multiplier: integer >= 0, or one for each channel.
        shift: likewise, negative to the right.
        value_bits: of the result.
        buffer_bits: value bits at which the product saturates; None: it does not.
        half: whether 1/2 is added.
    """
    bounds = np.broadcast_arrays(x.low, x.high, whole(multiplier), whole(shift))
    shape = bounds[0].shape
    columns = [
        _column(*map(int, c), value_bits, buffer_bits, half)
        for c in zip(*(b.ravel().tolist() for b in bounds), strict=True)
    ]
    arrays = {
        key: whole(np.array([c[key] for c in columns], dtype=object).reshape(shape))
        for key in columns[0]
    }
    if max(int(np.max(arrays["offset"])), int(np.max(arrays["most"]))) > MOST:
        raise graph.refusal(
            "its accumulator times the quantized scales does not fit into 64 bits",
            'fewer "scale_bits" or a smaller "buffer_bitwidth" in its quant_config',
        )
    least = np.minimum(arrays["least"], arrays["greatest"])
    kind = smallest_kind(int(np.min(least)), int(np.max(arrays["greatest"])))
    names = [
        graph.along_channels(
            arrays[key], x, key, "uint64" if key == "shift" else "int64"
        )
        for key in ("multiplier", "offset", "shift", "base", "low", "high")
    ]
    name = graph.function("IntRequantize", [x.name, *names], to=kind)
    return graph.like(x, name, kind=kind, low=least, high=arrays["greatest"])


def _column(
    low, high, multiplier, shift, value_bits, buffer_bits, half
) -> dict[str, int]:
    """The constants of one channel: `shift` counts to the right from here."""

    def result(product: int) -> int:
        if shift >= 0:
            return product << shift
        return (product + (half_step(-shift) if half else 0)) >> -shift

    first, last = signed_codes(value_bits)
    if buffer_bits is not None:
        least, greatest = map(result, signed_codes(buffer_bits))
        first, last = max(first, least), min(last, greatest)

    def limited(value: int) -> int:
        return min(max(result(value * multiplier), first), last)

    most = max(abs(low), abs(high)) * multiplier
    least, greatest = limited(low), limited(high)
    if shift < -most.bit_length() - 1:
        # Nothing but the sign is left, which a shift by fewer bits leaves too.
        multiplier = 0 if half else multiplier
        shift = -most.bit_length() - 1
        most = 0 if half else most
    left, right = max(shift, 0), max(-shift, 0)
    multiplier, most = multiplier << left, most << left
    base = (most >> right) + 1
    added = half_step(right) if half else 0
    return {
        "multiplier": multiplier,
        "offset": added + (base << right),
        "shift": right,
        "base": base,
        "low": first,
        "high": last,
        "most": most,
        "least": least,
        "greatest": greatest,
    }
