"""A narrow tensor added to some channels of a wide one, where that one lies.

`Add(wide, Pad(narrow))` with zeros around the channels of `narrow` would otherwise read
and write all channels; MeliusNet's improvement blocks are made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from larqlite_runtime._graph import Node
from larqlite_runtime._program import Row
from larqlite_runtime.planner._epilogues import RowNode
from larqlite_runtime.planner._fusion_group import Chain, View
from larqlite_runtime.planner._views import Structure

if TYPE_CHECKING:
    from larqlite_runtime.planner._fuse import Chains

IN_PLACE = "InPlace"  # operation of the view that stands for the sum


def add_in_place(chains: Chains, number: int, node: Node) -> bool:
    """Has a chain add its rows to channels of a tensor that nobody reads any more.

    Args:
        chains: all that comes before the node.
        number, node: an `Add`, by its number.

    Returns:
        Whether it could be done; nothing is changed if not.
    """
    if node.op != "Add" or node.domain:
        return False
    for wide, padded in (node.inputs, node.inputs[::-1]):
        pad = chains.maker.get(padded)
        if not isinstance(pad, View) or pad.node.op != "Pad":
            continue
        narrow = pad.node.inputs[0]
        chain = chains.open.get(narrow)
        if (
            isinstance(chain, Chain)
            and _only_reader(chains, padded)
            and _only_reader(chains, narrow)
            and _is_ours(chains, wide)
            and all(
                _is_read_before(chains, reader, chain)
                for reader in chains.net.consumers[wide]
                if reader != number
            )
            and not _depends(chains, wide, chain)
        ):
            _join(chains, number, node, chain, pad, wide)
            return True
    return False


def _only_reader(chains: Chains, tensor: str) -> bool:
    net = chains.net
    return len(net.consumers[tensor]) == 1 and tensor not in net.outputs


def _is_ours(chains: Chains, tensor: str) -> bool:
    """Whether a tensor lies in memory that only kernels write."""
    maker = chains.maker.get(tensor)
    if tensor in chains.net.outputs or tensor not in chains.roles.native:
        return False
    is_view = isinstance(maker, View) and maker.node.op in ("Concat", IN_PLACE)
    return is_view or isinstance(maker, Chain)


def _is_read_before(chains: Chains, reader: int, chain: Chain) -> bool:
    """Whether a reader of a tensor has to be done before a chain begins."""
    if reader in chains.roles.absorbed:
        made = chains.net.nodes[reader].outputs[0]
        return all(
            _is_read_before(chains, number, chain)
            for number in chains.net.consumers[made]
        )
    item = chains.item_of.get(reader)
    if item is None or isinstance(item, View):
        return False
    if isinstance(item, Chain) and item.packed is not None and item.feeder is not None:
        # Its sums come from bits; the tensor is read where these are packed, unless it
        # is added to the sums.
        source = chains.net.nodes[reader]
        item = item.feeder if source is item.packed.node else item
    return item is not chain and chains.needs(chain, item)


def _depends(chains: Chains, tensor: str, chain: Chain) -> bool:
    maker = chains.maker.get(tensor)
    return maker is not None and chains.needs(maker, chain)


def _join(
    chains: Chains, number: int, node: Node, chain: Chain, pad, wide: str
) -> None:
    axis = pad.structure.axis
    narrow, output = pad.node.inputs[0], node.outputs[0]
    part = f"{wide} part of {output}"
    chains.parts[part] = (wide, narrow, pad.structure.parts[0], axis)
    chain.rows.append(RowNode(narrow, Row.ADD_TENSOR, other=part))
    chain.tensors.append((part, axis))
    chain.nodes.append(node.name)
    del chains.open[narrow]
    chains.items.remove(pad)
    view = View(
        number,
        copies=[chain],
        node=Node(IN_PLACE, "", node.name, (wide,), (output,)),
        structure=Structure(axis, "same"),
    )
    chains.items.append(view)
    chains.maker[output] = view
    chains.maker[part] = chains.maker[wide]
