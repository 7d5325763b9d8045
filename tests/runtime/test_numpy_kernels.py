"""The NumPy interpreter against loops over single values, and native kernels against it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from larqlite_runtime._halves import from_bf16
from larqlite_runtime._program import (
    POOLS,
    POPCOUNTS,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    StepKind,
    TensorView,
)
from larqlite_runtime.backends import _native
from larqlite_runtime.backends._c_structures import CBuffer
from larqlite_runtime.backends.numpy import _kernels
from larqlite_runtime.format import pack
from tests.runtime.steps import random_case

CASES = 30


def bit(words, start, index):
    return int(words[start + index // 32]) >> (index % 32) & 1


def positions(case):
    sizes = [case.batch, *case.step.size]
    return itertools.product(*map(range, sizes))


def address(view, image, depth, row, pixel):
    return (
        view.offset
        + image * view.image
        + depth * view.depth
        + row * view.row
        + pixel * view.pixel
    )


def base_by_hand(case, depth, row, pixel, channel):
    step, buffers = case.step, case.buffers
    index = 0
    if step.row_class >= 0:
        index = int(buffers[step.row_class][depth * step.size[1] + row])
        index *= step.column_classes
    if step.column_class >= 0:
        index += int(buffers[step.column_class][pixel])
    return int(buffers[step.base][index * step.channels + channel])


def sum_by_hand(case, image, depth, row, pixel, channel):
    """One sum of products of bits, a bit at a time."""
    step = case.step
    inputs, weights = (
        case.buffers[number].tolist() for number in (step.input.buffer, step.weights)
    )
    is_conv = step.kind == StepKind.CONV
    each = step.channels // step.groups
    group, within = (channel // each, channel % each) if is_conv else (0, 0)
    counted = range(32 * step.words) if is_conv else [channel // step.multiplier]
    total = 0
    for p, q in itertools.product(range(step.input_planes), range(step.weight_planes)):
        for number, tap in enumerate(itertools.product(*map(range, step.kernel))):
            at = address(step.input, image, depth, row, pixel)
            at += sum(k * stride for k, stride in zip(tap, step.tap, strict=True))
            at += (p * step.groups + group) * step.words
            for index in counted:
                if is_conv:
                    block = group * -(-each // 16) + within // 16
                    place = (block * step.weight_planes + q) * step.taps + number
                    place = (place * step.words + index // 32) * 16 + within % 16
                    of_weights = int(weights[place]) >> (index % 32) & 1
                else:
                    place = channel % step.multiplier * step.weight_planes + q
                    place = (place * step.taps + number) * step.words
                    of_weights = bit(weights, place, index)
                total += (bit(inputs, at, index) ^ of_weights) << (p + q)
    return (base_by_hand(case, depth, row, pixel, channel) - 2 * total) >> step.shift


def only_storing(case, kind=EpilogueKind.STORE_INT):
    """The case with nothing but a store of the values themselves."""
    step = case.step
    strides = [math.prod(step.size[axis:]) * step.channels for axis in range(3)]
    view = TensorView(len(case.buffers), 0, *strides, step.channels)
    dtype = np.int32 if kind == EpilogueKind.STORE_INT else np.float32
    case.buffers.append(np.zeros(case.batch * strides[0], dtype))
    case.step = KernelStep(**{**vars(step), "ops": (EpilogueOp(kind, view=view),)})
    return case


def run(case):
    _kernels.run([case.step], case.buffers, case.batch)
    return case.buffers[-1].reshape(case.batch, *case.step.size, case.step.channels)


@pytest.mark.parametrize("kind", POPCOUNTS)
def test_sums_of_bits_are_those_of_a_loop_over_bits(kind):
    rng = np.random.default_rng(1)
    for seed in range(CASES):
        case = only_storing(random_case(seed, kind))
        result = run(case)
        places = list(positions(case))
        for number in rng.integers(0, len(places), 3):
            for channel in rng.integers(0, case.step.channels, 3):
                wanted = sum_by_hand(case, *places[number], channel)
                assert result[(*places[number], channel)] == wanted, seed


@pytest.mark.parametrize("kind", [StepKind.CONV_FLOAT, StepKind.DEPTHWISE_FLOAT])
def test_sums_of_floats_are_those_of_a_loop_over_taps(kind):
    rng = np.random.default_rng(2)
    for seed in range(CASES):
        case = only_storing(random_case(seed, kind), EpilogueKind.STORE)
        step, result = case.step, run(case)
        source, weights = case.buffers[step.input.buffer], case.buffers[step.weights]
        places = list(positions(case))
        for number in rng.integers(0, len(places), 3):
            channel = int(rng.integers(0, step.channels))
            each = step.channels // step.groups
            group, within = divmod(channel, each)
            block = group * -(-each // 16) + within // 16
            total = 0.0
            for tap_number, tap in enumerate(
                itertools.product(*map(range, step.kernel))
            ):
                at = address(step.input, *places[number])
                at += sum(k * stride for k, stride in zip(tap, step.tap, strict=True))
                if kind == StepKind.DEPTHWISE_FLOAT:
                    inside, which = divmod(channel, step.multiplier)
                    row = (which * step.taps + tap_number) * step.in_channels
                    total += float(source[at + inside]) * weights[row + inside]
                    continue
                at += group * step.in_channels
                for inside in range(step.in_channels):
                    row = block * step.taps + tap_number
                    row = row * step.in_channels + inside
                    total += (
                        float(source[at + inside]) * weights[row * 16 + within % 16]
                    )
            assert result[(*places[number], channel)] == total, seed


@pytest.mark.parametrize("kind", POOLS)
def test_pools_are_those_of_a_loop_over_windows(kind):
    for seed in range(CASES):
        case = only_storing(random_case(seed, kind), EpilogueKind.STORE)
        step, result = case.step, run(case)
        source = case.buffers[step.input.buffer]
        strides = [tap // d for tap, d in zip(step.tap, step.dilation, strict=True)]
        for image, *place in positions(case):
            values = []
            for tap in itertools.product(*map(range, step.kernel)):
                at = [
                    place[axis] * step.stride[axis]
                    - step.pad[axis]
                    + tap[axis] * step.dilation[axis]
                    for axis in range(3)
                ]
                if all(0 <= at[axis] < step.in_size[axis] for axis in range(3)):
                    begin = step.input.offset + image * step.input.image
                    begin += sum(a * s for a, s in zip(at, strides, strict=True))
                    values.append(source[begin : begin + step.channels])
            found = result[(image, *place)]
            if kind == StepKind.POOL_MAX:
                wanted = np.max(values, 0) if values else np.full_like(found, -np.inf)
            else:
                whole = kind == StepKind.POOL_AVERAGE_PADDED
                count = step.taps if whole else max(1, len(values))
                wanted = np.sum(values, 0, np.float64) / count if values else 0
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_moved_bits_are_those_of_a_loop_over_bits():
    """The largest of a window, of turned bits the least; then each bit in its place."""
    kinds = set()
    for seed in range(CASES):
        case = only_storing(random_case(seed, StepKind.MOVE_BITS))
        step, result = case.step, run(case)
        source, channels = case.buffers[step.input.buffer], step.channels
        strides = [tap // d for tap, d in zip(step.tap, step.dilation, strict=True)]
        table = None
        if step.weights >= 0:
            table = case.buffers[step.weights].reshape(step.multiplier, 9, channels)
        kinds.add((step.base >= 0, table is not None))
        for image, *place in positions(case):
            taken = []
            for tap in itertools.product(*map(range, step.kernel)):
                at = [
                    place[axis] * step.stride[axis]
                    - step.pad[axis]
                    + tap[axis] * step.dilation[axis]
                    for axis in range(3)
                ]
                if all(0 <= at[axis] < step.in_size[axis] for axis in range(3)):
                    begin = step.input.offset + image * step.input.image
                    taken.append(
                        begin + sum(a * s for a, s in zip(at, strides, strict=True))
                    )
            for word in range(channels):
                wanted = 0
                for number in range(32):
                    index = place_of_bit(table, word, number)
                    if index is None:
                        continue
                    bits = [bit(source, begin, index) for begin in taken]
                    turned = step.base >= 0 and bit(case.buffers[step.base], 0, index)
                    wanted |= (
                        max(bits, default=0) if turned else min(bits, default=1)
                    ) << number
                assert result[(image, *place, word)] == np.uint32(wanted).astype(
                    np.int32
                ), seed
    assert len(kinds) == 4


def place_of_bit(table, word, number):
    """The bit of the input that a bit of a word is; None if it is none."""
    if table is None:
        return 32 * word + number
    for first, _, shift, *_, mask in table[:, :, word].tolist():
        if mask >> number & 1:
            return 32 * first + shift + bin(mask & ((1 << number) - 1)).count("1")
    return None


def test_a_mean_is_that_of_all_pixels():
    for seed in range(CASES):
        case = only_storing(random_case(seed, StepKind.MEAN), EpilogueKind.STORE)
        step, result = case.step, run(case)
        view, source = step.input, case.buffers[step.input.buffer]
        for image in range(case.batch):
            pixels = [
                source[at : at + step.channels].astype(np.float64)
                for place in itertools.product(*map(range, step.in_size))
                for at in [address(view, image, *place)]
            ]
            wanted = np.mean(pixels, 0)
            np.testing.assert_allclose(result[image, 0, 0, 0], wanted, atol=1e-6)


def row_through(op, values, *buffers):
    """What the operation `op` makes of one pixel's values, and the buffers after it."""
    channels = len(values)
    store = EpilogueOp(
        EpilogueKind.STORE,
        view=TensorView(1, 0, channels, channels, channels, channels),
    )
    step = KernelStep(
        StepKind.LOAD, (1, 1, 1), channels, TensorView(0), ops=(op, store)
    )
    found = [np.float32(values), np.zeros(channels, np.float32), *buffers]
    _kernels.run([step], found, 1)
    return found[1], found


