"""Random steps of the kernels with random memory, for every field of `program.h`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larqlite_runtime._halves import runs_of, to_bf16
from larqlite_runtime._program import (
    CODES,
    GATHERS,
    HALF_CONVS,
    HALF_PACKS,
    INTEGER_SUMS,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    StepKind,
    TensorView,
)
from larqlite_runtime.format import code_words_of, pack, pack_bytes, words_of
from larqlite_runtime.planner._lower_bits import move_table

Triple = tuple[int, int, int]


@dataclass
class Case:
    """A step, the flat buffers that it refers to, and a number of images."""

    step: KernelStep
    buffers: list[np.ndarray]
    batch: int


def random_case(seed: int, kind: StepKind | None = None) -> Case:
    """A step that fits its buffers; the same one for the same seed.

    Channels are rarely multiples of a vector or a word, strides leave gaps, and what
    lies in the gaps is random, so that a stray write shows.
    """
    return _Maker(seed).case(kind)


class _Maker:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.buffers: list[np.ndarray] = []
        self.batch = self.one_of(1, 1, 2, 3)

    def one_of(self, *values):
        return values[self.rng.integers(len(values))]

    def triple(self, *values: int) -> Triple:
        """Three of the values; the first is mostly 1."""
        first = self.one_of(*values) if self.rng.random() < 0.3 else 1
        return first, self.one_of(*values), self.one_of(*values)

    def buffer(self, array: np.ndarray) -> int:
        self.buffers.append(np.ascontiguousarray(array).reshape(-1))
        return len(self.buffers) - 1

    def floats(self, *shape: int) -> np.ndarray:
        """Values among which are ties, zeros of both signs and the ends of steps."""
        values = self.rng.normal(size=shape).astype(np.float32)
        special = np.array([0.0, -0.0, 0.5, 1, -1, 2], np.float32)
        rare = self.rng.random(shape) < 0.2
        return np.where(rare, self.rng.choice(special, shape), values)

    def integers(self, low: int, high: int, *shape: int) -> np.ndarray:
        return self.rng.integers(low, high, shape).astype(np.int32)

    def case(self, kind: StepKind | None) -> Case:
        kind = self.one_of(*StepKind) if kind is None else kind
        size = (1, 1, 1) if kind == StepKind.MEAN else self.triple(1, 2, 3, 5, 9)
        made = {"size": size} | self.head(kind, size)
        if kind == StepKind.MOVE_BITS:
            view = self.view(np.uint32, size, made["channels"])
            ops = [EpilogueOp(EpilogueKind.STORE_INT, view=view)]
        else:
            makes = self.integer_ops if kind in INTEGER_SUMS else self.float_ops
            ops = makes(made)
        return Case(KernelStep(kind, ops=tuple(ops), **made), self.buffers, self.batch)

    def head(self, kind: StepKind, size: Triple) -> dict:
        if kind == StepKind.CONV:
            return self.conv(size)
        if kind == StepKind.DEPTHWISE:
            return self.depthwise(size)
        if kind in (StepKind.CONV_FLOAT, StepKind.DEPTHWISE_FLOAT):
            return self.float_sums(size, kind == StepKind.DEPTHWISE_FLOAT)
        if kind in (StepKind.CONV_CODES, StepKind.CONV_LOOKUPS):
            return self.conv_codes(size, kind == StepKind.CONV_LOOKUPS)
        if kind == StepKind.DEPTHWISE_CODES:
            return self.depthwise_codes(size)
        if kind in HALF_CONVS:
            return self.conv_halves(size, kind)
        if kind == StepKind.MOVE_BITS:
            return self.move_bits(size)
        if kind == StepKind.CONV_BYTES:
            return self.conv_bytes(size)
        channels = self.one_of(1, 3, 8, 16, 17, 31, 32, 40, 65)
        if kind == StepKind.LOAD:
            view = self.view(np.float32, size, channels)
            return {"channels": channels, "input": view}
        if kind == StepKind.MEAN:
            in_size = self.triple(1, 2, 3, 5)
            view = self.view(np.float32, in_size, channels)
            return {"channels": channels, "in_size": in_size, "input": view}
        return {"channels": channels} | self.pool(size, channels)

    # Memory.

    def strides(self, size: Triple, last: int) -> list[int]:
        """Strides of images, depths, rows and pixels, with room left between."""
        strides = [last + self.one_of(0, 0, 5)]
        for count in size[::-1]:
            strides.append(strides[-1] * count + self.one_of(0, 0, 1, 3))
        return strides[::-1]

    def view(self, dtype, size: Triple, last: int) -> TensorView:
        """A tensor somewhere in a new buffer of random content."""
        image, depth, row, pixel = self.strides(size, last)
        offset = self.one_of(0, 0, 3)
        count = offset + image * self.batch
        is_float = dtype == np.float32
        values = self.floats(count) if is_float else self.integers(0, 1 << 31, count)
        number = self.buffer(values.astype(dtype))
        return TensorView(number, offset, image, depth, row, pixel)

    # Sums of bits.

    def window(self, size: Triple) -> tuple[dict, Triple]:
        """A window, and the sizes of an input that every tap of every output meets."""
        kernel, dilation = self.triple(1, 2, 3), self.triple(1, 1, 2)
        stride = self.triple(1, 1, 2, 3)
        whole = tuple(
            (size[axis] - 1) * stride[axis]
            + (kernel[axis] - 1) * dilation[axis]
            + self.one_of(1, 2)
            for axis in range(3)
        )
        return {"kernel": kernel, "dilation": dilation, "stride": stride}, whole

    def bits(self, window: dict, whole: Triple, words: np.ndarray) -> dict:
        """The words of a tensor `(batch, depth, height, width, words)` as an input."""
        offset = self.one_of(0, 0, 2)
        number = self.buffer(
            np.concatenate([np.zeros(offset, np.uint32), words.ravel()])
        )
        last = words.shape[-1]
        strides = whole[1] * whole[2] * last, whole[2] * last, last
        view = TensorView(number, offset, whole[0] * strides[0], *strides)
        taps = zip(window["dilation"], strides, strict=True)
        return {
            "input": view.every(*window["stride"]),
            "tap": tuple(dilation * stride for dilation, stride in taps),
        }

    def planes(self) -> dict:
        pairs = [(1, 1), (1, 1), (2, 1), (1, 2), (2, 2), (3, 2)]
        return dict(
            zip(("input_planes", "weight_planes"), self.one_of(*pairs), strict=True)
        )

    def base(self, size: Triple, channels: int) -> dict:
        depth, height, width = size
        rows, columns = (
            (1, 1)
            if self.rng.random() < 0.5
            else (self.one_of(1, 3), self.one_of(1, 2))
        )
        return {
            "base": self.buffer(self.integers(-40, 400, rows * columns, channels)),
            "row_class": self.buffer(self.integers(0, rows, depth * height))
            if rows > 1
            else -1,
            "column_class": self.buffer(self.integers(0, columns, width))
            if columns > 1
            else -1,
            "column_classes": columns,
            "shift": self.one_of(0, 0, 1, 2),
        }

    def conv(self, size: Triple) -> dict:
        window, whole = self.window(size)
        planes = self.planes()
        groups, each = self.one_of(1, 1, 2, 3), self.one_of(1, 5, 16, 20, 33, 64)
        inside = self.one_of(1, 7, 32, 33, 64, 96)
        taps, blocks = int(np.prod(window["kernel"])), -(-each // 16)
        shape = (groups, blocks * 16, planes["weight_planes"], taps, inside)
        bits = self.rng.random(shape) < 0.5
        bits[:, each:] = False
        words = pack(bits, 0).reshape(groups, blocks, 16, *shape[2:4], words_of(inside))
        wide = (self.batch, *whole, planes["input_planes"], groups * inside)
        inputs = pack(self.rng.random(wide) < 0.5, inside).reshape(*wide[:4], -1)
        return {
            "channels": groups * each,
            "groups": groups,
            "words": words_of(inside),
            "weights": self.buffer(words.transpose(0, 1, 3, 4, 5, 2)),
            **window,
            **planes,
            **self.bits(window, whole, inputs),
            **self.base(size, groups * each),
        }

    def depthwise(self, size: Triple) -> dict:
        window, whole = self.window(size)
        planes = self.planes()
        channels, multiplier = (
            self.one_of(1, 5, 32, 33, 64, 70),
            self.one_of(1, 1, 2, 3),
        )
        taps = int(np.prod(window["kernel"]))
        weights = self.rng.random((multiplier, planes["weight_planes"], taps, channels))
        wide = (self.batch, *whole, planes["input_planes"], channels)
        inputs = pack(self.rng.random(wide) < 0.5, 0).reshape(*wide[:4], -1)
        return {
            "channels": channels * multiplier,
            "in_channels": channels,
            "multiplier": multiplier,
            "words": words_of(channels),
            "weights": self.buffer(pack(weights < 0.5, 0)),
            **window,
            **planes,
            **self.bits(window, whole, inputs),
            **self.base(size, channels * multiplier),
        }

    def levels(self, *shape: int) -> np.ndarray:
        """Numbers of levels, the ends among them more often than others."""
        ends = self.rng.choice([0, 255], shape)
        return np.where(
            self.rng.random(shape) < 0.1, ends, self.rng.integers(0, 256, shape)
        )

    def conv_codes(self, size: Triple, looked_up: bool) -> dict:
        window, whole = self.window(size)
        groups, each = self.one_of(1, 1, 2, 3), self.one_of(1, 5, 16, 33, 64, 130)
        inside, bits = self.one_of(1, 4, 7, 32, 33, 70), self.one_of(1, 2, 4, 8)
        taps, blocks = int(np.prod(window["kernel"])), -(-each // 16)
        words = code_words_of(inside)
        vectors = -(-words * bits // 8)
        count = groups * blocks * taps * vectors * 16
        if looked_up:  # 15 codes a word of 16 bits, 32 channels a block
            groups = bits = 1
            count = -(-each // 32) * taps * -(-4 * words // 15) * 16
        wide = (self.batch, *whole, groups * inside)
        inputs = pack_bytes(self.levels(*wide), inside)
        base = self.base(size, groups * each) | {"shift": 0}
        weights = self.rng.integers(0, 1 << 32, count, np.uint32)
        return {
            "channels": groups * each,
            "groups": groups,
            "words": words,
            "weight_bits": bits,
            "weight_step": self.one_of(1, 2, -2),
            "weight_offset": self.one_of(0, -1, 1, -15),
            "weights": self.buffer(weights),
            **window,
            **self.bits(window, whole, inputs),
            **base,
        }

    def depthwise_codes(self, size: Triple) -> dict:
        window, whole = self.window(size)
        channels, multiplier = self.one_of(1, 5, 32, 70), self.one_of(1, 1, 3)
        taps = int(np.prod(window["kernel"]))
        inputs = pack_bytes(self.levels(self.batch, *whole, channels))
        weights = self.integers(-255, 256, multiplier, taps, channels)
        return {
            "channels": channels * multiplier,
            "in_channels": channels,
            "multiplier": multiplier,
            "weights": self.buffer(weights),
            **window,
            **self.bits(window, whole, inputs),
            **self.base(size, channels * multiplier),
            "shift": 0,
        }

    def float_sums(self, size: Triple, is_depthwise: bool) -> dict:
        """Sums of multiples of a half, which are exact in any order."""
        window, whole = self.window(size)
        groups, each = self.one_of(1, 1, 2, 3), self.one_of(1, 3, 16, 20, 40, 64)
        inside, multiplier = self.one_of(1, 3, 8, 17, 32), 1
        taps, blocks = int(np.prod(window["kernel"])), -(-each // 16)
        if is_depthwise:
            groups, multiplier, inside = 1, self.one_of(1, 1, 3), each
            each = inside * multiplier
            weights = self.rng.integers(-4, 5, (multiplier, taps, inside)) / 2
        else:
            weights = self.rng.integers(-4, 5, (groups, blocks * 16, taps, inside)) / 2
            weights[:, each:] = 0
            weights = weights.reshape(-1, 16, taps, inside).transpose(0, 2, 3, 1)
        view = self.view(np.float32, whole, groups * inside)
        halves = self.rng.integers(-8, 9, self.buffers[view.buffer].size) / 2
        self.buffers[view.buffer] = halves.astype(np.float32)
        strides = view.depth, view.row, view.pixel
        dilations = zip(window["dilation"], strides, strict=True)
        return {
            "channels": groups * each,
            "groups": groups,
            "in_channels": inside,
            "multiplier": multiplier,
            "weights": self.buffer(weights.astype(np.float32)),
            **window,
            "input": view.every(*window["stride"]),
            "tap": tuple(dilation * stride for dilation, stride in dilations),
        }

    def conv_halves(self, size: Triple, kind: StepKind) -> dict:
        """Sums of multiples of a half in bfloat16, or of pixels and any weights."""
        window, whole = self.window(size)
        channels = self.one_of(1, 3, 16, 20, 40, 64)
        inside = self.one_of(1, 3, 8, 17, 32)
        view = self.view(np.uint16, whole, inside)
        strides = view.depth, view.row, view.pixel
        dilations = zip(window["dilation"], strides, strict=True)
        taps = tuple(dilation * stride for dilation, stride in dilations)
        runs = runs_of(window["kernel"], taps[2], inside)
        shape = -(-channels // 16), runs.count, runs.pairs, 16, 2
        # One more lies behind the last of an odd run.
        count = self.buffers[view.buffer].size + 1
        if kind == StepKind.CONV_PIXELS:
            pixels = self.rng.integers(0, 256, count)
            self.buffers[view.buffer] = pixels.astype(np.uint16)
            weights = self.rng.integers(-(1 << 15), 1 << 15, shape).astype(np.int16)
            weights = weights.view(np.uint16)
        else:
            halves = self.rng.integers(-8, 9, count) / 2
            self.buffers[view.buffer] = to_bf16(halves)
            weights = to_bf16(self.rng.integers(-4, 5, shape) / 2)
        weights[:, :, runs.values // 2 :, :, runs.values % 2 :] = 0
        made = {
            "channels": channels,
            "in_channels": inside,
            "weights": self.buffer(weights),
            **window,
            "input": view.every(*window["stride"]),
            "tap": taps,
        }
        if kind == StepKind.CONV_PIXELS:
            made |= self.base(size, channels) | {"shift": 0}
        return made

    def conv_bytes(self, size: Triple) -> dict:
        """Sums of bytes by any weights, modulo 2^32."""
        channels, inside = self.one_of(1, 3, 16, 20, 40), self.one_of(1, 3, 8, 17)
        made = self.pool(size, inside, np.uint8)
        count = -(-channels // 16) * int(np.prod(made["kernel"])) * inside * 16
        weights = self.rng.integers(-(1 << 31), 1 << 31, count)
        return {
            "channels": channels,
            "in_channels": inside,
            "weights": self.buffer(weights.astype(np.int32)),
            **made,
            **self.base(size, channels),
            "shift": 0,
        }

    def move_bits(self, size: Triple) -> dict:
        words = self.one_of(1, 2, 3, 9)
        made = {"words": words, "channels": words} | self.pool(size, words, np.uint32)
        if self.rng.random() < 0.4:
            made["base"] = self.buffer(self.rng.integers(0, 1 << 32, words, np.uint32))
        if self.rng.random() < 0.6:
            channels = self.one_of(1, 2, 5)
            count = int(self.rng.integers(1, 32 * min(channels, words) + 1))
            target = self.rng.permutation(32 * channels)[:count]
            source = self.rng.permutation(32 * words)[:count]
            if self.rng.random() < 0.5:  # many bits at once
                target, source = np.sort(target), np.arange(count)
            table = move_table(target, source, channels, words)
            made |= {
                "channels": channels,
                "multiplier": len(table),
                "weights": self.buffer(table),
            }
        return made

    def pool(self, size: Triple, channels: int, dtype=np.float32) -> dict:
        window, whole = self.window(size)
        # Every window meets the input: the padding is smaller than the kernel.
        pad = tuple(
            int(self.rng.integers(0, kernel * dilation - dilation + 1))
            for kernel, dilation in zip(
                window["kernel"], window["dilation"], strict=True
            )
        )
        in_size = tuple(
            max(1, sides - self.one_of(1, 1, 2) * before)
            for sides, before in zip(whole, pad, strict=True)
        )
        view = self.view(dtype, in_size, channels)
        strides = view.depth, view.row, view.pixel
        taps = zip(window["dilation"], strides, strict=True)
        return {
            **window,
            "pad": pad,
            "in_size": in_size,
            "input": view.every(*window["stride"]),
            "tap": tuple(dilation * stride for dilation, stride in taps),
        }

    # Operations on rows.

    def integer_ops(self, made: dict) -> list[EpilogueOp]:
        size, channels = made["size"], made["channels"]
        ops = []
        if self.rng.random() < 0.4:
            ops.append(
                EpilogueOp(
                    EpilogueKind.STORE_INT, view=self.view(np.int32, size, channels)
                )
            )
        for _ in range(self.one_of(0, 1, 2)):
            ends = [self.buffer(self.integers(-60, 200, channels)) for _ in range(2)]
            ops.append(
                self.packing(EpilogueKind.THRESHOLD, made, 1, a=ends[0], b=ends[1])
            )
        if self.rng.random() < 0.2:
            made = made | {"size": (1, 1, 1)}
            view = self.view(np.int32, (1, 1, 1), channels)
            ops += [
                EpilogueOp(EpilogueKind.SUM),
                EpilogueOp(EpilogueKind.STORE_INT, view=view),
            ]
        if ops and self.rng.random() < 0.3:
            return ops
        return [*ops, EpilogueOp(EpilogueKind.TO_FLOAT), *self.float_ops(made)]

    def float_ops(self, made: dict) -> list[EpilogueOp]:
        kinds = [
            kind
            for kind in EpilogueKind
            if kind >= EpilogueKind.MULTIPLY and kind not in GATHERS
        ]

        def some(most: int) -> list[EpilogueOp]:
            count = self.rng.integers(0, most)
            return [self.float_op(self.one_of(*kinds), made) for _ in range(count)]

        ops = some(7)
        if self.rng.random() < 0.15 and made["size"] != (1, 1, 1):
            made = made | {"size": (1, 1, 1)}
            ops += [EpilogueOp(EpilogueKind.AVERAGE), *some(3)]
        return [*ops, self.float_op(EpilogueKind.STORE, made)]

    def float_op(self, kind: EpilogueKind, made: dict) -> EpilogueOp:
        channels = made["channels"]
        if kind in (
            EpilogueKind.MULTIPLY,
            EpilogueKind.DIVIDE,
            EpilogueKind.ADD,
            EpilogueKind.PRELU,
        ):
            return EpilogueOp(kind, a=self.buffer(self.floats(channels)))
        if kind == EpilogueKind.ADD_SCALED:
            view = self.view(np.float32, made["size"], 1)
            return EpilogueOp(kind, a=self.buffer(self.floats(channels)), view=view)
        if kind == EpilogueKind.MULTIPLY_IMAGE:
            return EpilogueOp(kind, a=self.buffer(self.floats(self.batch, channels)))
        if kind in HALF_PACKS:
            return EpilogueOp(kind, view=self.view(np.uint16, made["size"], channels))
        if kind in (
            EpilogueKind.STORE,
            EpilogueKind.ADD_TENSOR,
            EpilogueKind.MULTIPLY_TENSOR,
            EpilogueKind.DIVIDE_TENSOR,
        ):
            return EpilogueOp(kind, view=self.view(np.float32, made["size"], channels))
        if kind == EpilogueKind.CLIP:
            return EpilogueOp(
                kind, x=self.one_of(-1.0, 0.0, -np.inf), y=self.one_of(1.0, 6.0)
            )
        if kind == EpilogueKind.ELU:
            return EpilogueOp(kind, x=self.one_of(1.0, 0.25, 1.5))
        if kind in (
            EpilogueKind.RELU,
            EpilogueKind.SIGN,
            EpilogueKind.SOFTMAX,
            EpilogueKind.SIGMOID,
            EpilogueKind.SQUARE_ROOT,
            EpilogueKind.FLOOR,
            EpilogueKind.TANH,
        ):
            return EpilogueOp(kind)
        if kind == EpilogueKind.PACK_ABOVE:
            values = self.buffer(self.floats(channels))
            words = self.rng.integers(0, 1 << 32, words_of(channels), np.uint32)
            return self.packing(kind, made, 1, a=values, b=self.buffer(words))
        if kind == EpilogueKind.PACK_RANGE:
            ends = [self.buffer(self.floats(channels)) for _ in range(2)]
            return self.packing(kind, made, 1, a=ends[0], b=ends[1])
        if kind in (EpilogueKind.PACK_INTEGERS, EpilogueKind.CODE_INTEGERS):
            planes, low = self.one_of(1, 2, 3, 4, 8), self.one_of(0, -1, -2, -4)
            high = low + (1 << planes) - self.one_of(1, 1, min(planes, 2))
            return self.packing(kind, made, planes, x=float(low), y=float(high))
        planes = {
            EpilogueKind.PACK_TERNARY: 2,
            EpilogueKind.CODE_TERNARY: 2,
            EpilogueKind.CODE_STEPS: self.one_of(1, 4, 8),
            EpilogueKind.PACK_STEPS: self.one_of(1, 2, 3, 4),
        }
        return self.packing(
            kind, made, planes.get(kind, 1), x=self.one_of(0.0, 0.5, 0.1)
        )

    def packing(
        self, kind: EpilogueKind, made: dict, planes: int, **values
    ) -> EpilogueOp:
        channels = made["channels"]
        divisors = [n for n in range(1, channels + 1) if channels % n == 0]
        group = self.one_of(0, 0, self.one_of(*divisors))
        words_for = code_words_of if kind in CODES else words_of
        words = words_for(group or channels) * (channels // (group or channels))
        words += self.one_of(0, 0, 1)
        last = words if kind in CODES else planes * words
        view = self.view(np.uint32, made["size"], last)
        return EpilogueOp(
            kind, planes=planes, group=group, words=words, view=view, **values
        )
