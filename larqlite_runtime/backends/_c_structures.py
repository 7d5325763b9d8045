"""The C structures of `native/program.h`, and programs turned into them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from larqlite_runtime._program import EpilogueOp, KernelStep, TensorView

ABI = 12

int32, int64 = ctypes.c_int32, ctypes.c_int64


class CView(ctypes.Structure):
    """`lq_view`."""

    _fields_ = [
        ("buffer", int32),
        ("reserved", int32),
        *((name, int64) for name in ("offset", "image", "depth", "row", "pixel")),
    ]


class COp(ctypes.Structure):
    """`lq_op`."""

    _fields_ = [
        *((name, int32) for name in ("kind", "a", "b", "planes", "group", "words")),
        ("x", ctypes.c_float),
        ("y", ctypes.c_float),
        ("view", CView),
    ]


def _axes(prefix: str) -> list[str]:
    return [f"{prefix}_{axis}" for axis in "dhw"]


class CStep(ctypes.Structure):
    """`lq_step`."""

    _fields_ = [
        ("kind", int32),
        ("op_count", int32),
        ("ops", ctypes.POINTER(COp)),
        *((name, int32) for name in ("depth", "height", "width", "channels")),
        *((name, int32) for name in _axes("kernel")),
        ("input", CView),
        *((name, int64) for name in ("tap_depth", "tap_row", "tap_pixel")),
        *(
            (name, int32)
            for prefix in ("in", "stride", "pad", "dilation")
            for name in _axes(prefix)
        ),
        *(
            (name, int32)
            for name in (
                "groups",
                "words",
                "in_channels",
                "multiplier",
                "input_planes",
                "weight_planes",
                "shift",
                "weights",
                "base",
                "row_class",
                "column_class",
                "column_classes",
                "weight_bits",
                "weight_step",
                "weight_offset",
                "inside_base",
            )
        ),
    ]


class CBuffer(ctypes.Structure):
    """`lq_buffer`."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("bytes", int64),
        *((name, int64) for name in ("image_bytes", "thread_bytes", "streamed")),
    ]


_TRIPLES = {
    ("depth", "height", "width"): "size",
    ("tap_depth", "tap_row", "tap_pixel"): "tap",
    **{
        tuple(_axes(prefix)): name
        for prefix, name in (
            ("kernel", "kernel"),
            ("in", "in_size"),
            ("stride", "stride"),
            ("pad", "pad"),
            ("dilation", "dilation"),
        )
    },
}
_SAME = [
    name
    for name, kind in CStep._fields_
    if kind is int32
    and name not in ("op_count", *(field for names in _TRIPLES for field in names))
]


def c_view(view: TensorView) -> CView:
    """A view as a C structure."""
    return CView(
        view.buffer, 0, view.offset, view.image, view.depth, view.row, view.pixel
    )


def c_op(op: EpilogueOp) -> COp:
    """An epilogue as a C structure.

    Raises:
        ValueError: it is one of small devices, which the kernels have no form for.
    """
    if op.pool is not None:
        raise ValueError(
            "Bits that are pooled as they are made are no step of the kernels."
        )
    return COp(
        op.kind, op.a, op.b, op.planes, op.group, op.words, op.x, op.y, c_view(op.view)
    )


def c_steps(steps: Sequence[KernelStep]) -> ctypes.Array:
    """An array of C structures; it owns the arrays of epilogues."""
    array = (CStep * len(steps))()
    for item, step in zip(array, steps, strict=True):
        for name in _SAME:
            setattr(item, name, int(getattr(step, name)))
        for names, source in _TRIPLES.items():
            for name, value in zip(names, getattr(step, source), strict=True):
                setattr(item, name, value)
        item.input = c_view(step.input)
        item.op_count = len(step.ops)
        item.ops = (COp * len(step.ops))(*map(c_op, step.ops))
    return array
