"""Memory of the workspace: what is in use together does not overlap."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings, strategies as st

from larqlite_runtime._program import ALIGNMENT, Program
from larqlite_runtime.planner._arena import LiveRanges, arrange

FLOAT, ZERO = np.dtype(np.float32), np.zeros((), np.float32)
POINTS = 12

buffers = st.lists(
    st.tuples(
        st.integers(1, 40),  # elements
        st.sampled_from([None, None, None, "a", "b"]),  # what is filled alike
        st.integers(0, POINTS),
        st.integers(0, 4),  # points it lives
    ),
    min_size=1,
    max_size=16,
)


def uses(live, drawn):
    """Makes the buffers and uses them at their points."""
    numbers = []
    for count, like, *_ in drawn:
        # Buffers that are filled alike are of one size.
        count = {"a": 24, "b": 40}.get(like, count)
        initial = None if like is None else ZERO
        numbers.append(live.new(FLOAT, count, initial=initial, like=like))
    for point in range(2 * POINTS):
        live.point = point
        for number, (*_, first, length) in zip(numbers, drawn, strict=True):
            if first <= point <= first + length:
                live.use(number)
    return numbers


def overlap(one, other):
    return (
        one.offset < other.offset + other.bytes
        and other.offset < one.offset + one.bytes
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(drawn=buffers)
def test_buffers_in_use_together_never_overlap(drawn):
    live = LiveRanges(Program())
    numbers = uses(live, drawn)
    arrange(live)
    made = live.program.buffers
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
        assert made[number].offset + made[number].bytes <= live.program.arena


def test_memory_is_used_again():
    live = LiveRanges(Program())
    for point in range(10):
        live.point = point
        number = live.new(FLOAT, 100)
        live.use(number)
    arrange(live)
    assert live.program.arena == 448  # 400 bytes, whole cache lines


def test_a_buffer_replaces_one_that_is_read_for_the_last_time():
    for last in (1, 2):
        live = LiveRanges(Program())
        old = live.use(live.new(FLOAT, 32))
        live.point = 1
        new = live.use(live.new(FLOAT, 32))
        live.use(old)
        live.replace(new, old)
        live.point = 2
        live.use(new)
        if last == 2:
            live.use(old)
        arrange(live)
        one, other = live.program.buffers
        assert overlap(one, other) == (last == 1)


def test_what_is_handed_in_takes_no_workspace():
    live = LiveRanges(Program())
    live.use(live.new(FLOAT, 1000, external=True))
    arrange(live)
    assert live.program.arena == 0
