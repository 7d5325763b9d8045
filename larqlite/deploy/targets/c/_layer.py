"""A step on its way to C: its buffers as C names them, its tables, its room to work in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from larqlite.deploy.targets.c._text import (
    BYTES,
    Slot,
    identifier,
    integer_type,
    place,
    real,
    slot_of,
    slots_in,
    sum_of,
    table,
    whole,
)
from larqlite_runtime.internal import Buffer, KernelStep, TensorView

ARENA = "arena"
# Room that no step keeps anything in, by the type of its elements; and what those that sum over
# their image keep from pixel to pixel.
SCRATCH = {
    "uint32_t": "scratch_words",
    "int32_t": "scratch_integers",
    "uint16_t": "scratch_halves",
    "uint8_t": "scratch_bytes",
    "float": "scratch_reals",
    "int32_t of an image": "image_sums",
    "float of an image": "image_reals",
    "double of an image": "image_doubles",
}


@dataclass
class Memory:
    """The buffers of a program, and how C reaches them.

    Tensors that steps make are words of one array, `arena`, whatever they hold: floats go in
    and out by `put_real` and `real_of`, so that no two types ever name the same memory.

    Attributes:
        buffers: of the program.
        offsets: where a buffer begins in the arena, in words, by its number.
        inputs: the parameters that hold what the caller hands in, by number of the buffer.
        input_types: their element types.
        tables: the constants of the file as text, in order.
        table_bytes, table_types: of each table, by its name.
        scratch: elements of each type that some step works in.
        helpers: names of the helper functions that are called.
    """

    buffers: Sequence[Buffer]
    offsets: Mapping[int, int]
    inputs: Mapping[int, str] = field(default_factory=dict)
    input_types: Mapping[int, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)
    table_bytes: dict[str, int] = field(default_factory=dict)
    table_types: dict[str, str] = field(default_factory=dict)
    scratch: dict[str, int] = field(default_factory=dict)
    helpers: set[str] = field(default_factory=set)
    _known: dict[tuple[str, bytes], str] = field(default_factory=dict)

    @property
    def scratch_bytes(self) -> int:
        """Bytes of all room, in words."""
        return 4 * sum(
            -(-BYTES[kind.split()[0]] * count // 4)
            for kind, count in self.scratch.items()
        )

    def constant(self, number: int) -> np.ndarray:
        """The data of a constant buffer, flat."""
        return self.buffers[number].constant.reshape(-1)

    def is_constant(self, number: int) -> bool:
        """Whether a buffer is a table of the file."""
        return self.buffers[number].constant is not None

    def add_table(self, name: str, array: np.ndarray, ctype: str, said: str) -> str:
        """Writes a table, unless the same is there already; its name."""
        key = ctype, np.ascontiguousarray(array).tobytes()
        if key not in self._known:
            free, number = name, 1
            while free in self.table_bytes:
                number += 1
                free = f"{name}_{number}"
            self._known[key] = free
            self.table_bytes[free] = array.size * BYTES[ctype]
            self.table_types[free] = ctype
            self.tables.append(table(free, array, ctype, said))
        return self._known[key]


@dataclass
class Layer:
    """One step, and what its C needs.

    Attributes:
        step: the step.
        number: of it in the program, from 1 up.
        memory: of the program.
        is_packed_later: whether this step or a later one makes bits or codes of floats, so
            that those of this one had better be the same as in the native kernels.
        lists_zeros: whether more inputs are -1 than +1, so that the others are listed where
            some are.
        slots: what its C names by a place in the text (`_text.py`): tables, addresses in the
            arena, and numbers that other layers of the same shape may have otherwise.
    """

    step: KernelStep
    number: int
    memory: Memory
    is_packed_later: bool = False
    lists_zeros: bool = False
    slots: dict[str, Slot] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A name of C that begins like the node that it stands for, and that no parameter has."""
        node = self.step.nodes[0] if self.step.nodes else self.step.kind.name.lower()
        return f"{identifier(node)[:40]}_step_{self.number}"

    def helper(self, name: str) -> str:
        """Asks for a helper function; its name."""
        self.memory.helpers.add(name)
        return name

    def room(self, ctype: str, count: int) -> str:
        """The name of `count` elements to work in while the step runs."""
        self.memory.scratch[ctype] = max(count, self.memory.scratch.get(ctype, 0))
        return SCRATCH[ctype]

    def _slot(self, role: str, ctype: str, text: str) -> str:
        """A place in the text for what a layer has of its own; the same again has the same."""
        slot, free, number = Slot(ctype, text), role, 1
        while self.slots.setdefault(free, slot) != slot:
            number += 1
            free = f"{role}_{number}"
        return slot_of(free)

    # Tables.

    def words(self, what: str, array: np.ndarray, said: str) -> str:
        """A table of 32-bit words; its place in the text."""
        return self._table(what, array.astype(np.uint32), "uint32_t", said)

    def integers(self, what: str, array: np.ndarray, said: str) -> str:
        """A table of integers in the smallest type that holds them; its place in the text."""
        return self._table(what, np.asarray(array), integer_type(array), said)

    def unsigned(self, what: str, array: np.ndarray, said: str, bits: int) -> str:
        """A table of numbers of so many bits from 0 up; its place in the text."""
        width = next(width for width in (8, 16, 32) if bits <= width or width == 32)
        array = array.astype(f"u{width // 8}")
        return self._table(what, array, f"uint{width}_t", said)

    def wide_integers(self, what: str, array: np.ndarray, said: str) -> str:
        """A table of int32_t; its place in the text."""
        return self._table(what, array, "int32_t", said)

    def reals(self, what: str, array: np.ndarray, said: str) -> str:
        """A table of floats; its place in the text."""
        return self._table(what, array.astype(np.float32), "float", said)

    def _table(self, what: str, array: np.ndarray, ctype: str, said: str) -> str:
        said = f"{self.step.label or self.name}: {said}"
        name = self.memory.add_table(f"{self.name}_{what}", array, ctype, said)
        return self._slot(what, f"const {ctype} *", name)

    def type_of(self, table: str) -> str:
        """The type of the elements of a table, by its place in the text."""
        (role,) = slots_in(table)
        return self.memory.table_types[self.slots[role].text]

    def integer_of(self, what: str, array: np.ndarray, index: str, said: str) -> str:
        """The integer of a channel: a literal where all are equal, else of a table."""
        if array.size and (array == array.flat[0]).all():
            return whole(int(array.flat[0]))
        return f"{self.integers(what, array, said)}[{index}]"

    def own_integer(self, what: str, value: int) -> str:
        """An int32_t that layers of the same shape may have otherwise."""
        return self._slot(what, "int32_t ", whole(value))

    def real_of(self, what: str, array: np.ndarray, index: str, said: str) -> str:
        """The float of a channel, likewise."""
        bits = array.view(np.uint32)
        if bits.size and (bits == bits.flat[0]).all():
            return self._slot(f"{what}_of_all", "float ", real(array.flat[0]))
        return f"{self.reals(what, array, said)}[{index}]"

    # Tensors.

    def at(self, view: TensorView, variables: str = "dyx") -> str:
        """The address of the first element of a pixel: of an output of the step."""
        return self.address(view, self.pixel(view, self.step.size, variables))

    def pixel(
        self, view: TensorView, size: Sequence[int], variables: Sequence[str]
    ) -> str:
        """Where a pixel of a view of some size lies behind its first one.

        Rows of what operations read and write may be longer in other layers of the same
        shape, by borders.
        """
        row: int | str = view.row
        if view.row > 1 and size[1] > 1 and view != self.step.input:
            row = self._slot(
                self._role(view).replace("at", "row", 1), "int32_t ", str(row)
            )
        return place(size, (view.depth, row, view.pixel), variables)

    def address(self, view: TensorView, further: str = "0") -> str:
        """The address of an element behind the first one of a view."""
        begin, base = view.offset, ARENA
        number = view.buffer
        if number in self.memory.inputs:
            base = self.memory.inputs[number]
        elif self.memory.is_constant(number):
            base = self.reals("image", self.memory.constant(number), "values to add")
        else:
            begin = sum_of(ARENA, str(begin + self.memory.offsets[number]))
            return sum_of(self._slot(self._role(view), "uint32_t *", begin), further)
        return sum_of(base, str(begin), further)

    def _role(self, view: TensorView) -> str:
        """What a view is to the step."""
        if view == self.step.input:
            return "in"
        ops = self.step.ops
        numbers = [number for number, op in enumerate(ops) if op.view == view]
        return "_".join(["at", *map(str, numbers)])

    def reads_reals(self, view: TensorView) -> tuple[str, str]:
        """Floats of a view: the type of a pointer to them, and how one is read, as a format.

        In the arena they are words.
        """
        number = view.buffer
        if number in self.memory.inputs or self.memory.is_constant(number):
            return f"const {self.memory.input_types.get(number, 'float')} *", "{}"
        return "const uint32_t *", f"{self.helper('real_of')}({{}})"
