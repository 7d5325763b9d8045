"""A file as one program of the kernels, or by name what no step computes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from larqlite_runtime import NoNativeStepError, load
from larqlite_runtime.internal import whole_program
from tests.runtime.plans import run_whole

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.mark.parametrize("name", ["deploy_codes", "deploy_integers", "deploy_residual"])
def test_the_steps_alone_give_what_the_model_gives(name: str) -> None:
    path = GOLDEN / f"{name}.onnx"
    whole, model = whole_program(path), load(path, threads=1, isa="portable")
    shape = (1, *model.inputs[0].shape[1:])
    x = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    (found,) = run_whole(whole, x).values()
    np.testing.assert_allclose(found, model(x), rtol=1e-5, atol=1e-6)


def test_nodes_without_a_step_are_named() -> None:
    node = helper.make_node("Erf", ["x"], ["y"], name="bell")
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3])
        for name in "xy"
    ]
    graph = helper.make_graph([node], "one", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 18)]
    file = helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.checker.check_model(file)
    with pytest.raises(NoNativeStepError, match=r'"bell" \(Erf\)\.\n  Fix: '):
        whole_program(file.SerializeToString())
