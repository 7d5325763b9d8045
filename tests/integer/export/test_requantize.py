"""The requantization in a file against Python's integers, for random scales and shifts."""

import numpy as np
import onnxruntime
from hypothesis import given, settings, strategies as st

from larqlite.integer.export._file import onnx_model
from larqlite.integer.export._integers import whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._arithmetic import rounded

CHANNELS = 3


def in_onnxruntime(x, multiplier, shift, value_bits, buffer_bits, half):
    graph = IntegerWriter()
    info = np.iinfo(np.int32)
    source = graph.integers(
        "x", (None, CHANNELS), "int32", int(info.min), int(info.max), False
    )
    y = rounded(
        graph, source, whole(multiplier), whole(shift), value_bits, buffer_bits, half
    )
    proto = onnx_model(graph, "requantize", {"x": source}, {"y": y})
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (result,) = session.run(None, {"x": x})
    assert result.min() >= np.min(y.low)
    assert result.max() <= np.max(y.high)
    return result


def by_python(x, multiplier, shift, value_bits, buffer_bits, half):
    def one(value, q, s):
        product = value * q
        if buffer_bits is not None:
            product = min(max(product, -(2**buffer_bits)), 2**buffer_bits - 1)
        if s >= 0:
            product <<= s
        else:
            product = (product + half * 2 ** (-s - 1)) >> -s
        return min(max(product, -(2**value_bits)), 2**value_bits - 1)

    rows = [
        [one(int(v), q, s) for v, q, s in zip(row, multiplier, shift, strict=True)]
        for row in x
    ]
    return np.array(rows)


INT32 = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**12), 2**12),
    st.integers(0, 30).map(lambda n: 2**n),
    st.integers(0, 31).map(lambda n: -(2**n)),
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(INT32, min_size=CHANNELS * 8, max_size=CHANNELS * 8),
    st.lists(st.integers(0, 255), min_size=CHANNELS, max_size=CHANNELS),
    st.lists(st.integers(-70, 12), min_size=CHANNELS, max_size=CHANNELS),
    st.integers(1, 31),
    st.one_of(st.none(), st.integers(20, 40)),
    st.booleans(),
)
def test_the_requantization_is_that_of_python(
    values, multiplier, shift, value_bits, buffer_bits, half
):
    x = np.array(values, np.int32).reshape(-1, CHANNELS)
    case = (x, multiplier, shift, value_bits, buffer_bits, half)
    assert np.array_equal(in_onnxruntime(*case), by_python(*case))


def test_ties_round_up_on_both_sides_of_zero():
    x = np.array([[-6, -2, 2], [6, -10, 10]], np.int32)
    found = in_onnxruntime(x, [1] * 3, [-2] * 3, 7, None, True)
    assert found.tolist() == [[-1, 0, 1], [2, -2, 3]]
