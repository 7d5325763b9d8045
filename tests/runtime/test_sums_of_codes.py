"""Sums of codes against loops over single values, at their extremes, and when they are chosen."""

from __future__ import annotations

import ctypes
import itertools
from dataclasses import replace

import numpy as np
import pytest

import larqlite_runtime
from larqlite_runtime._program import (
    CODE_SUMS,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    StepKind,
    TensorView,
)
from larqlite_runtime.backends import _native
from larqlite_runtime.backends._c_structures import CBuffer, c_steps
from larqlite_runtime.format import pack_codes
from larqlite_runtime.planner import Subgraph, plan
from larqlite_runtime.planner.producers import _packed
from larqlite_runtime.reader import read
from tests.runtime import files
from tests.runtime.files import codes, convolution, model, packed
from tests.runtime.plans import compare, planned, steps_of
from tests.runtime.steps import random_case
from tests.runtime.test_numpy_kernels import (
    address,
    base_by_hand,
    only_storing,
    positions,
    row_through,
    run,
)

LIBRARY = _native.library()
ISAS = [
    "numpy",
    *(
        isa
        for isa, number in _native.INSTRUCTION_SETS.items()
        if LIBRARY is not None and LIBRARY.lq_supports(number)
    ),
]


def number_of(step, weights, channel, tap, byte):
    """A number of the weights where `program.h` says that it is; of one group."""
    if step.kind == StepKind.CONV_LOOKUPS:
        lanes, within, bits, bit = 32, byte // 15, 1, byte % 15
        vectors = -(-4 * step.words // 15)
        weights = weights.view(np.uint16)
    else:
        lanes, bits = 16, step.weight_bits
        word, each = byte // 4, 8 // bits
        within, bit = word // each, 8 * (byte % 4) + bits * (word % each)
        vectors = -(-step.words // each)
    channels = step.channels // step.groups
    blocks, block = -(-channels // lanes), channel // lanes
    first = block // 4 * 4
    beside = min(4, blocks - first)
    place = first * step.taps * vectors * lanes
    place += ((tap * vectors + within) * beside + block - first) * lanes
    return int(weights[place + channel % lanes]) >> bit & ((1 << bits) - 1)


def sum_by_hand(case, image, depth, row, pixel, channel):
    step, total = case.step, base_by_hand(case, depth, row, pixel, channel)
    inputs, weights = case.buffers[step.input.buffer], case.buffers[step.weights]
    each = step.channels // step.groups
    group = 0 if step.kind == StepKind.DEPTHWISE_CODES else channel // each
    for number, tap in enumerate(itertools.product(*map(range, step.kernel))):
        at = address(step.input, image, depth, row, pixel)
        at += sum(k * stride for k, stride in zip(tap, step.tap, strict=True))
        x = inputs[at + group * step.words :].view(np.int8)
        if step.kind == StepKind.DEPTHWISE_CODES:
            inside, multiple = divmod(channel, step.multiplier)
            place = (multiple * step.taps + number) * step.in_channels + inside
            total += int(weights[place]) * int(x[inside])
            continue
        of_group = weights.reshape(step.groups, -1)[group]
        for byte in range(4 * step.words):
            u = number_of(step, of_group, channel % each, number, byte)
            total += (step.weight_step * u + step.weight_offset) * int(x[byte])
    return total


@pytest.mark.parametrize("kind", CODE_SUMS)
def test_sums_of_codes_are_those_of_a_loop_over_bytes(kind):
    rng = np.random.default_rng(1)
    for seed in range(20):
        case = only_storing(random_case(seed, kind))
        result = run(case)
        places = list(positions(case))
        for number in rng.integers(0, len(places), 2):
            channel = int(rng.integers(0, case.step.channels))
            wanted = sum_by_hand(case, *places[number], channel)
            assert result[(*places[number], channel)] == wanted, seed


def ternary(v):
    return np.sign(np.sign(v + 0.25) + np.sign(v - 0.25))


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (EpilogueOp(EpilogueKind.CODE_SIGN, planes=1), lambda v: int(not v < 0)),
        (EpilogueOp(EpilogueKind.CODE_HEAVISIDE, planes=1), lambda v: int(v > 0)),
        (
            EpilogueOp(EpilogueKind.CODE_TERNARY, planes=2, x=0.25),
            lambda v: int(ternary(v)) + 1,
        ),
        (
            EpilogueOp(EpilogueKind.CODE_STEPS, planes=8),
            lambda v: round(min(max(v, 0), 1) * 255),
        ),
        (
            EpilogueOp(EpilogueKind.CODE_INTEGERS, planes=8, x=-200, y=55),
            lambda v: round(min(max(v, -200), 55)) + 200,
        ),
    ],
    ids=lambda value: value.kind.name if isinstance(value, EpilogueOp) else "",
)
def test_codes_are_what_the_header_says(op, code):
    values = np.float32([-300, -2.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 2.5, 77])
    view = TensorView(2, 0, 4, 4, 4, 3)
    row_through_codes = EpilogueOp(**{**vars(op), "words": 3, "view": view})
    _, buffers = row_through(row_through_codes, values, np.full(4, 7, np.uint32))
    found = buffers[2].view(np.int8)
    assert found[:10].tolist() == [code(v) - 128 for v in values.tolist()]
    # What is left of the last word is 0; the next one is as it was.
    assert found[10:12].tolist() == [0, 0]
    assert buffers[2][3] == 7


def test_not_a_number_has_the_lowest_code():
    for kind in (EpilogueKind.CODE_STEPS, EpilogueKind.CODE_INTEGERS):
        view = TensorView(2, 0, 1, 1, 1, 1)
        op = EpilogueOp(kind, planes=3, x=-4, y=3, words=1, view=view)
        _, buffers = row_through(op, [np.nan], np.zeros(1, np.uint32))
        assert buffers[2].view(np.int8)[0] == -128


def dense(weights, grid, quantizer):
    """A quantizer and a dense layer whose weights `(channels, features)` have these codes.

    Args:
        weights: the codes.
        grid: bits, step and offset.
        quantizer: its name, attributes, and what the layer says of its input.
    """
    (channels, features), (bits, step, offset) = weights.shape, grid
    kind, attributes, word = quantizer
    steps = float((1 << attributes["bits"]) - 1) if kind == "Steps" else 1.0
    nodes = [
        packed(kind, "x", "levels", **attributes),
        packed(
            "QDense",
            "levels w",
            "y",
            weight_shape=[channels, features],
            input=word,
            input_steps=steps,
            bits=bits,
            step=step,
            offset=offset,
        ),
    ]
    shape = {"x": (features,)}, {"y": (channels,)}
    made = model(nodes, *shape, {"w": pack_codes(weights, bits)})
    made.opset_import[1].version = 2
    return made.SerializeToString()


SIGNED = "Integers", {"low": -127, "high": 127}, "integers:-127:127"


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("features", [2560, 4096])
def test_extreme_sums_do_not_overflow(isa, features):
    """All weights 1 and all inputs at an end: what is added up in 16 bits for too long wraps."""
    for code, grid in ((2, (2, 1.0, -1.0)), (0, (1, -2.0, 1.0))):
        file = dense(np.full((260, features), code), grid, SIGNED)
        run_file = larqlite_runtime.load(file, isa=isa)
        for value in (127, 64, -127):
            for batch in (1, 6):
                found = run_file(np.full((batch, features), value, np.float32))
                assert (found == features * value).all(), (grid, value)


@pytest.mark.parametrize("isa", ISAS)
def test_random_sums_are_exact_on_every_instruction_set(isa):
    rng = np.random.default_rng(5)
    for bits, step, offset in (
        (2, 1.0, -1.0),
        (1, -2.0, 1.0),
        (2, 2.0, -3.0),
        (4, 2.0, -15.0),
        (5, -2.0, 31.0),
        (8, 2.0, -255.0),
    ):
        last = 3 if (bits, step) == (2, 1.0) else 1 << bits
        weights = rng.integers(0, last, (263, 131))
        x = rng.integers(-127, 128, (9, 131))
        file = dense(weights, (bits, step, offset), SIGNED)
        found = larqlite_runtime.load(file, isa=isa)(x.astype(np.float32))
        wanted = x @ (weights * int(step) + int(offset)).T
        np.testing.assert_array_equal(found, wanted, err_msg=f"{bits} {step}")


def test_sums_that_int32_cannot_hold_are_refused_by_planner_and_kernels():
    """Files have no larger sums than 2^24; the bound is proven once more where it matters."""
    graph = read(dense(np.zeros((1, 8), np.uint8), (8, 2.0, -255.0), SIGNED))
    node = next(node for node in graph.nodes if node.op == "QDense")
    subgraph = Subgraph(graph, list(graph.inputs), list(graph.outputs))
    found = _packed.packed_or_why(node, subgraph)
    assert _packed._why_not(found) is None
    # Weights of 255 so often that 127 times them is just within, and just beyond.
    for magnitude, fits in ((2_105_377, True), (8_421_505, False)):
        large = replace(found.weights, magnitudes=np.array([magnitude]))
        why = _packed._why_not(replace(found, weights=large))
        assert why == (None if fits else "its sums may leave the range of int32")
    # The kernels' own check: 65,793 bytes of 255 times -128 are the most.
    for words, right in ((16_448, 0), (16_449, 13)):
        step = KernelStep(
            StepKind.CONV_CODES,
            (1, 1, 1),
            1,
            TensorView(0),
            words=words,
            weights=0,
            base=0,
            weight_bits=8,
        )
        memory = np.zeros(16 * words, np.uint32)
        buffers = (CBuffer * 1)(CBuffer(memory.ctypes.data, memory.nbytes))
        if LIBRARY is not None:
            structure = ctypes.byref(c_steps([step])[0])
            assert LIBRARY.lq_check(structure, buffers, 1, 1) == right


def form_of(isa, bits, weight_bits, channels=300):
    step, offset = (1.0, -1.0) if weight_bits == 1.5 else (2.0, 1.0 - 2**weight_bits)
    stored = 2 if weight_bits == 1.5 else weight_bits
    weights = np.zeros((channels, 8), np.uint8)
    file = dense(weights, (stored, step, offset), ("Steps", {"bits": bits}, "steps"))
    made = plan(read(file), isa=isa)
    return steps_of(made)[-1].kind.name


def test_every_instruction_set_takes_the_form_that_was_measured_to_be_fastest_on_it():
    assert form_of("avx512", 3, 1) == "CONV"
    assert form_of("avx512", 4, 1) == "CONV_LOOKUPS"
    assert form_of("avx512", 4, 1, channels=20) == "CONV_CODES"
    assert form_of("avx512", 2, 1.5) == "CONV"
    assert form_of("avx512", 3, 1.5) == "CONV_CODES"
    assert form_of("portable", 8, 1) == "CONV"
    assert form_of("portable", 8, 1.5) == "CONV_CODES"


def test_codes_make_up_for_borders_that_no_byte_has():
    """Borders of -1 around integers from 0 on, of 0 between -1 and +1, and levels."""
    channels, shape = 5, (7, 3, 3, 5)
    for kind, word, attributes, outside in (
        ("Integers", "integers:0:200", {"low": 0, "high": 200}, -1.0),
        ("Integers", "integers:-3:200", {"low": -3, "high": 200}, 1.0),
        ("Steps", "steps", {"bits": 7}, 1.0),
        ("Steps", "steps", {"bits": 8}, 0.0),
    ):
        steps = 127.0 if attributes.get("bits") == 7 else 255.0
        given = {"bits": 3, "step": 2.0, "offset": -7.0}
        given["input_steps"] = steps if kind == "Steps" else 1.0
        nodes = [
            packed(kind, "x", "levels", **attributes),
            packed(
                "QConv2D",
                "levels w",
                "y",
                **convolution(shape, input=word, pad_value=outside, strides=[2, 1]),
                **given,
            ),
        ]
        weights = {"w": codes(int(np.prod(shape)), 3)}
        made = model(nodes, {"x": (channels, 6, 5)}, {"y": (7, 3, 5)}, weights)
        made.opset_import[1].version = 2
        assert steps_of(planned(made))[-1].kind == StepKind.CONV_CODES
        compare(made)


def test_two_readers_of_a_tensor_share_its_codes():
    given = {"bits": 4, "step": 2.0, "offset": -15.0, "input_steps": 255.0}
    shape, more = (4, 3, 3, 5), {"input": "steps"}
    nodes = [
        packed("Steps", "x", "levels", bits=8),
        packed("QConv2D", "levels w0", "a", **convolution(shape, **more), **given),
        packed("QConv2D", "levels w1", "b", **convolution(shape, **more), **given),
        files.node("Add", "a b", "y"),
    ]
    weights = {f"w{n}": codes(int(np.prod(shape)), 4, seed=n) for n in range(2)}
    made = model(nodes, {"x": (5, 4, 4)}, {"y": (4, 4, 4)}, weights)
    found = steps_of(planned(made))
    packs = [op.kind for step in found for op in step.ops if op.kind >= 35]
    assert packs == [EpilogueKind.CODE_STEPS]
    compare(made)


@pytest.mark.parametrize(
    ("bits", "step", "offset"), [(4, 1.0, -7.0), (8, 1.0, -128.0), (3, -3.0, 2.0)]
)
@pytest.mark.parametrize("said", ["integers:-3:4", "sign", "ternary"])
def test_weights_that_are_no_sums_of_signs_are_multiplied_as_codes(
    bits, step, offset, said
):
    """Whole numbers with a zero among them, by borders that hold one too, against the stock
    ONNX Runtime, whose float sums of them are exact."""
    shape = (5, 3, 3, 6)
    weights = {"bits": bits, "step": step, "offset": offset, "input_steps": 1.0}
    given = convolution(shape, input=said, pads=[1, 1, 1, 1], strides=[2, 1], group=1)
    quantizer = {
        "sign": packed("Sign", "x", "s"),
        "ternary": packed("Ternary", "x", "s", threshold=0.5),
    }.get(said, packed("Integers", "x", "s", low=-3, high=4))
    proto = model(
        [quantizer, packed("QConv2D", "s w", "y", **given, **weights)],
        {"x": (6, 5, 4)},
        {"y": None},
        {"w": codes(int(np.prod(shape)), bits)},
    )
    assert {step.kind for step in steps_of(planned(proto))} & {StepKind.CONV_CODES}
    compare(proto)
