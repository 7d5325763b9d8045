"""The layout of a flat program file: what its bytes are, as data that writer and reader share.

All numbers are little endian, all places are counted in bytes from the beginning of the file.
`native/model/flat.cc` reads the same.

    head      HEAD, 128 bytes
    tensors   a record for each input, then for each output
    buffers   a record for each: memory, constants, inputs
    steps     a record for each, in the order in which they run
    ops       a record for each operation; those of a step lie one behind another
    names     texts in UTF-8, each ended by a zero; the last byte of all is one. Those of inputs
              and outputs have less than 1024 bytes
    data      constants, each at a multiple of 64, and what memory holds before the first run

**The head** says how long the file and each kind of record are. The checksum is the CRC-32 of
zlib over all bytes, with its own four counted as 0.

**Versions.** `FLAT_VERSION` is that of this layout. `abi` is `LQ_ABI` of `native/program.h` when
the file was written: kinds of steps and operations keep their numbers, so that a library reads
every file up to its own. A field that a step gets later is appended to its record, which is
longer then; where a record ends before it, the field has the value that it had before it was
there.

**Memory.** A buffer of memory lies at `at` in an arena of `arena` bytes an image. Where it has an
`initial` part, those elements are repeated until it is full, before the first run: borders that no
step writes. A constant lies at `at` in the file. An input is where the caller holds it.

**Tensors.** The values of an image of an input or output, in the order of its shape, are
`outer` times `inner` elements of its buffer, the first at `offset`; `image` leads from one image
to the next. `shape` begins with -1 where there is a batch. One without is a constant.

**Steps** have the fields of `lq_step`, with the number of the first operation in place of a
pointer; operations those of `lq_op`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

MAGIC = b"\x89LQFLAT\n"
FLAT_VERSION = 1
ALIGNMENT = 64  # of constants, and of memory in the arena
MOST_AXES = 8
SUFFIX = ".lqflat"

# Numbers of types, as ONNX has them.
TYPES = {
    np.dtype(np.float32): 1,
    np.dtype(np.uint8): 2,
    np.dtype(np.int8): 3,
    np.dtype(np.uint16): 4,
    np.dtype(np.int16): 5,
    np.dtype(np.int32): 6,
    np.dtype(np.int64): 7,
    np.dtype(np.bool_): 9,
    np.dtype(np.uint32): 12,
}
DTYPES = {number: dtype for dtype, number in TYPES.items()}

MEMORY, CONSTANT, INPUT = 0, 1, 2  # roles of buffers


@dataclass(frozen=True)
class RecordLayout:
    """The fields of a record, one behind another.

    Attributes:
        fields: the name of each, and its type as `struct` has it.
    """

    fields: tuple[tuple[str, str], ...]

    @property
    def format(self) -> str:
        """For `struct`."""
        return "<" + "".join(kind for _, kind in self.fields)

    @property
    def size(self) -> int:
        """Bytes of a record."""
        return struct.calcsize(self.format)

    def pack(self, **values: float) -> bytes:
        """A record of these values, one for each field."""
        if values.keys() != {name for name, _ in self.fields}:
            raise KeyError(sorted(values.keys() ^ {name for name, _ in self.fields}))
        return struct.pack(self.format, *(values[name] for name, _ in self.fields))

    def unpack(self, data: bytes, at: int) -> dict[str, int]:
        """The values of the record that begins at some byte."""
        found = struct.unpack_from(self.format, data, at)
        return dict(zip((name for name, _ in self.fields), found, strict=True))

    def offset(self, name: str) -> int:
        """Bytes from the beginning of a record to a field."""
        names = [field for field, _ in self.fields]
        before = self.fields[: names.index(name)]
        return struct.calcsize("<" + "".join(kind for _, kind in before))


def layout(**kinds: str) -> RecordLayout:
    """A layout of fields of types, several names of which may share a line: `i="a b"`."""
    return RecordLayout(tuple(kinds.items()))


def _fields(kind: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


def _axes(*prefixes: str) -> str:
    return " ".join(f"{prefix}_{axis}" for prefix in prefixes for axis in "dhw")


def _view(prefix: str) -> dict[str, str]:
    return {
        **_fields("i", f"{prefix}.buffer {prefix}.reserved"),
        **_fields("q", " ".join(f"{prefix}.{name}" for name in VIEW)),
    }


VIEW = ("offset", "image", "depth", "row", "pixel")

HEAD = layout(
    magic="8s",
    **_fields("I", "version abi"),
    **_fields("Q", "size"),
    **_fields("I", "checksum head_bytes"),
    **_fields("I", "inputs outputs buffers steps ops"),
    **_fields("I", "tensor_bytes buffer_bytes step_bytes op_bytes reserved"),
    **_fields("Q", "arena tensors_at buffers_at steps_at ops_at names_at names_size"),
)
TENSOR = layout(
    **_fields("I", "name"),
    **_fields("i", "type buffer axes"),
    **_fields("q", "offset image outer outer_stride inner inner_stride"),
    **_fields("q", " ".join(f"size{axis}" for axis in range(MOST_AXES))),
)
BUFFER = layout(
    **_fields("I", "name type role reserved"),
    **_fields("q", "count at initial_at initial_count"),
)
STEP = layout(
    **_fields("I", "name first_op"),
    **_fields("i", "kind op_count depth height width channels"),
    **_fields("i", _axes("kernel")),
    **_view("input"),
    **_fields("q", "tap_depth tap_row tap_pixel"),
    **_fields("i", _axes("in", "stride", "pad", "dilation")),
    **_fields(
        "i",
        "groups words in_channels multiplier input_planes weight_planes shift weights "
        "base row_class column_class column_classes weight_bits weight_step "
        "weight_offset inside_base",
    ),
)
OP = layout(
    **_fields("i", "kind a b planes group words"),
    **_fields("f", "x y"),
    **_view("view"),
)
RECORDS = {"tensor": TENSOR, "buffer": BUFFER, "step": STEP, "op": OP}
CHECKSUM_AT = HEAD.offset("checksum")
