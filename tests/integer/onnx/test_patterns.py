"""Every sequence of operations that is quantized, bit for bit in a stock ONNX Runtime."""

import warnings

import numpy as np
import onnx
import pytest

from larqlite.errors import UnsupportedLayerError
from larqlite.integer.onnx import quantize_onnx
from tests.integer.onnx.networks import images, model_of, normal
from tests.integer.onnx.numpy_integers import assert_every_integer_is_exact, run

IMAGE = "float[N, 3, 12, 12] x"
OUT = "float[N, C, H, W] y"
W3 = {"k": normal(8, 3, 3, 3), "b": normal(8, seed=1)}
W8 = {"k": normal(8, 8, 3, 3), "b": normal(8, seed=1)}
DW = {"k": normal(8, 1, 3, 3), "b": normal(8, seed=1)}
BOUNDS = {"zero": np.float32(0), "six": np.float32(6)}
BN = {
    "g": normal(8, seed=2),
    "be": normal(8, seed=3),
    "mu": normal(8, seed=4),
    "v": np.abs(normal(8, seed=5)) + 0.1,
}
AXES = {"over": np.array([2, 3])}
ROWS = "float[N, 24] x"
FLAT = "float[N, C] y"
DENSE = {"w": normal(24, 7), "b": normal(7, seed=1)}
EIGHT = "float[N, 8, 12, 12] x"

