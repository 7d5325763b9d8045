"""Every operator with every kind of operand: NumPy's number, or a refusal by name."""

import operator

import numpy as np
import pytest
import tensorflow as tf

from larqlite.errors import QuantizedTensorError, QuantizedTypeError
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor

FIXED = FixedPoint([1, 3, -5, 8], 7, 1)
SCALED = QFloat(FixedPoint([1, 3, -5, 8], 7, 0), 0.75)
TENSORS = {"FixedPoint": FIXED, "QFloat": SCALED}

NUMBERS = {
    "int": 4,
    "float": 4.0,
    "fraction": 0.5,
    "negative": -2.0,
    "NumPy int": np.int64(4),
    "NumPy float": np.float32(4),
    "NumPy int of no axes": np.array(4),
    "NumPy float of no axes": np.array(4.0),
    "one for each channel": np.array([4.0, 2.0, -4.0, 0.5]),
    "tf int": tf.constant(4),
    "tf float": tf.constant(4.0),
    "tf vector": tf.constant([4.0, 2.0, -4.0, 0.5]),
    "FixedPoint": FixedPoint([4, 1, 2, -8], 7, 1),
    "QFloat": QFloat(FixedPoint([4, 1, 2, 8], 7, 0), 0.75),
}
OTHERS = {"None": None, "text": "a", "two axes": np.ones((2, 4)), "object": object()}
INTEGERS = ("int", "NumPy int", "NumPy int of no axes", "tf int")

COMPARISONS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# Which operands a sum, a product and a quotient take; the others are refused.
TAKEN = {
    ("FixedPoint", "+"): (*INTEGERS, "FixedPoint"),
    ("FixedPoint", "-"): (*INTEGERS, "FixedPoint"),
    ("FixedPoint", "*"): (*INTEGERS, "FixedPoint", "QFloat"),
    ("FixedPoint", "/"): (),
    ("QFloat", "+"): ("QFloat",),
    ("QFloat", "-"): ("QFloat",),
    ("QFloat", "*"): tuple(NUMBERS),
    ("QFloat", "/"): tuple(name for name in NUMBERS if name not in TENSORS),
}
ARITHMETIC = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def number(x):
    x = x.to_float() if isinstance(x, QTensor) else x
    return np.asarray(x, np.float64)


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/"])
@pytest.mark.parametrize("left", TENSORS)
@pytest.mark.parametrize("right", [*NUMBERS, *OTHERS])
def test_arithmetic_is_that_of_numbers_or_refused(left, symbol, right):
    x, y = TENSORS[left], {**NUMBERS, **OTHERS}[right]
    apply = ARITHMETIC[symbol]
    if right in TAKEN[left, symbol]:
        np.testing.assert_allclose(
            number(apply(x, y)), apply(number(x), number(y)), rtol=1e-6
        )
        is_plain_tensor = tf.is_tensor(y) and not isinstance(y, QTensor)
        if symbol != "/" and not (is_plain_tensor and left == "FixedPoint"):
            np.testing.assert_allclose(
                number(apply(y, x)), apply(number(y), number(x)), rtol=1e-6
            )
        return
    if symbol == "/" and (right in (*INTEGERS, "FixedPoint")):
        # The quotient of integers, cut, with the difference of the fractional bits.
        divisor = getattr(y, "values", y)
        values = getattr(x, "fp", x).values.numpy()
        found = apply(x, y)
        expected = np.trunc(values / np.asarray(divisor, np.float64))
        np.testing.assert_array_equal(getattr(found, "fp", found).values, expected)
        return
    with pytest.raises(TypeError, match=r"(?s)Fix: ") as refused:
        apply(x, y)
    assert isinstance(refused.value, QuantizedTypeError)


@pytest.mark.parametrize("left", TENSORS)
@pytest.mark.parametrize("number_of", [4, 4.0, np.float32(4), np.array([1.0, 2, 3, 4])])
def test_a_number_is_not_divided_by_a_quantized_tensor(left, number_of):
    with pytest.raises(QuantizedTypeError, match=r"(?s)only a FixedPoint.*Fix: "):
        number_of / TENSORS[left]