VALUES = [-2.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 3.0, np.nan]


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        (EpilogueOp(EpilogueKind.RELU), lambda v: v if not v < 0 else 0.0),
        (EpilogueOp(EpilogueKind.SIGN), lambda v: -1.0 if v < 0 else 1.0),
        (
            EpilogueOp(EpilogueKind.CLIP, x=-1, y=0.5),
            lambda v: v if v != v else min(max(v, -1), 0.5),
        ),
        (EpilogueOp(EpilogueKind.MULTIPLY, a=2), lambda v: v * 3),
        (EpilogueOp(EpilogueKind.DIVIDE, a=2), lambda v: np.float32(v) / np.float32(3)),
        (EpilogueOp(EpilogueKind.ADD, a=2), lambda v: v + 3),
        (EpilogueOp(EpilogueKind.PRELU, a=2), lambda v: v * 3 if v < 0 else v),
        (EpilogueOp(EpilogueKind.MULTIPLY_IMAGE, a=2), lambda v: v * 3),
        (EpilogueOp(EpilogueKind.ADD_TENSOR, view=TensorView(2)), lambda v: v + 3),
        (EpilogueOp(EpilogueKind.MULTIPLY_TENSOR, view=TensorView(2)), lambda v: v * 3),
        (
            EpilogueOp(EpilogueKind.DIVIDE_TENSOR, view=TensorView(2)),
            lambda v: np.float32(v) / np.float32(3),
        ),
        (
            EpilogueOp(EpilogueKind.SQUARE_ROOT),
            lambda v: math.nan if v < 0 else np.float32(math.sqrt(v)),
        ),
        (EpilogueOp(EpilogueKind.FLOOR), lambda v: v if math.isnan(v) else v // 1),
    ],
    ids=lambda value: value.kind.name if isinstance(value, EpilogueOp) else "",
)
def test_a_row_operation_is_what_the_header_says(op, wanted):
    result, _ = row_through(op, VALUES, np.full(len(VALUES), 3, np.float32))
    np.testing.assert_array_equal(result, np.float32([wanted(v) for v in VALUES]))


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        (EpilogueOp(EpilogueKind.SIGMOID), lambda v: 1 / (1 + np.exp(-v))),
        (EpilogueOp(EpilogueKind.TANH), np.tanh),
        (
            EpilogueOp(EpilogueKind.ELU, x=0.5),
            lambda v: np.where(v < 0, np.expm1(np.minimum(v, 0)) / 2, v),
        ),
    ],
    ids=lambda value: value.kind.name if isinstance(value, EpilogueOp) else "",
)
def test_a_function_is_off_by_three_units_in_the_last_place_at_most(op, wanted):
    sizes = np.geomspace(1e-6, 80, 20_000).astype(np.float32)
    values = np.concatenate([-sizes, sizes, [0, -np.inf, np.inf]]).astype(np.float32)
    found, _ = row_through(op, values)
    with np.errstate(over="ignore"):
        right = wanted(values.astype(np.float64))
    off = np.abs(found[:-2] - right[:-2])
    # An ulp is at most 2^-23 of the number; below 2^-126 there are fewer digits.
    assert (off <= 3 * 2.0**-23 * np.abs(right[:-2]) + 2e-38).all()
    np.testing.assert_array_equal(found[-2:], right[-2:].astype(np.float32))


