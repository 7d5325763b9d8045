"""Operations that move values: reshaping, cutting, joining, stretching."""

from __future__ import annotations

import math

from larqlite_runtime._errors import shape_text
from larqlite_runtime.format import (
    MAX_WINDOW,
    REQUIRED,
    axis,
    choice,
    integer,
    integers,
    only,
)
from larqlite_runtime.reader.operators._node_call import (
    NodeCall,
    Operator,
    Results,
    size,
)

_ANY = "fiub"


def _reshape(call: NodeCall) -> Results:
    shape, wanted = call.shape(0), call.integers(1, limit=8)
    call.require(
        all(length >= -1 for length in wanted) and wanted.count(-1) <= 1,
        f"the new shape {wanted} is no shape",
    )
    call.require(
        all(index < len(shape) for index, n in enumerate(wanted) if n == 0),
        f"the new shape {wanted} keeps an axis that {shape_text(shape)} does not have",
    )
    new = [shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    rest = math.prod(n for n in new if n not in (-1, None))
    unknown = size(shape) // rest
    if call.has_batch(0):
        # The batch stays first: kept by a 0, or found by -1.
        is_kept = bool(new) and (new[0] is None or (new[0] == -1 and unknown == 1))
        if is_kept and new[0] == -1:
            new[0] = None
        call.require(is_kept, f"the new shape {wanted} does not keep the batch first")
    new = [unknown if n == -1 else n for n in new]
    call.require(
        size(new) == size(shape),
        f"{shape_text(shape)} can't be reshaped to {wanted}: the number of values is "
        "another",
    )
    return [(tuple(new), call.dtype(0))]


def _flatten(call: NodeCall) -> Results:
    shape = call.shape(0)
    at = call.attribute("axis")
    call.require(
        -len(shape) <= at <= len(shape),
        f"axis {at} does not exist in {shape_text(shape)}",
    )
    at += len(shape) * (at < 0)
    if call.has_batch(0):
        call.require(at == 1, f"axis {at} does not keep the batch first")
        return [((None, size(shape)), call.dtype(0))]
    return [((math.prod(shape[:at]), math.prod(shape[at:])), call.dtype(0))]


def _transpose(call: NodeCall) -> Results:
    shape = call.shape(0)
    order = call.attribute("perm")
    if order is None:
        order = call.node.attributes["perm"] = list(range(len(shape)))[::-1]
    call.require(
        sorted(order) == list(range(len(shape))),
        f"perm {order} is no order of the axes of {shape_text(shape)}",
    )
    if call.has_batch(0):
        call.require(order[0] == 0, f"perm {order} does not keep the batch first")
    return [(tuple(shape[index] for index in order), call.dtype(0))]


def _squeeze(call: NodeCall) -> Results:
    shape = call.shape(0)
    axes = call.axes(call.integers(1), len(shape), call.has_batch(0))
    call.require(
        all(shape[index] == 1 for index in axes),
        f"the axes {axes} of {shape_text(shape)} are not all of size 1",
    )
    kept = tuple(n for index, n in enumerate(shape) if index not in axes)
    return [(kept, call.dtype(0))]


def _unsqueeze(call: NodeCall) -> Results:
    shape, axes = call.shape(0), call.integers(1)
    rank = len(shape) + len(axes)
    axes = call.axes(axes, rank, call.has_batch(0))
    rest = iter(shape)
    new = tuple(1 if index in axes else next(rest) for index in range(rank))
    return [(new, call.dtype(0))]


def _expand(call: NodeCall) -> Results:
    wanted = call.integers(1, limit=8)
    call.require(min(wanted, default=1) >= 1, f"the new shape {wanted} is no shape")
    return [(call.broadcast(call.shape(0), tuple(wanted)), call.dtype(0))]


def _tile(call: NodeCall) -> Results:
    shape, repeats = call.shape(0), call.integers(1, limit=8)
    call.require(
        len(repeats) == len(shape) and min(repeats, default=1) >= 1,
        f"repeats {repeats} must be one number, at least 1, for each axis of "
        f"{shape_text(shape)}",
    )
    if call.has_batch(0):
        call.require(repeats[0] == 1, f"repeats {repeats} repeat the batch")
    new = tuple(n and n * times for n, times in zip(shape, repeats, strict=True))
    return [(new, call.dtype(0))]


def _concat(call: NodeCall) -> Results:
    dtype = call.same_dtype(call.given, _ANY)
    shapes = [call.shape(index) for index in call.given]
    at = call.axis(call.attribute("axis"), len(shapes[0]), shapes[0][:1] == (None,))
    around = {(*shape[:at], *shape[at + 1 :], len(shape)) for shape in shapes}
    call.require(
        len(around) == 1,
        "the shapes "
        + " and ".join(map(shape_text, shapes[:4]))
        + f" can't be joined along axis {at}",
    )
    new = (*shapes[0][:at], sum(shape[at] for shape in shapes), *shapes[0][at + 1 :])
    return [(new, dtype)]


def _split(call: NodeCall) -> Results:
    shape = call.shape(0)
    at = call.axis(call.attribute("axis"), len(shape), call.has_batch(0))
    count = len(call.node.outputs)
    if call.has(1):
        call.require(
            call.attribute("num_outputs") is None, "it has both sizes and num_outputs"
        )
        sizes = call.integers(1, limit=256)
    else:
        call.require(
            call.attribute("num_outputs") == count,
            f"num_outputs {call.attribute('num_outputs')} is not {count}, the number of "
            "its outputs",
        )
        part = -(-shape[at] // count)
        sizes = [part] * (count - 1) + [shape[at] - part * (count - 1)]
    call.require(
        len(sizes) == count and min(sizes) >= 1 and sum(sizes) == shape[at],
        f"the sizes {sizes} do not divide axis {at} of {shape_text(shape)} into {count}",
    )
    return [((*shape[:at], n, *shape[at + 1 :]), call.dtype(0)) for n in sizes]


def _slice(call: NodeCall) -> Results:
    shape = call.shape(0)
    starts, ends = call.integers(1), call.integers(2)
    given = call.integers(3) if call.has(3) else list(range(len(starts)))
    axes = call.axes(given, len(shape), call.has_batch(0))
    steps = call.integers(4) if call.has(4) else [1] * len(starts)
    call.require(
        len(starts) == len(ends) == len(axes) == len(steps) and 0 not in steps,
        f"starts {starts}, ends {ends}, axes {given}, steps {steps} make no slice",
    )
    new = list(shape)
    for index, *bounds in zip(axes, starts, ends, steps, strict=True):
        new[index] = len(range(*slice(*bounds).indices(shape[index])))
    call.require(
        0 not in new,
        f"the slice of {shape_text(shape)} from {starts} to {ends} is empty",
    )
    return [(tuple(new), call.dtype(0))]


def _pad(call: NodeCall) -> Results:
    dtype = call.same_dtype([0], _ANY)
    shape, pads = call.shape(0), call.integers(1)
    given = call.integers(3) if call.has(3) else list(range(len(shape)))
    call.require(
        len(pads) == 2 * len(given) and all(0 <= pad <= MAX_WINDOW for pad in pads),
        f"pads {pads} must be two numbers, 0 to {MAX_WINDOW}, for each of the axes {given}",
    )
    if call.has(2):
        call.same_dtype([0, 2], _ANY)
        call.require(call.shape(2) == (), "its value must be a single number")
    axes = call.axes(given, len(shape), False)
    before = dict(zip(axes, pads, strict=False))
    after = dict(zip(axes, pads[len(axes) :], strict=True))
    new = []
    for index, length in enumerate(shape):
        added = before.get(index, 0), after.get(index, 0)
        if length is None or added == (0, 0):
            call.require(added == (0, 0), f"pads {pads} add to the batch")
            new.append(length)
            continue
        if call.attribute("mode") == "reflect" and max(added) >= length:
            call.fail(f"pads {pads} reflect more than there is in {shape_text(shape)}")
        new.append(length + sum(added))
    return [(tuple(new), dtype)]


def _gather(call: NodeCall) -> Results:
    data, at = call.shape(0), call.attribute("axis")
    call.same_dtype([1], "i")
    at = call.axis(at, len(data), call.has_batch(0))
    indices = call.shape(1)
    name = call.node.inputs[1]
    if call.has_batch(1):
        # Rows of a stored table; onnxruntime checks the indices of every call.
        call.require(at == 0 and not call.has_batch(0), "its indices hold the batch")
    else:
        call.require(name in call.graph.constants, "its indices must be a constant")
        low, high = call.fact(1, "range", lambda array: (array.min(), array.max()))
        call.require(
            -data[at] <= int(low) and int(high) < data[at],
            f"its indices reach {low} to {high}, outside of axis {at} of "
            f"{shape_text(data)}",
        )
    return [((*data[:at], *indices, *data[at + 1 :]), call.dtype(0))]


TABLE: dict[str, Operator] = {
    "Reshape": Operator(_reshape, (2, 2), {"allowzero": only(0)}),
    "Flatten": Operator(_flatten, (1, 1), {"axis": axis(1)}),
    "Transpose": Operator(_transpose, (1, 1), {"perm": integers(0, 7)}),
    "Squeeze": Operator(_squeeze, (2, 2)),
    "Unsqueeze": Operator(_unsqueeze, (2, 2)),
    "Expand": Operator(_expand, (2, 2)),
    "Tile": Operator(_tile, (2, 2)),
    "Concat": Operator(_concat, (1, 256), {"axis": axis(REQUIRED)}),
    "Split": Operator(
        _split,
        (1, 2),
        {"axis": axis(0), "num_outputs": integer(1, 256, None)},
        (1, 256),
    ),
    "Slice": Operator(_slice, (3, 5)),
    "Pad": Operator(_pad, (2, 4), {"mode": choice("constant", "reflect", "edge")}),
    "Gather": Operator(_gather, (2, 2), {"axis": axis(0)}),
}
