"""The program of the native parts as plain data; `native/program.h` says what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np

from larqlite_runtime._halves import Runs, runs_of

NOWHERE = -1  # no buffer
LANES = 16  # channels of a block of weights
CODE_BLOCKS = 4  # whose weights lie side by side where codes are multiplied
LOOKUP_LANES = 32  # channels of a block where products are looked up
LOOKUP_BYTES = 15  # codes that a word of its weights is for
MOVE_FIELDS = 9  # of a move of bits, a word each
ALIGNMENT = 64  # of offsets in the arena, and of the arena, in bytes


class StepKind(IntEnum):
    """What a step computes before its epilogues."""

    LOAD = 1
    CONV = 2
    DEPTHWISE = 3
    POOL_MAX = 4
    POOL_AVERAGE = 5
    POOL_AVERAGE_PADDED = 6
    MEAN = 7
    CONV_FLOAT = 8
    CONV_CODES = 9
    DEPTHWISE_CODES = 10
    CONV_BF16 = 11
    CONV_PIXELS = 12
    CONV_LOOKUPS = 13
    MOVE_BITS = 14
    DEPTHWISE_FLOAT = 15
    CONV_BYTES = 16


class EpilogueKind(IntEnum):
    """What happens to a row of values."""

    STORE_INT = 1
    THRESHOLD = 2
    TO_FLOAT = 3
    SUM = 4
    MULTIPLY = 10
    ADD = 11
    ADD_TENSOR = 12
    MULTIPLY_IMAGE = 13
    RELU = 14
    PRELU = 15
    CLIP = 16
    STORE = 17
    SIGN = 18
    ADD_SCALED = 19
    DIVIDE = 20
    SOFTMAX = 21
    SIGMOID = 22
    TANH = 23
    ELU = 24
    MULTIPLY_TENSOR = 25
    AVERAGE = 26
    DIVIDE_TENSOR = 27
    SQUARE_ROOT = 28
    FLOOR = 29
    PACK_SIGN = 30
    PACK_HEAVISIDE = 31
    PACK_TERNARY = 32
    PACK_STEPS = 33
    PACK_INTEGERS = 34
    CODE_SIGN = 35
    CODE_HEAVISIDE = 36
    CODE_TERNARY = 37
    CODE_STEPS = 38
    CODE_INTEGERS = 39
    PACK_RANGE = 40
    PACK_ABOVE = 41
    PACK_BF16 = 45
    PACK_PIXELS = 46


POPCOUNTS = (StepKind.CONV, StepKind.DEPTHWISE)
CODE_SUMS = (StepKind.CONV_CODES, StepKind.DEPTHWISE_CODES, StepKind.CONV_LOOKUPS)
# Sums of packed layers.
SUMS_OF_INTEGERS = (*POPCOUNTS, *CODE_SUMS)
HALF_CONVS = (StepKind.CONV_BF16, StepKind.CONV_PIXELS)
FLOAT_CONVS = (StepKind.CONV_FLOAT, *HALF_CONVS)
INTEGER_SUMS = (*SUMS_OF_INTEGERS, StepKind.CONV_PIXELS, StepKind.CONV_BYTES)
# What makes integers: sums, or words of bits.
MAKES_INTEGERS = (*INTEGER_SUMS, StepKind.MOVE_BITS)
POOLS = (StepKind.POOL_MAX, StepKind.POOL_AVERAGE, StepKind.POOL_AVERAGE_PADDED)
PACKS = (
    EpilogueKind.PACK_SIGN,
    EpilogueKind.PACK_HEAVISIDE,
    EpilogueKind.PACK_TERNARY,
    EpilogueKind.PACK_STEPS,
    EpilogueKind.PACK_INTEGERS,
    EpilogueKind.PACK_RANGE,
    EpilogueKind.PACK_ABOVE,
)
CODES = (
    EpilogueKind.CODE_SIGN,
    EpilogueKind.CODE_HEAVISIDE,
    EpilogueKind.CODE_TERNARY,
    EpilogueKind.CODE_STEPS,
    EpilogueKind.CODE_INTEGERS,
)
# What reads a second tensor, at its view.
READS_VIEW = (
    EpilogueKind.ADD_TENSOR,
    EpilogueKind.MULTIPLY_TENSOR,
    EpilogueKind.DIVIDE_TENSOR,
    EpilogueKind.ADD_SCALED,
)
# What sums over the pixels of an image: one pixel is left for the epilogues behind it.
GATHERS = (EpilogueKind.SUM, EpilogueKind.AVERAGE)
# What stores numbers of 16 bits.
HALF_PACKS = (EpilogueKind.PACK_BF16, EpilogueKind.PACK_PIXELS)


@dataclass(frozen=True)
class TensorView:
    """Where a tensor lies in a buffer; strides in elements."""

    buffer: int = NOWHERE
    offset: int = 0
    image: int = 0
    depth: int = 0
    row: int = 0
    pixel: int = 0

    def moved(self, by: int) -> TensorView:
        """The same strides from `by` elements further on."""
        return replace(self, offset=self.offset + by)

    def every(self, depth: int, row: int, pixel: int) -> TensorView:
        """Every so many positions of it only."""
        return replace(
            self,
            depth=self.depth * depth,
            row=self.row * row,
            pixel=self.pixel * pixel,
        )


@dataclass(frozen=True)
class BitPool:
    """Windows side by side, whose largest values bits are packed of as they are made.

    Each word is stored for the first pixel of a window, and joined with what is there for the
    others: so values and bits of all pixels never lie in memory. Only programs for small devices
    (`whole_program(small=True)`) have it; others move bits in a step of their own.

    Attributes:
        window: depth, height and width; pixels beyond the last whole window are left out.
        turned: buffer of words, a bit for each channel whose least values are taken; -1: none.
    """

    window: tuple[int, int, int]
    turned: int = NOWHERE


@dataclass(frozen=True)
class EpilogueOp:
    """One operation on a row of values.

    Attributes:
        pool: of an operation that packs bits, the windows whose bits it packs; `view` is then
            that of what comes out.

    The other fields are those of `lq_op`.
    """

    kind: EpilogueKind
    a: int = NOWHERE
    b: int = NOWHERE
    planes: int = 0
    group: int = 0
    words: int = 0
    x: float = 0.0
    y: float = 0.0
    view: TensorView = TensorView()
    pool: BitPool | None = None

    def written(self, size: tuple[int, int, int]) -> tuple[int, int, int]:
        """Depth, height and width of what it packs, of a step of some size."""
        if self.pool is None:
            return size
        return tuple(n // by for n, by in zip(size, self.pool.window, strict=True))


@dataclass(frozen=True)
class KernelStep:
    """One producer of rows and the epilogues that each row passes through.

    Attributes:
        size: depth, height and width of what comes out.
        tap: elements from one tap of the window to the next, for the three axes.
        nodes: names of the nodes that it stands for.
        products: one-bit products, or products of codes or floats, of one image, for speeds.

    The other fields are those of `lq_step`.
    """

    kind: StepKind
    size: tuple[int, int, int]
    channels: int
    input: TensorView
    ops: tuple[EpilogueOp, ...] = ()
    kernel: tuple[int, int, int] = (1, 1, 1)
    tap: tuple[int, int, int] = (0, 0, 0)
    in_size: tuple[int, int, int] = (1, 1, 1)
    stride: tuple[int, int, int] = (1, 1, 1)
    pad: tuple[int, int, int] = (0, 0, 0)
    dilation: tuple[int, int, int] = (1, 1, 1)
    groups: int = 1
    words: int = 0
    in_channels: int = 0
    multiplier: int = 1
    input_planes: int = 1
    weight_planes: int = 1
    shift: int = 0
    weights: int = NOWHERE
    base: int = NOWHERE
    row_class: int = NOWHERE
    column_class: int = NOWHERE
    column_classes: int = 1
    weight_bits: int = 0
    weight_step: int = 0
    weight_offset: int = 0
    inside_base: int = NOWHERE
    nodes: tuple[str, ...] = ()
    products: int = 0

    @property
    def label(self) -> str:
        """Names of the nodes, for people."""
        return ", ".join(self.nodes)

    @property
    def buffers(self) -> set[int]:
        """Numbers of all that it reads or writes: tensors, weights, tables."""
        found = {self.input.buffer, self.weights, self.base, self.inside_base}
        found |= {self.row_class, self.column_class}
        for op in self.ops:
            found |= {op.a, op.b, op.view.buffer}
            found.add(NOWHERE if op.pool is None else op.pool.turned)
        return found - {NOWHERE}

    @property
    def tensors_read(self) -> set[int]:
        """Numbers of the buffers that it reads, of those that steps or callers write."""
        found = {self.input.buffer}
        for op in self.ops:
            if op.kind == EpilogueKind.MULTIPLY_IMAGE:
                found.add(op.a)
            if op.kind in READS_VIEW:
                found.add(op.view.buffer)
        return found

    @property
    def taps(self) -> int:
        """Positions of the window."""
        return int(np.prod(self.kernel))

    @property
    def runs(self) -> Runs:
        """Input values that lie side by side, of convolutions of numbers of 16 bits."""
        return runs_of(self.kernel, self.tap[2], self.in_channels)


@dataclass
class Buffer:
    """Memory that steps refer to by number.

    Attributes:
        dtype: of its elements.
        count: elements of one image; of the whole if `constant`.
        constant: the data, or None for memory of a workspace.
        initial: what every image holds before the first run and steps leave alone
            (borders); None if nothing.
        holds: what lies there, for people.
        layout: of that: "NCHW" or "NHWC", with "padded" before it where there are
            borders, or "bits", or "codes".
        external: whether the caller hands the memory in at every run.
        offset: bytes from the start of the arena, for one image; times the number
            of images where a buffer lies.
    """

    dtype: np.dtype
    count: int
    constant: np.ndarray | None = None
    initial: np.ndarray | None = None
    external: bool = False
    offset: int = 0
    holds: str = ""
    layout: str = ""

    @property
    def bytes(self) -> int:
        """Size of one image, or of the constant."""
        return self.count * np.dtype(self.dtype).itemsize


@dataclass
class Program:
    """Buffers, and the steps of every native part."""

    buffers: list[Buffer] = field(default_factory=list)
    parts: list[list[KernelStep]] = field(default_factory=list)
    arena: int = 0  # bytes of one image
    alignment: int = ALIGNMENT  # of offsets in it
    # Whether `Buffer.initial` stays in memory of its own from the first call on; else every call
    # fills a buffer before the first step that uses it (`filled_before`).
    keeps_borders: bool = True

    def constant(self, array: np.ndarray) -> int:
        """Adds a constant buffer; the same content twice is held once."""
        array = np.ascontiguousarray(array)
        for number, buffer in enumerate(self.buffers):
            known = buffer.constant
            if (
                known is not None
                and known.dtype == array.dtype
                and known.size == array.size
                and np.array_equal(known.reshape(-1), array.reshape(-1))
            ):
                return number
        # A copy, since a view would keep all bytes of the file in memory.
        own = aligned(array.nbytes).view(array.dtype).reshape(array.shape)
        own[...] = array
        return self.add(Buffer(own.dtype, own.size, constant=own))

    def add(self, buffer: Buffer) -> int:
        """Adds a buffer and returns its number."""
        self.buffers.append(buffer)
        return len(self.buffers) - 1


def filled_before(
    steps: Sequence[KernelStep], buffers: Sequence[Buffer]
) -> list[list[int]]:
    """For each step, the buffers that are filled with what they hold at first before it."""
    waiting = {
        number
        for number, buffer in enumerate(buffers)
        if buffer.initial is not None and buffer.constant is None
    }
    found = []
    for step in steps:
        found.append(sorted(waiting & step.buffers))
        waiting -= step.buffers
    return found


def aligned(size: int) -> np.ndarray:
    """Bytes that begin where a cache line does: no vector that is read from them lies in two."""
    return aligned_in(np.empty(size + ALIGNMENT, np.uint8))[:size]


def aligned_in(memory: np.ndarray) -> np.ndarray:
    """Bytes from the first cache line that begins in some memory."""
    return memory[-memory.ctypes.data % ALIGNMENT :]


def strides(sizes: Sequence[int]) -> list[int]:
    """Elements from one index to the next of each axis of a contiguous array.

    >>> strides((2, 3, 4))
    [12, 4, 1]
    """
    steps = [1]
    for size in reversed(sizes[1:]):
        steps.append(steps[-1] * size)
    return steps[::-1]
