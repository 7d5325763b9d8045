"""The integers that weights and ranges become, and sums that float32 gets wrong."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx import quantize_onnx
from larqlite.integer.onnx.layers import (
    QuantizedGlobalAveragePool,
    TensorRange,
    _bodies,
    _digits,
    _scales,
)
from tests.integer.onnx.networks import images, model_of, normal
from tests.integer.onnx.numpy_integers import assert_every_integer_is_exact, run

OUT = "float[N, C, H, W] y"


def stored(model):
    return {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}


def weights_of(model, kind):
    """Weights of the first node whose type starts so, by name."""
    node = next(n for n in model.graph.node if n.op_type.startswith(kind))
    start = len(node.name) + 1
    return {k[start:]: w for k, w in stored(model).items() if k in node.input}


def test_kernels_are_127_over_the_largest_magnitude_of_each_filter():
    kernel = normal(8, 8, 3, 3)
    model = model_of("y = Conv (x, k)", {"k": kernel}, "float[N, 8, 9, 9] x", OUT)
    x = images(16, 8, 9, 9)
    quantized = quantize_onnx(model, samples=x)
    steps = weights_of(quantized, "InputQuantizer")["step"]
    np.testing.assert_allclose(steps, np.abs(x).max(axis=(0, 2, 3)) / 127, rtol=1e-6)
    equalised = kernel.astype(np.float64) * steps.astype(np.float64).reshape(1, 8, 1, 1)
    largest = np.abs(equalised).max(axis=(1, 2, 3), keepdims=True)
    codes = weights_of(quantized, "QuantizedConv2D")["Wi"]
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes, np.rint(equalised * 127 / largest))
    assert np.abs(codes).max(axis=(1, 2, 3)).tolist() == [127] * 8


def test_images_are_unsigned_bytes_with_a_zero_point_in_each_channel():
    kernel, bias = normal(4, 3, 3, 3), normal(4)
    model = model_of("y = Conv (x, k, b)", {"k": kernel, "b": bias}, y=OUT)
    x = images(16, 3, 12, 12)
    quantized = quantize_onnx(model, samples=x)
    given = weights_of(quantized, "InputQuantizer")
    low, high = x.min(axis=(0, 2, 3)), x.max(axis=(0, 2, 3))
    np.testing.assert_allclose(given["step"], (high - low) / 255, rtol=1e-6)
    np.testing.assert_array_equal(
        given["zero_point"], np.rint(-low * 255.0 / (high - low))
    )
    conv = weights_of(quantized, "QuantizedInputConv2D")
    np.testing.assert_array_equal(conv["Xpad"], given["zero_point"])
    zeros = given["zero_point"].astype(np.int64).reshape(1, 3, 1, 1)
    folded = conv["B"] + (conv["Wi"].astype(np.int64) * zeros).sum(axis=(1, 2, 3))
    for value in folded.tolist():
        mantissa = abs(value)
        while mantissa and mantissa % 2 == 0:
            mantissa //= 2
        assert mantissa <= 127


@pytest.mark.parametrize("bias", [0, 127, -127, 128, 129, 1000, -65535, 2**30])
def test_a_bias_is_an_eight_bit_number_shifted_left(bias):
    found = int(_scales._eight_bit_mantissa(np.array([bias]))[0])
    shift = max(0, abs(bias).bit_length() - 7)
    nearest = min(
        (
            sign * m << k
            for k in (shift, shift + 1)
            for m in range(128)
            for sign in (1, -1)
        ),
        key=lambda value: abs(value - bias),
    )
    assert abs(found - bias) == abs(nearest - bias)


def test_input_scales_of_every_range_hold_zero_exactly():
    for low, high in [(0.5, 2.0), (-3.0, -1.0), (0.0, 0.0), (-1e-20, 1e-20), (-1, 1e6)]:
        weights = {"k": normal(2, 1, 1, 1)}
        x = np.array([low, high], np.float32).reshape(1, 1, 1, 2)
        model = model_of("y = Conv (x, k)", weights, "float[N, 1, 1, 2] x", OUT)
        quantized = quantize_onnx(model, samples=x)
        node = next(n for n in quantized.graph.node if n.op_type == "InputQuantizer")
        observed = onnx.ModelProto()
        observed.CopyFrom(quantized)
        observed.graph.output.append(onnx.ValueInfoProto(name=node.output[0]))
        zero = run(observed, np.zeros((1, 1, 1, 2), np.float32))[1]
        assert np.all(zero == weights_of(quantized, "InputQuantizer")["zero_point"])
        assert_every_integer_is_exact(quantized, x)


@pytest.mark.parametrize("range_max", [0.01, 0.5, 1.0, 1.01, 3.0, 4.0, 128.0, 129.0])
def test_scales_before_a_sum_are_powers_of_two_as_of_fixed_point(range_max):
    wide = TensorRange(np.float64(-range_max), np.float64(range_max / 2))
    found = float(_scales.output_scale(wide, True))
    expected = {0.01: 13, 0.5: 8, 1: 7, 1.01: 6, 3: 5, 4: 5, 128: 0, 129: -1}
    assert found == 2.0 ** expected[range_max]
    assert float(_scales.output_scale(wide, False)) == 127 / range_max


@pytest.mark.parametrize("ratio", [1e-9, 1 / 300, 0.5, 0.9999, 1.0, 127.6, 200.0, 1e4])
def test_output_scales_are_eight_bits_and_a_shift(ratio):
    weights, reached = _scales.requantization(
        np.ones(1), np.array([ratio]), 1000, "a layer"
    )
    value = float(weights["M"][0]) / 2.0 ** int(weights["S_out"][0])
    assert reached == min(ratio, 255)
    assert abs(value - reached) <= reached / 256
    assert 128 <= weights["M"][0] <= 255


def test_the_mean_of_an_image_is_its_sum_with_a_larger_scale():
    body = "a = Conv (x, k) y = GlobalAveragePool (a)"
    model = model_of(
        body, {"k": np.ones((1, 1, 1, 1), np.float32)}, "float[N, 1, 5, 7] x", OUT
    )
    x = np.abs(images(64, 1, 5, 7))
    quantized = quantize_onnx(model, samples=x)
    mean = x.mean(axis=(2, 3), keepdims=True)
    step = mean.max() / 127
    assert np.abs(run(quantized, x)[0] - mean).max() < 1.5 * step
    assert_every_integer_is_exact(quantized, x)


def same_sign(count, fan_in):
    """Values near the upper end, so that products are near 127 * 127."""
    random = np.random.default_rng(fan_in)
    return random.uniform(0.98, 1, size=(count, fan_in)).astype(np.float32)


def test_a_dot_product_of_4608_products_of_one_sign_is_exact():
    kernel = same_sign(8, 4608)
    weights = {"w": kernel.T.copy(), "b": normal(8, scale=100)}
    model = model_of("y = Gemm (x, w, b)", weights, "float[N, 4608] x")
    x = same_sign(64, 4608)
    quantized = quantize_onnx(model, samples=x)
    (node,) = [
        n for n in quantized.graph.node if n.op_type.startswith("QuantizedDense")
    ]
    assert node.op_type == "QuantizedDense1DBiasedWide"
    found = assert_every_integer_is_exact(quantized, x)[node.output[0]]
    assert found.min() > 2**24
    assert np.any(found.astype(np.float32).astype(np.int64) != found)


@pytest.mark.parametrize("is_last", [True, False])
def test_a_convolution_over_4608_products_of_one_sign_is_exact(is_last):
    kernel = same_sign(6, 4608).reshape(6, 512, 3, 3)
    weights = {"k": kernel, "b": normal(6, scale=100), "k2": normal(2, 6, 1, 1)}
    body = "a = Conv <pads = [1, 1, 1, 1]> (x, k, b) y = Conv (a, k2)"
    if is_last:
        weights.pop("k2")
        body = "y = Conv <pads = [1, 1, 1, 1]> (x, k, b)"
    model = model_of(body, weights, "float[N, 512, 4, 4] x", OUT)
    x = same_sign(4, 512 * 16).reshape(4, 512, 4, 4)
    quantized = quantize_onnx(model, samples=x)
    types = [node.op_type for node in quantized.graph.node]
    assert "QuantizedConv2DBiasedScaledWide" in types
    assert ("QuantizedConv2DScaled" in types) != is_last
    assert_every_integer_is_exact(quantized, x)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_first_convolution_of_large_windows_is_exact(channels):
    side = 24
    kernel = same_sign(4, channels * side * side).reshape(4, channels, side, side)
    model = model_of(
        "y = Conv <pads = [3, 2, 1, 4]> (x, k)",
        {"k": kernel},
        f"float[N, {channels}, 26, 26] x",
        OUT,
    )
    x = images(4, channels, 26, 26)
    quantized = quantize_onnx(model, samples=x)
    types = [node.op_type for node in quantized.graph.node]
    assert "QuantizedInputConv2DBiasedScaledWide" in types
    assert_every_integer_is_exact(quantized, x)


def test_float32_serves_sums_up_to_its_last_exact_integer():
    for extra, needs in [(0, False), (1, True)]:
        fan_in = 2**24 // (127 * 128) + extra
        found = _scales.quantize_kernel(np.ones((1, fan_in)), None, np.float64(1), 128)
        assert found.bound == fan_in * 127 * 128
        assert found.needs_integers == needs


def test_a_bias_beyond_32_bits_makes_the_kernel_coarser_not_wrong():
    weights = {
        "w": np.full((4, 2), 1e-9, np.float32),
        "b": np.array([5, 1e-9], np.float32),
    }
    model = model_of("y = Gemm (x, w, b)", weights, "float[N, 4] x")
    x = images(16, 4)
    quantized = quantize_onnx(model, samples=x)
    assert_every_integer_is_exact(quantized, x)
    np.testing.assert_allclose(run(quantized, x)[0][:, 0], 5, rtol=1 / 128)


def test_sums_that_32_bits_cannot_hold_make_the_kernel_coarser_not_wrong():
    fan_in = 140_000
    weights = {"w": np.ones((fan_in, 1), np.float32)}
    model = model_of("y = MatMul (x, w)", weights, f"float[N, {fan_in}] x")
    x = np.ones((2, fan_in), np.float32)
    quantized = quantize_onnx(model, samples=x)
    assert_every_integer_is_exact(quantized, x)
    np.testing.assert_allclose(run(quantized, x)[0], fan_in, rtol=0.01)


def test_channels_without_a_range_stay_zero():
    kernel = normal(8, 3, 3, 3)
    kernel[[1, 5]] = 0
    weights = {"k": kernel, "k2": normal(8, 8, 1, 1)}
    body = "a = Conv (x, k) r = Relu (a) c = Conv (r, k2) y = Add (c, r)"
    model = model_of(body, weights, y=OUT)
    x = images(16, 3, 12, 12)
    quantized = quantize_onnx(model, samples=x)
    found = assert_every_integer_is_exact(quantized, x)
    assert not found["QuantizedInputConv2D_integers"][:, [1, 5]].any()
    before, after = run(model, x)[0], run(quantized, x)[0]
    assert np.abs(before - after).max() < 0.03 * np.abs(before).max()


def test_requantization_rounds_halves_up_and_saturates_at_both_ends():
    text = """<ir_version: 9, opset_import: ["": 18]>
    net (int32[N, 1] x) => (int8[N, 1] Y) {%s }"""
    nodes = _bodies.nodes(_bodies.requantize("Scaled", "x", "Y", is_image=False))
    model = onnx.parser.parse_model(text % "Y = Cast <to = 3> (x)")
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    cases = np.array([*range(-40, 41), 2**31 - 1, -(2**31)], np.int32).reshape(-1, 1)
    for m, s in [(1, 1), (1, 3), (255, 0), (129, 7), (255, 50), (3, 2)]:
        del model.graph.initializer[:]
        for name, value in (("M", m), ("S_out", s)):
            array = np.array([value], np.uint8)
            model.graph.initializer.append(numpy_helper.from_array(array, name))
        expected = [
            max(-128, min(127, (2 * int(x) * m + (1 << s)) >> (s + 1)))
            for x in cases[:, 0]
        ]
        assert run(model, cases)[0].ravel().tolist() == expected


@pytest.mark.parametrize(
    ("body", "channels", "bits", "mode"),
    [
        ("y = Conv (x, k)", 8, (16, 16), "X2x8W2x8"),
        ("y = Conv (x, k)", 512, (16, 16), "X4x4W2x8"),
        ("y = Conv (x, k)", 512, (16, 8), "X4x4W1x8"),
        ("y = Conv (x, k)", 512, (8, 16), "X2x4W2x8"),
        ("y = ConvTranspose (x, k)", 512, (8, 8), "X2x4W1x8"),
        ("y = ConvTranspose (x, k)", 512, (16, 16), "X4x4W2x8"),
    ],
)
def test_digits_hold_sums_of_products_of_one_sign(body, channels, bits, mode):
    """Sums beyond 2^24, of which float32 alone would lose the last bits."""
    fan_in = 9 * channels
    kernel = same_sign(4, fan_in).reshape(4, channels, 3, 3)
    if "Transpose" in body:
        kernel = kernel.reshape(channels, 4, 3, 3)
    model = model_of(body, {"k": kernel}, f"float[N, {channels}, 4, 4] x", OUT)
    x = same_sign(2, channels * 16).reshape(2, channels, 4, 4)
    x[1] = -x[0]
    quantized = quantize_onnx(
        model,
        samples=x,
        activation_bits=bits[0],
        weight_bits=bits[1],
        input_weight_bits=bits[1],
    )
    (kind,) = [n.op_type for n in quantized.graph.node if "Conv" in n.op_type]
    assert mode in kind
    assert_every_integer_is_exact(quantized, x)
    # Twice as far as the samples reach is the end of the range of 16 bits.
    assert_every_integer_is_exact(quantized, 2.5 * x)


def test_a_layer_of_too_many_products_for_any_digits_is_refused_by_name():
    codes = np.full((1, 2**19), 120, np.int8)
    kernel = _scales.QuantizedKernel(codes, None, np.ones(1), 2**31 - 1)
    assert _digits.mode_of(kernel, 128, 8, 8, False, "a layer") == "Wide"
    with pytest.raises(UnsupportedModelError, match="524,288 products are summed"):
        _digits.mode_of(kernel, 128, 8, 8, True, "a layer")


@pytest.mark.parametrize("value", [-128.0, 127.0, -0.5, 0.5, 126.5, -127.5])
def test_a_mean_rounds_halves_up_whatever_its_sign(value):
    layer = QuantizedGlobalAveragePool()
    nodes = layer.build_subgraph("QuantizedGlobalAveragePool")
    text = """<ir_version: 9, opset_import: ["": 18]>
    net (int8[N, 1, H, W] X, int32[] M, uint8[] S_out) => (int8[N, 1, A, B] Y)
    { Y = Identity (X) }"""
    model = onnx.parser.parse_model(text)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                attribute.ref_attr_name = ""
                attribute.i = 1
    low, high = int(np.floor(value)), int(np.ceil(value))
    x = np.array([low, high], np.int8).reshape(1, 1, 1, 2)
    given = {"X": x, "M": np.array(1, np.int32), "S_out": np.array(0, np.uint8)}
    assert run(model, given)[0].item() == int(np.floor(value + 0.5))
