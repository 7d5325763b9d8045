"""Shiftmax, softmax and attention on integers against arbitrary-precision integers."""

from math import isqrt

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from larqlite.errors import LarqliteError
from larqlite.integer import layers
from larqlite.integer.tensors import FixedPoint, QFloat
from larqlite.primitives import round_log2

rng = np.random.default_rng(11)


def round_log2_of(n: int) -> int:
    """`round(log2(n))`: up from the first integer whose square is above 2^(2k + 1)."""
    k = n.bit_length() - 1
    return k + (n * n > 1 << 2 * k + 1)


def shiftmax_of_row(row, frac, exp=10, buffer=32) -> list[int]:
    """A row of Python integers with fractional bits `frac`."""
    whole = [v << -frac if frac < 0 else v >> frac for v in map(int, row)]
    largest = max(whole)
    below = [v - largest for v in whole]
    precision = min(2 * exp, buffer - 1 - (len(row) - 1).bit_length())
    total = sum(1 << precision + y for y in below if y >= -precision)
    shift = round_log2_of(total) - precision
    return [1 << exp + y - shift if exp + y >= shift else 0 for y in below]


def shiftmax_of_rows(values, frac, **settings):
    rows = [
        shiftmax_of_row(row, frac, **settings)
        for row in values.reshape(-1, values.shape[-1])
    ]
    return np.array(rows).reshape(values.shape)


@settings(deadline=None, max_examples=80)
@given(
    tokens=st.integers(1, 70),
    frac=st.integers(-2, 12),
    value_bits=st.integers(2, 27),
    exp=st.integers(1, 15),
    seed=st.integers(0, 10**6),
)
def test_a_shiftmax_is_that_of_python_integers(tokens, frac, value_bits, exp, seed):
    draws = np.random.default_rng(seed)
    spread = draws.integers(1, value_bits + 1)
    x = draws.integers(-(2**spread), 2**spread, size=(2, 3, tokens))
    layer = layers.QuantizedShiftmax(quant_config={"exp_bitwidth": exp})
    p = layer(FixedPoint(x, value_bits, frac))
    np.testing.assert_array_equal(p.values, shiftmax_of_rows(x, frac, exp=exp))
    assert (p.value_bits, int(p.frac_bits)) == (exp + 1, exp)
    if exp == 10:
        again = layers.shiftmax(FixedPoint(x, value_bits, frac))
        np.testing.assert_array_equal(again.values, p.values)


@pytest.mark.parametrize("tokens", [2048, 3000, 5000, 2**17])
def test_a_shiftmax_of_many_tokens_is_exact_where_float32_is_not(tokens):
    # Around a sum where the rounding of the logarithm turns: at 2^k times the root of two.
    x = np.full((1, tokens), -20)
    ones = isqrt(2 * 1024**2)
    x[0, :ones] = 0
    for last in (-1, -3, -14, -20):
        x[0, ones] = last
        p = layers.QuantizedShiftmax()(FixedPoint(x, 7, 0))
        np.testing.assert_array_equal(p.values, shiftmax_of_rows(x, 0))


def test_a_sum_that_float32_would_round_decides_about_the_shift():
    k = 30
    turn = isqrt(1 << 2 * k + 1)
    for n, expected in ((turn, k), (turn + 1, k + 1)):
        assert round_log2_of(n) == expected
        assert int(round_log2(tf.constant(float(n), tf.float64))) == expected
    every = np.arange(1, 2**16)
    expected = [round_log2_of(int(n)) for n in every]
    for dtype in (tf.float32, tf.float64):
        np.testing.assert_array_equal(round_log2(tf.constant(every, dtype)), expected)


def test_a_per_axis_shiftmax_is_aligned_first():
    x, frac = rng.integers(-128, 128, size=(4, 5)), np.array([3, 0, 7, 2, 3])
    p = layers.QuantizedShiftmax()(FixedPoint(x, 7, frac))
    np.testing.assert_array_equal(p.values, shiftmax_of_rows(x << (7 - frac), 7))


def test_axes_of_a_shiftmax_may_be_several():
    x = rng.integers(-128, 128, size=(2, 3, 4))
    p = layers.shiftmax(FixedPoint(x, 7, 4), axis=[1, -1])
    expected = shiftmax_of_rows(x.reshape(2, 12), 4).reshape(2, 3, 4)
    np.testing.assert_array_equal(p.values, expected)


