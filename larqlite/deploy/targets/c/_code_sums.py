"""Sums of products of codes (bytes) and whole numbers, a channel of a pixel at a time."""

from __future__ import annotations

import numpy as np

from larqlite.deploy.targets.c._epilogues import by_pixel
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import indented, lines, loop, sum_of, times, whole
from larqlite.deploy.targets.c._weights import code_numbers, depthwise_numbers
from larqlite.deploy.targets.c._window import over_taps, start_of


def conv_codes(layer: Layer) -> str:
    """`CONV_CODES`, `CONV_LOOKUPS`: step * sum of u * x + offset * sum of x + start."""
    step = layer.step
    each, bits = step.channels // step.groups, step.weight_bits
    inside = step.in_channels // step.groups or 4 * step.words
    numbers = code_numbers(step, layer.memory.constant(step.weights))[..., :inside]
    packed = _bytes(numbers, bits)  # (channel, tap, byte)
    row, together = packed.shape[-1], 8 // bits
    said = f"weights of {bits} bits, [channel][tap][channel of the input]"
    name = layer.integers("weights", packed.reshape(step.channels, -1), said)
    before, start = start_of(layer)

    def multiply(tap: str, number: str) -> str:
        x = f"codes[{sum_of(times(4, f'({tap})'), 'k')}]"
        at = times(row, f"({number})")
        if together == 1:
            return loop("k", inside, f"sum += w[{sum_of(at, 'k')}] * {x};")
        byte = f"w[{sum_of(at, f'k / {together}')}]"
        shifted = f"({byte} >> ({bits} * (k % {together})))"
        return loop("k", inside, f"sum += ({shifted} & {(1 << bits) - 1}) * {x};")

    def add_up(tap: str, _: str) -> str:
        at = sum_of(times(4, f"({tap})"), "k")
        return loop("k", inside, f"total += codes[{at}];")

    needs_total = step.weight_offset != 0
    total = ["total = 0;", over_taps(layer, add_up)] if needs_total else []
    pixel = [f"const int8_t *codes = (const int8_t *)({layer.at(step.input)});", before]
    pixel += ["int32_t total;"] * needs_total
    value = []
    if step.groups == 1:
        pixel += total
    else:
        first = [f"if (c > 0) codes += {4 * step.words};", *total]
        value = [f"if (c % {each} == 0) {{\n{indented(lines(*first))}\n}}"]
        pixel += ["total = 0;"] * needs_total
    v = sum_of(
        _product(step.weight_step, "sum"),
        _product(step.weight_offset, "total") if needs_total else "",
        start,
    )
    ctype = layer.type_of(name)
    value += [
        f"const {ctype} *w = {name} + {step.taps * row} * c;",
        "int32_t sum = 0;",
        over_taps(layer, multiply),
        f"const int32_t v = {v};",
    ]
    return by_pixel(layer, lines(*pixel), lines(*value))


def _product(factor: int, name: str) -> str:
    return times(factor, name) if factor > 0 else f"{whole(factor)} * {name}"


def _bytes(numbers: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of some bits in bytes along the last axis, the first one lowest."""
    together = 8 // bits
    row = -(-numbers.shape[-1] // together)
    padded = np.zeros((*numbers.shape[:-1], row * together), np.uint8)
    padded[..., : numbers.shape[-1]] = numbers
    padded = padded.reshape(*numbers.shape[:-1], row, together)
    return np.bitwise_or.reduce(
        padded << (bits * np.arange(together)).astype(np.uint8), axis=-1
    )


def depthwise_codes(layer: Layer) -> str:
    """`DEPTHWISE_CODES`: sum of w * x + start, each channel with filters of its own."""
    step = layer.step
    weights = depthwise_numbers(step, layer.memory.constant(step.weights))
    said = "weights, [multiple][tap][channel]"
    name = layer.integers("weights", weights.reshape(-1, step.in_channels), said)
    before, start = start_of(layer)
    multiplier, channel, multiple = step.multiplier, "c", ""
    if multiplier > 1:
        of_multiple = step.taps * step.in_channels
        channel, multiple = (
            f"(c / {multiplier})",
            f"{of_multiple} * (c % {multiplier})",
        )

    def add(tap: str, number: str) -> str:
        w = sum_of(multiple, times(step.in_channels, f"({number})"), channel)
        return f"v += {name}[{w}] * in[{sum_of(times(4, f'({tap})'), channel)}];"

    pixel = f"const int8_t *in = (const int8_t *)({layer.at(step.input)});"
    value = lines(f"int32_t v = {start};", over_taps(layer, add))
    return by_pixel(layer, lines(pixel, before), value)
