"""Values with a scale and an offset, and kernels with tables, summed as integers."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
import tf_keras
from hypothesis import example, given, settings, strategies as st

import larqlite as lq
from larqlite.onnx_graph import find_table
from tests.common.samples import in_turn
from tests.deploy.keras_and_file import checked, sequential
from tests.deploy.level_quantizers import SignedSteps, Table

L, Q = lq.layers, lq.quantizers


def adabin(alpha, beta):
    quantizer = Q.AdaBinActivations()
    quantizer.build(None)
    quantizer.set_weights([np.float32(alpha), np.float32(beta)])
    return quantizer


INPUTS = {
    "adabin": lambda: adabin(0.7, 0.3),
    "adabin, turned round": lambda: adabin(-1.3, -0.2),
    "adabin without an offset": lambda: adabin(0.4, 0.0),
    "signed 4 bits": lambda: SignedSteps(),
    "3 bits, none in the middle": lambda: SignedSteps(-3, 3, 0.5, 0.1),
    "unsigned 2 bits": lambda: SignedSteps(0, 3, 0.25, -0.4),
    "1 of 2": lambda: Q.DoReFa(1),
    "a table": lambda: Table([-1.1, -0.3, 0.2, 0.9]),
}
TABLES = {
    "two levels": [-0.3, 0.9],
    "three": [-1.0, 0.2, 0.5],
    "around zero": [-1.3, -0.4, 0.4, 1.3],
    "around a center": [-0.8, 0.1, 0.7, 1.6],
    "eight": [-1.3, -0.8, -0.45, -0.1, 0.12, 0.5, 0.77, 1.4],
    "normal floats": [
        *(-1.0, -0.696, -0.525, -0.395, -0.284, -0.185, -0.091, 0.0),
        *(0.08, 0.161, 0.246, 0.338, 0.441, 0.563, 0.723, 1.0),
    ],
}
# Streams of bits end at whole bytes, one for each bit of a table: counts are multiples of 8,
# but in the tests of what a file holds.
LAYERS = {
    "same": lambda **more: L.QuantConv2D(6, 3, padding="same", **more),
    "strides": lambda **more: L.QuantConv2D(6, 3, strides=2, padding="same", **more),
    "dilated": lambda **more: L.QuantConv2D(
        6, 3, dilation_rate=2, padding="same", **more
    ),
    "ones around": lambda **more: L.QuantConv2D(
        6, 3, padding="same", pad_values=1.0, **more
    ),
    "valid": lambda **more: L.QuantConv2D(6, 3, **more),
    "groups": lambda **more: L.QuantConv2D(8, 3, groups=2, padding="same", **more),
    "transposed": lambda **more: L.QuantConv2DTranspose(
        6, 3, strides=2, padding="same", **more
    ),
    "dense": lambda **more: L.QuantDense(6, **more),
}


def packed_and_kept(model) -> list[str]:
    """The types of packed nodes; nothing of the model computes in float."""
    operations, report = checked(model, tolerance=3e-6)
    assert not report.float_layers
    return [op for op in operations if op[0] in "BTQ" and op[1:2].isupper()]


@pytest.mark.parametrize(("levels", "layer"), in_turn(INPUTS, LAYERS, each=3))
def test_sums_of_scaled_inputs_are_integers(levels, layer):
    """Each input meets three layers, and each layer three inputs; all with the slow ones."""
    quantized = {"input_quantizer": INPUTS[levels](), "kernel_quantizer": "ste_sign"}
    model = sequential((6, 7, 4), LAYERS[layer](**quantized))
    assert len(packed_and_kept(model)) == (3 if levels == "a table" else 1)


@pytest.mark.parametrize(
    ("layer", "table"), in_turn(LAYERS, ["two levels", "around a center", "eight"])
)
def test_sums_of_tables_are_sums_of_binary_kernels(layer, table):
    """Each layer meets one kind of table, and each table two or three layers."""
    model = sequential(
        (6, 7, 4),
        LAYERS[layer](
            input_quantizer="ste_sign", kernel_quantizer=Table(TABLES[table])
        ),
    )
    assert packed_and_kept(model)


@pytest.mark.parametrize(
    ("levels", "table"),
    in_turn(["adabin", "3 bits, none in the middle", "1 of 2"], TABLES, each=2),
)
def test_both_have_scales_and_offsets(levels, table):
    """Each table meets one kind of inputs, and each of these two tables."""
    quantized = {
        "input_quantizer": INPUTS[levels](),
        "kernel_quantizer": Table(TABLES[table]),
    }
    model = sequential((6, 7, 4), LAYERS["same"](use_bias=True, **quantized))
    packed_and_kept(model)


@pytest.mark.parametrize("kernel", ["ste_sign", "adabin_weights"])
@pytest.mark.parametrize(
    "layer",
    [
        lambda **q: L.QuantDepthwiseConv2D(
            3,
            padding="same",
            depthwise_quantizer=q.pop("kernel_quantizer"),
            **q,
        ),
        lambda **q: L.QuantSeparableConv2D(
            5,
            3,
            padding="same",
            depthwise_quantizer="ste_sign",
            pointwise_quantizer=q.pop("kernel_quantizer"),
            **q,
        ),
    ],
)
def test_layers_of_a_kernel_for_each_channel(layer, kernel):
    made = layer(input_quantizer=adabin(0.7, 0.3), kernel_quantizer=kernel)
    checked(sequential((6, 7, 4), made), tolerance=3e-6)


def test_files_say_which_integers_their_layers_read(tmp_path):
    model = sequential(
        (6, 7, 4),
        LAYERS["same"](input_quantizer=SignedSteps(), kernel_quantizer="ste_sign"),
    )
    path = tmp_path / "model.onnx"
    checked(model, path=path)
    file = onnx.load(path)
    (version,) = (v.version for v in file.opset_import if v.domain == "ai.larqlite")
    assert version == 2
    node = next(n for n in file.graph.node if n.op_type == "QConv2D")
    (word,) = (a.s for a in node.attribute if a.name == "input")
    assert word == b"integers:-8:7"
    assert "Mul" not in {n.op_type for n in file.graph.node if "quantizer" in n.name}


def test_scales_survive_layers_that_keep_values():
    model = sequential(
        (6, 8, 4),
        SignedSteps(-2, 1, 0.5, 0.25),
        tf_keras.layers.MaxPooling2D(2),
        tf_keras.layers.Flatten(),
        L.QuantDense(5, kernel_quantizer="ste_sign"),
    )
    assert packed_and_kept(model) == ["QDense"]


def test_an_alpha_of_zero_has_no_integers():
    model = sequential(
        (6,),
        L.QuantDense(
            5, input_quantizer=Q.AdaBinActivations(), kernel_quantizer="ste_sign"
        ),
    )
    model.layers[0].input_quantizer.set_weights([np.float32(0), np.float32(0.5)])
    operations, report = checked(model)
    assert "MatMul" in operations
    assert report.float_layers


@pytest.mark.parametrize("layer", ["same", "dense"])
@pytest.mark.parametrize("kernel", ["ste_sign", "ste_tern"])
@pytest.mark.parametrize("ends", [(-1, 1), (0, 1), (-1, 2), (-2, 1)], ids=str)
def test_integers_near_zero_are_no_ternary_values(ends, kernel, layer):
    """The planes of integers weigh 1 and 2, those of ternary values 1 and 1."""
    made = LAYERS[layer](
        input_quantizer=SignedSteps(*ends, 0.5, 0.0), kernel_quantizer=kernel
    )
    shape = (8,) if layer == "dense" else (6, 5, 8)
    assert packed_and_kept(sequential(shape, made))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    levels=st.lists(
        st.floats(-4, 4, width=32), min_size=2, max_size=16, unique=True
    ).map(sorted),
    seed=st.integers(0, 2**32 - 1),
    per_channel=st.booleans(),
)
@example(
    levels=[
        -3.541119,
        -1.9161657,
        0.0,
        0.0625,
        0.1,
        0.3653199,
        0.7992178,
        1.1331296,
        3.4820778,
    ],
    seed=0,
    per_channel=False,
)
def test_a_table_gives_the_values_back(levels, seed, per_channel):
    rng = np.random.default_rng(seed)
    bits = max(1, (len(levels) - 1).bit_length())
    values = rng.choice(np.array(levels, np.float32), (4, 3, 5))
    if per_channel:
        values = values * rng.uniform(0.5, 2, (4, 1, 1)).astype(np.float32)
    found = find_table(values, bits)
    if found is None:  # levels too near to each other for float32 coefficients
        assert np.ptp(levels) < 2.0**-10 * np.abs(levels).max()
        return
    # Sixteen float32 terms, each half a unit of the last place off, and so their sums.
    np.testing.assert_allclose(
        found.values(), values, rtol=0, atol=2**-20 * np.abs(values).max()
    )
    by_hand = np.zeros_like(values, np.float64)
    for streams, part in found.parts.items():
        signs = np.prod([1 - 2.0 * (found.codes >> bit & 1) for bit in streams], axis=0)
        np.testing.assert_array_equal(part.integers, signs)
        by_hand += signs * part.scale.astype(np.float64).reshape(-1, 1, 1)
    if found.center is not None:
        by_hand += found.center.astype(np.float64).reshape(-1, 1, 1)
    np.testing.assert_allclose(
        by_hand, values, rtol=0, atol=1e-6 * np.abs(values).max()
    )


@pytest.mark.parametrize(
    ("levels", "products"),
    [
        ([-1.5, -0.5, 0.5, 1.5], 2),
        ([-0.7, -0.2, 0.2, 0.7], 2),
        ([-1.3, -0.8, -0.45, -0.1, 0.1, 0.45, 0.8, 1.3], 4),
        ([0.3, 0.5, 0.9, 1.7], 3),
    ],
)
def test_levels_around_a_center_need_half_the_products(levels, products):
    values = np.array(list(itertools.islice(itertools.cycle(levels), 24)), np.float32)
    found = find_table(values.reshape(2, 3, 4), (len(levels) - 1).bit_length())
    assert len(found.parts) == products


@pytest.mark.parametrize(
    ("op", "given", "what"),
    [
        ("Integer", {"low": -1, "high": 1}, 'Did you mean "Integers"'),
        ("Integers", {"low": -2, "high": 1, "scale": 0.0}, "scale=0.0"),
        ("Integers", {"low": -2, "high": 1, "offset": np.nan}, "offset=nan"),
        ("Integers", {"low": -2, "high": 1, "scale": np.ones(4)}, r"shape \(4,\)"),
        ("Integers", {"low": 2, "high": 3}, "low=2 .*-255 to 0"),
        ("Integers", {"low": -300, "high": 3}, "low=-300"),
        ("Integers", {"low": -3}, "high"),
        ("Sign", {"bits": 2}, "bits"),
    ],
)
def test_a_quantizer_that_there_is_not_is_refused_with_the_fix(op, given, what):
    from larqlite.onnx_graph import Writer

    graph = Writer()
    graph.path = "mine"
    value = graph.value("x", (None, 4))
    with pytest.raises(lq.errors.ArgumentError, match=rf"(?s)mine.*{what}.*Fix: "):
        graph.quantized(value, op, **given)
    assert not graph.nodes


@pytest.mark.parametrize(
    ("thresholds", "levels", "what"),
    [
        ([0.5], [1.0, -1.0], r"levels=\[1.0, -1.0\] are not"),
        ([0.5], [1.0], r"levels=\[1.0\] are not 2 to 16"),
        ([0.5], [0.0, np.nan], "nan"),
        (range(16), range(17), "not 2 to 16"),
        ([0.5, 1.5], [0.0, 1.0], "2 thresholds do not divide 2 levels"),
        ([0.5, -0.5], [0.0, 1.0, 2.0], r"thresholds=\[0.5, -0.5\] do not rise"),
        ([np.nan], [0.0, 1.0], r"thresholds=\[nan\]"),
    ],
)
def test_a_table_that_there_is_not_is_refused_with_the_fix(thresholds, levels, what):
    from larqlite.onnx_graph import Writer

    graph = Writer()
    graph.path = "mine"
    value = graph.value("x", (None, 4))
    message = rf"(?s)mine: graph\.table: .*{what}.*Fix: "
    with pytest.raises(lq.errors.ArgumentError, match=message):
        graph.table(value, thresholds, levels)
    assert not graph.nodes


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("signs", 'Did you mean "sign"'),
        ("integer:-8:7", 'Did you mean "integers"'),
        ("steps:x", '"steps:k" with k bits'),
        ("integers:1:3", "with 0 among them"),
    ],
)
def test_a_name_of_no_levels_is_refused_with_the_nearest(text, what):
    from larqlite.onnx_graph import Writer

    graph = Writer()
    message = rf'(?s)"mine/x": levels="{text}" is no name.*{what}'
    with pytest.raises(lq.errors.ArgumentError, match=message):
        graph.value("mine/x", (None, 4), levels=text)
    value = graph.value("mine/x", (None, 4))
    with pytest.raises(lq.errors.ArgumentError, match="no name of few values"):
        value.with_levels(text)


@pytest.mark.parametrize(
    ("table", "bits", "streams"),
    [(TABLES["eight"], 3, 3), ([-0.31, 0.9], 3, 1), (TABLES["normal floats"], 4, 4)],
)
def test_the_report_says_what_a_file_holds_of_a_table(table, bits, streams, tmp_path):
    """9 weights: a stream of 2 bytes for each bit that is needed, in one file; in the
    summary one stream of all bits."""
    quantizer = Table(table)
    quantizer.precision = bits
    layer = L.QuantDense(
        3,
        input_quantizer="ste_sign",
        kernel_quantizer=quantizer,
        use_bias=False,
        input_shape=(3,),
    )
    model = tf_keras.Sequential([layer])
    levels = np.resize(table, 9).astype(np.float32).reshape(3, 3)
    layer.kernel.latent_variable.assign(levels)
    report = lq.deploy.export(model, tmp_path / "net.onnx")
    held = [t.raw_data for t in onnx.load(tmp_path / "net.onnx").graph.initializer
            if "/kernel/bit_" in t.name]  # fmt: skip
    assert report.weight_bytes == sum(map(len, held)) == 2 * streams
    counted = lq.models.profile(model).deployed_bytes
    assert counted == -(-9 * bits // 8)
    *_, note = report.notes
    assert f"counts {counted} bytes of weights, the file holds {2 * streams}: " in note
    assert "each bit of a kernel with a table" in note