def test_a_float_shiftmax_agrees_up_to_the_bits_that_are_cut_off():
    x = rng.integers(-500, 500, size=(20, 12)).astype(np.float32) / 128
    expected = layers.shiftmax(tf.constant(x)).numpy()
    p = layers.shiftmax(FixedPoint(x * 128, 15, 7)).to_float()
    np.testing.assert_array_equal(p, np.floor(expected * 1024) / 1024)


def test_the_gradient_of_a_shiftmax_is_that_of_the_float_one():
    x = tf.constant(rng.integers(-500, 500, size=(20, 12)) / 128, tf.float32)
    weights = tf.constant(rng.normal(size=x.shape), tf.float32)
    gradients = []
    for of_floats in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x if of_floats else FixedPoint.quantize(x, 15, 7)
            p = layers.shiftmax(y)
            p = p if of_floats else p.to_float()
            loss = tf.reduce_sum(p * weights)
        gradients.append(tape.gradient(loss, x))
    np.testing.assert_allclose(*gradients, atol=2e-3)
    assert np.abs(gradients[0]).max() > 0.1


@pytest.mark.parametrize("bits", [0, 4, 8, 16])
def test_a_softmax_multiplies_by_the_logarithm_of_e_as_an_integer(bits):
    x = rng.integers(-128, 128, size=(6, 10))
    layer = layers.QuantizedSoftmax(quant_config={"log2e_bits": bits})
    p = layer(FixedPoint(x, 7, 5))
    factor = {0: 1, 4: 23, 8: 369, 16: 94548}[bits]
    np.testing.assert_array_equal(p.values, shiftmax_of_rows(x * factor, 5 + bits))


def test_a_softmax_stays_within_the_factor_that_its_docstring_states():
    x = rng.integers(-128, 128, size=(200, 10)) * 2.0**-5
    exact = tf.nn.softmax(tf.constant(x)).numpy()
    p = layers.QuantizedSoftmax()(FixedPoint(x * 32, 7, 5)).to_float().numpy()
    seen = exact > 2**-8
    ratio = p[seen] / exact[seen]
    assert 0.34 < ratio.min() < 0.6
    assert 1.4 < ratio.max() < 2.9
    assert np.all(p.max(-1) == np.take_along_axis(p, x.argmax(-1)[:, None], -1)[:, 0])


def test_buffers_too_small_for_exponentials_are_refused_by_name():
    for cls in (layers.QuantizedShiftmax, layers.QuantizedSoftmax):
        for config, text in (
            ({"buffer_bitwidth": 20}, "exp_bitwidth=9 or less"),
            ({"exp_bitwidth": 0}, "exp_bitwidth=0"),
            ({"exp_bitwith": 8}, 'Did you mean "exp_bitwidth"'),
        ):
            with pytest.raises(ValueError, match="here") as caught:
                cls(quant_config=config, name="here")
            assert isinstance(caught.value, LarqliteError)
            assert text in str(caught.value)
    with pytest.raises(ValueError, match="log2e_bits=99"):
        layers.QuantizedSoftmax(quant_config={"log2e_bits": 99})
    small = layers.QuantizedShiftmax(
        quant_config={"exp_bitwidth": 8, "buffer_bitwidth": 17}, name="here"
    )
    with pytest.raises(ValueError, match="buffer_bitwidth=19 or more"):
        small(FixedPoint(np.zeros((1, 1024)), 7, 0))
    with pytest.raises(TypeError, match=r'"here" got a QFloat.*\n.*output_quantizer'):
        small(QFloat(FixedPoint([[1]], 7, 0), 0.5))


def attention_of(q, k, v, fracs, heads):
    """Masks and outputs of Python and int64 integers."""
    batch, tokens, hidden = q.shape
    dim = hidden // heads
    halves = round(np.log2(dim))
    scale = halves // 2 + (halves % 2 and (halves // 2) % 2)  # half to even
    q, k, v = (
        x.reshape(batch, -1, heads, dim).transpose(0, 2, 1, 3).astype(np.int64)
        for x in (q, k, v)
    )
    scores = q @ k.transpose(0, 1, 3, 2)
    mask = shiftmax_of_rows(scores, fracs[0] + fracs[1] + scale)
    output = (mask @ v).transpose(0, 2, 1, 3).reshape(batch, tokens, hidden)
    return output, mask


