"""The checker of plans: sound ones pass, and each kind of broken one is caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from larqlite_runtime._program import NOWHERE, EpilogueKind, EpilogueOp, StepKind
from larqlite_runtime.planner import BrokenPlanError, check, plan
from larqlite_runtime.planner._accesses import live_ranges_of, lower_bound
from larqlite_runtime.reader import read
from tests.common.samples import few_or_more
from tests.runtime import files
from tests.runtime.plans import block, network, planned
from tests.runtime.random_networks import random_network

node = files.node


def residual():
    """image -> [bits of x] -> layer + x, kept -> pooled, kept -> layer; all in one part."""
    parts = [
        block(1, "x", 32),
        ([node("Add", "normal1 x", "sum1")], {}),
        ([node("LeakyRelu", "sum1", "relu1", alpha=-0.5)], {}),
        block(2, "relu1", 32),
        ([node("Add", "normal2 relu1", "sum2")], {}),
        (
            [node("MaxPool", "sum2", "pooled", kernel_shape=[2, 2], strides=[2, 2])],
            {},
        ),
        block(3, "pooled", 32, pad_value=-1.0),
    ]
    outputs = {"normal3": (32, 3, 3), "pooled": (32, 3, 3)}
    return network(*parts, outputs=outputs)


@pytest.fixture
def broken():
    """A sound plan, to be broken."""
    return planned(residual())


def steps_with(found, kind):
    return [
        (part, number)
        for part, steps in enumerate(found.program.parts)
        for number, step in enumerate(steps)
        if step.kind == kind
    ]


def change(found, of, which=0, **changes):
    """Changes fields of a step; those of functions are called with what is there."""
    part, number = steps_with(found, of)[which]
    step = found.program.parts[part][number]
    made = {
        name: value(getattr(step, name)) if callable(value) else value
        for name, value in changes.items()
    }
    found.program.parts[part][number] = replace(step, **made)


def change_op(found, kind, which, op_kind, **changes):
    """Changes fields of an epilogue of a step."""

    def changed(ops):
        return tuple(
            replace(op, **{k: v(getattr(op, k)) for k, v in changes.items()})
            if op.kind == op_kind
            else op
            for op in ops
        )

    change(found, kind, which, ops=changed)


def caught(found, match):
    with pytest.raises(BrokenPlanError, match=match):
        check(found)


@pytest.mark.parametrize("float_kernels", [True, False])
@pytest.mark.parametrize("networks", few_or_more(25, 200))
def test_plans_of_random_networks_are_sound_after_every_pass(float_kernels, networks):
    for seed in range(networks):
        model, accumulators = random_network(seed)
        graph = read(model.SerializeToString())
        plan(graph, float_kernels=float_kernels, checked=True)
        if accumulators:
            plan(graph, outputs=accumulators, checked=True)


def test_the_plan_that_is_broken_below_is_sound(broken):
    check(broken)
    kinds = {step.kind for part in broken.program.parts for step in part}
    assert kinds == {StepKind.LOAD, StepKind.CONV, StepKind.POOL_MAX}


def test_a_constant_that_is_not_what_it_is_said_to_be(broken):
    number = next(
        number
        for number, buffer in enumerate(broken.program.buffers)
        if buffer.constant is not None
    )
    broken.program.buffers[number].count += 1
    caught(broken, "its constant is")


@pytest.mark.parametrize("offset", [8, -64, 1 << 20])
def test_a_buffer_outside_of_the_arena(broken, offset):
    buffer = next(
        buffer
        for buffer in broken.program.buffers
        if buffer.constant is None and not buffer.external
    )
    buffer.offset = offset
    caught(broken, "does not lie in the arena")


def test_buffers_in_use_together_that_overlap(broken):
    """The sum of the first block is read by the second layer and added behind it."""
    (part, number), *_ = steps_with(broken, StepKind.CONV)
    stored = broken.program.parts[part][number].ops[-2]
    bits = broken.program.parts[part][number].ops[-1]
    assert (stored.kind, bits.kind) == (EpilogueKind.STORE, EpilogueKind.PACK_SIGN)
    buffers = broken.program.buffers
    buffers[bits.view.buffer].offset = buffers[stored.view.buffer].offset
    caught(broken, "an element twice|written over|over buffer")


def test_something_that_lies_over_borders(broken):
    """Only the second call finds them gone."""
    buffers = broken.program.buffers
    borders = next(buffer for buffer in buffers if buffer.initial is not None)
    (part, number) = steps_with(broken, StepKind.POOL_MAX)[0]
    stored = next(
        op.view.buffer
        for op in broken.program.parts[part][number].ops
        if op.kind == EpilogueKind.PACK_SIGN
    )
    assert buffers[stored].initial is not None
    buffers[stored].offset = borders.offset
    caught(broken, "lies over another|written over")


def test_a_view_that_leaves_its_buffer(broken):
    change_op(
        broken,
        StepKind.CONV,
        0,
        EpilogueKind.STORE,
        view=lambda view: view.moved(1),
    )
    caught(broken, "touches elements")


def test_strides_of_an_input_that_are_not_those_of_its_buffer(broken):
    change(broken, StepKind.LOAD, input=lambda view: replace(view, image=7))
    caught(broken, "images of another size")


def test_a_row_that_is_written_over_another(broken):
    change_op(
        broken,
        StepKind.CONV,
        0,
        EpilogueKind.STORE,
        view=lambda view: replace(view, row=view.row - view.pixel),
    )
    caught(broken, "an element twice|nobody has written")


def test_steps_in_the_wrong_order(broken):
    broken.program.parts[0].reverse()
    caught(broken, "nobody has written|has written over")


def test_a_step_that_is_missing(broken):
    del broken.program.parts[0][1]
    caught(broken, "nobody has written|has written over")


def test_a_part_that_is_not_run(broken):
    broken.stages.clear()
    caught(broken, "each part once")


def test_a_tensor_that_is_written_before_it_is_read_in_its_place(broken):
    """The second sum lies where the first lies; with the addition behind, it is late."""
    (part, number) = steps_with(broken, StepKind.CONV)[1]
    step = broken.program.parts[part][number]
    kinds = [op.kind for op in step.ops]
    add, store = (
        kinds.index(kind) for kind in (EpilogueKind.ADD_TENSOR, EpilogueKind.STORE)
    )
    ops = list(step.ops)
    views = [ops[at].view for at in (add, store)]
    offsets = {broken.program.buffers[view.buffer].offset for view in views}
    assert len(offsets) == 1
    ops[add], ops[store] = ops[store], ops[add]
    broken.program.parts[part][number] = replace(step, ops=tuple(ops))
    caught(broken, "before that is read")


def test_a_sum_that_is_stored_twice(broken):
    (part, number) = steps_with(broken, StepKind.CONV)[0]
    step = broken.program.parts[part][number]
    store = next(op for op in step.ops if op.kind == EpilogueKind.STORE)
    broken.program.parts[part][number] = replace(step, ops=(*step.ops, store))
    caught(broken, "an element twice")


def test_memory_of_the_caller_that_is_written(broken):
    fed = broken.inputs[0].buffer
    change_op(
        broken,
        StepKind.CONV,
        0,
        EpilogueKind.STORE,
        view=lambda view: replace(view, buffer=fed),
    )
    caught(broken, "which is the caller's|images of another size")


def test_bits_that_are_taken_for_floats(broken):
    """The input of a convolution is bits; a load reads floats."""
    change(broken, StepKind.CONV, kind=StepKind.CONV_FLOAT)
    caught(broken, "weights|integers|floats")
    again = planned(residual())
    (part, number) = steps_with(again, StepKind.CONV)[0]
    bits = again.program.parts[part][number].input.buffer
    again.program.buffers[bits].dtype = np.dtype(np.float32)
    caught(again, "but it is float32")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"words": lambda words: words + 1}, "weights"),
        ({"kernel": (3, 3, 3)}, "weights"),
        ({"groups": 3}, "32 channels in 3 groups"),
        ({"weights": NOWHERE}, "there is no buffer"),
        ({"column_classes": 5}, "starts of sums"),
        ({"row_class": NOWHERE}, "classes of no row"),
        ({"channels": 64}, "weights"),
        ({"size": (1, 0, 6)}, "is empty"),
        ({"weight_planes": 0}, "has no planes"),
    ],
)
def test_a_sum_of_bits_that_does_not_fit_its_tables(broken, changes, match):
    change(broken, StepKind.CONV, **changes)
    caught(broken, match)


def test_a_class_of_positions_that_has_no_start(broken):
    (part, number) = steps_with(broken, StepKind.CONV)[0]
    classes = broken.program.parts[part][number].row_class
    buffer = broken.program.buffers[classes]
    buffer.constant = buffer.constant + 9
    caught(broken, "a row has a class beyond|a column has")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"stride": (1, 1, 1)}, "do not agree"),
        ({"in_size": (1, 2, 2)}, "begins behind its input"),
        ({"in_size": (1, 9, 9)}, "touches elements"),
    ],
)
def test_a_pooling_whose_window_is_not_that_of_its_input(broken, changes, match):
    change(broken, StepKind.POOL_MAX, **changes)
    caught(broken, match)


def test_epilogues_that_take_integers_for_floats(broken):
    def without(ops):
        return tuple(op for op in ops if op.kind != EpilogueKind.TO_FLOAT)

    change(broken, StepKind.CONV, ops=without)
    caught(broken, "of integers")
    again = planned(residual())
    thresholds = EpilogueOp(EpilogueKind.THRESHOLD)
    change(again, StepKind.LOAD, ops=lambda ops: (thresholds, *ops))
    caught(again, "of floats")


def test_a_scale_that_is_no_value_for_each_channel(broken):
    (part, number) = steps_with(broken, StepKind.CONV)[0]
    weights = broken.program.parts[part][number].weights
    change_op(broken, StepKind.CONV, 0, EpilogueKind.MULTIPLY, a=lambda _: weights)
    caught(broken, "MULTIPLY: buffer")
    again = planned(residual())
    change_op(again, StepKind.CONV, 0, EpilogueKind.MULTIPLY, a=lambda _: NOWHERE)
    caught(again, "MULTIPLY: there is no buffer")


def test_packed_words_that_are_not_those_of_the_channels(broken):
    change_op(broken, StepKind.LOAD, 0, EpilogueKind.PACK_SIGN, words=lambda _: 2)
    caught(broken, "2 words of")


def test_an_output_that_is_not_made(broken):
    output = broken.outputs["normal3"]
    other = next(
        number
        for number, buffer in enumerate(broken.program.buffers)
        if buffer.constant is None and number != output.port.buffer
    )
    broken.outputs["normal3"] = replace(output, port=replace(output.port, buffer=other))
    broken.program.buffers.append(replace(broken.program.buffers[output.port.buffer]))
    last = len(broken.program.buffers) - 1
    broken.outputs["normal3"] = replace(output, port=replace(output.port, buffer=last))
    caught(broken, 'output "normal3" reads buffer')


def test_live_ranges_and_the_lower_bound_by_hand():
    """Two layers of 32 channels on 4x4 pixels; x is fed, and turned by ONNX Runtime."""
    parts = [
        block(1, "x", 32, size=1, pads=[0] * 4),
        ([node("LeakyRelu", "normal1", "relu", alpha=-0.5)], {}),
        block(2, "relu", 32, size=1, pads=[0] * 4),
        ([node("Add", "normal2 relu", "y")], {}),
    ]
    found = planned(network(*parts, size=4, outputs={"y": (32, 4, 4)}))
    bits, floats = 4 * 4 * 4, 4 * 4 * 32 * 4  # bytes of one tensor
    outputs = [output.port.buffer for output in found.outputs.values()]
    live = live_ranges_of(found.program, found.stages, outputs)
    # 1: x is turned, out of the caller's memory; 2: to bits; 3: to relu and its bits;
    # 4: to y, in place of relu.
    buffers = found.program.buffers
    assert sorted((buffers[number].bytes, span) for number, span in live.items()) == [
        (bits, (2, 3)),
        (bits, (3, 4)),
        (floats, (1, 1)),
        (floats, (1, 2)),
        (floats, (3, 4)),
        (floats, (4, 5)),
    ]
    assert lower_bound(found.program, found.stages, live) == floats + 2 * bits
    assert found.program.arena == floats + 2 * bits
