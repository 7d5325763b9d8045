"""`CONV` a channel at a time: the words of a window are added up before their ones are counted."""

from __future__ import annotations

import math

import numpy as np

from larqlite.deploy.targets.c._costs import StepCost, flash_of_starts
from larqlite.deploy.targets.c._epilogues import by_pixel
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import lines, loop, sum_of, times
from larqlite.deploy.targets.c._weights import plane_words
from larqlite.deploy.targets.c._window import halved, over_taps, start_of
from larqlite_runtime.format import pack, words_of


def conv_tree(layer: Layer) -> str:
    """The window of a pixel is gathered once, its bits one behind the other."""
    step = layer.step
    groups, each, planes = step.groups, step.channels // step.groups, step.input_planes
    bits = _bits_of_tap(layer)
    window = words_of(step.taps * bits)
    weights = plane_words(step, layer.memory.constant(step.weights))
    words = np.ascontiguousarray(weights).astype("<u4").view(np.uint8)
    whole = np.unpackbits(words, axis=-1, bitorder="little")[..., :bits]
    table = pack(whole.reshape(step.channels, step.weight_planes, -1).astype(bool))
    said = "weights, [channel][plane][word], the bits of all taps one behind the other"
    name = layer.words("weights", table.reshape(step.channels, -1), said)
    before, start = start_of(layer)
    room = layer.room("uint32_t", planes * groups * window)
    apart = layer.helper("ones_apart")
    sums = []
    for of_input in range(planes):
        for of_weights in range(step.weight_planes):
            x = sum_of("a", str(of_input * groups * window))
            w = sum_of("w", str(of_weights * window))
            ones = f"{apart}({x}, {w}, {window})"
            sums.append(times(1 << (of_input + of_weights), ones))
    group = "" if groups == 1 else times(window, f"(c / {each})")
    value = lines(
        f"const uint32_t *a = {sum_of(room, group)};",
        f"const uint32_t *w = {name} + {step.weight_planes * window} * c;",
        f"const int32_t ones = {' + '.join(sums)};",
        f"const int32_t v = {halved(layer, f'{start} - 2 * ones')};",
    )
    pixel = lines(
        f"const uint32_t *in = {layer.at(step.input)};",
        _gather(layer, room, window, bits),
        before,
    )
    return by_pixel(layer, pixel, value)


def cost(layer: Layer) -> StepCost:
    """Of `conv_tree`."""
    step = layer.step
    window = words_of(step.taps * _bits_of_tap(layer))
    planes = step.input_planes * step.weight_planes
    gathered = step.taps * step.words * step.input_planes * step.groups
    is_packed = _bits_of_tap(layer) % 32
    pixel = gathered * (18 if is_packed else 7) + 30
    each = planes * (12 * window + 18) + 25 + 6 * len(step.ops)
    return StepCost.same(
        math.prod(step.size) * (pixel + step.channels * each),
        scratch=4 * step.input_planes * step.groups * window,
        flash=4 * step.channels * step.weight_planes * window + flash_of_starts(layer),
    )


def _bits_of_tap(layer: Layer) -> int:
    """Bits of a group that a tap counts: no more than there are where words are not full."""
    step = layer.step
    channels = step.in_channels // step.groups
    if channels and words_of(channels) == step.words:
        return channels
    return 32 * step.words


def _gather(layer: Layer, room: str, window: int, bits: int) -> str:
    step = layer.step
    count = step.input_planes * step.groups
    of_words = times(step.words, "i", count)
    if bits % 32 == 0:
        copy = over_taps(
            layer,
            lambda tap, number: (
                f"*to++ = in[{sum_of(tap, of_words)}];"
                if step.words == 1
                else loop("k", step.words, f"*to++ = in[{sum_of(tap, of_words, 'k')}];")
            ),
        )
        # Planes and groups follow one another as in the input.
        return lines(f"uint32_t *to = {room};", loop("i", count, copy))
    append = layer.helper("append_bits")
    to = sum_of(room, times(window, "i", count))
    body = over_taps(
        layer,
        lambda tap, number: (
            f"at = {append}({to}, at, in + {sum_of(tap, of_words)}, {bits});"
        ),
    )
    return loop("i", count, lines("int32_t at = 0;", body))
