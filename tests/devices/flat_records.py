"""Flat files that no writer makes: few records, or very many, of any numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from larqlite.deploy.targets.flat import _layout as layout
from larqlite.deploy.targets.flat._write import with_checksum

FLOAT32 = 1
ABI = 8  # the first


def records(kind: str, count: int = 1, /, **fields: Any) -> np.ndarray:
    """Records of a kind of `layout.RECORDS`; a field is one number, or one for each record.

    What is not said is 1 for the sizes of a step that must not be 0, else 0, or -1 for buffers.
    """
    found = np.zeros(
        count, np.dtype([(n, f"<{t}") for n, t in layout.RECORDS[kind].fields])
    )
    for name in found.dtype.names:
        is_buffer = name.endswith(".buffer") or name in (
            "a", "b", "weights", "base", "row_class", "column_class", "inside_base"
        )  # fmt: skip
        is_size = name.partition("_")[0] in ("kernel", "in", "stride", "dilation") or name in (
            "depth", "height", "width", "channels", "groups", "column_classes"
        )  # fmt: skip
        found[name] = -1 if is_buffer else int(kind == "step" and is_size)
    for name, value in fields.items():
        found[name.replace("__", ".")] = value
    return found


def tensors(
    buffers: Sequence[int] | np.ndarray, values: int, type_: int = FLOAT32
) -> np.ndarray:
    """Inputs or outputs of so many values an image, each all of a buffer."""
    sizes = {"size0": -1, "size1": values, "axes": 2}
    place = {"image": values, "outer": 1, "inner": values, "inner_stride": 1}
    return records("tensor", len(buffers), type=type_, buffer=buffers, **place, **sizes)


def flat_file(
    inputs: np.ndarray,
    outputs: np.ndarray,
    buffers: np.ndarray,
    steps: np.ndarray | None = None,
    ops: np.ndarray | None = None,
    arena: int = 64,
    names: bytes = b"\0",
    data: bytes = b"",
) -> bytes:
    """A file with a right head.

    Args:
        inputs, outputs, buffers, steps, ops: their records. `at` and `initial_at` of a buffer
            count from the beginning of the data where they are negative: -1 is its first byte.
        arena: bytes of memory of an image.
        names: all of them; the first one is empty.
        data: lies at a multiple of 64.
    """
    steps = records("step", 0) if steps is None else steps
    ops = records("op", 0) if ops is None else ops
    tables = [np.concatenate([inputs, outputs]), buffers, steps, ops]
    sizes = [*(table.nbytes for table in tables), len(names)]
    places = np.cumsum([layout.HEAD.size, *sizes])
    start = -(-int(places[-1]) // layout.ALIGNMENT) * layout.ALIGNMENT
    buffers = tables[1] = buffers.copy()
    for field in ("at", "initial_at"):
        moved = buffers[field] < 0
        buffers[field][moved] = start - 1 - buffers[field][moved]
    body = b"".join(table.tobytes() for table in tables) + names
    head = layout.HEAD.pack(
        magic=layout.MAGIC,
        version=layout.FLAT_VERSION,
        abi=ABI,
        size=start + len(data),
        checksum=0,
        head_bytes=layout.HEAD.size,
        inputs=len(inputs),
        outputs=len(outputs),
        buffers=len(buffers),
        steps=len(steps),
        ops=len(ops),
        **{f"{kind}_bytes": record.size for kind, record in layout.RECORDS.items()},
        reserved=0,
        arena=arena,
        **dict(
            zip(
                ("tensors_at", "buffers_at", "steps_at", "ops_at", "names_at"),
                map(int, places),
                strict=False,
            )
        ),
        names_size=len(names),
    )
    return with_checksum(head + body.ljust(start - len(head), b"\0") + data)
