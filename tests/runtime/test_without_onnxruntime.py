"""A device with NumPy alone: files run in the kernels, or name the extra that they need."""

import logging
import re
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import larqlite_runtime
from larqlite.onnx_graph import functions_used_by
from larqlite_runtime import benchmark, cli
from larqlite_runtime.backends import _native
from larqlite_runtime.backends.numpy._float_operations import FLOAT_OPERATIONS
from larqlite_runtime.format import DOMAIN, QUANTIZERS
from tools.release import bare

GOLDEN = Path(__file__).parent.parent / "golden"
RESIDUAL = (
    GOLDEN / "deploy_residual.onnx"
)  # ends in a dense layer and a softmax in float
POOLED = "global_average_pooling2d/ReduceMean:0"  # what comes before them
EXTRA = re.escape('pip install "larqlite-runtime[onnxruntime]"')


@pytest.fixture
def absent(monkeypatch):
    """From here on there is no ONNX Runtime."""

    def begin():
        monkeypatch.setitem(sys.modules, "onnxruntime", None)  # an import fails
        _native.say_once.cache_clear()

    return begin


def test_a_file_of_packed_layers_alone_gives_the_same_bits_without_it(absent):
    x = np.random.default_rng(0).normal(size=(3, 8, 6, 4)).astype("float32")
    expected = larqlite_runtime.load(GOLDEN / "deploy_ternary.onnx")(x)
    absent()
    with pytest.raises(ImportError):
        __import__("onnxruntime")
    found = larqlite_runtime.load(GOLDEN / "deploy_ternary.onnx")(x)
    np.testing.assert_array_equal(found, expected)


def test_numpy_runs_the_float_parts_as_onnxruntime_does_which_is_said_once(
    absent, caplog
):
    x = np.random.default_rng(0).normal(size=(3, 12, 12, 3)).astype("float32")
    proto = onnx.load(RESIDUAL)
    (last,) = (node for node in proto.graph.node if node.op_type == "Softmax")
    last.op_type = "Sigmoid"  # which no kernel knows
    last.ClearField("attribute")
    content = proto.SerializeToString()
    expected = larqlite_runtime.load(content)
    assert "onnxruntime" in expected.profile(x).by_path()
    absent()
    with caplog.at_level(logging.WARNING, "larqlite_runtime"):
        found = larqlite_runtime.load(content)
        larqlite_runtime.load(content)
    assert "onnxruntime" not in found.profile(x).by_path()
    assert found.explain().steps[-1].path == "numpy"
    np.testing.assert_allclose(found(x), expected(x), rtol=1e-4, atol=1e-5)
    first, second = (model.explain().steps[0].path for model in (found, expected))
    if first == second:  # else the first convolution has its weights in another layout
        weights = [model.memory()["float_weights"] for model in (found, expected)]
        assert weights[0] == weights[1]
    said = [record.getMessage() for record in caplog.records]
    said = [text for text in said if "in float" in text]
    assert len(said) == 1
    where = "NumPy" if first == second else "the kernels and NumPy"
    assert f"in float runs in {where}: ONNX Runtime, which is faster at it" in said[0]
    assert re.search(f"Fix: {EXTRA}", said[0])


def test_what_numpy_cannot_run_names_its_nodes_and_the_extra(absent):
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3])
        for name in ("x", "y")
    ]
    nodes = [
        helper.make_node("Exp", ["x"], ["e"], name="first"),
        helper.make_node("Erf", ["e"], ["y"], name="gelu/Erf"),
    ]
    graph = helper.make_graph(nodes, "g", tensors[:1], tensors[1:])
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, ir_version=9, opset_imports=opset)
    content = model.SerializeToString()
    larqlite_runtime.load(content)
    absent()
    with pytest.raises(larqlite_runtime.MissingOnnxRuntimeError) as caught:
        larqlite_runtime.load(content)
    assert 'in float, "gelu/Erf" (Erf), needs ONNX Runtime' in str(caught.value)
    assert re.search(f"Fix: {EXTRA}", str(caught.value))
    assert isinstance(caught.value, ImportError)


