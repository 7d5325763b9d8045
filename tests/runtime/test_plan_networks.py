"""Whole random networks against stock onnxruntime, to the bit."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings, strategies as st

import larqlite_runtime
from larqlite_runtime.backends import _native
from larqlite_runtime.planner import plan as planned
from larqlite_runtime.reader import read
from tests.runtime.networks import stock
from tests.runtime.random_networks import random_input, random_network

ISAS = [
    name
    for name, number in _native.INSTRUCTION_SETS.items()
    if _native.library() is not None and _native.library().lq_supports(number)
]

many = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


@functools.cache
def case(seed, batch):
    """A file, inputs, and what stock onnxruntime makes of them: the same for all kernels."""
    model, _ = random_network(seed)
    x = random_input(model, batch, seed)
    return model.SerializeToString(), x, stock(model, x)


def require_equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("isa", [None, "numpy"])
@many
@given(seed=st.integers(0, 1 << 20), batch=st.integers(1, 3))
def test_a_random_network_gives_what_stock_onnxruntime_gives(isa, seed, batch):
    file, x, wanted = case(seed, batch)
    require_equal(larqlite_runtime.load(file, threads=1, isa=isa).run(x), wanted)


@many
@given(seed=st.integers(0, 1 << 20))
def test_accumulators_come_out_as_whole_numbers_bit_for_bit(seed):
    model, accumulators = random_network(seed)
    assume(accumulators)
    x = random_input(model, 2, seed)
    wanted = stock(model, x, accumulators)
    runtime = larqlite_runtime.load(model.SerializeToString(), outputs=accumulators)
    found = runtime.run(x)
    require_equal(found, wanted)
    for array in found.values():
        np.testing.assert_array_equal(array, np.round(array))


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_and_two_threads_give_the_same(isa):
    for seed in range(30):
        file, x, wanted = case(seed, 2)
        require_equal(larqlite_runtime.load(file, threads=2, isa=isa).run(x), wanted)


def test_networks_use_every_kind_of_step_and_of_row_operation():
    """Otherwise the comparisons above would say less than they seem to."""
    needed = {"LOAD", "CONV", "DEPTHWISE", "POOL_MAX", "POOL_AVERAGE", "MEAN"}
    needed |= {"PACK_SIGN", "PACK_HEAVISIDE", "PACK_TERNARY", "PACK_STEPS", "THRESHOLD"}
    needed |= {"MULTIPLY_IMAGE", "ADD_TENSOR", "PRELU", "CLIP", "SIGN"}
    needed |= {"CONV_CODES", "DEPTHWISE_CODES", "CODE_STEPS", "CODE_TERNARY"}
    needed |= {"BConv2D", "HardSigmoid", "Sub"}  # in segments
    found = set()
    # The first ones have everything today, so that few networks are planned.
    for seed in (42, 3, 12, 6, 0, 5, 75, *range(250)):
        model, _ = random_network(seed)
        plan = planned(read(model.SerializeToString()))
        for step in [step for part in plan.program.parts for step in part]:
            found.add(step.kind.name)
            found |= {op.kind.name for op in step.ops}
        found |= {node.op for stage in plan.stages for node in stage.nodes}
        if found >= needed:
            return
    pytest.fail(f"never used: {needed - found}")
