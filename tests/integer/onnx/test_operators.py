"""Operators of real files, each in a small graph: near to float, and exact to the bit."""

import warnings

import numpy as np
import onnx
import pytest

from larqlite.integer.onnx import layers, quantize_onnx
from larqlite.integer.onnx.quantization import OPERATORS
from larqlite.integer.onnx.quantization._patterns import PATTERNS
from larqlite.integer.onnx.quantization._regions import FUNCTIONS
from tests.integer.onnx.networks import images, model_of, normal
from tests.integer.onnx.numpy_integers import assert_every_integer_is_exact, run

EIGHT = "float[N, 8, 6, 7] x"
OPEN = "float[N, 8, H, W] x"
SERIES = "float[N, 8, 21] x"
TOKENS = "float[N, 5, 12] x"
ROWS = "float[N, 12] x"
IMAGE = "float[A, B, C, D] y"
LINE = "float[A, B, C] y"
FLAT = "float[A, B] y"
K = {"k": normal(8, 8, 3, 3, scale=0.2), "b": normal(8, seed=1)}
K["k4"] = normal(8, 8, 3, 3, seed=4, scale=0.2)
THREE = {"three": np.float32(3), "six": np.float32(6), "zero": np.float32(0)}
SWISH = "p = Add ({0}, three) c = Clip (p, zero, six) m = Mul ({0}, c) y = Div (m, six)"
SE = (
    "g = GlobalAveragePool (x) r = Conv (g, k1) t = Relu (r) e = Conv (t, k2) "
    "s = HardSigmoid (e) y = Mul (x, s)"
)
GATE = {"k1": normal(4, 8, 1, 1), "k2": normal(8, 4, 1, 1)}


def sizes(*numbers):
    return np.array(numbers, np.int64)


