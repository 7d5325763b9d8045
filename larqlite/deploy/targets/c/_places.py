"""What becomes of numbers of 32 channels that lie in binary places: bits, or sums."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larqlite.deploy.targets.c._epilogues import epilogues, packed_at, stored
from larqlite.deploy.targets.c._grid import BitGrid, BitWeights, Classes
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import lines, loop, sum_of, times
from larqlite.deploy.targets.c._window import halved
from larqlite_runtime.format import pack, words_of
from larqlite_runtime.internal import EpilogueKind, EpilogueOp

NUMBERS = "numbers"  # of C: the places of a word of channels
WEIGHTS_SAID = (
    "weights, [group][word][plane][tap][input], a bit a channel of the output"
)


def weight_table(grid: BitGrid, weights: BitWeights) -> np.ndarray:
    """`(group * word * plane * tap, channel)`: a bit an output."""
    bits = np.moveaxis(weights.bits, 0, 2)  # (group, output, plane, d, h, w, channel)
    lanes = np.zeros((grid.groups, 32 * grid.output_words, *bits.shape[2:]), bool)
    lanes[:, : grid.outputs] = bits
    lanes = lanes.reshape(grid.groups, grid.output_words, 32, *bits.shape[2:])
    return pack(np.moveaxis(lanes, 2, -1))[..., 0].reshape(-1, grid.channels)


def additions(longest: int) -> int:
    """The most additions behind the eights that up to so many words side by side need."""
    return max(
        length // 16 + bool(length & 8) + bool(length & 4) + bool(length & 3)
        for length in range(max(0, longest - 32), longest + 1)
    )


@dataclass(frozen=True)
class Sums:
    """How sums follow from numbers.

    The sum of a channel is (start + 2 * number) >> shift, or with - if they fall.

    Attributes:
        layer: the step.
        grid: of it.
        classes: of positions.
        starts: int64 (classes, channels).
        most: the largest number.
        falls: whether sums fall with numbers.
    """

    layer: Layer
    grid: BitGrid
    classes: Classes
    starts: np.ndarray
    most: int
    falls: bool = False

    @property
    def places(self) -> int:
        """Binary places of a number, and of one more than the largest."""
        return (self.most + 1).bit_length()

    def pixel(self, count: str, group: str = "") -> str:
        """All outputs of a pixel.

        Args:
            count: statements that compute the numbers of word `k` of group `g`.
            group: statements before the words of a group.
        """
        if all(op.kind == EpilogueKind.THRESHOLD for op in self.layer.step.ops):
            return self._bits(count, group)
        return self._integers(count, group)

    # Sums.

    def _integers(self, count: str, group: str) -> str:
        layer, grid = self.layer, self.grid
        channels = grid.groups * grid.outputs
        # Numbers come eight at a time.
        room = layer.room("int32_t", -(-channels // 8) * 8 + 8 * (grid.outputs % 8 > 0))
        first = sum_of(
            times(grid.outputs, "g", grid.groups), times(32, "k", grid.output_words)
        )
        some = self._some()
        numbers = "numbers_of" if self.places <= 16 else "wide_numbers_of"
        take = (
            f"{layer.helper(numbers)}({NUMBERS}, {self.places}, "
            f"{sum_of(room, first)}, {some});"
        )
        made = epilogues(layer)
        start, said = self.starts, "what sums begin with"
        index = "c"
        if self.classes.count > 1:
            index = sum_of(times(channels, f"({self.classes.index})"), "c")
            said += ", by the borders that rows and columns meet"
        value = halved(layer, self._sum(start.reshape(-1), index, said, f"{room}[c]"))
        value = f"const int32_t v = {value};"
        return lines(
            self._words(group, lines(count, take)),
            *made.pixel,
            loop("c", channels, lines(value, *made.channel)),
            *made.after,
        )

    def _sum(self, starts: np.ndarray, index: str, said: str, number: str) -> str:
        """A sum from a number; what it begins with lies in a byte where that does."""
        layer, sign = self.layer, "-" if self.falls else "+"
        least, most = int(starts.min()), int(starts.max())
        # The same in layers of a shape, as far as it goes.
        less = least // 128 * 128 + (least & 1)
        less = less if most - less < 512 else least
        is_even = not ((starts - less) & 1).any()
        if least == most or most - less >= 512 or not is_even:
            begin = layer.integer_of("sums", starts, index, said)
            return f"{begin} {sign} 2 * {number}"
        said = f"half of {said}, less a number"
        begin = layer.unsigned("sums", (starts - less) // 2, said, 8)
        return f"2 * ({begin}[{index}] {sign} {number}) + {layer.own_integer('less', less)}"

    def _words(self, group: str, body: str) -> str:
        words = loop("k", self.grid.output_words, body)
        return loop("g", self.grid.groups, lines(group, words))

    @property
    def _word(self) -> str:
        """The number of a word of outputs."""
        grid = self.grid
        return sum_of(
            times(grid.output_words, "g", grid.groups),
            times(1, "k", grid.output_words),
        )

    def _some(self) -> str:
        """How many outputs a word has."""
        outputs, whole = self.grid.outputs, self.grid.output_words - 1
        if outputs % 32 == 0:
            return "32"
        return f"k < {whole} ? 32 : {outputs - 32 * whole}" if whole else str(outputs)

    # Bits.

    def _bits(self, count: str, group: str) -> str:
        pixel, word = [], []
        for number, op in enumerate(self.layer.step.ops):
            before, after = self._threshold(op, number)
            pixel += before
            word += after
        return lines(*pixel, self._words(group, lines(count, *word)))

    def _threshold(self, op: EpilogueOp, number: int) -> tuple[list[str], list[str]]:
        layer, grid = self.layer, self.grid
        bits = self._condition(op, number)
        group = op.group or layer.step.channels
        at = self._word
        pointer = [f"uint32_t *o{number} = {packed_at(layer, op)};"]
        if op.pool is not None:
            name = f"w{number}"
            store = stored(layer, op, f"o{number}", at, name)
            return pointer, [f"const uint32_t {name} = {bits};", store]
        is_direct = (
            (grid.groups == 1 and (group % 32 == 0 or group == layer.step.channels))
            or (grid.outputs % 32 == 0 and group % 32 == 0)
            or group == grid.outputs
        )
        if is_direct:
            return pointer, [f"o{number}[{at}] = {bits};"]
        words = layer.step.channels // group * words_of(group)
        clear = [f"memset(o{number}, 0, {words} * sizeof *o{number});"]
        first = sum_of(
            times(grid.outputs, "g", grid.groups), times(32, "k", grid.output_words)
        )
        some = self._some()
        put = (
            f"{layer.helper('put_bits')}(o{number}, {bits}, {first}, {some}, {group});"
        )
        return pointer + clear, [put]

    def _condition(self, op: EpilogueOp, number: int) -> str:
        """A word of channels: the bits that are 1, which stands for -1."""
        first, last = self._limits(op)
        lowest, beyond = (first == 0).all(0), (last == self.most + 1).all(0)
        if (lowest | beyond).all():
            # One limit a channel: what is at least so much is +1 if turned, else -1.
            turned = ~lowest
            limit = np.where(turned, first, last)
            found = self._at_least(f"limit_{number}", limit)
            return f"{found}{self._turned(number, turned)}"
        low = self._at_least(f"first_{number}", first)
        high = self._at_least(f"last_{number}", last)
        return f"~{low} | {high}"

    def _limits(self, op: EpilogueOp) -> tuple[np.ndarray, np.ndarray]:
        """`(classes, channels)`: +1 is what is at least the first and less than the second."""
        memory, step = self.layer.memory, self.layer.step
        low = memory.constant(op.a)[: step.channels].astype(np.int64) << step.shift
        high = (
            memory.constant(op.b)[: step.channels].astype(np.int64) + 1
        ) << step.shift
        if self.falls:
            first = (self.starts - high) // 2 + 1
            last = (self.starts - low) // 2 + 1
        else:
            first = -((self.starts - low) // 2)
            last = -((self.starts - high) // 2)
        return tuple(np.clip(limit, 0, self.most + 1) for limit in (first, last))

    def _at_least(self, what: str, limits: np.ndarray) -> str:
        grid, places = self.grid, self.places
        lanes = np.full(
            (len(limits), grid.groups, 32 * grid.output_words), self.most + 1, np.int64
        )
        if what.startswith("first"):
            lanes[:] = 0
        lanes[..., : grid.outputs] = limits.reshape(len(limits), grid.groups, -1)
        lanes = lanes.reshape(len(limits), grid.groups * grid.output_words, 1, 32)
        bits = (lanes >> np.arange(places)[:, None]) & 1
        table = pack(bits.astype(bool))[..., 0]
        if (table == table[:1]).all():
            table = table[:1]
        said = "limits of numbers, [class][word][place], a bit a channel"
        name = self.layer.words(what, table.reshape(-1, places), said)
        word = self._word
        if len(table) > 1:
            whole = grid.groups * grid.output_words
            word = sum_of(times(whole, f"({self.classes.index})"), word)
        at = name if word == "0" else f"{name} + {places} * ({word})"
        return f"{self.layer.helper('at_least')}({NUMBERS}, {at}, {places})"

    def _turned(self, number: int, turned: np.ndarray) -> str:
        grid = self.grid
        if not turned.any():
            return ""
        lanes = np.zeros((grid.groups, 32 * grid.output_words), bool)
        lanes[:, : grid.outputs] = turned.reshape(grid.groups, -1)
        words = pack(lanes).reshape(-1)
        if (words == words[0]).all():
            return f" ^ 0x{words[0]:08x}U"
        said = "channels whose bits are turned"
        name = self.layer.words(f"turned_{number}", words, said)
        return f" ^ {name}[{self._word}]"
