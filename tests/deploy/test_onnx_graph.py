"""The graph of an ONNX file: its index under random edits, against one made anew."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from larqlite.errors import ArgumentError
from larqlite.onnx_graph import (
    FinishedGraph,
    OnnxGraph,
    OnnxNode,
    Value,
    Writer,
    drop_unread,
    fault_of,
    keep_zeros,
    onnx_model,
)

TENSORS = [f"t{number}" for number in range(12)]


def require_right(graph: OnnxGraph) -> None:
    """Everything that the graph answers is what its list of nodes says."""
    nodes = list(graph.nodes)
    producers = {name: node for node in nodes for name in node.outputs if name}
    takers = {name: [] for name in TENSORS}
    counts = Counter()
    for node in nodes:
        taken = [name for name in (*node.inputs, *node.captured) if name]
        counts.update(taken)
        for name in dict.fromkeys(taken):
            takers.setdefault(name, []).append(node)
    for name in {*TENSORS, *producers, *takers, "never"}:
        assert graph.producer(name) is producers.get(name)
        assert graph.consumers(name) == takers.get(name, [])
        assert graph.uses(name) == counts[name]
    assert [graph.position(node) for node in nodes] == list(range(len(nodes)))


def new_node(draw, free: list[str]) -> OnnxNode:
    """A node that takes anything, and gives out some tensors that nobody gives out."""
    some = st.lists(st.sampled_from([*TENSORS, ""]), max_size=3)
    outputs = draw(st.lists(st.sampled_from(free), unique=True, max_size=2))
    captured = draw(st.lists(st.sampled_from(TENSORS), max_size=2))
    return OnnxNode(
        "Op", tuple(draw(some)), tuple(outputs), "n", captured=tuple(captured)
    )


def edit(draw, graph: OnnxGraph) -> None:
    """One edit of any kind."""
    nodes = graph.nodes
    given = {name for node in nodes for name in node.outputs}
    free = [name for name in TENSORS if name not in given] or [""]
    kinds = ["insert"]
    if nodes:
        kinds += ["before", "after", "remove", "replace", "change", "move", "redirect"]
    kind = draw(st.sampled_from(kinds))
    one = draw(st.sampled_from(nodes)) if nodes else None
    if kind == "insert":
        graph.insert(new_node(draw, free))
    elif kind in ("before", "after"):
        graph.insert(new_node(draw, free), **{kind: one})
    elif kind == "remove":
        graph.remove(one)
    elif kind == "replace":
        others = []
        free = [*free, *one.outputs]
        for _ in range(draw(st.integers(0, 2))):
            others.append(new_node(draw, free))
            free = [name for name in free if name not in others[-1].outputs] or [""]
        at = nodes.index(one)
        graph.replace(one, *others)
        assert graph.nodes == (*nodes[:at], *others, *nodes[at + 1 :])
    elif kind == "change":
        changed = graph.change(one, inputs=tuple(reversed(one.inputs)))
        assert changed.outputs == one.outputs
        assert graph.nodes.index(changed) == nodes.index(one)
    elif kind == "move":
        place = draw(st.sampled_from(["before", "after"]))
        others = [node for node in nodes if node is not one]
        if others:
            other = draw(st.sampled_from(others))
            graph.move(one, **{place: other})
            step = graph.position(one) - graph.position(other)
            assert step == (-1 if place == "before" else 1)
    elif kind == "redirect":
        tensor, other = (draw(st.sampled_from(TENSORS)) for _ in range(2))
        taken = any(tensor in node.inputs for node in nodes)
        assert graph.redirect(tensor, other) == taken
        assert tensor == other or not any(tensor in n.inputs for n in graph.nodes)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_producers_and_consumers_stay_right_under_edits(data):
    stay_right_under_edits(data)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_producers_and_consumers_stay_right_under_more_edits(data):
    stay_right_under_edits(data)


def stay_right_under_edits(data):
    graph = OnnxGraph()
    for _ in range(data.draw(st.integers(1, 14))):
        edit(data.draw, graph)
        if data.draw(st.booleans()):
            require_right(graph)
    require_right(graph)


@settings(max_examples=100, deadline=None)
@given(st.permutations(range(7)), st.data())
def test_a_shuffled_graph_is_sorted_so_that_it_can_run(order, data):
    nodes = []
    for number in range(7):
        before = [f"y{other}" for other in range(number)]
        taken = data.draw(st.lists(st.sampled_from(["x", *before]), max_size=3))
        nodes.append(OnnxNode("Op", tuple(taken), (f"y{number}",), str(number)))
    graph = OnnxGraph([nodes[number] for number in order])
    shuffled = graph.nodes
    assert graph.sort() == (graph.nodes != shuffled)
    known = {"x"}
    for node in graph.nodes:
        assert known.issuperset(node.inputs)
        known.update(node.outputs)
    assert set(graph.nodes) == set(nodes)
    require_right(graph)
    assert not graph.sort()


def test_an_order_that_can_run_stays_as_it_is():
    nodes = [OnnxNode("Op", (), (f"y{number}",)) for number in (3, 1, 2)]
    graph = OnnxGraph(nodes)
    assert not graph.sort()
    assert list(graph.nodes) == nodes


def test_nodes_that_wait_for_each_other_are_named():
    graph = OnnxGraph(
        [OnnxNode("Neg", ("b",), ("a",), "one"), OnnxNode("Abs", ("a",), ("b",), "two")]
    )
    with pytest.raises(ArgumentError, match='Neg "one" and Abs "two" wait'):
        graph.sort()


def test_a_tensor_of_two_producers_is_refused_and_nothing_is_changed():
    first = OnnxNode("Neg", ("x",), ("a",), "one")
    second = OnnxNode("Abs", ("a",), ("b",), "two")
    graph = OnnxGraph([first, second])
    again = OnnxNode("Exp", ("x",), ("a",), "three")
    with pytest.raises(ArgumentError, match='"a": Neg "one" and Exp "three"'):
        graph.insert(again)
    with pytest.raises(ArgumentError, match='"a": Neg "one" and Exp "three"'):
        graph.replace(second, again)
    with pytest.raises(ArgumentError, match='"a": Exp "three" and Exp "three"'):
        graph.replace(first, again, again)
    assert graph.nodes == (first, second)
    require_right(graph)


def test_upstream_ends_at_another_operation():
    graph = OnnxGraph(
        [
            OnnxNode("Relu", ("x",), ("a",)),
            OnnxNode("Cast", ("a",), ("b",)),
            OnnxNode("Cast", ("b",), ("c",), domain="elsewhere"),
            OnnxNode("Cast", ("c",), ("d",)),
        ]
    )
    assert graph.upstream("b", ("Cast",)) == ["b", "a"]
    assert graph.upstream("d", ("Cast",)) == ["d", "c"]
    assert graph.upstream("b", ("Cast", "Relu")) == ["b", "a", "x"]


def test_a_pass_says_whether_it_changed_something():
    """And the graph answers rightly after it."""
    graph = Writer()
    graph.shapes["x"] = (None, 2, 8, 8)
    pads = graph.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    padded = graph.node("Pad", ["x", pads])
    pooled = graph.node("MaxPool", [padded], kernel_shape=[2, 2])
    graph.shapes[pooled] = (None, 2, 9, 9)
    assert keep_zeros(graph, [pooled])
    assert [node.op for node in graph.nodes] == ["MaxPool", "Max"]
    assert graph.producer(pooled) is graph.nodes[1]
    require_right(graph)
    assert not keep_zeros(graph, [pooled])


def test_what_nobody_reads_leaves_with_its_scales():
    """A table of which packed layers read the steps; a later scale is stored anew."""
    graph = Writer()
    graph.path = "act"
    read = graph.table(graph.value("x", (None, 4)), [0.0, 1.0], [-0.5, 0.25, 2.0])
    assert set(graph.scales) >= {"act/step_0", "act/step_1", "act/lowest"}
    given_out = list(read.integers)
    assert drop_unread(graph, given_out)
    taken = {name for node in graph.nodes for name in node.inputs}
    assert set(graph.constants) == set(graph.scales) == taken & set(graph.constants)
    assert not drop_unread(graph, given_out)
    again = graph.scale("act", "lowest", np.float32(-0.5))
    assert again in graph.constants
    assert again in graph.scales


@pytest.mark.parametrize("axis", [-1, 1])
def test_a_number_for_each_channel_broadcasts_in_either_layout(axis):
    numbers, tensor = np.arange(3.0), np.zeros((2, 3, 5, 3))
    shape = [1, 1, 1, 1]
    shape[axis] = 3
    wanted = tensor + numbers.reshape(shape)
    for is_moved in (False, True):
        value = Value("x", (None, *tensor.shape[1:]), is_moved)
        stored = np.moveaxis(tensor, -1, 1) if is_moved else tensor
        found = stored + value.per_channel(numbers, axis)
        found = np.moveaxis(found, 1, -1) if is_moved else found
        np.testing.assert_array_equal(found, wanted)
        assert value.per_channel(np.float32(2), axis).shape == ()


def test_a_file_has_its_nodes_in_an_order_that_can_run():
    """Wherever a pass has put them."""
    graph = Writer()
    x = graph.value("x", (None, 3))
    first = graph.node("Relu", [x.name])
    second = graph.value(graph.node("Neg", [first]), x.shape)
    graph.move(graph.producer(first), after=graph.producer(second.name))
    assert [node.op for node in graph.nodes] == ["Neg", "Relu"]
    model = onnx_model(FinishedGraph(graph, "own", {"x": x}, {"y": second}), {})
    assert [node.op_type for node in model.graph.node] == ["Relu", "Neg"]
    assert fault_of(model) is None
    del model.graph.node[0]
    assert "Neg" in str(fault_of(model))