@settings(deadline=None, max_examples=25)
@given(
    heads=st.integers(1, 3),
    dim=st.sampled_from([1, 2, 4, 8, 16, 32]),
    tokens=st.integers(1, 9),
    keys=st.integers(1, 9),
    per_axis=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_attention_is_that_of_python_integers(heads, dim, tokens, keys, per_axis, seed):
    draws = np.random.default_rng(seed)
    hidden = heads * dim
    q, k, v = (
        draws.integers(-128, 128, size=(2, n, hidden)) for n in (tokens, keys, keys)
    )
    fracs = [int(f) for f in draws.integers(2, 8, size=2)]
    v_frac = draws.integers(0, 8, size=hidden) if per_axis else 3
    layer = layers.QuantizedAttention(heads)
    output, mask = layer(
        (
            FixedPoint(q, 7, fracs[0]),
            FixedPoint(k, 7, fracs[1]),
            FixedPoint(v, 7, v_frac),
        )
    )
    aligned = v << (np.max(v_frac) - v_frac)
    expected, expected_mask = attention_of(q, k, aligned, fracs, heads)
    np.testing.assert_array_equal(mask.values, expected_mask)
    np.testing.assert_array_equal(output.values, expected)
    np.testing.assert_array_equal(output.frac_bits, 10 + np.max(v_frac))
    assert output.value_bits == 31


def test_attention_over_many_tokens_is_exact():
    q, k = (rng.integers(-4, 4, size=(1, 500, 4)) for _ in range(2))
    v = np.full((1, 500, 4), 127)
    x = [FixedPoint(v, 7, 4) for v in (q, k, v)]
    output, mask = layers.QuantizedAttention(2)(x)
    expected, _ = attention_of(q, k, v, (4, 4), 2)
    np.testing.assert_array_equal(output.values, expected)
    assert output.dtype == tf.float32
    assert mask.shape == (1, 2, 500, 500)


def test_attention_is_near_the_float_layer_and_quantizes_the_output_only():
    x = [rng.integers(-128, 128, size=(2, 6, 32)) for _ in range(3)]
    config = {"output_quantizer": {"bitwidth": 8}, "softmax": {"exp_bitwidth": 12}}
    layer = layers.QuantizedAttention(2, config)
    assert layer.softmax_op.quant_config == {"exp_bitwidth": 12, "buffer_bitwidth": 32}
    fixed = [FixedPoint(v, 7, 5) for v in x]
    layer(fixed)
    layer.out_quantizer.calibrate(8.0)
    output, mask = layer(fixed)
    twin = layers.Attention(2, softmax="shiftmax")
    expected, expected_mask = twin([v.to_float() for v in fixed])
    np.testing.assert_array_equal(
        mask.to_float(), np.floor(expected_mask * 4096) / 4096
    )
    assert (output.value_bits, mask.value_bits) == (7, 13)
    np.testing.assert_allclose(output.to_float(), expected, atol=2**-5 + 4 * 6 / 4096)


def test_attention_refuses_by_name_what_it_cannot_do():
    with pytest.raises(ValueError, match=r'"here": softmax="softmax".*\n.*"shiftmax"'):
        layers.QuantizedAttention(2, softmax="softmax", name="here")
    with pytest.raises(ValueError, match="Did you mean"):
        layers.QuantizedAttention(2, softmax="shiftmaxx")
    with pytest.raises(ValueError, match="exp_bitwidth"):
        layers.QuantizedAttention(2, {"softmax": {"exp_bits": 3}})
    fixed = FixedPoint(np.ones((1, 2, 4)), 7, [0, 1, 2, 3])
    plain = FixedPoint(np.ones((1, 2, 4)), 7, 0)
    layer = layers.QuantizedAttention(2, name="here")
    for inputs, name in (
        ((fixed, plain, plain), "query"),
        ((plain, fixed, plain), "key"),
    ):
        with pytest.raises(
            ValueError, match=f'"here": the {name} is quantized per-axis'
        ):
            layer(inputs)
