"""Sums of products of bits, a channel of a pixel at a time: what works for every step."""

from __future__ import annotations

from larqlite.deploy.targets.c._epilogues import by_pixel
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import lines, loop, sum_of, times
from larqlite.deploy.targets.c._weights import depthwise_words, plane_words
from larqlite.deploy.targets.c._window import halved, over_taps, start_of


def conv_words(layer: Layer) -> str:
    """`CONV`: ones of the words of the window, counted one word after another."""
    step = layer.step
    each, words = step.channels // step.groups, step.words
    weights = plane_words(step, layer.memory.constant(step.weights))
    said = "weights, [channel][plane][tap][word], a bit a channel of the input"
    name = layer.words("weights", weights.reshape(step.channels, -1), said)
    before, start = start_of(layer)
    group = "" if step.groups == 1 else f"{words} * (c / {each})"
    sums = []
    for of_input, of_weights in _planes(layer):
        x = of_input * step.groups * words
        w = of_weights * step.taps * words
        sums.append(
            over_taps(
                layer,
                lambda tap, number, x=x, w=w, by=of_input + of_weights: loop(
                    "k",
                    words,
                    _count(
                        layer,
                        sum_of(str(x), tap, _word(words)),
                        sum_of(str(w), times(words, f"({number})"), _word(words)),
                        by,
                    ),
                ),
            )
        )
    value = lines(
        f"const uint32_t *a = {sum_of('in', group)};",
        f"const uint32_t *w = {name} + {step.weight_planes * step.taps * words} * c;",
        "int32_t ones = 0;",
        *sums,
        f"const int32_t v = {halved(layer, f'{start} - 2 * ones')};",
    )
    pixel = lines(f"const uint32_t *in = {layer.at(step.input)};", before)
    return by_pixel(layer, pixel, value)


def _planes(layer: Layer) -> list[tuple[int, int]]:
    return [
        (of_input, of_weights)
        for of_input in range(layer.step.input_planes)
        for of_weights in range(layer.step.weight_planes)
    ]


def _word(words: int) -> str:
    return "k" if words > 1 else ""


def _count(layer: Layer, x: str, w: str, by: int) -> str:
    ones = f"{layer.helper('ones_of')}(a[{x}] ^ w[{w}])"
    return f"ones += {times(1 << by, ones)};"


def depthwise_bits(layer: Layer) -> str:
    """`DEPTHWISE`: the bit of a channel, one tap after another."""
    step = layer.step
    words, multiplier = -(-step.in_channels // 32), step.multiplier
    weights = depthwise_words(step, layer.memory.constant(step.weights))
    said = "weights, [multiple][plane][tap][word], a bit a channel"
    name = layer.words("weights", weights.reshape(-1, words), said)
    before, start = start_of(layer)
    multiple = ""
    if multiplier > 1:
        multiple = f"{step.weight_planes * step.taps * words} * (c % {multiplier})"
    sums = []
    for of_input, of_weights in _planes(layer):
        x, w = of_input * words, of_weights * step.taps * words
        by = of_input + of_weights

        def add(tap: str, number: str, x=x, w=w, by=by) -> str:
            a = f"in[{sum_of(str(x), tap, 'k')}]"
            b = f"w[{sum_of(str(w), times(words, f'({number})'), 'k')}]"
            return f"ones += {times(1 << by, f'(int32_t)((({a} ^ {b}) >> bit) & 1U)')};"

        sums.append(over_taps(layer, add))
    channel = "c" if multiplier == 1 else f"c / {multiplier}"
    value = lines(
        f"const int32_t k = ({channel}) >> 5, bit = ({channel}) & 31;",
        f"const uint32_t *w = {sum_of(name, multiple)};",
        "int32_t ones = 0;",
        *sums,
        f"const int32_t v = {halved(layer, f'{start} - 2 * ones')};",
    )
    pixel = lines(f"const uint32_t *in = {layer.at(step.input)};", before)
    return by_pixel(layer, pixel, value)
