"""Kernels as codes of a few bits: which ones fit, and where each bit lies."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

import larqlite as lq
from larqlite.onnx_graph import find_codes
from larqlite_runtime.format import pack_codes as pack, unpack_codes


@settings(max_examples=50, deadline=None)
@given(bits=st.integers(1, 8), codes=st.lists(st.integers(0, 255), max_size=40))
def test_bit_j_of_the_stream_is_bit_j_mod_8_of_byte_j_div_8(bits, codes):
    codes = [code % 2**bits for code in codes]
    number = sum(code << (i * bits) for i, code in enumerate(codes))
    expected = number.to_bytes(-(-len(codes) * bits // 8), "little")
    packed = pack(np.array(codes, np.uint8), bits)
    assert packed.tobytes() == expected
    assert unpack_codes(packed, len(codes), bits).tolist() == codes


def test_a_binary_kernel_has_a_0_for_plus_and_a_1_for_minus():
    kernel = np.array([[1, -1, 1, 1, -1, -1, 1, 1, -1]], np.float32)
    found = find_codes(kernel, 1)
    assert (found.kind, found.bits, found.scale) == ("B", 1, None)
    assert found.packed().tolist() == [0b00110010, 0b1]


def test_a_ternary_kernel_has_its_value_plus_one():
    kernel = np.array([[1, -1, 0, 0, -1]], np.float32)
    found = find_codes(kernel, 2)
    assert (found.kind, found.bits, found.scale) == ("T", 2, None)
    assert found.packed().tolist() == [0b01010010, 0b00]


QUANTIZERS = {
    "ste_sign": 0.0,
    "ste_tern": 0.0,
    "ste_heaviside": 0.0,
    "magnitude_aware_sign": 0.0,
    "adabin_weights": 0.0,
    "absmean_ternary": 0.0,
    "xnor_plus": 0.0,
    **{lq.quantizers.DoReFa(k, mode="weights"): 2.0**-22 for k in range(1, 9)},
}


@pytest.mark.parametrize(
    ("quantizer", "tolerance"),
    QUANTIZERS.items(),
    ids=lambda q: q if isinstance(q, str) else getattr(q, "precision", None),
)
@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (40, 9), (2, 2, 1, 3), (1, 1)])
def test_the_codes_give_the_values_of_every_quantizer(quantizer, tolerance, shape):
    quantizer = lq.quantizers.get(quantizer)
    latent = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    values = np.moveaxis(quantizer(tf.constant(latent)).numpy(), -1, 0)
    found = find_codes(values, quantizer.precision)
    largest = abs(values).max()
    assert abs(found.values() - values).max() <= tolerance * largest
    assert found.error <= tolerance
    assert found.codes.min() >= 0
    assert found.codes.max() < 2**quantizer.precision


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_two_float32_levels_are_found_to_a_unit_in_the_last_place(data):
    level = st.floats(-100, 100, width=32, allow_subnormal=False)
    low, high = sorted((data.draw(level), data.draw(level)))
    values = np.array([[low, high, high, low]], np.float32)
    found = find_codes(values, 1)
    np.testing.assert_allclose(
        found.values(), values, rtol=0, atol=2.0**-23 * max(abs(values).max(), 1e-30)
    )


@pytest.mark.parametrize("bits", range(3, 9))
def test_an_integer_grid_with_a_scale_for_each_channel_is_found(bits):
    rng = np.random.default_rng(bits)
    half = 2 ** (bits - 1)
    integers = rng.integers(-half, half, size=(6, 3, 3, 8))
    integers[:, 0, 0, :2] = [-half, half - 1]
    scale = rng.uniform(0.01, 3, size=(6, 1, 1, 1)).astype(np.float32)
    values = scale * integers.astype(np.float32)
    found = find_codes(values, bits)
    assert found.is_integer
    np.testing.assert_array_equal(found.integers, integers)
    np.testing.assert_allclose(found.values(), values, rtol=2e-7)


def test_a_scale_for_each_input_channel_is_found_but_is_no_integer_kernel():
    signs = np.sign(np.random.default_rng(0).normal(size=(4, 3, 5)))
    values = (signs * [0.5, 1, 2, 3, 4]).astype(np.float32)
    assert find_codes(values, 1) is None
    found = find_codes(values, 1, scale_axes=(0, -1))
    assert found.scale_axis == -1
    assert not found.is_integer
    np.testing.assert_array_equal(found.values(), values)


def test_a_channel_of_zeros_needs_no_levels_of_its_own():
    values = np.array([[0, 0, 0], [2, 0, -2]], np.float32)
    found = find_codes(values, 2)
    assert found.kind == "T"
    np.testing.assert_array_equal(found.values(), values)
    np.testing.assert_array_equal(
        find_codes(np.zeros((2, 3), np.float32), 1).values(), np.zeros((2, 3))
    )


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ([[1.0, -1.0, 0.5]], 1),
        ([[1.0, 0.4, -0.7]], 2),
        ([[1.0, 0.5, 0.25, 0.125, -1.0]], 3),
        ([[0.1, 0.2234, 0.31, 1.0]], 4),
    ],
)
def test_values_that_need_more_bits_do_not_fit(values, bits):
    assert find_codes(np.array(values, np.float32), bits) is None