# text of the nodes, weights, input, output, types of the quantized nodes
CASES = {
    "conv": ("y = Conv (x, k)", W3, IMAGE, OUT, ["QuantizedInputConv2DBiasedScaled"]),
    "conv_of_eight_channels": (
        *("y = Conv <pads = [1, 1, 1, 1]> (x, k, b)", W8, EIGHT, OUT),
        ["QuantizedConv2DBiasedScaled"],
    ),
    "conv_without_bias": (
        *("y = Conv <strides = [2, 3], pads = [0, 2, 1, 1]> (x, k)", W8, EIGHT, OUT),
        ["QuantizedConv2DScaled"],
    ),
    "conv_relu": (
        *("a = Conv <pads = [2, 0, 1, 1]> (x, k, b) y = Relu (a)", W3, IMAGE, OUT),
        ["QuantizedInputConv2DBiasedReLUScaled"],
    ),
    "conv_clip": (
        *("a = Conv (x, k, b) y = Clip (a, zero, six)", W8 | BOUNDS, EIGHT, OUT),
        ["QuantizedConv2DBiasedReLUClippedScaled"],
    ),
    "conv_relu_max_pool": (
        "a = Conv (x, k, b) r = Relu (a) "
        "y = MaxPool <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 0, 1, 1]> (r)",
        *(W8, EIGHT, OUT, ["QuantizedConv2DBiasedMaxPoolReLUScaled"]),
    ),
    "conv_max_pool": (
        "a = Conv (x, k, b) y = MaxPool <kernel_shape = [2, 2]> (a)",
        *(W8, EIGHT, OUT, ["QuantizedConv2DBiasedMaxPoolScaled"]),
    ),
    "max_pool_of_rounded_up_size": (
        "a = Conv (x, k, b) r = Relu (a) "
        "y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (r)",
        *(W8, EIGHT, OUT, ["QuantizedConv2DBiasedMaxPoolReLUScaled"]),
    ),
    "conv_clip_gap": (
        "a = Conv (x, k, b) c = Clip (a, zero, six) y = GlobalAveragePool (c)",
        *(
            W8 | BOUNDS,
            EIGHT,
            OUT,
            ["QuantizedConv2DBiasedGlobalAvgPoolReLUClippedScaled"],
        ),
    ),
    "conv_gap": (
        "a = Conv (x, k, b) y = GlobalAveragePool (a)",
        *(W3, IMAGE, OUT, ["QuantizedInputConv2DBiasedGlobalAvgPoolScaled"]),
    ),
    "conv_relu_mean": (
        "a = Conv (x, k, b) r = Relu (a) y = ReduceMean <keepdims = 0> (r, over)",
        *(
            W3 | AXES,
            IMAGE,
            FLAT,
            ["QuantizedInputConv2DBiasedGlobalAvgPoolReLUScaled"],
        ),
    ),
    "depthwise": (
        *("y = Conv <group = 8> (x, k, b)", DW, EIGHT, OUT),
        ["QuantizedDepthwise2DBiasedScaled"],
    ),
    "depthwise_relu_of_three_channels_with_a_multiplier": (
        "a = Conv <group = 3, pads = [1, 1, 1, 1]> (x, k, b) y = Relu (a)",
        {"k": normal(6, 1, 3, 3), "b": normal(6)},
        *(IMAGE, OUT, ["QuantizedDepthwise2DBiasedReLUScaled"]),
    ),
    "groups": (
        "y = Conv <group = 2> (x, k, b)",
        {"k": normal(6, 4, 3, 3), "b": normal(6)},
        *(EIGHT, OUT, ["QuantizedConv2DBiasedScaled"]),
    ),
    "dilations": (
        *("y = Conv <dilations = [2, 3], pads = [1, 1, 1, 1]> (x, k)", W8, EIGHT, OUT),
        ["QuantizedConv2DScaled"],
    ),
    "same_lower": (
        'y = Conv <auto_pad = "SAME_LOWER", strides = [2, 2]> (x, k)',
        {"k": normal(8, 8, 4, 3)},
        *(EIGHT, OUT, ["QuantizedConv2DScaled"]),
    ),
    "zeros_around_an_image_with_zero_points": (
        "p = Pad (x, pads) y = Conv <pads = [0, 1, 1, 0]> (p, k, b)",
        W3 | {"pads": np.array([0, 0, 1, 0, 0, 0, 2, 1])},
        *(IMAGE, OUT, ["QuantizedInputConv2DBiasedScaled"]),
    ),
    "batch_normalization_after_conv": (
        "a = Conv (x, k, b) y = BatchNormalization (a, g, be, mu, v)",
        *(W8 | BN, EIGHT, OUT, ["QuantizedConv2DBiasedScaled"]),
    ),
    "batch_normalization_after_relu": (
        "a = Conv (x, k, b) r = Relu (a) y = BatchNormalization (r, g, be, mu, v)",
        *(W8 | BN, EIGHT, OUT),
        ["QuantizedConv2DBiasedReLUScaled", "QuantizedDepthwise2DBiasedScaled"],
    ),
    "gemm": ("y = Gemm (x, w, b)", DENSE, ROWS, FLAT, ["QuantizedDense1DBiased"]),
    "gemm_of_factors": (
        "y = Gemm <transB = 1, alpha = 0.5, beta = 2.0> (x, w, b)",
        {"w": DENSE["w"].T.copy(), "b": DENSE["b"]},
        *(ROWS, FLAT, ["QuantizedDense1DBiased"]),
    ),
    "matmul": ("y = MatMul (x, w)", DENSE, ROWS, FLAT, ["QuantizedDense1D"]),
    "two_gemms_and_relu": (
        "a = Gemm (x, w, b) r = Clip (a, zero, six) y = Gemm (r, w2)",
        DENSE | BOUNDS | {"w2": normal(7, 5)},
        *(ROWS, FLAT, ["QuantizedDense1DBiasedReLUClippedScaled", "QuantizedDense1D"]),
    ),
    "gemm_relu_at_the_end": (
        "a = Gemm (x, w, b) y = Relu (a)",
        *(DENSE, ROWS, FLAT, ["QuantizedDense1DBiasedReLU"]),
    ),
    "flatten_gemm": (
        "a = Conv <strides = [3, 3]> (x, k, b) f = Flatten (a) y = Gemm (f, w)",
        W3 | {"w": normal(128, 5)},
        *(IMAGE, FLAT),
        ["QuantizedInputConv2DBiasedScaled", "QuantizedDense1DFlatten"],
    ),
    "flatten_of_the_input": (
        "f = Flatten (x) a = Gemm (f, w) y = Relu (a)",
        {"w": normal(432, 5)},
        *(IMAGE, FLAT, ["QuantizedDense1DFlattenReLU"]),
    ),
    "channels_last_reshape_gemm": (
        "a = Conv <strides = [2, 2]> (x, k, b) t = Transpose <perm = [0, 2, 3, 1]> (a) "
        "f = Reshape (t, size) y = MatMul (f, w)",
        W3 | {"w": normal(200, 5), "size": np.array([-1, 200])},
        *(IMAGE, FLAT),
        ["QuantizedInputConv2DBiasedScaled", "QuantizedDense1DFlatten"],
    ),
    "channels_last_input": (
        "t = Transpose <perm = [0, 3, 1, 2]> (x) y = Conv (t, k, b)",
        *(W3, "float[N, 12, 12, 3] x", OUT, ["QuantizedInputConv2DBiasedScaled"]),
    ),
    "add_of_convs": (
        "a = Conv (x, k, b) c = Conv (x, k) r = Relu (c) y = Add (a, r)",
        *(W8, EIGHT, OUT),
        [
            "QuantizedConv2DBiasedScaled",
            "QuantizedConv2DReLUScaled",
            "QuantizedAdd",
        ],
    ),
    "residual_block_at_the_end_of_a_network": (
        "a = Conv <pads = [1, 1, 1, 1]> (x, k, b) r = Relu (a) "
        "c = Conv <pads = [1, 1, 1, 1]> (r, k) s = Add (c, r) t = Relu (s) "
        "m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (t) "
        "g = GlobalAveragePool (m) f = Flatten (g) y = Gemm (f, w)",
        W8 | {"w": normal(8, 5)},
        *(EIGHT, FLAT),
        [
            "QuantizedConv2DBiasedReLUScaled",
            "QuantizedConv2DScaled",
            "QuantizedAddReLUScaled",
            "QuantizedDepthwise2DMaxPoolScaled",
            "QuantizedDepthwise2DGlobalAvgPoolScaled",
            "QuantizedDense1DFlatten",
        ],
    ),
    "sum_and_relu_at_the_end": (
        "a = Conv (x, k, b) c = Conv (x, k) s = Add (a, c) y = Relu (s)",
        *(W8, EIGHT, OUT),
        ["QuantizedConv2DBiasedScaled", "QuantizedConv2DScaled", "QuantizedAddReLU"],
    ),
    "relu_then_pooling_of_the_input": (
        "r = Clip (x, zero, six) p = MaxPool <kernel_shape = [2, 2]> (r) "
        "y = AveragePool <kernel_shape = [3, 2], strides = [2, 1]> (p)",
        *(BOUNDS, EIGHT, OUT),
        ["QuantizedDepthwise2DMaxPoolReLUClippedScaled", "QuantizedDepthwise2DScaled"],
    ),
    "relu_then_mean_of_the_input": (
        "r = Relu (x) y = GlobalAveragePool (r)",
        *({}, EIGHT, OUT, ["QuantizedDepthwise2DGlobalAvgPoolReLUScaled"]),
    ),
    "average_pooling_that_counts_zeros": (
        "y = AveragePool <kernel_shape = [2, 2], pads = [0, 1, 1, 0], "
        "count_include_pad = 1> (x)",
        *({}, EIGHT, OUT, ["QuantizedDepthwise2DScaled"]),
    ),
    "add_of_the_input_then_conv": (
        "a = Conv <pads = [1, 1, 1, 1]> (x, k, b) s = Add (x, a) y = Conv (s, k)",
        {"k": normal(3, 3, 3, 3), "b": normal(3)},
        *(IMAGE, OUT),
        ["QuantizedConv2DBiasedScaled", "QuantizedAddScaled", "QuantizedConv2DScaled"],
    ),
    "add_of_one_tensor_twice": (
        "a = Gemm (x, w, b) s = Add (a, a) y = Gemm (s, w2)",
        DENSE | {"w2": normal(7, 5)},
        *(ROWS, FLAT),
        [
            "QuantizedDense1DBiasedScaled",
            "QuantizedAddRank2Scaled",
            "QuantizedDense1D",
        ],
    ),
}


