"""The pass `fuse`: nodes of the kernels joined into groups, each of which is one step."""

from __future__ import annotations

from dataclasses import replace

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import EpilogueKind
from larqlite_runtime.planner._epilogues import Epilogue
from larqlite_runtime.planner._fuse_in_place import add_in_place
from larqlite_runtime.planner._fusion_group import (
    FusionGroup,
    FusionGroups,
    OnnxRuntimeNode,
    RearrangedNode,
    ViewNode,
)
from larqlite_runtime.planner._partition import Partition
from larqlite_runtime.planner._subgraph import Subgraph
from larqlite_runtime.planner._views import Structure
from larqlite_runtime.planner.producers import FloatConv, Numbers, Packed, Pool


def fuse(subgraph: Subgraph, partition: Partition) -> FusionGroups:
    """Joins nodes in the order of the graph.

    A packed layer, a pooling or a float convolution begins a group. An epilogue joins the
    group whose rows end with its input, the latest one if there are several; a sum that
    can be made in place is (`add_in_place`), and what finds no group begins one that
    loads. Quantizers that are absorbed have no item.
    """
    groups = FusionGroups(subgraph, partition)
    for number, node in enumerate(subgraph.nodes):
        if number in partition.absorbed:
            continue
        if number in partition.packed:
            _packed(groups, number, partition.packed[number])
        elif number in partition.pools:
            _pool(groups, number, node, partition.pools[number])
        elif number in partition.convs:
            _conv(groups, number, node, partition.convs[number])
        elif number in partition.epilogues:
            if not add_in_place(groups, number, node):
                _epilogue(groups, number, node, partition.epilogues[number])
        elif number in partition.structures:
            _view(groups, number, node, partition.structures[number])
        elif number in partition.rearranged:
            moved = partition.rearranged[number]
            groups.add(RearrangedNode(number, node=node, moved=moved), node.outputs)
        else:
            groups.add(OnnxRuntimeNode(number, node=node), node.outputs)
        groups.item_of[number] = groups.maker[next(filter(None, node.outputs))]
    return groups


def _start(groups: FusionGroups, group: FusionGroup, node: GraphNode) -> None:
    """A group that begins with a node."""
    output = node.outputs[0]
    group.nodes.append(node.name)
    group.tensors.append((output, groups.partition.axes[output]))
    groups.add(group, node.outputs)
    groups.open[output] = group


def _packed(groups: FusionGroups, number: int, packed: Packed) -> None:
    wanted = packed.source, packed.axis
    quantizer = groups.subgraph.made_by(packed.node.inputs[0])
    absorbs = quantizer is not None and packed.source in quantizer.inputs
    name = quantizer.name if absorbs else packed.node.name + "/pack"
    before = _group_of(groups, *wanted, name, number)
    group = FusionGroup(number, source=wanted[0], axis=wanted[1], packed=packed)
    group.input_group = before
    before.bit_readers.append((before.position(*wanted), group))
    _start(groups, group, packed.node)


def _pool(groups: FusionGroups, number: int, node: GraphNode, pool: Pool) -> None:
    group = FusionGroup(number, source=node.inputs[0], axis=pool.axis, pool=pool)
    _start(groups, group, node)


def _conv(groups: FusionGroups, number: int, node: GraphNode, conv: FloatConv) -> None:
    if conv.padded is not None:
        conv = _reading_whole(groups, conv)
    group = FusionGroup(number, source=conv.source, axis=conv.axis, conv=conv)
    group.nodes += conv.scaling
    if conv.padded is not None:
        is_float = conv.numbers is Numbers.FLOAT32
        name = f"{node.name}/{'pad' if is_float else conv.numbers.value}"
        before = _group_of(groups, conv.source, conv.axis, name, number)
        position = before.position(conv.source, conv.axis)
        before.padded_readers.append((position, group))
        group.input_group = before
    _start(groups, group, node)


def _reading_whole(groups: FusionGroups, conv: FloatConv) -> FloatConv:
    """The convolution as one of some channels of a tensor, if its input is such a part.

    Convolutions of several parts then read from the same padded memory.
    """
    view = groups.maker.get(conv.source)
    while isinstance(view, ViewNode) and view.structure.kind == "slice":
        number = view.node.outputs.index(conv.source)
        whole = view.node.inputs[0]
        conv = replace(
            conv,
            source=whole,
            first=conv.first + view.structure.parts[number],
            channels=groups.subgraph.shapes[whole][1],
        )
        view = groups.maker.get(whole)
    return conv


def _group_of(
    groups: FusionGroups, tensor: str, axis: int, name: str, number: int
) -> FusionGroup:
    """The group that has a tensor in its rows; a new one, with a name, if there is none."""
    maker = groups.maker.get(tensor)
    if isinstance(maker, FusionGroup) and maker.position(tensor, axis) is not None:
        return maker
    if (tensor, axis) not in groups.loaders:
        group = groups.load(number, tensor, axis)
        group.nodes.append(name)
        groups.loaders[tensor, axis] = group
    return groups.loaders[tensor, axis]


def _epilogue(
    groups: FusionGroups, number: int, node: GraphNode, ways: list[Epilogue]
) -> None:
    ends = [(groups.open.get(way.flowing), way) for way in ways]
    ends = [(group, way) for group, way in ends if group is not None]
    ends.sort(key=lambda end: -groups.items.index(end[0]))
    for group, way in ends:
        # A softmax needs all channels of a pixel at once, which threads share where they are sums.
        if way.kind == EpilogueKind.SOFTMAX and not group.loads:
            continue
        if way.other is None or not groups.depends(way.other, group):
            _extend(groups, group, node, way)
            return
    way = ways[0]
    axes = groups.partition.axes
    group = groups.load(number, way.flowing, axes.get(way.flowing, 1))
    axis = axes[node.outputs[0]]
    group.axis, group.tensors = axis, [(way.flowing, axis)]
    _extend(groups, group, node, way)


def _extend(
    groups: FusionGroups, group: FusionGroup, node: GraphNode, way: Epilogue
) -> None:
    output = node.outputs[0]
    groups.open.pop(way.flowing, None)
    group.epilogues.append(way)
    group.tensors.append((output, groups.partition.axes[output]))
    group.nodes.append(node.name)
    groups.maker[output] = group
    groups.open[output] = group


def _view(
    groups: FusionGroups, number: int, node: GraphNode, structure: Structure
) -> None:
    """A view; rows pass through one that leaves them alone."""
    source = node.inputs[0]
    group = groups.open.get(source)
    groups.add(ViewNode(number, node=node, structure=structure), node.outputs)
    if structure.kind == "same" and group is not None:
        _extend(groups, group, node, Epilogue(source))