def ternary(v, threshold=0.25):
    signs = np.sign(v + threshold) + np.sign(v - threshold)
    return np.sign(signs)


@pytest.mark.parametrize(
    ("op", "planes"),
    [
        (EpilogueOp(EpilogueKind.PACK_SIGN, planes=1, words=1), lambda v: [v < 0]),
        (
            EpilogueOp(EpilogueKind.PACK_HEAVISIDE, planes=1, words=1),
            lambda v: [not v > 0],
        ),
        (
            EpilogueOp(EpilogueKind.PACK_TERNARY, planes=2, words=1, x=0.25),
            lambda v: [not ternary(v) >= 0, not ternary(v) > 0],
        ),
        (
            EpilogueOp(EpilogueKind.PACK_STEPS, planes=3, words=1),
            lambda v: [not round(min(max(v, 0), 1) * 7) >> p & 1 for p in range(3)],
        ),
        (
            EpilogueOp(EpilogueKind.PACK_INTEGERS, planes=2, words=1, x=-2, y=1),
            lambda v: [not round(min(max(v, -2), 1)) + 2 >> p & 1 for p in range(2)],
        ),
    ],
    ids=lambda value: value.kind.name if isinstance(value, EpilogueOp) else "",
)
def test_packed_bits_are_what_the_header_says(op, planes):
    values = np.float32([*VALUES[:-1], 0.07142857, 0.21428572, 0.5000001])
    view = TensorView(2, 0, 4, 4, 4, op.words)
    _, buffers = row_through(
        EpilogueOp(**{**vars(op), "view": view}), values, np.full(4, 7, np.uint32)
    )
    for plane in range(op.planes):
        wanted = sum(
            int(planes(v)[plane]) << channel for channel, v in enumerate(values)
        )
        assert buffers[2][plane] == wanted
    assert set(buffers[2][op.planes :]) == {7}


