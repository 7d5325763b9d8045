"""What `Model.explain` tells, against what is counted by hand."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import larqlite_runtime
from larqlite_runtime import cli
from tests.runtime import files
from tests.runtime.plans import block, network

node = files.node


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Two layers of 32 channels on 4x4 pixels, a shortcut around the second, a mean."""
    parts = [
        block(1, "x", 32, size=1, pads=[0] * 4),
        ([node("LeakyRelu", "normal1", "relu", alpha=-0.5)], {}),
        block(2, "relu", 32, pad_value=0.0),
        ([node("Add", "normal2 relu", "sum")], {}),
        ([node("GlobalAveragePool", "sum", "mean")], {}),
        ([node("HardSigmoid", "mean", "y", alpha=0.25)], {}),
    ]
    proto = network(*parts, size=4, outputs={"y": (32, 1, 1)})
    path = tmp_path_factory.mktemp("explain") / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


@pytest.fixture(scope="module")
def found(path):
    return larqlite_runtime.load(path, isa="numpy").explain()


FLOATS = 4 * 4 * 32 * 4  # bytes of one tensor
BITS = 4 * 4 * 4
PADDED = 6 * 6 * 4  # bits with a border for the 3x3 window


def test_steps_are_what_was_fused(found):
    told = [(step.number, step.stage, step.path, step.kind) for step in found.steps]
    assert told == [
        (1, 1, "onnxruntime", "segment"),  # x is fed channels first
        (2, 2, "numpy", "load"),
        (3, 2, "numpy", "conv"),
        (4, 2, "numpy", "conv"),
        (5, 3, "onnxruntime", "segment"),
    ]
    nodes = [step.nodes for step in found.steps]
    assert nodes[0] == ()
    assert nodes[2] == ("node/sums1", "node/scaled1", "node/normal1", "node/relu")
    added = ("node/sums2", "node/scaled2", "node/normal2", "node/sum", "node/mean")
    assert nodes[3] == added
    assert nodes[4] == ("node/y",)
    assert found.steps[1].epilogues == ("pack_sign",)
    assert found.steps[3].epilogues == (
        *("to_float", "multiply", "add", "add_tensor", "average", "store"),
    )


def test_buffers_are_where_and_when_tensors_lie(found):
    told = [
        (buffer.holds, buffer.layout, buffer.dtype, buffer.bytes)
        for buffer in found.buffers
    ]
    assert told == [
        ("x", "NCHW", "float32", FLOATS),
        ("x", "NHWC", "float32", FLOATS),
        ("x", "bits", "uint32", BITS),
        ("relu", "bits", "uint32", PADDED),
        ("relu", "NHWC", "float32", FLOATS),
        ("mean", "NCHW", "float32", 32 * 4),
        ("y", "NCHW", "float32", 32 * 4),
    ]
    spans = [(buffer.first, buffer.last) for buffer in found.buffers]
    assert spans == [(1, 1), (1, 2), (2, 3), (3, 4), (3, 4), (4, 5), (5, 6)]
    fed, *others = found.buffers
    assert fed.offset is None
    assert all(buffer.offset % 64 == 0 for buffer in others)
    assert [buffer.holds for buffer in others if buffer.is_pinned] == ["relu"]
    for step in found.steps:
        for number in (*step.reads, *step.writes):
            buffer = next(b for b in found.buffers if b.number == number)
            assert buffer.first <= step.number <= buffer.last


def test_the_lower_bound_is_the_largest_sum_that_is_live(found):
    """At step 4: what is added, the mean, and the bits with borders, which are pinned."""
    assert found.lower_bound == FLOATS + 32 * 4 + PADDED
    assert found.arena == FLOATS + 32 * 4 + 192  # whole cache lines


def test_the_text_names_everything(found):
    text = str(found)
    assert "stage 1: a segment, onnxruntime" in text
    assert "stage 2: steps of the kernels, numpy" in text
    assert "to_float multiply add add_tensor average store" in text
    assert (
        f"arena: {found.arena:,} bytes a sample; {found.lower_bound:,} are in" in text
    )


def test_float_layers_are_named_with_the_reason_of_the_report(tmp_path):
    nodes = [
        files.packed("Sign", "x", "s"),
        files.packed(
            "QDense",
            "s w",
            "y",
            step=1.0,
            offset=-20000.0,
            input="sign",
            weight_shape=[4, 6],
            bits=2,
            input_steps=1.0,
        ),
    ]
    proto = files.model(nodes, {"x": (6,)}, {"y": (4,)}, {"w": files.codes(24, 2)})
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    found = larqlite_runtime.load(path).explain()
    assert found.float_layers == larqlite_runtime.float_layers(path) != {}
    (name, why), *_ = found.float_layers.items()
    assert f"in float: {name} ({why})" in str(found)


def test_the_command_prints_the_text_or_json(path, capsys):
    model = larqlite_runtime.load(path)
    cli.main(["explain", str(path)])
    assert capsys.readouterr().out == f"{model.explain()}\n"
    cli.main(["explain", str(path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(json.dumps(model.explain().to_dict()))
    assert told["steps"][1]["kind"] == "load"


def test_the_command_needs_a_file(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain", str(tmp_path / "none.onnx")])
    assert ended.value.code == 2
    assert "Fix: " in capsys.readouterr().err


def test_python_m_runs_it_without_tensorflow(path):
    code = (
        "import runpy, sys; sys.argv = ['lq', 'explain', sys.argv[1]]; "
        "runpy.run_module('larqlite_runtime', run_name='__main__'); "
        "print(sorted({'tensorflow', 'larqlite', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "stage 2: steps of the kernels" in done.stdout
    assert done.stdout.endswith("[]\n")