def quantized_case(name, opset=18, **settings):
    body, weights, x, y, _ = CASES[name]
    used = body.replace(",", " ").replace("(", " ").replace(")", " ").split()
    model = model_of(body, {k: v for k, v in weights.items() if k in used}, x, y, opset)
    sizes = [int(word) for word in x[x.index("[") + 4 : x.index("]")].split(",")]
    samples = images(24, *sizes)
    return model, quantize_onnx(model, samples=samples, **settings), samples


@pytest.mark.parametrize("name", CASES)
def test_every_pattern_is_exact_and_near_the_float_model(name):
    types = CASES[name][-1]
    for per_tensor in (False, True):
        model, quantized, samples = quantized_case(
            name, per_tensor_activations=per_tensor
        )
        found = [n.op_type for n in quantized.graph.node]
        expected = [
            t.replace("QuantizedInputConv2DScaled", "QuantizedInputConv2DBiasedScaled")
            for t in types
        ]
        assert [t for t in found if t.startswith("Quantized")] == expected
        assert found[-1] == "Dequantizer"
        assert "InputQuantizer" in found[:2]
        assert_every_integer_is_exact(quantized, samples[:5])
        before, after = run(model, samples)[0], run(quantized, samples)[0]
        assert after.dtype == np.float32
        error = np.sqrt(np.mean((before - after) ** 2)) / before.std()
        assert error < (0.04 if per_tensor else 0.03), error


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 20, 21, 22, 24])
def test_models_of_any_opset_quantize_to_the_same_integers(opset):
    name = "conv_relu_max_pool"
    _, wanted, samples = quantized_case(name)
    model, quantized, _ = quantized_case(name, opset)
    assert model.opset_import[0].version == opset
    np.testing.assert_array_equal(run(quantized, samples)[0], run(wanted, samples)[0])
    assert quantized.opset_import[0].version == max(18, opset)


