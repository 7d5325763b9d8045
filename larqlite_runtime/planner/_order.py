"""The order in which items run, and how many changes between the engines that takes."""

from __future__ import annotations

from larqlite_runtime.planner._fuse import Chains
from larqlite_runtime.planner._fusion_group import Chain, Item, Segment, View


def ordered(chains: Chains) -> list[Item]:
    """The items, each after those it needs, with levels."""
    result: list[Item] = []
    state: dict[int, int] = {}

    def runs(item: Item) -> bool:
        if isinstance(item, View):
            return item.node.outputs[0] in chains.roles.native
        return isinstance(item, Chain)

    for start in sorted(chains.items, key=lambda item: item.number):
        waiting = [(start, False)]
        while waiting:
            item, done = waiting.pop()
            if done:
                item.level = max(
                    (
                        other.level + (isinstance(item, Segment) and runs(other))
                        for other in chains.before(item)
                    ),
                    default=0,
                )
                result.append(item)
            elif id(item) not in state:
                state[id(item)] = 1
                waiting.append((item, True))
                waiting += [(other, False) for other in chains.before(item)]
    position = {id(item): number for number, item in enumerate(result)}
    return sorted(
        result,
        key=lambda item: (
            item.level,
            not isinstance(item, Segment),
            position[id(item)],
        ),
    )