def test_thresholds_take_both_ends_of_an_interval():
    low, high = np.int32([-2, 0, 5]), np.int32([2, 0, 4])
    for value in (-3, -2, 0, 2, 3, 4, 5):
        case = only_storing(random_case(3, StepKind.CONV))
        bits = EpilogueOp(
            EpilogueKind.THRESHOLD,
            a=2,
            b=3,
            planes=1,
            words=1,
            view=TensorView(4, 0, 1, 1, 1, 1),
        )
        step = KernelStep(
            StepKind.CONV,
            (1, 1, 1),
            3,
            TensorView(0),
            ops=(bits,),
            words=1,
            weights=1,
            base=5,
        )
        case.buffers = [
            np.zeros(1, np.uint32),
            np.zeros(16, np.uint32),
            low,
            high,
            np.zeros(1, np.uint32),
            np.full(3, value, np.int32),
        ]
        _kernels.run([step], case.buffers, 1)
        wanted = [not lo <= value <= hi for lo, hi in zip(low, high, strict=True)]
        assert case.buffers[4][0] == pack(np.array(wanted), 0)[0]


def test_a_step_beyond_its_buffer_is_an_error():
    case = only_storing(random_case(0, StepKind.LOAD), EpilogueKind.STORE)
    case.buffers[-1] = case.buffers[-1][:-1]
    with pytest.raises((ValueError, TypeError)):
        run(case)


def test_the_table_of_numpy_1_counts_as_bitwise_count():
    words = np.random.default_rng(0).integers(0, 1 << 63, 100).astype(np.uint64)
    words = np.append(words, np.uint64(0xFFFF_FFFF_FFFF_FFFF)).reshape(101, 1)
    wanted = [[bin(int(word)).count("1")] for word in words.ravel()]
    np.testing.assert_array_equal(_kernels._popcount_by_table(words), wanted)
    np.testing.assert_array_equal(_kernels.popcount(words), wanted)


@pytest.mark.skipif(_native.library() is None, reason="no compiler: no native kernels")
@pytest.mark.parametrize("isa", _native.INSTRUCTION_SETS)
@pytest.mark.parametrize("threads", [1, 3])
def test_native_steps_leave_the_memory_that_numpy_leaves(isa, threads):
    if not _native.library().lq_supports(_native.INSTRUCTION_SETS[isa]):
        pytest.skip(f"this CPU has no {isa}")
    for seed in range(6 * CASES):
        case = random_case(seed)
        wanted = [buffer.copy() for buffer in case.buffers]
        _kernels.run([case.step], wanted, case.batch)
        memory = (CBuffer * len(case.buffers))(
            *(CBuffer(buffer.ctypes.data, buffer.nbytes) for buffer in case.buffers)
        )
        _native.Part([case.step]).bind(memory, case.batch, threads, isa)()
        for found, right in zip(case.buffers, wanted, strict=True):
            if found.dtype == np.float32:
                np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-6)
            elif found.dtype == np.uint16:  # zeros of either sign
                found, right = from_bf16(found), from_bf16(right)
                np.testing.assert_array_equal(found, right, err_msg=str(seed))
            else:
                np.testing.assert_array_equal(found, right, err_msg=str(seed))
