"""Layers of one's own: what OnnxLayer asks for, and scopes of patterns."""

import asyncio
import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import larqlite.integer.onnx.layers as onnx_layers
from larqlite.errors import ArgumentError, UnsupportedLayerError, UnsupportedModelError
from larqlite.integer.onnx import quantize_onnx
from larqlite.integer.onnx.layers import OnnxLayer, TensorShape
from larqlite.integer.onnx.quantization import PatternError, custom_pattern_scope
from larqlite.integer.onnx.quantization._custom_patterns import custom_patterns
from tests.integer.onnx.networks import images, model_of, normal
from tests.integer.onnx.numpy_integers import all_integers, run

OUT = "float[N, C, H, W] y"


class Table(OnnxLayer):
    """A function of one int8 tensor as a table of 256 integers."""

    def __init__(self, function, name=""):
        super().__init__("TableOfBytes", name=name, first=-128)
        self.function = function
        self.seen = []

    def __build__(self, input_ts, downscale=True):
        assert input_ts.dtype == np.int8
        self.seen.append(downscale)
        return TensorShape(input_ts.shape, np.dtype("int8"))

    def __quantize__(self, qinput, out_tensor_range, force_fp=False):
        scale = 127 / max(
            abs(out_tensor_range.maximum).max(), abs(out_tensor_range.minimum).max()
        )
        if force_fp:
            scale = 2.0 ** np.floor(np.log2(scale))
        codes = np.arange(-128, 128)
        # As layers that were written for QuantizeML ask for it.
        assert qinput.weights["scale"] == qinput.output_scale
        values = self.function(codes / float(qinput.weights["scale"]))
        table = np.clip(np.floor(values * scale + 0.5), -128, 127)
        return {"codes": table.astype(np.int8)}, scale

    @staticmethod
    def build_subgraph(op_type):
        first = helper.make_node("Constant", [], ["first"])
        first.attribute.add(
            name="value_int", ref_attr_name="first", type=onnx.AttributeProto.INT
        )
        return [
            helper.make_node("Cast", ["X"], ["wide"], to=TensorProto.INT64),
            first,
            helper.make_node("Sub", ["wide", "first"], ["places"]),
            helper.make_node("Gather", ["codes", "places"], ["Y"]),
        ]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def with_sigmoid(last="y = Sigmoid (r)", **more):
    weights = {"k": normal(8, 3, 3, 3), **more}
    return model_of(f"r = Conv (x, k) {last}", weights, y=OUT)


def test_a_custom_layer_computes_the_integers_that_it_says():
    model, samples = with_sigmoid(), images(32, 3, 12, 12)
    blocks = []

    def function(block_nodes, graph):
        blocks.append(([n.op_type for n in block_nodes], graph))
        return Table(sigmoid)

    with custom_pattern_scope({("Sigmoid",): function}):
        quantized = quantize_onnx(model, samples=samples, per_tensor_activations=True)
    ((ops, graph),) = blocks
    assert ops == ["Sigmoid"]
    assert isinstance(graph, onnx.GraphProto)
    node = quantized.graph.node[2]
    assert (node.op_type, node.domain) == ("TableOfBytes", "ai.larqlite")
    assert node.attribute[0].i == -128
    observed, names = all_integers(quantized)
    found = dict(zip(names, run(observed, samples)[1:], strict=True))
    (table,) = [
        onnx.numpy_helper.to_array(i)
        for i in quantized.graph.initializer
        if i.name == node.input[1]
    ]
    before = found[node.input[0]].astype(np.int64)
    np.testing.assert_array_equal(found[node.output[0]], table[before + 128])
    float_output = run(model, samples)[0]
    np.testing.assert_allclose(run(quantized, samples)[0], float_output, atol=0.08)


def test_a_pattern_of_several_operations_may_branch_inside():
    model = with_sigmoid(
        "s = Sigmoid (r) m = Mul (r, s) y = Conv (m, k2)", k2=normal(4, 8, 1, 1)
    )
    samples = images(32, 3, 12, 12)
    layers = []

    def function(block_nodes, graph):
        layers.append(Table(silu))
        return layers[-1]

    with custom_pattern_scope({("Sigmoid", "Mul"): function}):
        quantized = quantize_onnx(model, samples=samples, per_tensor_activations=True)
    assert [n.op_type for n in quantized.graph.node] == [
        "InputQuantizer",
        "QuantizedInputConv2DBiasedScaled",
        "TableOfBytes",
        "QuantizedConv2DScaled",
        "Dequantizer",
    ]
    assert layers[0].seen == [True]
    before, after = run(model, samples)[0], run(quantized, samples)[0]
    assert np.sqrt(np.mean((before - after) ** 2)) < 0.04 * before.std()