# text of the nodes, weights, input, output, types of the integer nodes
CASES = {
    "hard_swish_of_conv": (
        "a = Conv (x, k, b) " + SWISH.format("a"),
        *(K | THREE, EIGHT, IMAGE),
        ["QuantizedConv2DBiasedScaledTo16", "QuantizedFunctionFrom16To16"],
    ),
    "swish_between_convs": (
        "a = Conv (x, k, b) s = Sigmoid (a) m = Mul (a, s) y = Conv (m, k)",
        *(K, EIGHT, IMAGE),
        [
            "QuantizedConv2DBiasedScaledTo16",
            "QuantizedFunctionFrom16",
            "QuantizedConv2DScaled",
        ],
    ),
    "function_of_the_input": (
        "t = Tanh (x) y = Conv (t, k)",
        *(K, EIGHT, IMAGE, ["QuantizedFunctionPerChannel", "QuantizedConv2DScaled"]),
    ),
    "leaky_relu": (
        "a = Conv (x, k) y = LeakyRelu <alpha = 0.1> (a)",
        *(
            K,
            EIGHT,
            IMAGE,
            ["QuantizedConv2DScaledTo16", "QuantizedFunctionFrom16To16"],
        ),
    ),
    "slopes_of_each_channel": (
        "a = Conv (x, k) p = PRelu (a, slope) y = Conv (p, k)",
        K | {"slope": normal(8, 1, 1)},
        *(EIGHT, IMAGE),
        [
            "QuantizedConv2DScaledTo16",
            "QuantizedFunctionPerChannelFrom16",
            "QuantizedConv2DScaled",
        ],
    ),
    "function_of_rows": (
        "a = Gemm (x, w) g = Elu (a) o = Mul (g, each) y = Gemm (o, v)",
        {"w": normal(12, 9), "v": normal(9, 4), "each": normal(9)},
        *(ROWS, FLAT),
        [
            "QuantizedDense1DScaledTo16",
            "QuantizedFunctionPerChannelFrom16",
            "QuantizedDense1D",
        ],
    ),
    "one_tensor_of_two_functions": (
        "a = Conv (x, k) r = Relu (a) s = Sigmoid (r) q = Conv (r, k) t = Conv (s, k) "
        "y = Sub (q, t)",
        *(K, EIGHT, IMAGE),
        [
            *("QuantizedConv2DReLUScaled", "QuantizedFunctionPerChannel"),
            *("QuantizedConv2DScaled", "QuantizedConv2DScaled", "QuantizedSum2To16"),
        ],
    ),
    "squeeze_and_excite_of_open_size": (
        *(SE, GATE, OPEN, IMAGE),
        [
            "QuantizedGlobalAveragePool",
            *("QuantizedConv2DReLUScaled", "QuantizedConv2DScaledTo16"),
            *("QuantizedFunctionFrom16", "QuantizedMulTo16"),
        ],
    ),
    "gate_that_is_added": (
        SE.replace("y = Mul (x, s)", "m = Mul (x, s) y = Add (m, x)"),
        *(GATE, OPEN, IMAGE),
        [
            "QuantizedGlobalAveragePool",
            *("QuantizedConv2DReLUScaled", "QuantizedConv2DScaledTo16"),
            *("QuantizedFunctionFrom16", "QuantizedMulTo16"),
        ],
    ),
    "mean_of_open_size": (
        "r = Relu (x) m = ReduceMean <keepdims = 0> (r, over) y = Gemm (m, w)",
        *({"over": sizes(2, 3), "w": normal(8, 5)}, OPEN, FLAT),
        [
            "QuantizedDepthwise2DReLUScaled",
            *("QuantizedGlobalAveragePoolRank2", "QuantizedDense1D"),
        ],
    ),
    "maximum_of_the_image": (
        "a = Conv (x, k) m = GlobalMaxPool (a) y = Conv (m, k1)",
        *(K | GATE, EIGHT, IMAGE),
        ["QuantizedConv2DScaled", "QuantizedGlobalMaxPool", "QuantizedConv2DScaled"],
    ),
    "channels_side_by_side": (
        "a = Conv (x, k) r = Relu (a) c = Conv (x, k4) j = Concat <axis = 1> (r, c) "
        "y = Conv (j, k16)",
        K | {"k16": normal(4, 16, 1, 1)},
        *(EIGHT, IMAGE),
        [
            *("QuantizedConv2DReLUScaled", "QuantizedConv2DScaled"),
            *("QuantizedConcat2", "QuantizedConv2DScaled"),
        ],
    ),
    "rows_side_by_side": (
        "a = Gemm (x, w) b = Relu (x) j = Concat <axis = -1> (a, b, x) y = Gemm (j, v)",
        {"w": normal(12, 9), "v": normal(33, 4)},
        *(ROWS, FLAT),
        [
            *("QuantizedDense1DScaled", "QuantizedFunction"),
            *("QuantizedConcat3Rescaled", "QuantizedDense1D"),
        ],
    ),
    "concat_of_what_is_then_transposed": (
        "a = Conv (x, k) r = Relu (a) c = Conv (x, k4) j = Concat <axis = 1> (r, c) "
        "t = Transpose <perm = [0, 2, 3, 1]> (j) y = MatMul (t, w)",
        K | {"w": normal(16, 5)},
        *(EIGHT, IMAGE),
        [
            *("QuantizedConv2DReLUScaled", "QuantizedConv2DScaled"),
            *("QuantizedConcat2Rescaled", "QuantizedTranspose"),
            "QuantizedDense1DScaledExactTo16",
        ],
    ),
    "parts_of_a_split": (
        "a = Conv (x, k) p, q = Split <axis = 1> (a, parts) u = Conv (p, k3) "
        "v = Conv (q, k5) y = Mul (u, v)",
        {"k3": normal(6, 3, 1, 1), "k5": normal(6, 5, 1, 1), "parts": sizes(3, 5)} | K,
        *(EIGHT, IMAGE),
        [
            *("QuantizedConv2DScaled", "QuantizedSlice", "QuantizedSlice"),
            *("QuantizedConv2DScaled", "QuantizedConv2DScaled", "QuantizedMulTo16"),
        ],
    ),
    "every_second_channel": (
        "a = Conv (x, k) s = Slice (a, one, end, one, two) y = Conv (s, k3)",
        {"one": sizes(1), "end": sizes(7), "two": sizes(2), "k3": normal(6, 3, 1, 1)}
        | K,
        *(EIGHT, IMAGE),
        ["QuantizedConv2DScaled", "QuantizedSlice", "QuantizedConv2DScaled"],
    ),
    "transposed_conv_and_normalization": (
        "a = ConvTranspose <strides = [2, 2]> (x, k, b) "
        "n = BatchNormalization (a, g, be, mu, v) y = Relu (n)",
        {"k": normal(8, 5, 2, 2), "b": normal(5), "g": normal(5, seed=2)}
        | {"be": normal(5, seed=3), "mu": normal(5, seed=4), "v": normal(5) ** 2 + 0.1},
        *(EIGHT, IMAGE, ["QuantizedConvTranspose2DBiasedReLUScaled"]),
    ),
    "transposed_conv_of_groups": (
        "y = ConvTranspose <group = 2, strides = [3, 2], pads = [1, 0, 0, 1], "
        "dilations = [1, 2], output_padding = [1, 0]> (x, k)",
        *({"k": normal(8, 3, 4, 3)}, EIGHT, IMAGE, ["QuantizedConvTranspose2DScaled"]),
    ),
    "series": (
        "a = Conv <pads = [2, 1], strides = [2], dilations = [2]> (x, k, b) r = Relu (a) "
        "y = ConvTranspose <strides = [2]> (r, t)",
        {"k": normal(6, 8, 3), "b": normal(6), "t": normal(6, 4, 2)},
        *(SERIES, LINE),
        ["QuantizedSeriesConvBiasedReLUScaled", "QuantizedSeriesConvTransposeScaled"],
    ),
    "series_of_single_channels_and_pooling": (
        "a = Conv <group = 8> (x, k) m = MaxPool <kernel_shape = [3], strides = [2]> (a) "
        "s = Sigmoid (m) g = GlobalAveragePool (s) y = Conv (g, k1)",
        {"k": normal(8, 1, 3), "k1": normal(4, 8, 1)},
        *(SERIES, LINE),
        [
            *("QuantizedSeriesConvScaled", "QuantizedMaxPool", "QuantizedFunction"),
            *("QuantizedGlobalAveragePool", "QuantizedSeriesConvScaled"),
        ],
    ),
    "rows_of_tokens": (
        "a = MatMul (x, w) b = Add (a, bias) r = Relu (b) m = MatMul (r, v) y = Add (m, x)",
        {"w": normal(12, 9), "bias": normal(9), "v": normal(9, 12)},
        *(TOKENS, LINE),
        [
            "QuantizedDense1DBiasedReLUScaledExact",
            *("QuantizedDense1DScaledExact", "QuantizedAddRank3"),
        ],
    ),
    "tokens_that_change_places": (
        "t = Transpose <perm = [0, 2, 1]> (x) e = Gelu (t) u = Unsqueeze (e, two) "
        "c = Conv (u, k) q = Squeeze (c, two) r = Reshape (q, as_rows) y = Gemm (r, w)",
        {"k": normal(6, 12, 1, 1), "two": sizes(2), "as_rows": sizes(-1, 30)}
        | {"w": normal(30, 4)},
        *(TOKENS, FLAT),
        [
            *("QuantizedFunction", "QuantizedUnsqueeze", "QuantizedConv2DScaled"),
            *("QuantizedSqueeze", "QuantizedDense1DFlatten"),
        ],
    ),
    "sizes_worked_out_from_shapes": (
        "a = Conv (x, k) s = Shape (a) n = Gather (s, first) u = Unsqueeze (n, zeros) "
        "j = Concat <axis = 0> (u, rest) r = Reshape (a, j) y = Gemm (r, w)",
        {"first": sizes(0)[0], "zeros": sizes(0), "rest": sizes(-1)}
        | K
        | {"w": normal(160, 4)},
        *(EIGHT, FLAT, ["QuantizedConv2DScaled", "QuantizedDense1DFlatten"]),
    ),
    "sizes_of_two_open_axes": (
        "a = Conv (x, k) s = Shape (a) p = Slice (s, zeros, two, zeros) "
        "j = Concat <axis = 0> (p, rest) r = Reshape (a, j) "
        "t = Transpose <perm = [0, 2, 1]> (r) y = MatMul (t, w)",
        {"zeros": sizes(0), "two": sizes(2), "rest": sizes(-1)}
        | K
        | {"w": normal(8, 4)},
        *("float[N, 8, H, W] x", LINE),
        [
            *("QuantizedConv2DScaled", "QuantizedReshape", "QuantizedTranspose"),
            "QuantizedDense1DScaledExactTo16",
        ],
    ),
    "resized_by_scales": (
        'a = Conv (x, k) r = Resize <mode = "nearest", nearest_mode = "floor", '
        'coordinate_transformation_mode = "asymmetric"> (a, , by) y = Conv (r, k)',
        *(K | {"by": np.float32([1, 1, 2, 3])}, EIGHT, IMAGE),
        ["QuantizedConv2DScaled", "QuantizedResizeByScales", "QuantizedConv2DScaled"],
    ),
    "resized_to_sizes": (
        "a = Conv (x, k) r = Resize (a, , , to) y = Conv (r, k)",
        *(K | {"to": sizes(1, 8, 9, 5)}, "float[1, 8, 6, 7] x", IMAGE),
        ["QuantizedConv2DScaled", "QuantizedResizeToSizes", "QuantizedConv2DScaled"],
    ),
    "padded_by_its_edge": (
        'p = Pad <mode = "edge"> (x, amounts) y = Conv (p, k)',
        *(K | {"amounts": sizes(0, 0, 1, 0, 0, 0, 2, 1)}, EIGHT, IMAGE),
        ["QuantizedPad", "QuantizedConv2DScaled"],
    ),
    "zeros_before_a_function": (
        "a = Conv (x, k) p = Pad (a, amounts) c = Atan (p) y = Conv (c, k)",
        *(K | {"amounts": sizes(0, 0, 1, 0, 0, 0, 2, 1)}, EIGHT, IMAGE),
        [
            *("QuantizedConv2DScaled", "QuantizedPad"),
            *("QuantizedFunctionPerChannel", "QuantizedConv2DScaled"),
        ],
    ),
    "depth_to_space": (
        "a = Conv (x, k) d = DepthToSpace <blocksize = 2> (a) y = Conv (d, k3)",
        *(K | {"k3": normal(4, 2, 3, 3)}, EIGHT, IMAGE),
        ["QuantizedConv2DScaled", "QuantizedDepthToSpace", "QuantizedConv2DScaled"],
    ),
    "space_to_depth": (
        "a = Conv <pads = [1, 1, 1, 2]> (x, k) d = SpaceToDepth <blocksize = 2> (a) "
        "y = Conv (d, k3)",
        *(K | {"k3": normal(4, 32, 1, 1)}, EIGHT, IMAGE),
        ["QuantizedConv2DScaled", "QuantizedSpaceToDepth", "QuantizedConv2DScaled"],
    ),
    "sum_of_three": (
        "a = Conv (x, k) c = Conv (x, k4) s = Sum (a, c, a) r = Relu (s) y = Conv (r, k)",
        *(K, EIGHT, IMAGE),
        [
            *("QuantizedConv2DScaled", "QuantizedConv2DScaled", "QuantizedSum3"),
            *("QuantizedDepthwise2DReLUScaled", "QuantizedConv2DScaled"),
        ],
    ),
    "factors_that_a_layer_takes_in": (
        "a = Conv (x, k) m = Mul (half, a) s = Add (m, each) d = Sub (s, half) "
        "r = Relu (d) y = Div (r, half)",
        K | {"half": np.float32([0.5]), "each": normal(8, 1, 1)},
        *(EIGHT, IMAGE),
        ["QuantizedConv2DBiasedReLUScaledTo16", "QuantizedFunctionFrom16To16"],
    ),
}


