"""The reader knows the shape of every tensor; onnxruntime and onnx agree."""

from __future__ import annotations

import os

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from onnx import helper, numpy_helper

from larqlite import onnx_graph
from larqlite_runtime._errors import ModelFileError
from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime.format import DOMAIN as PACKED
from larqlite_runtime.reader._build import build
from larqlite_runtime.reader._shapes import infer
from larqlite_runtime.reader._wire import decode
from larqlite_runtime.reader.operators import OPERATORS
from tests.common.samples import few_or_more, sampled
from tests.runtime import nodes_layout, nodes_packed  # noqa: F401  (they register)
from tests.runtime.nodes import STRATEGIES, Case, case_of

NUMBER_OF = {np.dtype(t): n for t, n in [("f4", 1), ("u1", 2), ("i4", 6), ("i8", 7)]}
NUMBER_OF[np.dtype(bool)] = 9

EXAMPLES = int(os.environ.get("LARQLITE_TEST_NODES", "10"))  # of each operation


def model_of(case: Case) -> onnx.ModelProto:
    outputs = [f"o{index}" for index in range(case.outputs)]
    node = helper.make_node(
        case.op, case.inputs, outputs, domain=case.domain, **case.attributes
    )
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(
                f"i{index}", NUMBER_OF[array.dtype], ["batch", *array.shape[1:]]
            )
            for index, array in case.fed.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [
            numpy_helper.from_array(a, f"i{index}")
            for index, a in case.constants.items()
        ],
    )
    functions = []
    if case.domain:
        functions = onnx_graph.functions_used_by({case.op}, 2)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(PACKED, 2)]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=9, functions=functions
    )


def inferred(model: onnx.ModelProto) -> CheckedGraph:
    """What the reader finds; inputs may be of any dtype here."""
    message = decode("Model", model.SerializeToString())["graph"]
    inputs = message["input"]
    numbers = [item["type"]["tensor_type"]["elem_type"] for item in inputs]
    for item in inputs:
        item["type"]["tensor_type"]["elem_type"] = 1
    graph = build(message, 1 << 24)
    for item, number in zip(inputs, numbers, strict=True):
        graph.dtypes[item["name"]] = helper.tensor_dtype_to_np_dtype(number)
    infer(graph)
    return graph


def run(model: onnx.ModelProto, case: Case) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {f"i{index}": array for index, array in case.fed.items()})


def check(case: Case) -> bool:
    """Whether the reader takes the node; if it does, onnxruntime must agree."""
    model = model_of(case)
    try:
        graph = inferred(model)
    except ModelFileError:
        return False
    for name, array in zip(graph.outputs, run(model, case), strict=True):
        found = tuple(2 if size is None else size for size in graph.shapes[name])
        assert found == array.shape, f"{case}: {graph.shapes[name]}, not {array.shape}"
        assert graph.dtypes[name] == array.dtype
    outside = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for value in outside.graph.output:
        dims = value.type.tensor_type.shape.dim
        for ours, theirs in zip(graph.shapes[value.name], dims, strict=True):
            if theirs.HasField("dim_value"):
                assert ours == theirs.dim_value
            elif theirs.dim_param == "batch":
                assert ours is None
    return True


def examples(count: int):
    """Decorator: a test gets so many cases, the same at every run."""
    return settings(
        max_examples=count,
        database=None,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def operations() -> list[str]:
    """All that take tensors; what two constants make is one, too."""
    of_constants = {"Unpack", "BitwiseXor"}
    return sorted({*OPERATORS[""], *OPERATORS[PACKED]} - of_constants)


@pytest.mark.parametrize("op", sampled(operations(), 2))
@pytest.mark.parametrize("count", few_or_more(EXAMPLES, 4 * EXAMPLES))
def test_onnxruntime_runs_what_the_reader_takes_and_gives_the_same_shapes(op, count):
    taken = []

    @examples(count)
    @given(case=case_of(op))
    def compare(case):
        taken.append(check(case))

    compare()
    assert sum(taken) >= count // 8, f"only {sum(taken)} of {len(taken)} were taken"


def test_every_operation_is_among_the_random_ones():
    assert set(operations()) == set(STRATEGIES)


def test_the_reader_knows_exactly_the_operations_that_are_exported():
    assert set(OPERATORS[PACKED]) == set(onnx_graph.function_names())


@pytest.mark.parametrize("name", sorted(OPERATORS[PACKED]))
def test_an_operation_has_the_attributes_of_its_function(name):
    assert set(OPERATORS[PACKED][name].attributes) == set(
        onnx_graph.function(name).attribute
    )