def test_a_function_is_shared_by_the_layers_of_one_type_and_none_is_idle():
    weights = {"k": normal(3, 3, 3, 3), "k2": normal(3, 3, 5, 5)}
    body = "a = Conv (x, k) b = Conv (a, k2) y = Conv <strides = [2, 2]> (b, k)"
    model = model_of(body, weights, y=OUT)
    quantized = quantize_onnx(model, samples=images(8, 3, 12, 12))
    names = [function.name for function in quantized.functions]
    assert len(set(names)) == len(names)
    assert set(names) == {node.op_type for node in quantized.graph.node}
    assert len(names) == 4
    assert {function.domain for function in quantized.functions} == {"ai.larqlite"}


def test_the_model_that_was_given_stays_as_it_is():
    body, weights, x, y, _ = CASES["conv_relu"]
    model = model_of(body, weights, x, y)
    before = model.SerializeToString(deterministic=True)
    quantize_onnx(model, samples=images(8, 3, 12, 12))
    assert model.SerializeToString(deterministic=True) == before


def test_the_rest_stays_float_after_the_first_operation_without_pattern():
    weights = {"k": normal(8, 3, 3, 3), "k2": normal(8, 8, 3, 3, seed=3)}
    body = (
        "a = Conv (x, k) r = Relu (a) s = LRN <size = 3> (r) m = Mul (s, r) "
        "y = Conv (m, k2)"
    )
    model = model_of(body, weights, y=OUT)
    samples = images(16, 3, 12, 12)
    with pytest.warns(UserWarning, match="stay float") as caught:
        quantized = quantize_onnx(model, samples=samples)
    (warning,) = caught
    text = str(warning.message)
    for word in ("2 operations are quantized", '"r"', "LRN", "Mul", "Conv"):
        assert word in text
    assert warning.filename == __file__
    with pytest.raises(UnsupportedLayerError, match=r"2 operations .* LRN"):
        quantize_onnx(model, samples=samples, on_unsupported="raise")
    with pytest.raises(ValueError, match="on_unsupported='no'"):
        quantize_onnx(model, samples=samples, on_unsupported="no")
    assert [node.op_type for node in quantized.graph.node] == [
        "InputQuantizer",
        "QuantizedInputConv2DBiasedReLUScaled",
        "Dequantizer",
        "LRN",
        "Mul",
        "Conv",
    ]
    assert_every_integer_is_exact(quantized, samples)
    before, after = run(model, samples)[0], run(quantized, samples)[0]
    assert np.abs(before - after).max() < 0.02 * np.abs(before).max()


