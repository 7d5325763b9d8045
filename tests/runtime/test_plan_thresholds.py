"""Thresholds against the float expression at every sum of the range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from larqlite_runtime._program import EpilogueKind
from larqlite_runtime.format import heaviside, sign, steps, ternary
from larqlite_runtime.planner._codebooks import Codebook
from larqlite_runtime.planner._epilogues import Epilogue
from larqlite_runtime.planner._thresholds import can_threshold, intervals, ranges

LOW, HIGH = -300, 300
SIGN, HEAVISIDE = Codebook("Sign", sign()), Codebook("Heaviside", heaviside())
TERNARY = [Codebook("Ternary", ternary(), threshold) for threshold in (0.5, 0.0)]

NUMBERS = st.one_of(
    st.floats(-4, 4, width=32),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-30, -1e-38, 3.0e38]),
    st.integers(-300, 300).map(float),
)


def rows_of(*pairs):
    """Multiplications and additions of one channel, as rows."""
    return [Epilogue("x", kind, np.array([value], np.float32)) for kind, value in pairs]


def expression(pairs, sums):
    """The same in plain float32."""
    values = sums.astype(np.float32)
    with np.errstate(all="ignore"):
        for kind, value in pairs:
            value = np.float32(value)
            if kind == EpilogueKind.MULTIPLY:
                values = values * value
            elif kind == EpilogueKind.ADD:
                values = values + value
            else:
                values = np.where(values < 0, values * value, values)
    return values


def planes_by_hand(levels, v):
    if levels is SIGN:
        return [~(v < 0)]
    if levels is HEAVISIDE:
        return [v > 0]
    t = np.float32(levels.threshold)
    total = np.sign(np.sign(v + t) + np.sign(v - t))
    return [total >= 0, total > 0]


operations = st.lists(
    st.one_of(
        st.tuples(st.just(EpilogueKind.MULTIPLY), NUMBERS),
        st.tuples(st.just(EpilogueKind.ADD), NUMBERS),
        st.tuples(st.just(EpilogueKind.PRELU), NUMBERS.map(abs)),
    ),
    max_size=4,
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    pairs=operations,
    levels=st.sampled_from([SIGN, HEAVISIDE, *TERNARY]),
)
def test_an_interval_holds_the_sums_whose_bit_is_plus(pairs, levels):
    sums = np.arange(LOW, HIGH + 1)
    values = expression(pairs, sums)
    rows = rows_of(*pairs)
    assert can_threshold(rows, levels)
    found = intervals(rows, levels, np.array([LOW]), np.array([HIGH]))
    if found is None:
        assert not np.isfinite(values[[0, -1]]).all()
        return
    for (first, last), plus in zip(found, planes_by_hand(levels, values), strict=True):
        np.testing.assert_array_equal((first <= sums) & (sums <= last), plus)


@pytest.mark.parametrize(
    ("scale", "offset", "plus"),
    [
        (1, -3, lambda s: s >= 3),  # a tie at 3 is +1
        (-1, 3, lambda s: s <= 3),  # reversed, the tie too
        (0, 1, lambda s: s == s),  # a zero scale: always
        (0, -1, lambda s: s != s),  # or never
        (0, 0, lambda s: s == s),
        (-0.0, 0, lambda s: s == s),
        (0.5, 0.25, lambda s: s >= 0),
    ],
)
def test_negative_and_zero_scales_and_ties(scale, offset, plus):
    rows = rows_of((EpilogueKind.MULTIPLY, scale), (EpilogueKind.ADD, offset))
    [(first, last)] = intervals(rows, SIGN, np.array([LOW]), np.array([HIGH]))
    sums = np.arange(LOW, HIGH + 1)
    np.testing.assert_array_equal((first <= sums) & (sums <= last), plus(sums))


def test_channels_have_thresholds_of_their_own():
    rows = [
        Epilogue("x", EpilogueKind.MULTIPLY, np.array([1, -1, 0, 0], np.float32)),
        Epilogue("x", EpilogueKind.ADD, np.array([2, 2, -1, 1], np.float32)),
    ]
    low, high = np.full(4, LOW), np.full(4, HIGH)
    [(first, last)] = intervals(rows, SIGN, low, high)
    sums = np.arange(LOW, HIGH + 1)[:, None]
    wanted = np.concatenate([sums >= -2, sums <= 2, sums != sums, sums == sums], 1)
    np.testing.assert_array_equal((first <= sums) & (sums <= last), wanted)


def test_what_does_not_keep_order_has_no_thresholds():
    assert not can_threshold(rows_of((EpilogueKind.PRELU, -0.5)), SIGN)
    assert not can_threshold(rows_of((EpilogueKind.MULTIPLY, np.inf)), SIGN)
    assert not can_threshold([Epilogue("x", EpilogueKind.ADD_TENSOR, other="y")], SIGN)
    assert not can_threshold([], Codebook("Steps", steps(2)))


FLOATS = np.float32([0, 1e-30, 0.25, 1, 3, 7.5, 300, 1e20, 3e38, np.inf])
# A factor of 0 behind one that makes the largest floats infinite.
OVERFLOWS = [
    (EpilogueKind.MULTIPLY, -1.5),
    (EpilogueKind.MULTIPLY, 0.0),
    (EpilogueKind.ADD, -6.25),
]


@settings(deadline=None, max_examples=150, derandomize=True)
@given(pairs=operations, levels=st.sampled_from([SIGN, HEAVISIDE, *TERNARY]))
@example(pairs=OVERFLOWS, levels=SIGN)
def test_a_range_holds_the_floats_whose_bit_is_plus(pairs, levels):
    found = ranges(rows_of(*pairs), levels, 1)
    if found is None:
        return
    values = np.concatenate([-FLOATS, FLOATS])
    expected = planes_by_hand(levels, expression(pairs, values))
    for (first, last), plane in zip(found, expected, strict=True):
        np.testing.assert_array_equal((values >= first) & (values <= last), plane)
