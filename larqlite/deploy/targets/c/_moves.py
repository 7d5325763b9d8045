"""`MOVE_BITS`: the largest bits of a window, and bits in other places."""

from __future__ import annotations

import numpy as np

from larqlite.deploy.targets.c._epilogues import by_pixel
from larqlite.deploy.targets.c._floats import over_pool_taps
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import lines, loop
from larqlite_runtime.internal import MOVE_FIELDS


def move_bits(layer: Layer) -> str:
    """Words of bits: of the largest values, which 0 stands for, so that `and` finds them."""
    step, memory = layer.step, layer.memory
    turned = np.zeros(step.words, np.uint32)
    if step.base >= 0:
        turned = memory.constant(step.base)[: step.words].view(np.uint32)
    flip = _flip(layer, turned)
    pixel = f"const uint32_t *in = {layer.address(step.input)};"
    all_of = lines(
        "uint32_t bits = 0xffffffffU;",
        over_pool_taps(layer, f"bits &= in[at + c]{flip};"),
        f"bits ^= {flip.removeprefix(' ^ ')};" if flip else "",
    )
    if step.weights < 0:
        return by_pixel(layer, pixel, lines(all_of, "const uint32_t v = bits;"))
    room = layer.room("uint32_t", step.words)
    sources = source_bits(step, memory.constant(step.weights))
    name = layer.integers(
        "from", sources, "the bit that each bit of a word is, from 1; 0: none"
    )
    of_window = loop("c", step.words, lines(all_of, f"{room}[c] = bits;"))
    value = lines(
        "uint32_t v = 0;",
        loop(
            "k",
            32,
            lines(
                f"const int32_t from = {name}[32 * c + k] - 1;",
                f"if (from >= 0) v |= (({room}[from >> 5] >> (from & 31)) & 1U) << k;",
            ),
        ),
    )
    return by_pixel(layer, lines(pixel, of_window), value)


def _flip(layer: Layer, turned: np.ndarray) -> str:
    if not turned.any():
        return ""
    return f" ^ {layer.words('turned', turned, 'bits of which the least is taken')}[c]"


def source_bits(step, table: np.ndarray) -> np.ndarray:
    """`(channels, 32)`: for each bit that is made, the one of the input that it is, from 1 on."""
    shape = (step.multiplier, MOVE_FIELDS, step.channels)
    found = np.zeros((step.channels, 32), np.int64)
    for move in table[: int(np.prod(shape))].reshape(shape):
        word, after, shift, *raised, mask = (field.astype(np.int64) for field in move)
        bit = shift[:, None] + np.arange(32)
        begin = np.where(bit < 32, word[:, None], after[:, None]) * 32
        source = begin + bit % 32 + 1
        # Where the shift is 0, no bit is of the next word.
        for by, up in zip((16, 8, 4, 2, 1), raised, strict=True):
            moved = np.concatenate(
                [np.zeros((len(source), by), np.int64), source[:, :-by]], 1
            )
            is_up = (up[:, None] >> np.arange(32)) & 1
            source = np.where(is_up == 1, moved, source)
        is_kept = (mask[:, None] >> np.arange(32)) & 1
        found = np.where(is_kept == 1, source, found)
    return found