def test_an_operation_of_a_quantizers_body_that_numpy_lacks_is_named_as_in_the_file(
    absent, monkeypatch
):
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3])
        for name in ("x", "y")
    ]
    nodes = [
        helper.make_node("Exp", ["x"], ["e"], name="first"),
        helper.make_node(
            "Steps", ["e"], ["y"], name="act/Steps", domain=DOMAIN, bits=2
        ),
    ]
    graph = helper.make_graph(nodes, "g", tensors[:1], tensors[1:])
    opset = [helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)]
    content = helper.make_model(
        graph,
        ir_version=9,
        opset_imports=opset,
        functions=functions_used_by({"Steps"}),
    ).SerializeToString()
    monkeypatch.delitem(FLOAT_OPERATIONS, "Pow")
    absent()
    with pytest.raises(larqlite_runtime.MissingOnnxRuntimeError) as caught:
        larqlite_runtime.load(content)
    said = 'in float, "act/Steps" (Steps, made of Pow), needs ONNX Runtime'
    assert said in str(caught.value)


@pytest.mark.parametrize("isa", ["avx2", "portable", "numpy"])
def test_float_convolutions_run_in_the_kernels_there_which_is_said_once(
    isa, absent, caplog
):
    x = np.random.default_rng(0).normal(size=(2, 12, 12, 3)).astype("float32")
    # The first convolution by itself: behind it a rounding may turn a sign.
    first = {"isa": isa, "outputs": ["batch_normalization:0"]}
    expected = larqlite_runtime.load(RESIDUAL, **first)(x)
    absent()
    with caplog.at_level(logging.WARNING, "larqlite_runtime"):
        found = larqlite_runtime.load(RESIDUAL, **first)(x)
        larqlite_runtime.load(RESIDUAL, isa=isa, outputs=[POOLED])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert "in float runs in the kernels: ONNX Runtime" in said[0]
    assert re.search(EXTRA, said[0])


def test_a_benchmark_measures_the_file_by_itself_or_says_what_is_missing(
    absent, capsys
):
    file = GOLDEN / "deploy_ternary.onnx"
    model = onnx.load(file)
    # The file is of an earlier version, whose bodies ONNX Runtime 1.18 cannot read.
    del model.functions[:]
    ours = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    model.functions.extend(functions_used_by(ours))
    content = model.SerializeToString()
    assert onnxruntime.__version__ in benchmark.onnxruntime_on_file(content, 1).what
    absent()
    with pytest.raises(larqlite_runtime.MissingOnnxRuntimeError, match=EXTRA):
        benchmark.onnxruntime_on_file(content, 1)
    words = ["benchmark", str(file), "--seconds", "0.01", "--threads", "1"]
    cli.main(words)
    printed = capsys.readouterr()
    assert "The packed kernels take" in printed.out
    assert "onnxruntime" not in printed.out
    assert re.search(f"measured by itself.\n  Fix: {EXTRA}", printed.err)
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--against", "onnxruntime"])
    assert ended.value.code == 2
    assert re.search(EXTRA, capsys.readouterr().err)


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs /proc/cpuinfo")
def test_the_fastest_instruction_set_of_the_processor_is_chosen(monkeypatch):
    monkeypatch.delenv("LARQLITE_ISA", raising=False)
    expected = bare.fastest_isa()
    if _native.library() is None or expected is None:
        pytest.skip("no native kernels, or an unknown processor")
    assert _native.choose_isa() == expected


def test_numpy_has_every_operation_of_a_quantizers_body():
    for name, quantizer in QUANTIZERS.items():
        attributes = {"bits": 3, "low": -3, "high": 4, "threshold": 0.25}
        given = {key: attributes[key] for key in quantizer.attributes}
        needed = {node.op for node in quantizer.nodes_of(given)} - {"Constant"}
        assert needed <= FLOAT_OPERATIONS.keys(), name
