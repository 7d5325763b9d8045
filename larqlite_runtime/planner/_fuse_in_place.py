"""A narrow tensor added to some channels of a wide one, where that one lies.

`Add(wide, Pad(narrow))` with zeros around the channels of `narrow` would otherwise read
and write all channels; MeliusNet's improvement blocks are made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import EpilogueKind
from larqlite_runtime.planner._epilogues import Epilogue
from larqlite_runtime.planner._fusion_group import (
    FusionGroup,
    FusionGroups,
    ViewNode,
)
from larqlite_runtime.planner._views import Structure

IN_PLACE = "InPlace"  # operation of the view that stands for the sum


def add_in_place(groups: FusionGroups, number: int, node: GraphNode) -> bool:
    """Has a group add its rows to channels of a tensor that nobody reads any more.

    Args:
        groups: all that comes before the node.
        number, node: an `Add`, by its number.

    Returns:
        Whether it could be done; nothing is changed if not.
    """
    if node.op != "Add" or node.domain:
        return False
    for wide, padded in (node.inputs, node.inputs[::-1]):
        pad = groups.maker.get(padded)
        if not isinstance(pad, ViewNode) or pad.node.op != "Pad":
            continue
        narrow = pad.node.inputs[0]
        group = groups.open.get(narrow)
        if (
            isinstance(group, FusionGroup)
            and _only_reader(groups, padded)
            and _only_reader(groups, narrow)
            and _is_ours(groups, wide)
            and all(
                _is_read_before(groups, reader, group)
                for reader in _readers(groups, wide)
                if reader != number
            )
            and not groups.depends(wide, group)
        ):
            _join(groups, number, node, group, pad, wide)
            return True
    return False


def _only_reader(groups: FusionGroups, tensor: str) -> bool:
    subgraph = groups.subgraph
    return len(subgraph.consumers[tensor]) == 1 and tensor not in subgraph.outputs


def _joined(groups: FusionGroups, tensor: str) -> Sequence[str]:
    """The tensors that a concatenation has put side by side, where they are made."""
    maker = groups.maker.get(tensor)
    is_joined = isinstance(maker, ViewNode) and maker.node.op == "Concat"
    return tuple(dict.fromkeys(maker.node.inputs)) if is_joined else ()


def _readers(groups: FusionGroups, tensor: str) -> Iterator[int]:
    """The nodes that read a tensor, or one of those of which it is put together: these may
    lie in its memory."""
    joins = groups.maker[tensor].number if _joined(groups, tensor) else None
    yield from groups.subgraph.consumers[tensor]
    for part in _joined(groups, tensor):
        yield from (reader for reader in _readers(groups, part) if reader != joins)


def _is_ours(groups: FusionGroups, tensor: str) -> bool:
    """Whether a tensor lies in memory that only kernels write."""
    maker = groups.maker.get(tensor)
    if tensor in groups.subgraph.outputs or tensor not in groups.partition.native:
        return False
    is_view = isinstance(maker, ViewNode) and maker.node.op in ("Concat", IN_PLACE)
    return is_view or isinstance(maker, FusionGroup)


def _is_read_before(groups: FusionGroups, reader: int, group: FusionGroup) -> bool:
    """Whether a reader of a tensor has to be done before a group begins."""
    if reader in groups.partition.absorbed:
        made = groups.subgraph.nodes[reader].outputs[0]
        return all(
            _is_read_before(groups, number, group)
            for number in groups.subgraph.consumers[made]
        )
    item = groups.item_of.get(reader)
    if item is None or isinstance(item, ViewNode):
        return False
    if (
        isinstance(item, FusionGroup)
        and item.packed is not None
        and item.input_group is not None
    ):
        # Its sums come from bits; the tensor is read where these are packed, unless it
        # is added to the sums.
        source = groups.subgraph.nodes[reader]
        item = item.input_group if source is item.packed.node else item
    return item is not group and groups.needs(group, item)


def _join(
    groups: FusionGroups,
    number: int,
    node: GraphNode,
    group: FusionGroup,
    pad,
    wide: str,
) -> None:
    axis = pad.structure.axis
    narrow, output = pad.node.inputs[0], node.outputs[0]
    part = f"{wide} part of {output}"
    groups.parts[part] = (wide, narrow, pad.structure.parts[0], axis)
    group.epilogues.append(Epilogue(narrow, EpilogueKind.ADD_TENSOR, other=part))
    group.tensors.append((part, axis))
    group.nodes.append(node.name)
    del groups.open[narrow]
    groups.items.remove(pad)
    view = ViewNode(
        number,
        copies=[group],
        node=GraphNode(IN_PLACE, "", node.name, (wide,), (output,)),
        structure=Structure(axis, "same"),
    )
    groups.items.append(view)
    groups.maker[output] = view
    groups.maker[part] = groups.maker[wide]