@pytest.mark.parametrize("symbol", COMPARISONS)
@pytest.mark.parametrize("left", TENSORS)
@pytest.mark.parametrize("right", NUMBERS)
def test_comparisons_are_those_of_numbers_element_by_element(left, symbol, right):
    x, y = TENSORS[left], NUMBERS[right]
    compare = COMPARISONS[symbol]
    takes = left == "QFloat" or right in (*INTEGERS, *TENSORS)
    if symbol not in ("==", "!=") and not takes:
        with pytest.raises(QuantizedTypeError, match="Fix: "):
            compare(x, y)
        return
    expected = compare(number(x), number(y))
    assert np.array_equal(compare(x, y), expected)
    if not tf.is_tensor(y) or isinstance(y, QTensor):
        assert np.array_equal(compare(y, x), compare(number(y), number(x)))


def test_equal_numbers_of_other_fractional_bits_are_equal():
    x, y = FixedPoint([1, 2, 3], 7, 3), FixedPoint([2, 4, 7], 7, 4)
    assert (x == y).numpy().tolist() == [True, True, False]
    assert (x != y).numpy().tolist() == [False, False, True]
    assert tf.equal(x, y).numpy().tolist() == [True, True, False]
    scaled = QFloat(FixedPoint([1, 2, 3], 7, 4), 2.0)
    assert (scaled == x).numpy().tolist() == [True, True, True]


@pytest.mark.parametrize("x", TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize("other", [None, "text", [1, 2]], ids=str)
def test_what_is_no_number_is_not_equal(x, other):
    assert (x == other) is False
    assert (x != other) is True
    # As of a tensor: the numbers are no key.
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)


def test_comparisons_run_in_a_graph():
    @tf.function
    def run(a, b):
        return FixedPoint(a, 7, 3) == FixedPoint(b, 7, 4)

    found = run(tf.constant([1.0, 2.0]), tf.constant([2.0, 5.0]))
    assert found.numpy().tolist() == [True, False]


def test_the_scale_takes_a_division_that_the_integers_would_cut():
    x = QFloat(FixedPoint([1, 3, -5], 7, 0), [0.75, 0.5, 0.25])
    for divisor in (4, 4.0, np.float32(4), tf.constant(4.0), tf.constant(4)):
        quotient = x / divisor
        assert quotient.to_float().numpy().tolist() == [0.1875, 0.375, -0.3125]
        assert np.array_equal(quotient.fp.values, x.fp.values)
    with pytest.raises(ValueError, match=r"by zero.*\n.*Fix: "):
        x / 0.0


@pytest.mark.parametrize("symbol", [operator.mul, operator.truediv])
@pytest.mark.parametrize(
    "value", [np.nan, np.inf, -np.inf, np.array([1.0, np.nan, 2.0])]
)
def test_a_number_that_is_not_finite_is_no_scale(symbol, value):
    x = QFloat(FixedPoint([1, 3, -5], 7, 0), 0.75)
    with pytest.raises(QuantizedTensorError, match="not be finite"):
        symbol(x, value)
    compiled = tf.function(lambda number: symbol(x, number).to_float())
    with pytest.raises(tf.errors.InvalidArgumentError, match="not be finite"):
        compiled(tf.constant(value, tf.float32))
    np.testing.assert_array_equal(compiled(tf.constant(2.0)), symbol(x, 2.0).to_float())


@pytest.mark.parametrize("other", [[1, 2, 4], True, "2", 1j, None])
@pytest.mark.parametrize("symbol", [operator.mul, operator.truediv])
def test_what_is_no_operand_is_refused_with_what_is_one(symbol, other):
    x = QFloat(FixedPoint([1, 3, -5], 7, 0), 0.75)
    with pytest.raises(
        QuantizedTypeError,
        match=rf"^QFloat . {type(other).__name__}: .*number",
    ):
        symbol(x, other)
    if isinstance(other, list):  # the fix works
        assert symbol(x, np.asarray(other)).shape == (3,)
