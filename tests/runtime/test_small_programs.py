"""Programs for devices with little memory: the same numbers out of fewer bytes."""

import numpy as np
import pytest

from larqlite_runtime._program import StepKind
from larqlite_runtime.backends._c_structures import c_steps
from larqlite_runtime.internal import whole_program
from larqlite_runtime.planner import live_ranges_of, lower_bound, plan
from larqlite_runtime.reader import read
from tests.runtime import files
from tests.runtime.files import codes, convolution, model
from tests.runtime.networks import stock
from tests.runtime.plans import node, packed, run_whole
from tests.runtime.random_networks import MOVES, random_network


def pooled_network(window=(2, 2), size=(14, 18), channels=40):
    """Image -> float layer -> pooling -> packed -> pooling -> packed -> mean."""
    rng = np.random.default_rng(2)
    nodes = [
        node("Transpose", "image", "moved", perm=[0, 3, 1, 2]),
        node("Conv", "moved w0", "c0", pads=[1, 1, 1, 1]),
    ]
    constants = {
        "w0": (rng.integers(-4, 5, (channels, 3, 3, 3)) / 2).astype(np.float32)
    }
    last = "c0"
    for number in (1, 2):
        pool, normal = f"p{number}", f"n{number}"
        given = {"kernel_shape": list(window), "strides": list(window)}
        nodes += [
            node("MaxPool", last, pool, **given),
            node("Mul", f"{pool} a{number}", f"{normal}/times"),
            node("Add", f"{normal}/times b{number}", normal),
            packed("Sign", normal, f"s{number}"),
            packed(
                "BConv2D",
                f"s{number} w{number}",
                f"c{number}",
                **convolution((channels, 3, 3, channels)),
            ),
        ]
        scale = rng.choice([-2, -1, 0.5, 1], (channels, 1, 1))
        constants |= {
            f"a{number}": scale.astype(np.float32),
            f"b{number}": rng.normal(size=(channels, 1, 1)).astype(np.float32),
            f"w{number}": codes(9 * channels * channels, seed=number),
        }
        last = f"c{number}"
    nodes.append(node("GlobalAveragePool", last, "y"))
    return model(nodes, {"image": (*size, 3)}, {"y": None, "c2": None}, constants)


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