def quantized_case(name, bits, **settings):
    body, weights, x, y, _ = CASES[name]
    used = body.replace(",", " ").replace("(", " ").replace(")", " ").split()
    weights = {k: v for k, v in weights.items() if k in used}
    opset = 20 if "Gelu" in body else 18
    model = model_of(body, weights, x, y, opset)
    words = x[x.index("[") + 1 : x.index("]")].split(", ")
    shape = [int(w) if w.isdigit() else {"N": 24, "H": 6, "W": 7}[w] for w in words]
    samples = images(*shape)
    quantized = quantize_onnx(
        model,
        samples=samples,
        activation_bits=bits,
        weight_bits=bits,
        input_weight_bits=bits,
        **settings,
    )
    return model, quantized, samples


@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_exact_and_near_to_float(name):
    """8 bits: 2 % for two or three layers; 16: the steps of 2^-15 and their headroom."""
    for bits, bound in ((8, 0.03), (16, 0.001)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model, quantized, samples = quantized_case(name, bits)
        found = [n.op_type for n in quantized.graph.node]
        if bits == 8:
            expected = CASES[name][-1]
            assert [t for t in found if t.startswith("Quantized")] == expected
        assert all(
            n.domain == "ai.larqlite" or n.op_type == "Transpose"
            for n in quantized.graph.node
        )
        assert_every_integer_is_exact(quantized, samples[:3])
        before, after = run(model, samples)[0], run(quantized, samples)[0]
        assert after.dtype == np.float32
        error = np.sqrt(np.mean((before - after) ** 2)) / before.std()
        assert error < bound, (bits, error)


def test_the_table_of_operators_is_that_of_the_patterns_and_each_has_a_case():
    text = " ".join(body for body, *_ in CASES.values())
    known = {names[0] for names, _ in PATTERNS} - {"DepthwiseConv"}
    said = {name for row in OPERATORS for name in row.names}
    assert said == known | {*FUNCTIONS, "Split", "ReduceMean"}
    elsewhere = {"Flatten", "Identity", "AveragePool", "Reshape"}
    assert [op for op in known - elsewhere if f" {op} " not in f" {text} "] == []
    assert {layer.__name__ for row in OPERATORS for layer in row.layers} <= set(
        layers.__all__
    )


def test_several_inputs_and_outputs_are_quantized_by_name(tmp_path):
    text = """<ir_version: 9, opset_import: ["": 18]> net
    (float[N, 8, 6, 7] image, float[N, 12] row, int64[N] places)
    => (float[N, 8, 1, 1] mean, float[N, 9] r, int64[N] places_after) {
        a = Conv (image, k, b) mean = GlobalAveragePool (a)
        r = Gemm (row, w) places_after = Add (places, places) }"""
    model = onnx.parser.parse_model(text)
    for name, array in (K | {"w": normal(12, 9)}).items():
        if name in ("k", "b", "w"):
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    given = {"image": images(24, 8, 6, 7), "row": images(24, 12, seed=3)}
    given["places"] = np.arange(24)
    with pytest.warns(UserWarning, match="These stay float: Add"):
        quantized = quantize_onnx(model, samples=given)
    batches = [{k: v[i : i + 7] for k, v in given.items()} for i in range(0, 24, 7)]
    with pytest.warns(UserWarning, match="places.*which it takes, is not quantized"):
        again = quantize_onnx(model, samples=iter(batches))
    assert again == quantized
    for before, after in zip(run(model, given), run(quantized, given), strict=True):
        assert before.dtype == after.dtype
        assert np.abs(before - after).max() <= 0.02 * np.abs(before).max()
    assert_every_integer_is_exact(quantized, given)


def test_a_part_of_a_split_may_be_an_output_and_a_function_one_of_two_takers():
    text = """<ir_version: 9, opset_import: ["": 18]> net (float[N, 8, 6, 6] x)
    => (float[N, 4, 6, 6] p, float[N, 4, 6, 6] y, float[N, 8, 3, 3] m) {
        p, q = Split <axis = 1, num_outputs = 2> (x) y = Sigmoid (q)
        r = Relu (x) m = MaxPool <kernel_shape = [4, 4]> (r) }"""
    model = onnx.parser.parse_model(text)
    samples = images(24, 8, 6, 6)
    quantized = quantize_onnx(model, samples=samples)
    for before, after in zip(run(model, samples), run(quantized, samples), strict=True):
        assert np.abs(before - after).max() <= 0.03 * np.abs(before).max()
    assert_every_integer_is_exact(quantized, samples[:4])


def test_only_what_follows_from_a_float_operation_stays_float():
    """One path ends at its first operation without a pattern, the other goes on."""
    body = """a = Conv (x, k) l = LRN <size = 3> (a) c = Conv (l, k)
    d = Conv (a, k4) s = Sigmoid (d) y = Add (c, s)"""
    weights = {key: K[key] for key in ("k", "k4")}
    model = model_of(body, weights, "float[N, 8, 9, 9] x", IMAGE)
    samples = images(24, 8, 9, 9)
    with pytest.warns(UserWarning, match='LRN "" is not, since no pattern') as caught:
        quantized = quantize_onnx(model, samples=samples)
    assert "These stay float: LRN" in str(caught[0].message)
    floats = [n.op_type for n in quantized.graph.node if n.domain != "ai.larqlite"]
    assert sorted(floats) == ["Add", "Conv", "LRN"]
    assert_every_integer_is_exact(quantized, samples[:4])


@pytest.mark.parametrize("name", ["sigmoid", "hard_swish", "hard_sigmoid", "elu"])
def test_a_table_holds_what_the_formula_says(name):
    """Within half a step of the closed form, rounded half up, and float32's last bits."""
    formulas = {
        "sigmoid": ("y = Sigmoid (x)", lambda x: 1 / (1 + np.exp(-x))),
        "hard_swish": (
            "h = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x) y = Mul (x, h)",
            lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        ),
        "hard_sigmoid": ("y = HardSigmoid (x)", lambda x: np.clip(x / 5 + 0.5, 0, 1)),
        "elu": ("y = Elu (x)", lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    }
    body, formula = formulas[name]
    model = model_of(body, {}, "float[N, 5] x", FLAT)
    x = np.linspace(-6, 6, 200, dtype=np.float32).reshape(-1, 5)
    quantized = quantize_onnx(model, samples=x)
    stored = {
        i.name.rpartition("_")[2]: onnx.numpy_helper.to_array(i)
        for i in quantized.graph.initializer
    }
    table = stored["table"].astype(np.float64)
    exact = formula(np.arange(-128, 128) * 6 / 127)
    scale = 32767 / (2 * np.abs(formula(x.astype(np.float64))).max())
    assert len(table) == 256
    assert np.abs(table - exact * scale).max() <= 0.5 + 2**-24 * 32767 * 4


@pytest.mark.parametrize("function", ["Log", "Reciprocal", "Sqrt"])
def test_a_table_is_finite_where_its_function_is_not(function):
    model = model_of(f"y = {function} (x)", {}, "float[N, 5] x", FLAT)
    x = np.linspace(0.5, 6, 200, dtype=np.float32).reshape(-1, 5)
    quantized = quantize_onnx(model, samples=x)
    assert np.isfinite(run(quantized, np.zeros((1, 5), np.float32))[0]).all()
    before, after = run(model, x)[0], run(quantized, x)[0]
    assert np.abs(before - after).max() < 0.06 * np.abs(before).max()
