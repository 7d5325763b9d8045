"""Memory of the workspace: what is in use together does not overlap."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings, strategies as st

from larqlite_runtime._program import Program
from larqlite_runtime.planner._arena import ALIGNMENT, Memory

FLOAT, ZERO = np.dtype(np.float32), np.zeros((), np.float32)
MOMENTS = 12

buffers = st.lists(
    st.tuples(
        st.integers(1, 40),  # elements
        st.sampled_from([None, None, None, "a", "b"]),  # what is filled alike
        st.integers(0, MOMENTS),
        st.integers(0, 4),  # moments it lives
    ),
    min_size=1,
    max_size=16,
)


def uses(memory, drawn):
    """Makes the buffers and uses them at their moments."""
    numbers = []
    for count, like, *_ in drawn:
        # Buffers that are filled alike are of one size.
        count = {"a": 24, "b": 40}.get(like, count)
        fill = None if like is None else ZERO
        numbers.append(memory.new(FLOAT, count, fill=fill, like=like))
    for moment in range(2 * MOMENTS):
        memory.moment = moment
        for number, (*_, first, length) in zip(numbers, drawn, strict=True):
            if first <= moment <= first + length:
                memory.use(number)
    return numbers


def overlap(one, other):
    return (
        one.offset < other.offset + other.bytes
        and other.offset < one.offset + one.bytes
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(drawn=buffers)
def test_buffers_in_use_together_never_overlap(drawn):
    memory = Memory(Program())
    numbers = uses(memory, drawn)
    memory.arrange()
    made = memory.program.buffers
    for a, b in itertools.combinations(numbers, 2):
        (_, like_a, first_a, long_a), (_, like_b, first_b, long_b) = drawn[a], drawn[b]
        together = first_a <= first_b + long_b and first_b <= first_a + long_a
        filled = like_a or like_b
        if together or (filled and like_a != like_b):
            assert not overlap(made[a], made[b])
        elif overlap(made[a], made[b]) and filled:
            assert made[a].offset == made[b].offset
    for number in numbers:
        assert made[number].offset % ALIGNMENT == 0
        assert made[number].offset + made[number].bytes <= memory.program.workspace


def test_memory_is_used_again():
    memory = Memory(Program())
    for moment in range(10):
        memory.moment = moment
        number = memory.new(FLOAT, 100)
        memory.use(number)
    memory.arrange()
    assert memory.program.workspace == 448  # 400 bytes, whole cache lines


def test_a_buffer_replaces_one_that_is_read_for_the_last_time():
    for last in (1, 2):
        memory = Memory(Program())
        old = memory.use(memory.new(FLOAT, 32))
        memory.moment = 1
        new = memory.use(memory.new(FLOAT, 32))
        memory.use(old)
        memory.replace(new, old)
        memory.moment = 2
        memory.use(new)
        if last == 2:
            memory.use(old)
        memory.arrange()
        one, other = memory.program.buffers
        assert overlap(one, other) == (last == 1)


def test_what_is_handed_in_takes_no_workspace():
    memory = Memory(Program())
    memory.use(memory.new(FLOAT, 1000, external=True))
    memory.arrange()
    assert memory.program.workspace == 0
