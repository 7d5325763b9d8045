"""Sums of floats whose weights have few values: signs, or numbers of values, stay packed in flash.

The sums are those of `_floats.py`, in the same order and rounded alike: a product with -w is that
with w with the other sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from larqlite.deploy.targets.c._costs import StepCost, outputs_of
from larqlite.deploy.targets.c._epilogues import by_pixel
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import indented, lines, sum_of
from larqlite.deploy.targets.c._weights import depthwise_numbers, float_weights
from larqlite.deploy.targets.c._window import over_taps
from larqlite_runtime.internal import StepKind

_BITS = (1, 2, 4, 8)  # of a number


@dataclass(frozen=True)
class PackedValues:
    """Weights as numbers of values.

    Attributes:
        bits: of a number.
        numbers: `(channels, weights of a channel)`.
        values: `(1 or channels, 2 ** bits)`.
    """

    bits: int
    numbers: np.ndarray
    values: np.ndarray

    @property
    def flash(self) -> int:
        """Bytes of its tables, about."""
        return self.numbers.size * self.bits // 8 + 4 * self.values.size


def weights_in_order(layer: Layer) -> np.ndarray:
    """`(channels, taps, channels of the input that one meets)` of a step of floats."""
    step = layer.step
    weights = layer.memory.constant(step.weights)
    if step.kind == StepKind.CONV_FLOAT:
        return float_weights(step, weights)
    numbers = depthwise_numbers(step, weights)  # (multiplier, taps, channels)
    return numbers.transpose(2, 0, 1).reshape(step.channels, step.taps, 1)


def scales_of(layer: Layer) -> np.ndarray | None:
    """`(channels,)`: s, where all weights of a channel are s or -s; None if they are not."""
    weights = np.abs(weights_in_order(layer)).reshape(layer.step.channels, -1)
    scales = weights[:, :1]
    return scales[:, 0] if (weights == scales).all() and (scales > 0).all() else None


def levels_of(layer: Layer) -> PackedValues | None:
    """The numbers that take the least flash; None where there are too many values."""
    weights = weights_in_order(layer).reshape(layer.step.channels, -1)
    bits = np.ascontiguousarray(weights).view(np.uint32)
    found = [_levels(bits[:, None]), _levels(bits.reshape(1, 1, -1), bits.shape)]
    return min((one for one in found if one), key=lambda one: one.flash, default=None)


def _levels(
    rows: np.ndarray, shape: tuple[int, ...] | None = None
) -> PackedValues | None:
    """Of rows of bits of floats, each of which has values of its own."""
    values = [np.unique(row) for row in rows]
    most = max(len(row) for row in values)
    if most > 1 << _BITS[-1]:
        return None
    bits = next(bits for bits in _BITS if most <= 1 << bits)
    table = np.zeros((len(rows), 1 << bits), np.uint32)
    numbers = np.empty((len(rows), rows[0].size), np.uint32)
    for row, known, into, held in zip(rows, values, numbers, table, strict=True):
        into[:] = np.searchsorted(known, row.reshape(-1))
        held[: len(known)] = known
    numbers = numbers.reshape(shape or numbers.shape)
    return PackedValues(bits, numbers, table.view(np.float32))


def why_no_signs(layer: Layer) -> str | None:
    """Why weights are no signs."""
    return None if scales_of(layer) is not None else "weights have several sizes"


def why_no_levels(layer: Layer) -> str | None:
    """Why weights are no numbers of values."""
    levels = levels_of(layer)
    if levels is None or 2 * levels.flash > 4 * levels.numbers.size:
        return "weights have many values"
    return None


def signs_cost(layer: Layer) -> StepCost:
    """Of `signs`."""
    each = _products_of(layer)
    return _cost(layer, 12 + 4.5 * each, layer.step.channels * (each + 7) // 8)


def levels_cost(layer: Layer) -> StepCost:
    """Of `levels`."""
    return _cost(layer, 12 + 9 * _products_of(layer), levels_of(layer).flash)


def _cost(layer: Layer, each: float, flash: int) -> StepCost:
    each += 6 * len(layer.step.ops)
    return StepCost.same(outputs_of(layer) * each, flash=flash)


def _products_of(layer: Layer) -> int:
    step = layer.step
    is_conv = step.kind == StepKind.CONV_FLOAT
    return step.taps * (step.in_channels if is_conv else 1)


def signs(layer: Layer) -> str:
    """A bit for each weight, which turns the sign of what it is multiplied with."""
    scales = scales_of(layer)
    minus = weights_in_order(layer) < 0
    product = "real_of({} ^ bits << 31)"
    layer.helper("real_of")
    if (scales != 1).any():
        scale = layer.real_of("scale", scales, "c", "sizes of weights")
        product += f" * {scale}"
    return _sums(layer, minus, 1, "signs of weights, a bit each", "", product)


def levels(layer: Layer) -> str:
    """A number for each weight."""
    found = levels_of(layer)
    layer.helper("real_of")
    values = layer.reals("values", found.values, "values of weights")
    many = len(found.values) > 1
    before = f"const float *values = {values} + {1 << found.bits} * c;" if many else ""
    at = f"{'values' if many else values}[bits & {(1 << found.bits) - 1}U]"
    numbers = found.numbers.reshape(weights_in_order(layer).shape)
    said = f"numbers of the values of weights, {found.bits} bits each"
    return _sums(layer, numbers, found.bits, said, before, f"real_of({{}}) * {at}")


def _sums(
    layer: Layer,
    numbers: np.ndarray,
    bits: int,
    said: str,
    before: str,
    product: str,
) -> str:
    """A channel of a pixel after another; the weights of a channel lie in words of their own.

    Args:
        layer: the step.
        numbers: `(channels, taps, channels of the input)`, each of some bits.
        bits: of each.
        said: of the table.
        before: statements of a channel.
        product: of a word of the input, with the number of its weight lowest in `bits`.
    """
    channels, taps, inside = numbers.shape
    # A word for each channel, or words, or a part of one, for each tap.
    is_word = taps * inside * bits <= 32
    rows = numbers.reshape(channels, 1, -1) if is_word else numbers
    words = _packed(rows, bits).reshape(channels, -1)
    said = f"{said}, [channel]" if is_word else f"{said}, [channel][tap]"
    name = layer.unsigned("weights", words, said, rows.shape[-1] * bits)
    ctype = layer.type_of(name)
    of_channel, source, pixel = _input(layer)
    read = f"bits = {name}[c];" if is_word else "bits = *w++;"

    def add(at: str) -> str:
        return lines(f"r = r + {product.format(source(at))};", f"bits >>= {bits};")

    def of_tap(tap: str, number: str) -> str:
        if is_word:
            return _by_word(tap, inside, inside, "", add)
        return _by_word(tap, inside, 32 // bits, read, add)

    value = lines(
        of_channel,
        before,
        "" if is_word else f"const {ctype} *w = {name} + {words.shape[1]} * c;",
        f"uint32_t {read}" if is_word else "uint32_t bits;",
        "float r = 0.0F;",
        over_taps(layer, of_tap),
    )
    return by_pixel(layer, pixel, value)


def _by_word(
    tap: str, inside: int, together: int, read: str, add: Callable[[str], str]
) -> str:
    """Statements for the channels of a tap, some at once.

    Args:
        tap: where the first channel lies.
        inside: channels.
        together: whose numbers lie in a word.
        read: a statement that takes the next word.
        add: statements for the channel at a place.
    """
    whole = inside if inside <= together else math.gcd(inside, together)
    some = next(some for some in (4, 3, 2, 1) if whole % some == 0)
    each = lines(*(add(sum_of(tap, "k", str(i))) for i in range(some)))
    if inside == some:
        each = lines(*(add(sum_of(tap, str(i))) for i in range(some)))
        return lines(read, each)
    step = f"k += {some}" if some > 1 else "++k"
    if inside <= together:
        head = f"for (int32_t k = 0; k < {inside}; {step}) {{"
        return lines(read, head, indented(each), "}")
    last = f"k + {together}"
    if inside % together:
        last = f"k < {inside - together} ? {last} : {inside}"
    return lines(
        f"for (int32_t k = 0; k < {inside};) {{",
        f"  const int32_t end = {last};",
        f"  {read}",
        f"  for (; k < end; {step}) {{",
        indented(indented(each)),
        "  }",
        "}",
    )


def _input(layer: Layer) -> tuple[str, Callable[[str], str], str]:
    """Statements of a channel, a word of the input at some place, and statements of a pixel."""
    step = layer.step
    ctype, _ = layer.reads_reals(step.input)
    is_word = "uint32_t" in ctype
    if not is_word:
        layer.helper("word_of")

    def source(at: str) -> str:
        return f"in[{at}]" if is_word else f"word_of(in[{at}])"

    start = layer.at(step.input)
    if step.kind == StepKind.DEPTHWISE_FLOAT:
        channel = "c" if step.multiplier == 1 else f"c / {step.multiplier}"
        return f"{ctype}in = pixel + {channel};", source, f"{ctype}pixel = {start};"
    if step.groups > 1:
        each = step.channels // step.groups
        first = f"{ctype}in = pixel + {step.in_channels} * (c / {each});"
        return first, source, f"{ctype}pixel = {start};"
    return "", source, f"{ctype}in = {start};"


def _packed(numbers: np.ndarray, bits: int) -> np.ndarray:
    """`(..., words)` of numbers of some bits, the first one lowest."""
    together = 32 // bits
    count = -(-numbers.shape[-1] // together)
    padded = np.zeros((*numbers.shape[:-1], count * together), np.uint32)
    padded[..., : numbers.shape[-1]] = numbers
    padded = padded.reshape(*numbers.shape[:-1], count, together)
    shifts = (bits * np.arange(together)).astype(np.uint32)
    return np.bitwise_or.reduce(padded << shifts, axis=-1)