def test_a_custom_layer_before_a_sum_is_asked_for_a_power_of_two():
    model = with_sigmoid("s = Sigmoid (r) y = Add (s, r)")
    samples = images(32, 3, 12, 12)
    with custom_pattern_scope({"Sigmoid": lambda block_nodes, graph: Table(sigmoid)}):
        quantized = quantize_onnx(model, samples=samples, per_tensor_activations=True)
    before, after = run(model, samples)[0], run(quantized, samples)[0]
    assert np.abs(before - after).max() < 0.03 * np.abs(before).max()


def test_custom_patterns_go_before_those_of_larqlite():
    model = with_sigmoid("y = Clip (r, zero)", zero=np.float32(0))
    samples = images(32, 3, 12, 12)
    table = {("Clip",): lambda block_nodes, graph: Table(lambda x: np.maximum(x, 0))}
    conv_alone = {("Conv",): lambda nodes, graph: _conv_of(nodes, graph)}
    with custom_pattern_scope(conv_alone), custom_pattern_scope(table):
        quantized = quantize_onnx(model, samples=samples, per_tensor_activations=True)
    types = [n.op_type for n in quantized.graph.node]
    assert types[1:3] == ["QuantizedInputConv2DBiasedScaled", "TableOfBytes"]


def _conv_of(nodes, graph):
    layer = onnx_layers.QuantizedConv2D(name="mine")
    (kernel,) = [i for i in graph.initializer if i.name == nodes[0].input[1]]
    layer.set_weight("kernel", onnx.numpy_helper.to_array(kernel))
    return layer


def test_scopes_within_scopes_keep_each_other_and_end_with_their_block():
    first, second, third = (lambda nodes, graph: None for _ in range(3))
    with custom_pattern_scope({("A",): first}):
        with custom_pattern_scope({("B", "C"): second, "D": third}):
            assert custom_patterns() == (
                (("B", "C"), second),
                (("D",), third),
                (("A",), first),
            )
        assert custom_patterns() == ((("A",), first),)
        with pytest.raises(KeyError), custom_pattern_scope({("B",): second}):
            raise KeyError
        assert custom_patterns() == ((("A",), first),)
    assert custom_patterns() == ()


def test_a_scope_is_that_of_its_own_thread_and_task():
    seen = []
    with custom_pattern_scope({("A",): lambda nodes, graph: None}):
        thread = threading.Thread(target=lambda: seen.append(custom_patterns()))
        thread.start()
        thread.join()
    assert seen == [()]

    async def within(name):
        with custom_pattern_scope({(name,): lambda nodes, graph: None}):
            await asyncio.sleep(0.01)
            return [names for names, _ in custom_patterns()]

    async def both():
        return await asyncio.gather(within("A"), within("B"))

    assert asyncio.run(both()) == [[("A",)], [("B",)]]


@pytest.mark.parametrize("pattern", [(), ("A", 3), 3, ("A", ""), None, (("A",),)])
def test_a_pattern_that_is_no_sequence_of_names_is_refused(pattern):
    with pytest.raises(ValueError, match="sequence of operation types"):
        with custom_pattern_scope({pattern: lambda nodes, graph: None}):
            pass
    assert custom_patterns() == ()


@pytest.mark.parametrize("function", [lambda: None, lambda nodes: None, 3, "relu"])
def test_a_function_that_does_not_take_two_arguments_is_refused(function):
    with pytest.raises(RuntimeError, match="two arguments") as caught:
        with custom_pattern_scope({("Sigmoid",): function}):
            pass
    assert isinstance(caught.value, PatternError)


def test_patterns_that_are_no_dictionary_are_refused():
    with pytest.raises(ArgumentError, match="dictionary"):
        with custom_pattern_scope([("Sigmoid",)]):
            pass


def test_a_function_that_returns_no_layer_is_refused_by_name():
    with custom_pattern_scope({("Sigmoid",): lambda nodes, graph: None}):
        with pytest.raises(PatternError, match=r"\('Sigmoid',\) returned NoneType"):
            quantize_onnx(with_sigmoid(), samples=images(8, 3, 12, 12))


def broken(**members):
    return type("Broken", (Table,), members)(sigmoid)


@pytest.mark.parametrize(
    ("members", "error", "words"),
    [
        ({"__build__": OnnxLayer.__build__}, NotImplementedError, "__build__"),
        ({"__quantize__": OnnxLayer.__quantize__}, NotImplementedError, "__quantize__"),
        (
            {"build_subgraph": staticmethod(OnnxLayer.build_subgraph)},
            NotImplementedError,
            "TableOfBytes",
        ),
        ({"__build__": lambda *a, **k: None}, ArgumentError, "TensorShape"),
        (
            {"__build__": lambda *a, **k: TensorShape((None, 3), np.dtype("int8"))},
            UnsupportedModelError,
            "in the place of",
        ),
        (
            {"__quantize__": lambda *a, **k: {}},
            ArgumentError,
            r"weights, output_scale",
        ),
        (
            {"__quantize__": lambda *a, **k: ({}, -1)},
            ArgumentError,
            "positive, finite",
        ),
        (
            {"__quantize__": lambda *a, **k: ({"other": np.ones(2)}, 1)},
            UnsupportedModelError,
            "other",
        ),
        (
            {"build_subgraph": staticmethod(lambda op_type: "text")},
            UnsupportedModelError,
            "list of NodeProtos",
        ),
        (
            {
                "build_subgraph": staticmethod(
                    lambda op_type: [
                        *Table.build_subgraph(op_type),
                        helper.make_node("Nonsense", ["codes"], ["codes_too"]),
                        helper.make_node("Add", ["Y", "codes_too"], ["Z"]),
                    ]
                )
            },
            UnsupportedModelError,
            "Nonsense",
        ),
    ],
)
def test_a_layer_that_breaks_the_contract_is_told_what_is_missing(
    members, error, words
):
    layer = broken(**members)
    with custom_pattern_scope({("Sigmoid",): lambda nodes, graph: layer}):
        with pytest.raises(error, match=words):
            quantize_onnx(
                with_sigmoid(),
                samples=images(8, 3, 12, 12),
                per_tensor_activations=True,
            )