@pytest.mark.parametrize(
    ("body", "x", "y", "reason"),
    [
        ("y = Softmax (x)", IMAGE, OUT, 'Softmax "" .*no pattern'),
        ("y = Gemm <transA = 1> (x, w)", "float[24, 12] x", FLAT, "transA"),
        ("y = Flatten <axis = 2> (x)", IMAGE, "float[A, B] y", "Flatten"),
        ("y = Add (x, c)", "float[24, 24] x", "float[24, 24] y", "several axes"),
        ("y = Conv (x, v)", "float[N, 3, 9, 9, 9] x", "float[A,B,C,D,E] y", "3 dim"),
        ('y = Resize <mode = "linear"> (x, , two)', IMAGE, OUT, "interpolates"),
        ("y = Add (x, x)", "float[N, 3] x", "float[N, 3] y", None),
        ("y = MatMul (x, x)", "float[6, 6] x", "float[6, 6] y", "Gemm|MatMul"),
    ],
)
def test_a_model_that_starts_with_something_else_is_refused_by_name(body, x, y, reason):
    weights = {"w": normal(24, 7), "c": normal(24, 24), "v": normal(4, 3, 3, 3, 3)}
    weights["two"] = np.float32([1, 1, 2, 2])
    model = model_of(body, {k: w for k, w in weights.items() if f" {k})" in body}, x, y)
    sizes = [int(n) for n in x[x.index("[") + 1 : x.index("]")].split(",") if n != "N"]
    samples = images(*sizes) if "N" not in x else images(24, *sizes)
    if reason is None:
        assert quantize_onnx(model, samples=samples)
        return
    with pytest.raises(UnsupportedLayerError, match=reason) as caught:
        quantize_onnx(model, samples=samples)
    assert isinstance(caught.value, RuntimeError)
    assert "custom_pattern_scope" in str(caught.value)


def test_outputs_of_branches_are_dequantized_once_each():
    weights = {"k": normal(8, 3, 3, 3), "k2": normal(8, 3, 3, 3, seed=3)}
    body = "a = Conv (x, k) b = Conv (x, k2) r = Relu (b) m = Max (a, r) y = Add (m, a)"
    model = model_of(body, weights, y=OUT)
    samples = images(16, 3, 12, 12)
    with pytest.warns(UserWarning, match="Max"):
        quantized = quantize_onnx(model, samples=samples)
    types = [node.op_type for node in quantized.graph.node]
    assert types.count("Dequantizer") == 2
    before, after = run(model, samples)[0], run(quantized, samples)[0]
    assert np.abs(before - after).max() < 0.02 * np.abs(before).max()


def test_nothing_is_said_about_a_model_that_is_quantized_as_a_whole():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quantized_case("conv_relu")


def test_the_quantized_model_is_valid_onnx_and_a_quarter_of_the_size():
    weights = {"k": normal(256, 64, 3, 3), "b": normal(256)}
    shape = "float[N, 64, 8, 8] x"
    model = model_of("y = Conv (x, k, b)", weights, shape, OUT)
    quantized = quantize_onnx(model, samples=images(8, 64, 8, 8))
    onnx.checker.check_model(quantized, full_check=True)
    assert quantized.ByteSize() < model.ByteSize() / 3.8
