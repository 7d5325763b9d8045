"""The pass `gather_means`: means over images are taken where their values are made.

Without it all values of an image are stored, and loaded again, for one number a channel.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from larqlite_runtime._program import EpilogueKind, StepKind
from larqlite_runtime.planner._epilogues import Epilogue
from larqlite_runtime.planner._fusion_group import FusionGroup, FusionGroups, PlanItem
from larqlite_runtime.planner._layouts import image_of

# What a mean of sums may be passed through instead of each sum.
_AFFINE = (None, EpilogueKind.MULTIPLY, EpilogueKind.DIVIDE, EpilogueKind.ADD)
# Channels of which one thread takes all rows.
_TOGETHER = 64
# Products that one thread may do where others could have helped, of bits and of floats.
MOST_ALONE = {True: 1 << 25, False: 1 << 21}
_MOST = np.iinfo(np.int32).max


def gather_means(groups: FusionGroups, small: bool = False) -> None:
    """Joins each mean over an image to the group that makes what it is taken of.

    Where sums of a packed layer are only scaled and moved before, whole numbers are added up,
    which is exact, and their mean is scaled and moved; else floats are, in float64, as
    `LQ_MEAN` does it. With `small`, an average of the whole image is a mean too, which rounds
    once less.
    """
    for mean in list(groups.items):
        if isinstance(mean, FusionGroup) and _is_mean(groups, mean, small):
            group = groups.maker.get(mean.source)
            if isinstance(group, FusionGroup) and _joins(groups, group, mean):
                _join(groups, group, mean)


def _is_mean(groups: FusionGroups, group: FusionGroup, small: bool) -> bool:
    pool = group.pool
    if pool is None or pool.kind == StepKind.POOL_MAX:
        return False
    if pool.kind == StepKind.MEAN:
        return True
    image = _image(groups, group)
    made = image_of(groups.subgraph.shapes[group.tensors[0][0]], group.axis)
    return (
        small
        and image is not None
        and pool.kernel == image[0]
        and pool.pad == (0, 0, 0)
        and made is not None
        and made[0] == (1, 1, 1)
    )


def _joins(groups: FusionGroups, group: FusionGroup, mean: FusionGroup) -> bool:
    """Whether a mean can, and had better, be taken of the rows of a group."""
    if group.packed is None and group.conv is None:
        return False
    if group.tensors[-1] != (mean.source, mean.axis) or mean.copies:
        return False
    if _gathers(group) or not _is_read_once(groups, mean.source):
        return False
    size, channels = _image(groups, mean)
    packed = group.packed
    products = packed.products if packed is not None else group.conv.products
    is_shared = (packed is None or packed.groups == 1) and channels > _TOGETHER
    alone = products * _TOGETHER / channels if is_shared else products
    return (
        math.prod(size) > 1
        and alone <= MOST_ALONE[packed is not None]
        and not any(
            epilogue.other is not None and groups.depends(epilogue.other, group)
            for epilogue in mean.epilogues
        )
    )


def _image(groups: FusionGroups, mean: FusionGroup):
    return image_of(groups.subgraph.shapes[mean.source], mean.axis)


def _gathers(group: FusionGroup) -> bool:
    kinds = (EpilogueKind.SUM, EpilogueKind.AVERAGE)
    return any(epilogue.kind in kinds for epilogue in group.epilogues)


def _is_read_once(groups: FusionGroups, tensor: str) -> bool:
    subgraph = groups.subgraph
    return len(subgraph.consumers[tensor]) == 1 and tensor not in subgraph.outputs


def _join(groups: FusionGroups, group: FusionGroup, mean: FusionGroup) -> None:
    size, channels = _image(groups, mean)
    count = math.prod(size)
    if _sums_integers(groups, group, count):
        first, *rest = group.tensors
        head = [Epilogue(first[0], EpilogueKind.SUM), *_scaled(group, count, channels)]
        made = [first] * (len(head) - len(group.epilogues))
        group.epilogues = [*head, Epilogue(mean.source)]
        group.tensors = [first, *made, *rest]
    else:
        group.epilogues.append(Epilogue(mean.source, EpilogueKind.AVERAGE))
    shift = len(group.tensors)
    group.epilogues += mean.epilogues
    group.tensors += mean.tensors
    group.nodes += mean.nodes
    for mine, others in (
        (group.bit_readers, mean.bit_readers),
        (group.padded_readers, mean.padded_readers),
    ):
        for position, reader in others:
            mine.append((position + shift, reader))
            reader.input_group = group
    _replace(groups, mean, group)


def _replace(groups: FusionGroups, gone: PlanItem, by: PlanItem) -> None:
    groups.items.remove(gone)
    for table in (groups.maker, groups.item_of, groups.open):
        for key, item in table.items():
            if item is gone:
                table[key] = by


def _sums_integers(groups: FusionGroups, group: FusionGroup, count: int) -> bool:
    """Whether a mean of whole numbers will do, and their sum is one of int32."""
    if group.packed is None:
        return False
    if not all(epilogue.kind in _AFFINE for epilogue in group.epilogues):
        return False
    if not all(_is_read_once(groups, tensor) for tensor, _ in group.tensors):
        return False
    if group.bit_readers or group.padded_readers:
        return False
    low, high = group.packed.range()
    return int(max(abs(low).max(), abs(high).max())) * count <= _MOST


def _scaled(group: FusionGroup, count: int, channels: int) -> list[Epilogue]:
    """The epilogues for a sum of so many values, in place of each."""
    found = list(group.epilogues)
    for number, epilogue in enumerate(found):
        if epilogue.kind == EpilogueKind.MULTIPLY:
            values = (epilogue.values.astype(np.float64) / count).astype(np.float32)
            found[number] = replace(epilogue, values=values)
            return found
        if epilogue.kind is not None:
            break
    whole = np.full(channels, count, np.float32)
    tensor, _ = group.tensors[0]
    return [Epilogue(tensor, EpilogueKind.DIVIDE, whole), *found]
