"""A program as the bytes of a flat file."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable

import numpy as np

from larqlite.deploy.targets.flat import _layout as layout
from larqlite.errors import UnsupportedModelError
from larqlite_runtime.internal import (
    ABI,
    Buffer,
    EpilogueOp,
    KernelStep,
    ProgramTensor,
    TensorView,
    WholeProgram,
)

_TRIPLES = {
    "kernel": "kernel",
    "in": "in_size",
    "stride": "stride",
    "pad": "pad",
    "dilation": "dilation",
}
_LONGEST_NAME = 200


def flat_bytes(program: WholeProgram) -> bytes:
    """The file of a program.

    Args:
        program: not one of `whole_program(small=True)`, whose memory is for C.

    Raises:
        UnsupportedModelError: a tensor of a type that flat files do not have, or with too
            many axes.
        ValueError: the program is one for C.
    """
    ops = (op for step in program.steps for op in step.ops)
    if any(op.pool is not None for op in ops) or any(
        buffer.offset % layout.ALIGNMENT for buffer in program.buffers
    ):
        raise ValueError("a program that is planned with small=True has no flat file")
    return _Writer(program).bytes()


class _Writer:
    """One file while it is written."""

    def __init__(self, program: WholeProgram) -> None:
        self._program = program
        self._names = bytearray(b"\0")
        self._at_of_name = {"": 0}
        self._data = bytearray()
        self._at_of_data: dict[bytes, int] = {}
        self._data_at = 0  # known once the tables are

    def bytes(self) -> bytes:
        """All of it."""
        program = self._program
        buffers = [(buffer, _role(buffer)) for buffer in program.buffers]
        outputs = self._outputs(buffers)
        tensors = [self._tensor(tensor) for tensor in program.inputs] + outputs
        ops = [op for step in program.steps for op in step.ops]
        names = [step.label for step in program.steps]
        for name in (*names, *(buffer.holds for buffer, _ in buffers)):
            self._name(name)
        sizes = {
            "tensors": len(tensors) * layout.TENSOR.size,
            "buffers": len(buffers) * layout.BUFFER.size,
            "steps": len(program.steps) * layout.STEP.size,
            "ops": len(ops) * layout.OP.size,
            "names": len(self._names),
        }
        places, at = {}, layout.HEAD.size
        for name, size in sizes.items():
            places[name] = at
            at += size
        self._data_at = -(-at // layout.ALIGNMENT) * layout.ALIGNMENT
        tables = b"".join(
            (
                *tensors,
                *(self._buffer(buffer, role) for buffer, role in buffers),
                *self._steps(),
                *map(_op, ops),
                self._names,
            )
        )
        size = self._data_at + len(self._data)
        head = layout.HEAD.pack(
            magic=layout.MAGIC,
            version=layout.FLAT_VERSION,
            abi=ABI,
            size=size,
            checksum=0,
            head_bytes=layout.HEAD.size,
            inputs=len(program.inputs),
            outputs=len(outputs),
            buffers=len(buffers),
            steps=len(program.steps),
            ops=len(ops),
            tensor_bytes=layout.TENSOR.size,
            buffer_bytes=layout.BUFFER.size,
            step_bytes=layout.STEP.size,
            op_bytes=layout.OP.size,
            reserved=0,
            arena=program.arena,
            tensors_at=places["tensors"],
            buffers_at=places["buffers"],
            steps_at=places["steps"],
            ops_at=places["ops"],
            names_at=places["names"],
            names_size=sizes["names"],
        )
        gap = bytes(self._data_at - layout.HEAD.size - len(tables))
        return with_checksum(head + tables + gap + self._data)

    def _outputs(self, buffers: list[tuple[Buffer, int]]) -> list[bytes]:
        """Those of the program, in the order of the model; a constant becomes a buffer."""
        program = self._program
        computed = {tensor.name: tensor for tensor in program.outputs}
        records = []
        for name in program.plan.subgraph.outputs:
            if name in computed:
                records.append(self._tensor(computed[name]))
                continue
            array = np.ascontiguousarray(program.constants[name])
            buffer = Buffer(array.dtype, array.size, constant=array, holds=name)
            buffers.append((buffer, layout.CONSTANT))
            constant = ProgramTensor(name, array.shape, array.dtype, len(buffers) - 1)
            records.append(self._tensor(constant, is_constant=True))
        return records

    def _tensor(self, tensor: ProgramTensor, is_constant: bool = False) -> bytes:
        shape = tuple(-1 if size is None else size for size in tensor.shape)
        sizes = shape if is_constant else shape[1:]
        if (
            len(shape) > layout.MOST_AXES
            or np.dtype(tensor.dtype) not in layout.TYPES
            or min(sizes, default=1) < 1
            or (not is_constant and shape[:1] != (-1,))
        ):
            raise UnsupportedModelError(
                f'lq.deploy.to_flat: the tensor "{tensor.name}", {tensor.dtype} '
                f"{tensor.shape}, is none that a flat file can hand over.\n"
                f"  Fix: at most {layout.MOST_AXES} axes, the first one the batch, no size "
                f"of 0, and one of the types {', '.join(map(str, layout.TYPES))}."
            )
        count = math.prod(sizes)
        outer, outer_stride, inner, inner_stride = 1, 0, count, 1
        if tensor.is_turned:
            pixel = tensor.pixel or sizes[0]
            outer, outer_stride = sizes[0], 1
            inner, inner_stride = count // sizes[0], pixel
        elif tensor.pixel is not None:
            outer, outer_stride = count // tensor.channels, tensor.pixel
            inner = tensor.channels
        padded = (*shape, *(0,) * (layout.MOST_AXES - len(shape)))
        image = 0
        if not is_constant:
            image = self._program.buffers[tensor.buffer].count
        return layout.TENSOR.pack(
            name=self._name(tensor.name),
            type=layout.TYPES[np.dtype(tensor.dtype)],
            buffer=tensor.buffer,
            axes=len(shape),
            offset=tensor.first,
            image=image,
            outer=outer,
            outer_stride=outer_stride,
            inner=inner,
            inner_stride=inner_stride,
            **{f"size{axis}": size for axis, size in enumerate(padded)},
        )

    def _buffer(self, buffer: Buffer, role: int) -> bytes:
        at, initial_at, initial = buffer.offset, 0, b""
        if role == layout.CONSTANT:
            at = self._place(buffer.constant, layout.ALIGNMENT)
        if role == layout.INPUT:
            at = 0
        if buffer.initial is not None:
            initial = repeated(np.asarray(buffer.initial, buffer.dtype).reshape(-1))
            initial_at = self._place(initial, 8)
        return layout.BUFFER.pack(
            name=self._name(buffer.holds),
            type=layout.TYPES[np.dtype(buffer.dtype)],
            role=role,
            reserved=0,
            count=buffer.count,
            at=at,
            initial_at=initial_at,
            initial_count=len(initial),
        )

    def _steps(self) -> Iterable[bytes]:
        first = 0
        for step in self._program.steps:
            yield _step(step, self._name(step.label), first)
            first += len(step.ops)

    def _name(self, text: str) -> int:
        """Where a name begins in the part that has them."""
        text = text.replace("\0", "?")[:_LONGEST_NAME]
        if text not in self._at_of_name:
            self._at_of_name[text] = len(self._names)
            self._names += text.encode() + b"\0"
        return self._at_of_name[text]

    def _place(self, array: np.ndarray, alignment: int) -> int:
        """Where data begin in the file; the same are there once."""
        little = array.dtype.newbyteorder("<")
        data = np.ascontiguousarray(array, little).tobytes()
        if data not in self._at_of_data or self._at_of_data[data] % alignment:
            self._data += bytes(-len(self._data) % alignment)
            self._at_of_data[data] = self._data_at + len(self._data)
            self._data += data
        return self._at_of_data[data]


def with_checksum(data: bytes) -> bytes:
    """The same file with the checksum of its bytes."""
    begin, end = layout.CHECKSUM_AT, layout.CHECKSUM_AT + 4
    checksum = zlib.crc32(data[end:], zlib.crc32(data[:begin] + bytes(4)))
    return data[:begin] + checksum.to_bytes(4, "little") + data[end:]


def repeated(array: np.ndarray) -> np.ndarray:
    """The shortest part of some elements that gives all of them when it is repeated.

    >>> repeated(np.array([3, 1, 3, 1, 3, 1]))
    array([3, 1])
    """
    for count in range(1, len(array) // 2 + 1):
        is_whole = len(array) % count == 0
        if is_whole and np.array_equal(array[count:], array[:-count]):
            return array[:count]
    return array


def _role(buffer: Buffer) -> int:
    if buffer.constant is not None:
        return layout.CONSTANT
    return layout.INPUT if buffer.external else layout.MEMORY


def _step(step: KernelStep, name: int, first_op: int) -> bytes:
    fields = {
        "name": name,
        "first_op": first_op,
        "op_count": len(step.ops),
        **dict(zip(("depth", "height", "width"), step.size, strict=True)),
        **dict(zip(("tap_depth", "tap_row", "tap_pixel"), step.tap, strict=True)),
        **_view("input", step.input),
    }
    for prefix, source in _TRIPLES.items():
        for axis, value in zip("dhw", getattr(step, source), strict=True):
            fields[f"{prefix}_{axis}"] = value
    same = {field for field, _ in layout.STEP.fields} - fields.keys()
    return layout.STEP.pack(**fields, **{field: getattr(step, field) for field in same})


def _op(op: EpilogueOp) -> bytes:
    same = ("kind", "a", "b", "planes", "group", "words", "x", "y")
    return layout.OP.pack(
        **{name: getattr(op, name) for name in same}, **_view("view", op.view)
    )


def _view(prefix: str, view: TensorView) -> dict[str, int]:
    found = {f"{prefix}.{name}": getattr(view, name) for name in layout.VIEW}
    return {f"{prefix}.buffer": view.buffer, f"{prefix}.reserved": 0, **found}
