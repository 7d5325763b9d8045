"""Random nodes that move values: reshaping, cutting, joining, stretching."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from tests.runtime.nodes import (
    SIZES,
    Case,
    array,
    ints,
    list_of,
    maybe,
    shape,
    strategy,
)


@strategy("Reshape")
def reshape(draw, op):
    sizes = shape(draw, 1)
    target = draw(st.permutations(sizes))
    if draw(st.booleans()):
        target = [math.prod(target)]
    target = [draw(st.sampled_from([0, -1, 2])), *target]
    if draw(st.booleans()):
        target[draw(st.integers(0, len(target) - 1))] = draw(
            st.sampled_from([-1, 0, 3])
        )
    return Case(op, {0: array(draw, (2, *sizes))}, {1: list_of(target)})


@strategy("Transpose")
def transpose(draw, op):
    sizes = shape(draw)
    order = draw(st.permutations(range(1, len(sizes) + 1)))
    if draw(st.integers(0, 5)):
        return Case(op, {0: array(draw, (2, *sizes))}, attributes={"perm": [0, *order]})
    return Case(op, {0: array(draw, (2, *sizes))}, attributes={"perm": [*order, 0]})


@strategy("Squeeze", "Unsqueeze")
def squeeze(draw, op):
    sizes = [1 if draw(st.booleans()) else n for n in shape(draw)]
    axes = draw(st.lists(st.integers(-5, 5), min_size=1, max_size=2))
    if op == "Squeeze" and draw(st.booleans()):
        axes = [axis for axis, n in enumerate(sizes, 1) if n == 1] or axes
    return Case(op, {0: array(draw, (2, *sizes))}, {1: list_of(axes)})


@strategy("Expand", "Tile")
def stretch(draw, op):
    sizes = [1 if draw(st.booleans()) else n for n in shape(draw)]
    wanted = [
        1,
        *(n if draw(st.booleans()) else draw(st.integers(0, 3)) for n in sizes),
    ]
    wanted = wanted[draw(st.integers(0, 1)) :] or [1]
    return Case(op, {0: array(draw, (2, *sizes))}, {1: list_of(wanted)})


@strategy("Concat")
def concat(draw, op):
    sizes = (2, *shape(draw, 1, 3))
    axis = draw(st.integers(-4, 3))
    case = Case(op, attributes={"axis": axis})
    for index in range(draw(st.integers(1, 3))):
        new = list(sizes)
        if -len(sizes) <= axis < len(sizes) and axis % len(sizes):
            new[axis] = draw(SIZES)
        case.fed[index] = array(draw, new)
    return case


@strategy("Split")
def split(draw, op):
    sizes = shape(draw, 1)
    axis = draw(st.integers(-len(sizes), len(sizes)))
    case = Case(op, {0: array(draw, (2, *sizes))}, attributes={"axis": axis})
    if draw(st.booleans()):
        parts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
        if axis % (len(sizes) + 1) and draw(st.integers(0, 3)):
            new = list(case.fed[0].shape)
            new[axis] = sum(parts)
            case.fed[0] = array(draw, new)
        case.constants[1] = list_of(parts)
        case.outputs = len(parts)
    else:
        case.outputs = case.attributes["num_outputs"] = draw(st.integers(1, 4))
    return case


@strategy("Slice")
def slices(draw, op):
    sizes = shape(draw, 1, 3)
    count = draw(st.integers(1, len(sizes)))
    bounds = st.sampled_from([-100, -5, -3, -2, -1, 0, 1, 2, 3, 5, 100, 2**62])
    axes = draw(st.permutations(range(1, len(sizes) + 1)))[:count]
    if draw(st.booleans()):
        axes = [axis - len(sizes) - 1 for axis in axes]
    constants = {
        1: list_of(draw(bounds) for _ in axes),
        2: list_of(draw(bounds) for _ in axes),
        3: list_of(axes),
    }
    if draw(st.booleans()):
        constants[4] = list_of(draw(st.sampled_from([-3, -1, 1, 2, 5])) for _ in axes)
    return Case(op, {0: array(draw, (2, *sizes))}, constants)


@strategy("Pad")
def pad(draw, op):
    sizes = shape(draw, 1, 3)
    mode = draw(st.sampled_from(["constant", "edge", "reflect"]))
    case = Case(op, {0: array(draw, (2, *sizes))}, attributes={"mode": mode})
    if draw(st.booleans()):
        axes = list(draw(st.permutations(range(1, len(sizes) + 1))))
        axes = axes[: draw(st.integers(1, len(axes)))]
        case.constants[3] = list_of(axes)
        case.constants[1] = list_of(ints(draw, 2 * len(axes), 0, 3))
    else:
        before, after = ints(draw, len(sizes), 0, 3), ints(draw, len(sizes), 0, 3)
        case.constants[1] = list_of([0, *before, 0, *after])
    if draw(st.booleans()):
        case.constants[2] = array(draw, draw(st.sampled_from([(), (), (1,)])))
    return case


@strategy("Gather")
def gather(draw, op):
    given = {"axis": draw(st.integers(-3, 3))}
    indices = st.integers(-4, 5)
    if draw(st.booleans()):
        table = array(draw, shape(draw, 1, 2))
        rows = np.array(draw(st.lists(indices, min_size=2, max_size=2)))
        rows = np.clip(rows, 0, len(table) - 1).astype(np.int64)
        return Case(op, {1: rows}, {0: table}, {})
    chosen = np.array(draw(st.lists(indices, min_size=1, max_size=3)), np.int64)
    if draw(st.booleans()):
        chosen = chosen[0].reshape(())
    return Case(op, {0: array(draw, (2, *shape(draw)))}, {1: chosen}, given)


@strategy("Resize")
def resize(draw, op):
    rank = draw(st.integers(1, 3))
    sizes = (draw(SIZES), *ints(draw, rank, 1, 5))
    modes = st.sampled_from(
        ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    )
    nearest = st.sampled_from(
        ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
    )
    given = maybe(
        draw,
        {
            "mode": st.sampled_from(["nearest", "linear", "cubic"]),
            "coordinate_transformation_mode": modes,
            "nearest_mode": nearest,
        },
    )
    case = Case(op, {0: array(draw, (2, *sizes))}, attributes=given)
    if draw(st.booleans()):
        factors = [
            draw(st.sampled_from([0.5, 1.0, 1.7, 2.0, 3.0])) for _ in range(rank)
        ]
        case.constants[2] = np.array([1, 1, *factors], np.float32)
    else:
        given["axes"] = list(range(2, rank + 2))
        case.constants[3] = list_of(ints(draw, rank, 1, 9))
    return case


@strategy("DepthToSpace", "SpaceToDepth")
def blocks(draw, op):
    block = draw(st.integers(1, 3))
    many = block**2 if op == "DepthToSpace" else 1
    side = block if op == "SpaceToDepth" else 1
    sizes = (draw(SIZES) * many, draw(SIZES) * side, draw(SIZES) * side)
    given = {"blocksize": block}
    if op == "DepthToSpace":
        given |= maybe(draw, {"mode": st.sampled_from(["DCR", "CRD"])})
    return Case(op, {0: array(draw, (2, *sizes))}, attributes=given)
