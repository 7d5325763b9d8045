"""Where the bits of a tensor come from: back through what only moves values, and thresholds.

A quantizer gives the same bits before a concatenation, a slice of channels, a shuffle or a
largest value of a window as behind it; a scale and an offset for each channel go along, in the
order of the channels there. What makes the values then packs them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from larqlite_runtime._graph import Shape
from larqlite_runtime._program import EpilogueKind, StepKind
from larqlite_runtime.planner._channel_order import channel_order
from larqlite_runtime.planner._codebooks import Codebook
from larqlite_runtime.planner._epilogues import Epilogue
from larqlite_runtime.planner._fuse_in_place import IN_PLACE
from larqlite_runtime.planner._fusion_group import (
    BitMove,
    BitPart,
    FusionGroup,
    FusionGroups,
    OnnxRuntimeNode,
    PlanItem,
    ViewNode,
)
from larqlite_runtime.planner._layouts import image_of
from larqlite_runtime.planner._thresholds import (
    bounds_and_sides,
    can_threshold,
    intervals,
    ranges,
)
from larqlite_runtime.planner._views import structure_of
from larqlite_runtime.planner._window import Triple, Window

# Tensors that one is traced back through, in all and one behind the other: more than any network
# has, and few enough for a file that was made to have many.
MOST_TENSORS, MOST_DEEP = 4096, 128
# Operations that may turn the order of a channel's values around.
_FACTORS = (EpilogueKind.MULTIPLY, EpilogueKind.DIVIDE)


@dataclass
class BitSources:
    """A tensor of bits as channels of parts.

    Attributes:
        parts: as those of a `BitMove`, and so the next two.
        crossed: items that need not run for these bits.
    """

    parts: list[BitPart]
    part_of: np.ndarray
    channel_of: np.ndarray
    crossed: list[PlanItem] = field(default_factory=list)

    def pass_through(self, epilogue: Epilogue) -> None:
        """Has the values pass through an epilogue before they are packed."""
        for number, part in enumerate(self.parts):
            mine = self.part_of == number
            own = epilogue
            if epilogue.values is not None:
                none = epilogue.kind == EpilogueKind.ADD
                values = np.full(part.channels, 0 if none else 1, np.float32)
                values[self.channel_of[mine]] = epilogue.values[mine]
                own = replace(epilogue, values=values)
            if isinstance(part.maker, BitMove):
                if own.kind in _FACTORS:
                    part.maker.turned = part.maker.turned ^ (own.values < 0)
                of_parts(part.maker).pass_through(own)
            else:
                part.epilogues.append(own)

    def take(self, channels: np.ndarray) -> None:
        """Leaves some channels, in an order."""
        self.part_of = self.part_of[channels]
        self.channel_of = self.channel_of[channels]
        self._leave_out_parts()

    def _leave_out_parts(self) -> None:
        """Parts in the order of the channels, and none that has none."""
        used, first = np.unique(self.part_of, return_index=True)
        used = used[np.argsort(first)]
        number = np.zeros(len(self.parts), np.int64)
        number[used] = np.arange(len(used))
        self.parts = [self.parts[at] for at in used]
        self.part_of = number[self.part_of]


def of_parts(move: BitMove) -> BitSources:
    """The parts of a move, of which its channels are channels."""
    return BitSources(move.parts, move.part_of, move.channel_of)


def joined(traced: Sequence[BitSources]) -> BitSources:
    """Tensors one behind the other."""
    firsts = np.cumsum([0, *(len(one.parts) for one in traced)])
    return BitSources(
        [part for one in traced for part in one.parts],
        np.concatenate(
            [one.part_of + at for one, at in zip(traced, firsts, strict=False)]
        ),
        np.concatenate([one.channel_of for one in traced]),
        [item for one in traced for item in one.crossed],
    )


class BitTracer:
    """Finds where the bits of one quantizer come from."""

    def __init__(
        self,
        groups: FusionGroups,
        codebook: Codebook,
        number: int,
        passed_by: Collection[int] = (),
    ) -> None:
        self._groups, self._subgraph = groups, groups.subgraph
        self._codebook, self._number = codebook, number
        self._passed_by = passed_by  # identities of groups that pack bits themselves
        self._left, self._depth = MOST_TENSORS, 0

    def before(self, group: FusionGroup, position: int) -> BitSources | None:
        """The bits of a tensor of a group that had better be made before that group.

        None if they had not, or can't be.
        """
        tensor, axis = group.tensors[position]
        size, _ = image_of(self._shape(tensor), axis)
        found = self._across(group, position, size)
        if found is None:
            return None
        return found if self._settled(found) else None

    def _shape(self, tensor: str) -> Shape:
        _, like, _, _ = self._groups.parts.get(tensor, ("", tensor, 0, 0))
        return self._subgraph.shapes[like]

    def _across(
        self, group: FusionGroup, position: int, size: Triple
    ) -> BitSources | None:
        """A tensor of a group by what the group reads."""
        epilogues = group.epilogues[:position]
        if id(group) in self._passed_by:
            return None
        if not all(epilogue.is_monotone for epilogue in epilogues):
            return None
        if group.loads:
            found = self._of(group.source, group.axis, size)
            if found is None or _is_one_load(found):
                return None
        elif group.pool is not None and group.pool.kind == StepKind.POOL_MAX:
            found = self._pooled(group, size)
        else:
            return None
        if found is None:
            return None
        for epilogue in epilogues:
            if epilogue.kind is not None:
                found.pass_through(epilogue)
        found.crossed.append(group)
        return found

    def _pooled(self, group: FusionGroup, size: Triple) -> BitSources | None:
        """Largest values; those of one plane that is +1 from some value on."""
        pool, codebook = group.pool, self._codebook
        image = image_of(self._subgraph.shapes[group.source], group.axis)
        if image is None or codebook.type.bits != 1 or not codebook.is_thresholded:
            return None
        inside, channels = image
        window = Window(inside, size, pool.kernel, pool.stride, pool.dilation, pool.pad)
        if not all(window.reads(axis).any(1).all() for axis in range(3)):
            return None
        found = self._of(group.source, group.axis, inside)
        if found is None or not _are_computed(found):
            return None
        move = BitMove(
            self._number,
            tensor=group.tensors[0][0],
            codebook=codebook,
            size=inside,
            parts=found.parts,
            part_of=found.part_of,
            channel_of=found.channel_of,
            pool=(pool, size),
            turned=np.zeros(channels, bool),
            nodes=group.nodes[:1],
        )
        part = BitPart(move, channels)
        return BitSources(
            [part], np.zeros(channels, np.int64), np.arange(channels), found.crossed
        )

    def _of(self, tensor: str, axis: int, size: Triple) -> BitSources | None:
        """The bits of a tensor."""
        self._left -= 1
        if self._left < 0 or self._depth == MOST_DEEP:
            return None
        self._depth += 1
        found = self._found(tensor, axis, size)
        self._depth -= 1
        return found

    def _found(self, tensor: str, axis: int, size: Triple) -> BitSources | None:
        maker = self._groups.maker.get(tensor)
        if isinstance(maker, FusionGroup):
            position = maker.position(tensor, axis)
            if position is not None:
                found = self._across(maker, position, size)
                return found or self._rows(maker, position, size)
        if isinstance(maker, ViewNode) and maker.node.op == IN_PLACE:
            return self._in_place(maker, axis, size)
        return (
            self._in_other_order(tensor, axis, size)
            or self._structured(tensor, axis, size)
            or self._from_elsewhere(tensor, axis, size)
        )

    def _rows(
        self, group: FusionGroup, position: int, size: Triple
    ) -> BitSources | None:
        tensor, axis = group.tensors[position]
        image = image_of(self._shape(tensor), axis)
        if image is None or image[0] != size:
            return None
        channels = image[1]
        return BitSources(
            [BitPart(group, channels, position)],
            np.zeros(channels, np.int64),
            np.arange(channels),
        )

    def _in_other_order(
        self, tensor: str, axis: int, size: Triple
    ) -> BitSources | None:
        order = channel_order(self._subgraph, tensor, axis)
        found = order and self._of(order.source, order.axis, size)
        if found is None:
            return None
        found.take(order.channels)
        found.crossed += self._run_by_onnxruntime(order.nodes)
        return found

    def _structured(self, tensor: str, axis: int, size: Triple) -> BitSources | None:
        """A concatenation, or a slice."""
        number = self._subgraph.producer.get(tensor)
        if number is None:
            return None
        node = self._subgraph.nodes[number]
        structure = structure_of(node, self._subgraph, axis)
        if structure is None or node.op == "Pad":
            return None
        if structure.kind == "concat":
            traced = [self._of(name, axis, size) for name in node.inputs]
            if None in traced:
                return None
            found = joined(traced)
        elif structure.kind == "slice":
            found = self._of(node.inputs[0], axis, size)
            if found is None:
                return None
            first = structure.parts[node.outputs.index(tensor)]
            found.take(first + np.arange(self._subgraph.shapes[tensor][axis]))
        else:
            return None
        found.crossed += self._run_by_onnxruntime([number])
        return found

    def _in_place(self, view: ViewNode, axis: int, size: Triple) -> BitSources | None:
        """A tensor to some channels of which a group has added its rows."""
        (group,) = view.copies
        part, at = group.tensors[-1]
        wide, narrow, first, _ = self._groups.parts[part]
        found = self._of(wide, axis, size)
        rows = self._rows(group, len(group.tensors) - 1, size)
        if found is None or rows is None or at != axis:
            return None
        end = first + self._subgraph.shapes[narrow][axis]
        whole = joined([found, rows])
        channels = np.arange(self._subgraph.shapes[wide][axis])
        whole.take(
            np.concatenate(
                [
                    channels[:first],
                    len(channels) + np.arange(end - first),
                    channels[end:],
                ]
            )
        )
        return whole

    def _from_elsewhere(
        self, tensor: str, axis: int, size: Triple
    ) -> BitSources | None:
        """A float tensor that no group has in its rows: one loads it."""
        groups, partition = self._groups, self._groups.partition
        maker = groups.maker.get(tensor)
        is_ours = maker is not None and not isinstance(maker, OnnxRuntimeNode)
        # What is added to in place must not be read at another time.
        if is_ours and groups.parts:
            return None
        image = image_of(self._subgraph.shapes[tensor], axis)
        if image is None or self._subgraph.dtypes[tensor] != np.float32:
            return None
        if tensor in self._subgraph.constants or (
            tensor in partition.native and partition.axes[tensor] != axis
        ):
            return None
        return self._rows(self._loader(tensor, axis), 0, size)

    def _loader(self, tensor: str, axis: int) -> FusionGroup:
        """A group that loads a tensor and needs nothing else, or a new one."""
        groups = self._groups
        for item in groups.items:
            if (
                isinstance(item, FusionGroup)
                and item.loads
                and item.tensors[0] == (tensor, axis)
                and not any(epilogue.other for epilogue in item.epilogues)
            ):
                return item
        group = groups.load(self._number, tensor, axis)
        group.nodes.append(f"{self._subgraph.nodes[self._number].name}/pack")
        groups.loaders[tensor, axis] = group
        return group

    def _run_by_onnxruntime(self, numbers: Sequence[int]) -> list[PlanItem]:
        items = [self._groups.item_of.get(number) for number in numbers]
        return [item for item in items if isinstance(item, OnnxRuntimeNode)]

    def _settled(self, traced: BitSources, is_pooled: bool = False) -> bool:
        """Finds the intervals of parts; whether all can be packed where they are made."""
        for part in traced.parts:
            if isinstance(part.maker, BitMove):
                if not self._settled(of_parts(part.maker), True):
                    return False
                continue
            sums = part.maker.sums
            if sums is not None:
                chain = [*sums.epilogues, *_chain(part)]
                if can_threshold(chain, self._codebook):
                    ends = sums.low, sums.high
                    part.intervals = intervals(chain, self._codebook, *ends)
            if part.intervals is not None:
                continue
            given = part.epilogues, self._codebook, part.channels, is_pooled
            if is_pooled:
                found = ranges(*given)
                if found is None:
                    return False
                part.above = bounds_and_sides(found[0])
            elif part.epilogues and ranges(*given) is None:
                return False
        return True


def _chain(part: BitPart) -> list[Epilogue]:
    """What the rows of a group pass through before they are packed."""
    return [*part.maker.epilogues[: part.position], *part.epilogues]


def _are_computed(traced: BitSources) -> bool:
    """Whether a largest value of all parts is worth finding in bits: floats that are there
    already are read as fast as they are packed."""
    return all(
        isinstance(part.maker, BitMove)
        or part.maker.packed is not None
        or part.maker.conv is not None
        for part in traced.parts
    )


def _is_one_load(traced: BitSources) -> bool:
    maker = traced.parts[0].maker
    return len(traced.parts) == 1 and isinstance(maker, FusionGroup) and maker.loads
