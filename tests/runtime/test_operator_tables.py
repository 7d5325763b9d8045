"""The tables of operations: what ONNX says of each, and that the runtime really runs it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given
from onnx import helper

import larqlite_runtime
from larqlite_runtime.backends import _engine
from larqlite_runtime.backends.numpy._float_operations import FLOAT_OPERATIONS
from larqlite_runtime.backends.onnxruntime import _session
from larqlite_runtime.backends.onnxruntime._encode import OPSET
from larqlite_runtime.reader.operators import OPERATORS, OPSETS
from tests.runtime import nodes_layout  # noqa: F401  (it registers)
from tests.runtime.nodes import Case, case_of
from tests.runtime.test_shapes import NUMBER_OF, examples, inferred, model_of, run

KINDS = onnx.defs.OpSchema.AttrType
KIND_OF = {
    KINDS.INT: "int",
    KINDS.FLOAT: "float",
    KINDS.STRING: "str",
    KINDS.INTS: "ints",
    KINDS.FLOATS: "floats",
}
EXAMPLES = 3  # of each operation that the runtime takes


def test_segments_have_the_version_of_the_tables():
    assert OPSETS[""] == (OPSET,)


@pytest.mark.parametrize("op", sorted(OPERATORS[""]))
def test_a_row_of_the_table_says_what_the_version_of_onnx_says(op):
    """An attribute that only a later version has would make a segment no valid model."""
    row = OPERATORS[""][op]
    schema = onnx.defs.get_schema(op, OPSETS[""][0], "")
    assert row.attributes.keys() <= schema.attributes.keys()
    for name, attribute in row.attributes.items():
        stated = schema.attributes[name]
        assert attribute.kind == KIND_OF[stated.type], name
        if stated.default_value.name:
            default = helper.get_attribute_value(stated.default_value)
            default = default.decode() if isinstance(default, bytes) else default
            assert attribute.default == pytest.approx(default), name
        elif not stated.required:
            assert attribute.default is None, name
    least, most = row.inputs
    assert schema.min_input <= least <= most <= schema.max_input
    least, most = row.outputs
    assert schema.min_output <= least <= most <= schema.max_output


@pytest.mark.parametrize("op", sorted(OPERATORS[""].keys() - {"BitwiseXor"}))
def test_the_runtime_gives_what_onnxruntime_gives(op):
    require_the_same(op)


@pytest.mark.parametrize("op", sorted(FLOAT_OPERATIONS))
def test_numpy_gives_what_onnxruntime_gives_where_that_is_not_installed(
    op, monkeypatch
):
    for module in (_engine, _session):
        monkeypatch.setattr(module, "is_installed", lambda: False)
    require_the_same(op)


def require_the_same(op: str) -> None:
    """Fails if the runtime and a stock ONNX Runtime differ on nodes of an operation."""
    ran = []

    @examples(4 * EXAMPLES)
    @given(case=case_of(op))
    def compare(case):
        if len(ran) >= EXAMPLES:
            return
        model = model_of(case)
        try:
            inferred(model)
        except larqlite_runtime.ModelFileError:
            return
        expected = run(model, case)
        found = _on_the_runtime(model, case)
        if found is None:
            return
        ran.append(case)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == np.float32
            np.testing.assert_allclose(ours, theirs.astype("f4"), 1e-5, 1e-6)

    compare()
    assert ran


def _on_the_runtime(model: onnx.ModelProto, case: Case) -> list[np.ndarray] | None:
    """What the runtime makes of a node between floats; None if it has no batch in front."""
    graph = model.graph
    nodes, fed = [], {}
    for value in graph.input:
        number = value.type.tensor_type.elem_type
        fed[value.name] = case.fed[int(value.name[1:])].astype(np.float32)
        if number != NUMBER_OF[np.dtype(np.float32)]:
            value.type.tensor_type.elem_type = 1
            inner = f"{value.name}/cast"
            nodes.append(helper.make_node("Cast", [value.name], [inner], to=number))
            for node in graph.node:
                node.input[:] = [
                    inner if name == value.name else name for name in node.input
                ]
    names = [value.name for value in graph.output]
    casts = [helper.make_node("Cast", [n], [f"{n}/float"], to=1) for n in names]
    nodes = [*nodes, *graph.node, *casts]
    del graph.node[:], graph.output[:]
    graph.node.extend(nodes)
    graph.output.extend(onnx.ValueInfoProto(name=f"{name}/float") for name in names)
    try:
        loaded = larqlite_runtime.load(model.SerializeToString(), threads=1)
    except larqlite_runtime.ModelFileError:
        return None
    found = loaded.run(fed)
    return [found[f"{name}/float"] for name in names]
