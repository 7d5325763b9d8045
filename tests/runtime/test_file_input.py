"""What a caller feeds: arrays of the right shape, or an error that says the fix."""

from __future__ import annotations

import numpy as np
import pytest

from larqlite_runtime._errors import InputError, InputTypeError, RuntimeModelError
from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime._input import check_input, check_inputs

IMAGE = (None, 4, 5, 3)


def refused(x, *words: str, shape=IMAGE, kind=InputError) -> None:
    with pytest.raises(kind) as caught:
        check_input("image", shape, x)
    for word in ('"image" takes float32', *words, "Fix: "):
        assert word in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", ">f4", "u1", "i1", "i4", "u8", "i8", "?"]
)
def test_numbers_are_cast_to_float32(dtype):
    x = (np.arange(120).reshape(2, 4, 5, 3) % 100).astype(dtype)
    found = check_input("image", IMAGE, x)
    assert found.dtype == np.float32
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, x)


def test_a_uint8_image_keeps_its_values():
    x = np.full((1, 4, 5, 3), 255, np.uint8)
    assert check_input("image", IMAGE, x).max() == 255.0


def test_float32_is_not_copied():
    x = np.zeros((2, 4, 5, 3), np.float32)
    assert check_input("image", IMAGE, x) is x


def test_strided_arrays_become_contiguous():
    x = np.random.default_rng(0).normal(size=(3, 5, 8, 4)).astype(np.float32)
    view = x.transpose(3, 2, 1, 0)[:, ::2]
    found = check_input("image", IMAGE, view)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, view)


def test_lists_are_arrays():
    found = check_input("x", (None, 2), [[1, 2], (3, 4.5)])
    np.testing.assert_array_equal(found, np.float32([[1, 2], [3, 4.5]]))


def test_nan_and_infinity_pass():
    x = np.array([[np.nan, np.inf]])
    np.testing.assert_array_equal(check_input("x", (None, 2), x), np.float32(x))


def test_values_beyond_float32_are_refused():
    refused(np.array([[1e300]]), "beyond the range of float32", shape=(None, 1))


def test_wrong_shapes_name_both_shapes_and_the_fix():
    refused(np.zeros((2, 4, 5, 2)), "(batch, 4, 5, 3)", "got the shape (2, 4, 5, 2)")
    refused(np.zeros((2, 4, 5)), "(2, 4, 5)")
    refused(np.zeros((4, 5, 3)), "x[None]")
    refused(np.zeros((2, 3, 4, 5)), "numpy.moveaxis(x, 1, -1)")
    refused(np.zeros((2, 4, 5, 3)), "numpy.moveaxis(x, -1, 1)", shape=(None, 3, 4, 5))
    refused(np.zeros((0, 4, 5, 3)), "no samples")
    refused(3.0, "got the shape ()")


def test_what_holds_no_numbers_is_refused():
    refused("text", "str of <U4", kind=InputTypeError)
    refused(None, "NoneType of object", kind=InputTypeError)
    refused(np.zeros((2, 4, 5, 3), complex), "complex128", kind=InputTypeError)
    refused(np.zeros(3, "M8[s]"), "datetime64", kind=TypeError)
    refused([[1, 2], [3]], "list that is no array", "equal lengths")
    assert issubclass(InputTypeError, (ValueError, RuntimeModelError))


def two_inputs() -> CheckedGraph:
    return CheckedGraph(inputs={"a": (None, 2), "b": (None, 3)})


def test_several_inputs_come_as_a_list_or_by_name():
    a, b = np.ones((4, 2)), np.zeros((4, 3))
    for given in ([a, b], (a, b), {"b": b, "a": a}):
        found = check_inputs(two_inputs(), given)
        assert list(found) == ["a", "b"]
        np.testing.assert_array_equal(found["b"], b)


def test_one_input_comes_as_it_is_or_by_name():
    graph = CheckedGraph(inputs={"x": (None, 2)})
    for given in ([[1, 2]], np.ones((1, 2)), {"x": [[1, 2]]}):
        assert check_inputs(graph, given)["x"].shape == (1, 2)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (np.zeros((2, 2)), 'has 2 inputs, "a", "b", but got one ndarray'),
        ([np.zeros((2, 2))], "but got one list of 1"),
        ({"a": np.zeros((2, 2))}, 'dictionary has "a"'),
        ({"a": 1, "b": 2, "c": 3}, "exactly one array for each"),
        ([np.zeros((2, 2)), np.zeros((3, 3))], '"a": 2, "b": 3'),
        ([np.zeros((2, 2)), np.zeros((2, 2))], '"b" takes float32 (batch, 3)'),
    ],
)
def test_inputs_that_do_not_fit_the_model(given, word):
    with pytest.raises(InputError) as caught:
        check_inputs(two_inputs(), given)
    assert word in str(caught.value)
    assert "Fix: " in str(caught.value)
