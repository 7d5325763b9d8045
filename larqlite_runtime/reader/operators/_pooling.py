"""Windows that keep the largest value or the mean, and reductions of whole axes."""

from __future__ import annotations

import math

from larqlite_runtime.format import (
    REQUIRED,
    choice,
    flag,
    integers,
    only,
)
from larqlite_runtime.reader.operators._node_call import (
    NodeCall,
    Operator,
    Results,
    size,
)
from larqlite_runtime.reader.operators._products import window_sizes


def _pool(call: NodeCall) -> Results:
    shape = call.float_image()
    rank = len(shape) - 2
    kernel = call.windows("kernel_shape", rank, 1)
    pads = call.windows("pads", 2 * rank, 0)
    if any(pad >= length for pad, length in zip(pads, kernel * 2, strict=True)):
        call.fail(f"pads {pads} are not smaller than the window {kernel}")
    dilations = call.attribute("dilations") or [1] * rank
    call.require(
        dilations == [1] * rank,
        f"dilations {dilations} of a pooling are not supported",
    )
    out = window_sizes(call, shape[2:], kernel, dilations)
    call.macs = size(shape[:2]) * math.prod(out) * math.prod(kernel)
    return [((*shape[:2], *out), call.dtype(0))]


def _global_pool(call: NodeCall) -> Results:
    shape = call.float_image()
    return [((*shape[:2], *[1] * (len(shape) - 2)), call.dtype(0))]


def _reduction(call: NodeCall) -> Results:
    dtype = call.same_dtype([0], "f")
    shape = call.shape(0)
    axes = call.integers(1) if call.has(1) else []
    if not axes:
        # ONNX Runtime before 1.20 fails there.
        call.require(
            not call.attribute("noop_with_empty_axes"),
            "noop_with_empty_axes is not supported without axes",
        )
        axes = list(range(len(shape)))
    axes = call.axes(axes, len(shape), call.has_batch(0))
    if call.attribute("keepdims"):
        kept = [1 if axis in axes else length for axis, length in enumerate(shape)]
    else:
        kept = [length for axis, length in enumerate(shape) if axis not in axes]
    return [(tuple(kept), dtype)]


_WINDOW = {
    "kernel_shape": integers(1, default=REQUIRED),
    "strides": integers(1),
    "pads": integers(0),
    "auto_pad": choice("NOTSET"),
    "ceil_mode": only(0),
}
_REDUCTION = Operator(
    _reduction, (1, 2), {"keepdims": flag(1), "noop_with_empty_axes": flag(0)}
)
TABLE: dict[str, Operator] = {
    "MaxPool": Operator(
        _pool,
        (1, 1),
        {**_WINDOW, "dilations": integers(1), "storage_order": only(0)},
    ),
    "AveragePool": Operator(_pool, (1, 1), {**_WINDOW, "count_include_pad": flag()}),
    "GlobalAveragePool": Operator(_global_pool),
    "GlobalMaxPool": Operator(_global_pool),
    **{
        f"Reduce{name}": _REDUCTION
        for name in [
            "L1",
            "L2",
            "LogSumExp",
            "Max",
            "Mean",
            "Min",
            "Prod",
            "Sum",
            "SumSquare",
        ]
    },
}
