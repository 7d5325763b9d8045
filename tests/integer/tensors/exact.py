"""Quantized tensors in Python's own integers and fractions, and drawing of examples.

Arrays of `dtype=object` hold Python integers, so nothing here rounds or overflows.
"""

from fractions import Fraction
from math import frexp

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, Phase, settings

from larqlite.integer.tensors import FixedPoint

SHAPE = (3, 4)
CHANNELS = SHAPE[-1]
WIDTHS = st.integers(1, 32)

quick = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def objects(values) -> np.ndarray:
    """An array of Python integers."""
    array = np.asarray(values)
    return np.array([int(v) for v in array.ravel()], object).reshape(array.shape)


def saturate(values, bits: int):
    """Limited to the range of `bits` value bits."""
    return np.minimum(np.maximum(values, -(2**bits)), 2**bits - 1)


def power_of_two(exponent: int) -> Fraction:
    """Exactly, for exponents of both signs."""
    return Fraction(2) ** int(exponent)


half_up = np.frompyfunc(
    lambda v, s: (v * power_of_two(s) + Fraction(1, 2)).__floor__(), 2, 1
)
half_even = np.frompyfunc(
    lambda x, s: round(Fraction(float(x)) * power_of_two(s)), 2, 1
)
floored = np.frompyfunc(lambda v, s: (v * power_of_two(s)).__floor__(), 2, 1)
truncated = np.frompyfunc(lambda a, b: int(Fraction(a, b)), 2, 1)
numbers = np.frompyfunc(lambda v, s: v * power_of_two(-s), 2, 1)


def ceil_log2(x: float) -> int:
    """The smallest k with 2^k >= x > 0."""
    mantissa, exponent = frexp(x)
    return exponent - 1 if mantissa == 0.5 else exponent


def integers_of(fp) -> np.ndarray:
    """The values of a FixedPoint, each of which has to be an integer within its bounds."""
    values = fp.values.numpy()
    assert np.all(values == np.floor(values))
    found = objects(values)
    assert found.size == 0 or np.max(np.abs(found)) <= fp.limit <= 2**fp.value_bits
    assert np.all(found <= 2**fp.value_bits - 1)
    return found


def check(fp, values, value_bits: int, frac_bits) -> None:
    """A FixedPoint has exactly these integers, value bits and fractional bits."""
    assert isinstance(fp, FixedPoint)
    found = integers_of(fp)
    values = np.asarray(values, object)
    assert found.shape == values.shape
    assert fp.shape.is_compatible_with(values.shape)
    assert np.array_equal(found, values), (found, values)
    assert fp.value_bits == value_bits
    assert fp.frac_bits.dtype.is_integer
    np.testing.assert_array_equal(fp.frac_bits, np.asarray(frac_bits, np.int64))


@st.composite
def integers_around(draw, bits: int, count: int, nonzero: bool = False):
    """Integers of a width, its ends and what is just outside of it among them."""
    top = 2**bits
    special = [1, -1, top - 1, top, top + 1, -top, 1 - top, -top - 1, top // 2, 0]
    # NumPy draws a hundred times faster, and nothing is shrunk.
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ends = random.choice(special[: -1 if nonzero else None], count)
    values = random.integers(-2 * top, 2 * top, count, endpoint=True)
    is_end = random.random(count) < 0.5
    return objects(np.where(is_end | (nonzero & (values == 0)), ends, values))


@st.composite
def fraction_bits(draw, per_axis: bool | None = None, low: int = -8, high: int = 20):
    """A number of fractional bits, or one for each channel."""
    if draw(st.booleans()) if per_axis is None else per_axis:
        bits = st.integers(low, high)
        drawn = draw(st.lists(bits, min_size=CHANNELS, max_size=CHANNELS))
        return np.array(drawn, np.int32)
    return np.int32(draw(st.integers(low, high)))


@st.composite
def fixed_points(draw, bits=WIDTHS, per_axis=None, frac_bits=None, nonzero=False):
    """`(FixedPoint, its integers, value bits, fractional bits)`."""
    bits = draw(bits) if not isinstance(bits, int) else bits
    values = draw(integers_around(bits, int(np.prod(SHAPE)), nonzero)).reshape(SHAPE)
    if frac_bits is None:
        frac_bits = draw(fraction_bits(per_axis))
    fp = FixedPoint(values.astype(np.int64), bits, frac_bits)
    return fp, saturate(values, bits), bits, frac_bits