def test_attributes_get_the_types_that_onnx_infers():
    layer = OnnxLayer(
        "Any", name="n", i=1, f=0.5, s="text", ints=[1, 2], floats=[0.5, 1.0]
    )
    kinds = {key: a.type for key, a in layer.attributes.items()}
    proto = onnx.AttributeProto
    assert kinds == {
        "i": proto.INT,
        "f": proto.FLOAT,
        "s": proto.STRING,
        "ints": proto.INTS,
        "floats": proto.FLOATS,
    }
    with pytest.raises(ArgumentError, match="bad="):
        OnnxLayer("Any", bad=object())


def test_opsets_of_a_layer_reach_its_function_and_the_model():
    """Gelu of ONNX Runtime's own domain, in float between two casts."""

    class Gelu(Table):
        def __init__(self):
            super().__init__(None)
            self.base_name = "GeluOfFloats"
            self.opset_imports = [helper.make_opsetid("com.microsoft", 1)]

        def __quantize__(self, qinput, out_tensor_range, force_fp=False):
            step = np.float32(1 / qinput.output_scale)
            return {"step": step}, np.float64(16)

        @staticmethod
        def build_subgraph(op_type):
            return [
                helper.make_node("DequantizeLinear", ["X", "step"], ["real"]),
                helper.make_node("Gelu", ["real"], ["curve"], domain="com.microsoft"),
                helper.make_node("Constant", [], ["sixteenth"], value_float=1 / 16),
                helper.make_node("Constant", [], ["zero"], value=_int8_zero()),
                helper.make_node(
                    "QuantizeLinear", ["curve", "sixteenth", "zero"], ["Y"]
                ),
            ]

    model, samples = with_sigmoid(), images(32, 3, 12, 12) / 8
    with custom_pattern_scope({("Sigmoid",): lambda nodes, graph: Gelu()}):
        quantized = quantize_onnx(model, samples=samples, per_tensor_activations=True)
    imports = {item.domain: item.version for item in quantized.opset_import}
    assert imports == {"": 18, "ai.larqlite": 1, "com.microsoft": 1}
    assert np.isfinite(run(quantized, samples)[0]).all()


def _int8_zero():
    return onnx.numpy_helper.from_array(np.int8(0), "zero")


def test_names_of_packed_operations_are_not_taken():
    layer = Table(sigmoid)
    layer.base_name = "BConv2D"
    with pytest.raises(ArgumentError, match="BConv2D"):
        layer.make_function()


def test_two_unlike_layers_of_one_type_are_refused():
    def first(op_type):
        other = helper.make_node("Gather", ["codes", "places"], ["Other"])
        return [*Table.build_subgraph(op_type)[:-1], other]

    layers = iter([Table(sigmoid), broken(build_subgraph=staticmethod(first))])
    model = with_sigmoid("s = Sigmoid (r) y = Sigmoid (s)")
    with custom_pattern_scope({("Sigmoid",): lambda nodes, graph: next(layers)}):
        with pytest.raises(UnsupportedModelError, match='op_type "TableOfBytes"'):
            quantize_onnx(
                model, samples=images(8, 3, 12, 12), per_tensor_activations=True
            )


def test_without_the_scope_the_operation_stays_float():
    with pytest.warns(UserWarning, match="Softmax"):
        quantized = quantize_onnx(
            with_sigmoid("y = Softmax (r)"), samples=images(8, 3, 12, 12)
        )
    assert quantized.graph.node[-1].op_type == "Softmax"
    with pytest.raises(UnsupportedLayerError):
        quantize_onnx(
            model_of("y = Softmax (x)", {}, y=OUT), samples=images(8, 3, 12, 12)
        )


def test_an_operation_that_the_optimisation_has_replaced_is_named():
    model = with_sigmoid("y = HardSwish (r)")
    with custom_pattern_scope({("HardSwish",): lambda nodes, graph: Table(silu)}):
        with pytest.warns(UserWarning, match="written HardSwish of your patterns"):
            quantize_onnx(model, samples=images(8, 3, 12, 12))
