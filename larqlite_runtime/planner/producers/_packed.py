"""What a packed node computes: its bits, its weights, what its accumulators start at."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime.format import (
    LEVEL_OF_ZERO,
    PACKED_LAYERS,
    code_words_of,
    integer_pad_value,
)
from larqlite_runtime.planner._codebooks import Codebook, codebook_of_input
from larqlite_runtime.planner._layouts import image_of
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._weight_planes import Weights, weights_of
from larqlite_runtime.planner._window import Triple, Window
from larqlite_runtime.planner.producers._sum_forms import SumForm, forms_of

_LAST_LEVEL = 255  # that a byte has a number for
MOST_INSIDE = 16  # taps of an axis, where the kernels leave out those in borders


@dataclass(frozen=True)
class AccumulatorStarts:
    """What sums begin with.

    Attributes:
        base: int32 (row classes, column classes, channels), for sums over all taps.
        of_row: the class of each row (depth by height), None where there is one class.
        of_column: the class of each column, likewise.
        inside: as `base`, for sums that leave out taps in borders; None if none does.
    """

    base: np.ndarray
    of_row: np.ndarray | None = None
    of_column: np.ndarray | None = None
    inside: np.ndarray | None = None


@dataclass(frozen=True)
class Packed:
    """A packed node in the terms of the kernels.

    Attributes:
        source: the float tensor whose bits it reads.
        codebook: how that is packed.
        axis: of the channels in the input and the output.
        weights: as planes of bits.
        pad_value: whole number that borders hold.
        form: how its sums are computed.
    """

    node: GraphNode
    source: str
    codebook: Codebook
    axis: int
    window: Window
    in_channels: int
    out_channels: int
    groups: int
    weights: Weights
    pad_value: int
    form: SumForm = SumForm.PLANES

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has filters of its own."""
        return self.groups == self.in_channels and self.groups > 1

    @property
    def pad_bits(self) -> tuple[int, ...]:
        """The bits of the border; where none stand for its value, those of +1."""
        return (
            self.codebook.type.bits_of(self.pad_value) or (0,) * self.codebook.type.bits
        )

    @property
    def pad_level(self) -> int:
        """The number of a level that borders hold as codes: that of the pad value, where a
        byte has one, whether the input has it or not."""
        level, between = divmod(
            self.pad_value - self.codebook.type.low, self.codebook.type.apart
        )
        return level if not between and 0 <= level <= _LAST_LEVEL else 0

    @property
    def takes_codes(self) -> bool:
        """Whether it reads codes, not bits."""
        return self.form is not SumForm.PLANES

    @property
    def shift(self) -> int:
        """Halvings of the sum of bits."""
        return self.codebook.type.halved + self.weights.halved

    @property
    def products(self) -> int:
        """Products of one image: of bits, or of codes."""
        pairs = self.codebook.type.bits * self.weights.count
        if self.takes_codes:
            pairs = 1
        return pairs * math.prod(self.window.out) * self.weights.size

    def range(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest sum of each output channel."""
        low = min(self.codebook.type.low, self.pad_value)
        high = max(self.codebook.type.high, self.pad_value)
        total, most = self.weights.sums.sum((1, 2, 3)), self.weights.magnitudes
        plus, minus = (most + total) // 2, (total - most) // 2
        return minus * high + plus * low, minus * low + plus * high

    @property
    def leaves_borders_out(self) -> bool:
        """Whether taps in borders are worth leaving out, and the kernels can.

        They look at the first and the last pixel of a row for columns of taps outside.
        """
        window = self.window
        if self.is_depthwise or self.takes_codes or window.spacing != (1, 1, 1):
            return False
        if max(window.kernel) > MOST_INSIDE or min(window.before) < 0:
            return False
        reads = [window.reads(axis) for axis in range(3)]
        free = [axis for axis in range(3) if window.kernel[axis] == 1]
        return (
            math.prod(window.out) > 1
            and not all(axis.all() for axis in reads)
            and bool(reads[2][1:-1].all())
            and all(reads[axis].all() for axis in free)
        )

    def accumulator_starts(self) -> AccumulatorStarts:
        """What sums begin with."""
        w = self.weights.sums
        total = w.sum((1, 2, 3))
        taps = math.prod(self.window.kernel)
        if self.takes_codes:
            low, apart = self.codebook.type.low, self.codebook.type.apart
            always = (low + apart * LEVEL_OF_ZERO) * total
            missing, shift = self.pad_value - low - apart * self.pad_level, 0
        else:
            of_tap = self.weights.size // self.out_channels // taps
            of_tap *= self.codebook.type.weight * self.weights.weight
            # The offset of the type meets every weight: sums of planes are 2^halved weights.
            offset = self.codebook.type.plane_offset
            always = taps * of_tap + offset * (total << self.weights.halved)
            missing = self.pad_value - self.codebook.type.value_of(self.pad_bits)
            shift = self.shift
        if all(self.window.reads(axis).all() for axis in range(3)):
            missing = 0  # there are no borders
        leaves_out = self.leaves_borders_out
        if not missing and not leaves_out:
            return AccumulatorStarts(always.astype(np.int32)[None, None])
        met, of_line, of_column = self.window.by_class(w)
        base = always + round(missing * (1 << shift)) * (total - met)
        if not leaves_out:
            return AccumulatorStarts(base.astype(np.int32), of_line, of_column)
        kernel = np.ones((1, *self.window.kernel), np.int64)
        counts, _, _ = self.window.by_class(kernel)  # of taps inside
        inside = of_tap * counts + offset * (met << self.weights.halved)
        inside = inside + self.pad_value * (1 << shift) * (total - met)
        return AccumulatorStarts(
            base.astype(np.int32), of_line, of_column, inside.astype(np.int32)
        )


def packed_or_why(
    node: GraphNode, subgraph: Subgraph, isa: str = "portable"
) -> Packed | str:
    """A packed node as the kernels of an instruction set run it, or why ONNX Runtime has
    to, in float."""
    found = codebook_of_input(node, subgraph)
    stream = subgraph.constant_input(node, 1)
    if found is None:
        said = node.attributes.get("input", "integer")
        if said == "integer":
            return "its input are the sums of another node, not bits"
        return f'the kernels take no bits of "{said}" inputs of these levels'
    if stream is None:
        return "its kernel is no constant"
    source, codebook = found
    shape = tuple(int(size) for size in node.attributes["weight_shape"])
    pad_value = integer_pad_value(node)
    if pad_value != int(pad_value) or abs(pad_value) > 1 << 15:
        return f"its pad_value of {node.attributes['pad_value']:g} is no level of its input"
    is_dense = PACKED_LAYERS[node.op].family == "Dense"
    window = (_rows if is_dense else _window)(node, subgraph, shape)
    if window is None:
        return "the kernels have no window of this form"
    weights = weights_of(node, stream, (shape[0], *window.kernel, shape[-1]))
    if weights is None:
        return "its weights are no small whole numbers"
    rank = len(subgraph.shapes[node.inputs[0]])
    groups = int(node.attributes.get("group", 1))
    packed = Packed(
        node=node,
        source=source,
        codebook=codebook,
        axis=rank - 1 if is_dense else 1,
        window=window,
        in_channels=shape[-1] * groups,
        out_channels=shape[0],
        groups=groups,
        weights=weights,
        pad_value=0 if is_dense else int(pad_value),
    )
    forms = [SumForm.CODES]
    if weights.has_planes:
        forms = forms_of(codebook.type, weights.count, groups, shape[0], isa)
    candidates = [replace(packed, form=form) for form in forms]
    whys = [_why_not(candidate) for candidate in candidates]
    usable = [made for made, why in zip(candidates, whys, strict=True) if why is None]
    return usable[0] if usable else whys[0]


def _rows(node: GraphNode, subgraph: Subgraph, shape: tuple[int, ...]) -> Window | None:
    """A dense layer: every row of the input is a pixel."""
    source = subgraph.shapes[node.inputs[0]]
    image = image_of(source, len(source) - 1)
    return Window(image[0], image[0]) if image and len(shape) == 2 else None


def _window(
    node: GraphNode, subgraph: Subgraph, shape: tuple[int, ...]
) -> Window | None:
    rank = len(shape) - 2
    attributes = node.attributes

    def triple(values, missing: int) -> Triple:
        return (missing,) * (3 - rank) + tuple(int(value) for value in values)

    kernel = triple(shape[1:-1], 1)
    strides = triple(attributes.get("strides", [1] * rank), 1)
    dilation = triple(attributes.get("dilations", [1] * rank), 1)
    before = triple(attributes.get("pads", [0] * 2 * rank)[:rank], 0)
    size = triple(subgraph.shapes[node.inputs[0]][2:], 1)
    out = triple(subgraph.shapes[node.outputs[0]][2:], 1)
    if PACKED_LAYERS[node.op].family == "Conv":
        return Window(size, out, kernel, strides, dilation, before)
    if attributes.get("pad_value", 0.0) != 0 or attributes.get("group", 1) != 1:
        return None
    before = tuple(
        dilation[axis] * (kernel[axis] - 1) - before[axis] for axis in range(3)
    )
    return Window(size, out, kernel, (1, 1, 1), dilation, before, strides)


def _why_not(packed: Packed) -> str | None:
    """Why the kernels cannot sum in the form of a packed node; None if they can."""
    if not (_codes_fit if packed.takes_codes else _planes_fit)(packed):
        return "its sums may leave the range of int32"
    if packed.takes_codes or packed.window.kernel.count(1) >= _free_axes_needed(packed):
        return None
    return (
        "planes of equal weight need an axis of its window that is free, and all of "
        f"{'x'.join(map(str, packed.window.kernel))} are taken"
    )


def _free_axes_needed(packed: Packed) -> int:
    """Axes of one tap that planes of equal weight take."""
    beside = packed.codebook.type.has_equal_planes and (
        packed.groups > 1 or packed.is_depthwise
    )
    return int(packed.weights.equal) + int(beside)


def _planes_fit(packed: Packed) -> bool:
    """Whether sums stay far below what int32 holds on the way, as the kernels check it."""
    each = packed.weights.size // packed.out_channels
    padded = each // packed.weights.shape[-1] * (packed.weights.shape[-1] + 31)
    planes = packed.codebook.type.bits + packed.weights.count
    return padded * (2 + abs(packed.pad_value)) << (planes + 1) < 1 << 30


def _codes_fit(packed: Packed) -> bool:
    """Whether no sum of codes can leave int32: neither the whole, whatever the input, nor, in
    any order of adding, what a lane of the kernels holds of it: bytes of weights, up to 255,
    times -128."""
    most = np.iinfo(np.int32).max
    low, high = packed.range()
    kind = packed.codebook.type
    of_start = kind.largest + kind.apart * LEVEL_OF_ZERO + abs(packed.pad_value)
    starts = of_start * packed.weights.magnitudes
    whole = np.maximum(np.abs(low), np.abs(high)) + starts
    channels = packed.weights.shape[-1]
    taps = packed.weights.size // packed.out_channels // channels
    held = taps * -(-code_words_of(channels) * packed.weights.stored_bits // 8) * 4
    return int(whole.max(initial=0)) <= most and held * 255 * LEVEL_OF_ZERO <= most
