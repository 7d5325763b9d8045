"""Operations that make images larger or smaller."""

from __future__ import annotations

import numpy as np

from larqlite_runtime._errors import shape_text
from larqlite_runtime._graph import Shape
from larqlite_runtime.format import (
    MAX_WINDOW,
    choice,
    flag,
    integer,
    integers,
    number,
    only,
)
from larqlite_runtime.reader.operators._node_call import NodeCall, Operator, Results


def _resize(call: NodeCall) -> Results:
    shape = call.shape(0)
    dtype = call.same_dtype([0], "f")
    call.require(not call.has(1), "a region of interest is not supported")
    call.require(call.has(2) != call.has(3), "it needs either scales or sizes")
    axes = call.attribute("axes")
    if axes is None:
        axes = list(range(len(shape)))
    axes = call.axes(axes, len(shape), False)
    if call.has(2):
        factors = call.constant(2, np.float32)
        call.require(
            factors.shape == (len(axes),)
            and bool(((factors > 0) & (factors <= MAX_WINDOW)).all()),
            f"scales must be {len(axes)} numbers, above 0 and at most {MAX_WINDOW}",
        )
        new = _scaled(call, shape, axes, factors)
    else:
        sizes = call.integers(3)
        call.require(
            len(sizes) == len(axes) and min(sizes, default=0) >= 1,
            f"sizes {sizes} must be {len(axes)} numbers, at least 1",
        )
        new = dict(enumerate(shape)) | dict(zip(axes, sizes, strict=True))
    call.require(
        call.has_batch(0) and new[0] is None and len(shape) >= 2,
        f"it resizes the batch of {shape_text(shape)}",
    )
    _require_mode(call, shape, tuple(new.values()))
    return [(tuple(new.values()), dtype)]


def _require_mode(call: NodeCall, shape: Shape, new: Shape) -> None:
    """Modes that mix neighbours know only some axes."""
    mode, rank = call.attribute("mode"), len(shape)
    ranks = {"nearest": range(2, 9), "linear": range(3, 6), "cubic": range(4, 5)}[mode]
    if rank not in ranks or (mode != "nearest" and new[:2] != shape[:2]):
        call.fail(
            f'mode "{mode}" is not supported from {shape_text(shape)} to {shape_text(new)}'
        )


def _scaled(call: NodeCall, shape: Shape, axes: list[int], factors: np.ndarray) -> dict:
    new: dict[int, int | None] = dict(enumerate(shape))
    for index, factor in zip(axes, factors, strict=True):
        if shape[index] is None:
            call.require(factor == 1, f"scales {factors.tolist()} resize the batch")
        else:
            new[index] = int(np.floor(np.float32(shape[index]) * factor))
            call.require(new[index] >= 1, f"scales {factors.tolist()} leave nothing")
    return new


def _depth_to_space(call: NodeCall) -> Results:
    shape, block = _image(call)
    call.require(
        shape[1] % block**2 == 0, f"{shape[1]} channels are not divisible by {block}²"
    )
    new = (None, shape[1] // block**2, shape[2] * block, shape[3] * block)
    return [(new, call.dtype(0))]


def _space_to_depth(call: NodeCall) -> Results:
    shape, block = _image(call)
    call.require(
        shape[2] % block == shape[3] % block == 0,
        f"{shape_text(shape)} is not divisible into blocks of {block}",
    )
    new = (None, shape[1] * block**2, shape[2] // block, shape[3] // block)
    return [(new, call.dtype(0))]


def _image(call: NodeCall) -> tuple[Shape, int]:
    shape = call.float_image()
    call.require(len(shape) == 4, f"its input {shape_text(shape)} is no image")
    return shape, call.attribute("blocksize")


_RESIZE = {
    "mode": choice("nearest", "linear", "cubic"),
    "coordinate_transformation_mode": choice(
        "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"
    ),
    "nearest_mode": choice("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    "axes": integers(0, 7),
    "antialias": only(0),
    "exclude_outside": flag(),
    "cubic_coeff_a": number(-0.75),
    "extrapolation_value": number(0.0),
    "keep_aspect_ratio_policy": choice("stretch"),
}
_BLOCK = {"blocksize": integer(1, 256)}
TABLE: dict[str, Operator] = {
    "Resize": Operator(_resize, (1, 4), _RESIZE),
    "DepthToSpace": Operator(
        _depth_to_space, (1, 1), {**_BLOCK, "mode": choice("DCR", "CRD")}
    ),
    "SpaceToDepth": Operator(_space_to_depth, (1, 1), _BLOCK),
}
