"""The function bodies of `ai.larqlite`, run by a stock ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings, strategies as st
from onnx import helper, numpy_helper

import larqlite_runtime
from larqlite import onnx_graph
from larqlite_runtime._graph import GraphNode
from larqlite_runtime.format import (
    DOMAIN,
    GRIDS,
    PACKED_LAYERS,
    QUANTIZERS,
    ROWS,
    pack_codes as pack,
)
from tests.runtime import files

SPECIAL = np.array(
    [-np.inf, -2, -0.05, -1e-45, -0.0, 0.0, 1e-45, 0.05, 0.5, 1.0, 2, np.inf, np.nan],
    np.float32,
)


def model_of(op, inputs, constants=(), **attributes):
    """A model of one node of the domain."""
    names = [f"x{i}" for i in range(len(inputs) + len(constants))]
    kinds = [helper.np_dtype_to_tensor_dtype(array.dtype) for array in inputs]
    given = [
        helper.make_tensor_value_info(name, kind, ("batch", *array.shape[1:]))
        for name, kind, array in zip(names, kinds, inputs, strict=False)
    ]
    stored = names[len(inputs) :]
    node = helper.make_node(op, names, ["y"], domain=onnx_graph.DOMAIN, **attributes)
    output = helper.make_empty_tensor_value_info("y")
    graph = helper.make_graph(
        [node],
        "one",
        given,
        [output],
        [numpy_helper.from_array(a, n) for a, n in zip(constants, stored, strict=True)],
    )
    return helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid("", onnx_graph.OPSET),
            helper.make_opsetid(onnx_graph.DOMAIN, onnx_graph.version_of([op])),
        ],
        functions=onnx_graph.functions_used_by({op}),
        ir_version=9,
    ).SerializeToString()


def run(op, inputs, constants=(), **attributes):
    """What a stock ONNX Runtime makes of one node."""
    session = onnxruntime.InferenceSession(
        model_of(op, inputs, constants, **attributes),
        providers=["CPUExecutionProvider"],
    )
    found = {f"x{i}": array for i, array in enumerate(inputs)}
    return session.run(None, found)[0]


def test_sign_is_never_zero_and_takes_nan_for_plus():
    expected = np.where(SPECIAL < 0, -1, 1)
    np.testing.assert_array_equal(run("Sign", [SPECIAL]), expected)


def test_heaviside_is_one_for_positive_values_only():
    expected = np.where(SPECIAL > 0, 1, 0)
    np.testing.assert_array_equal(run("Heaviside", [SPECIAL]), expected)


def test_ternary_reaches_its_levels_at_the_threshold():
    x = SPECIAL[:-1]
    threshold = np.float32(0.05)
    expected = np.sign(np.sign(x + threshold) + np.sign(x - threshold))
    found = run("Ternary", [x], threshold=float(threshold))
    np.testing.assert_array_equal(found, expected)
    assert found[x == threshold] == 1
    assert found[x == -threshold] == -1


@pytest.mark.parametrize(
    ("op", "given", "as_float", "as_bits", "reader"),
    [
        ("Sign", {}, 1, 1, "sign"),
        ("Heaviside", {}, 0, 0, "heaviside"),
        ("Ternary", {"threshold": 0.05}, np.nan, 0, "ternary"),
        ("Steps", {"bits": 2}, np.nan, 0, "steps"),
        ("Integers", {"low": -3, "high": 4}, np.nan, -3, "integers:-3:4"),
    ],
)
def test_a_nan_is_what_the_page_says_in_floats_and_in_bits(
    op, given, as_float, as_bits, reader
):
    x = np.full((1, 3), np.nan, np.float32)
    np.testing.assert_array_equal(run(op, [x], **given), np.full((1, 3), as_float))
    layer = {"weight_shape": [2, 3], "bits": 2, "step": 2.0, "offset": -3.0}
    layer |= {"input": reader, "input_steps": 3.0 if op == "Steps" else 1.0}
    model = files.model(
        [
            files.packed(op, "x", "q", **given),
            files.packed("QDense", "q w", "y", **layer),
        ],
        {"x": (3,)},
        {"y": (2,)},
        {"w": np.packbits([0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 0], bitorder="little")},
    )
    model.opset_import[1].version = 2
    kernel = [[-3, -1, 3], [1, 3, -3]]
    for isa in ("avx2", "portable", "numpy"):
        found = larqlite_runtime.load(model.SerializeToString(), isa=isa)(x)
        sums = np.sum(kernel, 1) * as_bits
        np.testing.assert_array_equal(found[0], sums)


@pytest.mark.parametrize("bits", range(1, 9))
def test_steps_round_half_to_even(bits):
    n = 2**bits - 1
    x = np.linspace(-0.1, 1.1, 1001).astype(np.float32)
    halves = ((np.arange(n) + 0.5) / n).astype(np.float32)
    x = np.concatenate([x, halves])
    clipped = np.clip(x, 0, 1).astype(np.float32)
    expected = np.rint(clipped * np.float32(n)) / np.float32(n)
    np.testing.assert_array_equal(run("Steps", [x], bits=bits), expected)


@pytest.mark.parametrize("shape", [(6, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_the_scale_of_a_row_is_its_largest_magnitude_by_the_steps(shape):
    x = (np.random.default_rng(3).normal(size=shape) * 9).astype(np.float32)
    x.reshape(-1, 5)[:4] = [[0] * 5, [1e-45] * 5, [-3e38] * 5, [0, -np.inf, 0, 0, 0]]
    largest = np.abs(x).max(-1, keepdims=True)
    expected = np.maximum(largest / np.float32(127), np.finfo(np.float32).tiny)
    np.testing.assert_array_equal(run("AbsmaxScale", [x], steps=127), expected)
    reference = ROWS["AbsmaxScale"].values_of(x, {"steps": 127})
    np.testing.assert_array_equal(reference, expected)
    content = files.model(
        [files.packed("AbsmaxScale", "x", "y", steps=127)],
        {"x": shape[1:]},
        {"y": (*shape[1:-1], 1)},
    )
    content.opset_import[1].version = 3
    for engine in ("auto", "native"):
        for isa in (None, "portable", "numpy"):
            model = larqlite_runtime.load(
                content.SerializeToString(), 1, engine=engine, isa=isa
            )
            np.testing.assert_array_equal(model(x), expected)


def test_a_row_needs_a_last_axis_beside_the_batch():
    content = files.model(
        [files.packed("AbsmaxScale", "x", "y", steps=127)], {"x": ()}, {"y": ()}
    )
    content.opset_import[1].version = 3
    with pytest.raises(larqlite_runtime.ModelFileError, match="no rows in a batch"):
        larqlite_runtime.load(content.SerializeToString())
    content.graph.node[0].attribute[0].i = 0
    with pytest.raises(larqlite_runtime.ModelFileError, match="steps"):
        larqlite_runtime.load(content.SerializeToString())


@pytest.mark.parametrize("bits", range(1, 9))
def test_unpack_reads_codes_low_bit_first(bits):
    rng = np.random.default_rng(bits)
    codes = rng.integers(0, 2**bits, size=(3, 2, 5))
    stream = "".join(format(code, f"0{bits}b")[::-1] for code in codes.ravel())
    stream += "0" * (-len(stream) % 8)
    packed = [int(stream[i : i + 8][::-1], 2) for i in range(0, len(stream), 8)]
    attributes = {"weight_shape": [3, 2, 5], "bits": bits, "step": 2.0, "offset": -3.0}
    found = run("Unpack", [], [np.array(packed, np.uint8)], **attributes)
    np.testing.assert_array_equal(found, 2 * codes - 3)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("kind", "BTQ")
def test_a_convolution_is_the_sum_over_its_window(kind, rank):
    rng = np.random.default_rng(rank)
    shape = (4, *[2] * rank, 3)
    levels = {"B": [-1, 1], "T": [-1, 0, 1], "Q": [-3, -1, 1, 3]}[kind]
    weights = rng.choice(levels, size=shape)
    codes = {"B": (1 - weights) // 2, "T": weights + 1, "Q": (weights + 3) // 2}[kind]
    bits = 1 if kind == "B" else 2
    steps = 3 if kind == "Q" else 1
    x = rng.integers(0, 4, size=(2, 3, *[4] * rank)) if kind == "Q" else None
    x = rng.choice([-1, 1], size=(2, 3, *[4] * rank)) if x is None else x
    more = {"bits": 2, "step": 2.0, "offset": -3.0, "input_steps": 3.0}
    found = run(
        f"{kind}Conv{rank}D",
        [(x / steps).astype(np.float32)],
        [pack(codes, bits)],
        weight_shape=shape,
        strides=[1] * rank,
        dilations=[1] * rank,
        group=1,
        pads=[1] * rank + [0] * rank,
        pad_value=1.0,
        input="sign",
        **(more if kind == "Q" else {}),
    )
    padded = np.pad(x, [(0, 0), (0, 0), *[(1, 0)] * rank], constant_values=steps)
    expected = np.zeros(found.shape)
    for tap in np.ndindex(*[2] * rank):
        window = padded[(..., *[slice(t, t + 4) for t in tap])]
        kernel = weights[(slice(None), *tap)]
        expected += np.moveaxis(np.tensordot(kernel, window, (1, 1)), 1, 0)
    np.testing.assert_array_equal(found, expected)


def test_every_function_is_valid_and_needs_no_other_but_unpack():
    for name in onnx_graph.function_names():
        function = onnx_graph.function(name)
        assert (function.domain, function.name) == (onnx_graph.DOMAIN, name)
        own = {node.op_type for node in function.node if node.domain}
        assert own <= {"Unpack"}
        assert set(onnx_graph.functions_used_by({name})[0].output) <= {"y", "w"}


def test_functions_use_operations_of_the_opset_that_files_declare():
    for name in onnx_graph.function_names():
        for node in onnx_graph.function(name).node:
            if not node.domain:
                schema = onnx.defs.get_schema(node.op_type, onnx_graph.OPSET)
                assert not schema.deprecated


def test_an_operation_of_nodes_takes_what_no_node_gives_out():
    from larqlite.errors import ArgumentError

    attribute = onnx.AttributeProto(
        name="value_float", ref_attr_name="offset", type=onnx.AttributeProto.FLOAT
    )
    offset = helper.make_node("Constant", [], ["b"])
    offset.attribute.append(attribute)
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["scaled"]),
        offset,
        helper.make_node("Add", ["scaled", "b"], ["y"]),
    ]
    function = onnx_graph.function_from_nodes("ScaledAndMoved", nodes)
    assert list(function.input) == ["x", "w"]
    assert list(function.output) == ["y"]
    assert list(function.attribute) == ["offset"]
    assert (function.domain, function.opset_import[0].version) == ("ai.larqlite", 18)
    with pytest.raises(ArgumentError, match="Unpack"):
        onnx_graph.function_from_nodes("Unpack", nodes)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("Sign", {}),
        ("Heaviside", {}),
        *(("Ternary", {"threshold": t}) for t in (0.05, 0.0, -0.05)),
        *(("Steps", {"bits": bits}) for bits in (1, 2, 5)),
        *(
            ("Integers", {"low": a, "high": b})
            for a, b in ((-8, 7), (-3, 3), (0, 15), (-1, 1), (0, 1), (-1, 2))
        ),
    ],
)
def test_the_reference_of_a_quantizer_is_its_body(name, attributes):
    x = SPECIAL if name in ("Sign", "Heaviside") else SPECIAL[:-1]
    reference = QUANTIZERS[name].values_of(x, attributes)
    np.testing.assert_array_equal(reference, run(name, [x], **attributes))
    levels = QUANTIZERS[name].levels_of(x, attributes)
    assert set(levels) <= set(range(QUANTIZERS[name].type_of(attributes).levels))


@st.composite
def packed_nodes(draw, name):
    """A node of a packed layer, its input, and the codes of its weights."""
    layer = PACKED_LAYERS[name]
    rank = 0 if layer.family == "Dense" else int(name[-2])
    numbers = st.integers(0, 2**32 - 1)
    rng = np.random.default_rng(draw(numbers))
    groups = draw(st.sampled_from([1, 2])) if layer.family == "Conv" else 1
    channels, filters = (
        groups * draw(st.integers(1, 4)),
        groups * draw(st.integers(1, 3)),
    )
    window = [draw(st.integers(1, 3)) for _ in range(rank)]
    shape = [filters, *window, channels // groups]
    attributes = {"weight_shape": shape, "input": "sign"}
    bits, steps = 1, 1
    if layer.kind == "Q":
        bits, steps = draw(st.integers(1, 8)), draw(st.sampled_from([1, 3, 15]))
        attributes |= {"bits": bits, "step": 2.0, "offset": float(1 - 2**bits)}
        attributes["input_steps"] = float(steps)
    elif layer.kind == "T":
        bits = 2
    codes = rng.integers(0, 3 if layer.kind == "T" else 2**bits, shape)
    sizes = []
    if rank:
        attributes["strides"] = [draw(st.integers(1, 2)) for _ in range(rank)]
        attributes["dilations"] = [draw(st.integers(1, 2)) for _ in range(rank)]
        attributes["group"] = groups
        attributes["pads"] = [draw(st.integers(0, 1)) for _ in range(2 * rank)]
        sizes = [
            dilation * (taps - 1) + draw(st.integers(3, 4))
            for taps, dilation in zip(window, attributes["dilations"], strict=True)
        ]
    if layer.family == "Conv":
        attributes["pad_value"] = draw(st.sampled_from([-1.0, 0.0, 1.0]))
    elif layer.family == "ConvTranspose":
        strides = attributes["strides"]
        attributes["output_padding"] = [draw(st.integers(0, s - 1)) for s in strides]
    x = rng.integers(0, steps + 1, (2, channels, *sizes)).astype(np.float32) / steps
    if steps == 1:
        x = 2 * x - 1
    return (
        GraphNode(name, DOMAIN, "node", ("x", "w"), ("y",), attributes),
        x,
        codes,
        bits,
    )


@pytest.mark.parametrize("name", PACKED_LAYERS)
def test_the_reference_of_a_packed_layer_is_its_body(name):
    @settings(max_examples=4, deadline=None, derandomize=True)
    @given(case=packed_nodes(name))
    def check(case):
        node, x, codes, bits = case
        packed = pack(codes, bits)
        reference = PACKED_LAYERS[name].values_of(node, x, packed)
        body = run(name, [x], [packed], **node.attributes)
        np.testing.assert_array_equal(reference, body)
        runtime = larqlite_runtime.load(
            model_of(name, [x], [packed], **node.attributes)
        )
        np.testing.assert_array_equal(runtime(x), reference)

    check()


def test_every_operation_is_complete():
    for name, operation in {**QUANTIZERS, **PACKED_LAYERS}.items():
        assert operation.name == name
        function = onnx_graph.function(name)
        assert set(function.attribute) == set(operation.attributes), name
        assert len(function.input) == operation.inputs
    for layer in PACKED_LAYERS.values():
        stated = {"bits", "step", "offset"} <= set(layer.attributes)
        assert stated == (layer.kind not in GRIDS)
