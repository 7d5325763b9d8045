"""Programs for devices with little memory: the same numbers out of fewer bytes."""

import numpy as np
import pytest

from larqlite_runtime._program import StepKind
from larqlite_runtime.backends._c_structures import c_steps
from larqlite_runtime.internal import whole_program
from larqlite_runtime.planner import live_ranges_of, lower_bound, plan
from larqlite_runtime.reader import read
from tests.runtime import files
from tests.runtime.files import model
from tests.runtime.networks import stock
from tests.runtime.plans import block, node, run_whole
from tests.runtime.pooled import pooled_network
from tests.runtime.random_networks import MOVES, random_network


@pytest.mark.parametrize("window", [(2, 2), (3, 2), (1, 4)])
@pytest.mark.parametrize("channels", [32, 40])
def test_bits_are_pooled_as_they_are_made(window, channels):
    proto = pooled_network(window, channels=channels)
    file = proto.SerializeToString()
    plan(read(file), small=True, checked=True)
    large, small = whole_program(file), whole_program(file, small=True)
    assert StepKind.MOVE_BITS in {step.kind for step in large.steps}
    assert StepKind.MOVE_BITS not in {step.kind for step in small.steps}
    pools = [op.pool for step in small.steps for op in step.ops if op.pool is not None]
    assert [pool.window for pool in pools] == [(1, *window)] * 2
    assert small.arena < 0.8 * large.arena
    image = files.floats(14, 18, 3, seed=1).round(1)
    wanted = stock(proto, {"image": image[None]})
    for whole in (large, small):
        found = run_whole(whole, image)
        np.testing.assert_array_equal(found["c2"], wanted["c2"])
        np.testing.assert_allclose(found["y"], wanted["y"], rtol=1e-6)


def test_an_average_of_a_whole_image_is_taken_where_values_are_made():
    nodes, constants = block(1, "moved", 32)
    nodes = [
        node("Transpose", "image", "moved", perm=[0, 3, 1, 2]),
        *nodes,
        node("Relu", "normal1", "bent"),
        node("AveragePool", "bent", "y", kernel_shape=[6, 6], strides=[6, 6]),
    ]
    proto = model(nodes, {"image": (6, 6, 32)}, {"y": None}, constants)
    small = whole_program(proto.SerializeToString(), small=True)
    assert [step.kind for step in small.steps] == [StepKind.LOAD, StepKind.CONV]
    image = files.floats(6, 6, 32)
    wanted = stock(proto, {"image": image[None]})["y"]
    np.testing.assert_allclose(run_whole(small, image)["y"], wanted, rtol=1e-6)


def test_the_arena_is_as_small_as_what_is_in_use_at_once():
    small = whole_program(pooled_network().SerializeToString(), small=True)
    program = small.plan.program
    outputs = [output.buffer for output in small.outputs]
    live = live_ranges_of(program, small.plan.stages, outputs)
    assert small.arena <= 1.05 * lower_bound(program, small.plan.stages, live)
    assert program.alignment == 4


def test_the_kernels_refuse_what_they_have_no_form_for():
    small = whole_program(pooled_network().SerializeToString(), small=True)
    with pytest.raises(ValueError, match="no step of the kernels"):
        c_steps(small.steps)


def test_plans_of_random_networks_are_sound_and_no_larger():
    for seed in range(12):
        proto, _ = random_network(seed, 10, MOVES)
        graph = proto.SerializeToString()
        large, small = (plan(read(graph), small=s, checked=True) for s in (False, True))
        assert small.program.arena <= large.program.arena
