"""A flat file read again, for people and tests: what it says, as plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from larqlite._tables import as_text
from larqlite.deploy.targets.flat import _layout as layout
from larqlite.deploy.targets.flat._write import with_checksum
from larqlite.errors import ArgumentError, MissingFileError
from larqlite_runtime.internal import ABI, EpilogueKind, StepKind
from larqlite_runtime.notebook import ShownTable, ShowsTables

_ROLES = {layout.MEMORY: "memory", layout.CONSTANT: "constant", layout.INPUT: "input"}


@dataclass(frozen=True)
class FlatTensor:
    """An input or an output of a flat file.

    Attributes:
        name: of the tensor.
        dtype: of its values.
        shape: its sizes; None is the batch.
        buffer: number of the buffer that holds it.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...]
    buffer: int


@dataclass(frozen=True)
class FlatStep:
    """A step of a flat file.

    Attributes:
        layers: names of the nodes that it stands for.
        kind: what makes its rows, as "conv".
        epilogues: what they pass through, in order.
        size: depth, height, width and channels of what comes out.
        fields: all numbers of its record, by name.
    """

    layers: str
    kind: str
    epilogues: tuple[str, ...]
    size: tuple[int, int, int, int]
    fields: dict[str, int] = field(repr=False)


@dataclass(frozen=True)
class FlatBuffer:
    """A buffer of a flat file.

    Attributes:
        holds: what lies there.
        dtype: of its elements.
        role: "memory", "constant" or "input".
        count: elements of one image, or of the constant.
        at: bytes from the beginning of the arena, or of the file if it is a constant.
        initial: elements that memory holds over and over before the first run.
    """

    holds: str
    dtype: np.dtype
    role: str
    count: int
    at: int
    initial: np.ndarray | None = field(default=None, repr=False)

    @property
    def bytes(self) -> int:
        """Of one image, or of the constant."""
        return self.count * self.dtype.itemsize


@dataclass(frozen=True)
class FlatFile(ShowsTables):
    """What `lq.deploy.to_flat` wrote; printed as a table.

    Attributes:
        path: of the file.
        bytes: its size.
        version: of the layout of the file.
        abi: of the kinds of steps and operations in it.
        arena_bytes: of memory that one image takes while it is computed.
        inputs, outputs: tensors of the model.
        buffers: memory, constants, inputs.
        steps: in the order in which they run.
    """

    path: Path
    bytes: int
    version: int
    abi: int
    arena_bytes: int
    inputs: tuple[FlatTensor, ...]
    outputs: tuple[FlatTensor, ...]
    buffers: tuple[FlatBuffer, ...] = field(repr=False)
    steps: tuple[FlatStep, ...] = field(repr=False)

    @classmethod
    def read(cls, path: str | os.PathLike) -> FlatFile:
        """What a file says that `to_flat` wrote.

        Raises:
            ArgumentError: it is no flat file, or not the one that was written.
            MissingFileError: it is not there.
        """
        path = Path(path)
        if not path.is_file():
            raise MissingFileError(
                f"FlatFile.read: there is no file {path}.\n"
                f"  Fix: lq export MODEL {path} --to flat"
            )
        return parse(path.read_bytes(), path)

    @property
    def constant_bytes(self) -> int:
        """Of weights and tables."""
        constants = (buffer for buffer in self.buffers if buffer.role == "constant")
        return sum(buffer.bytes for buffer in constants)

    def to_dict(self) -> dict[str, Any]:
        """The same in types that JSON knows, without buffers."""
        tensors = {
            word: [
                {"name": item.name, "dtype": str(item.dtype), "shape": list(item.shape)}
                for item in items
            ]
            for word, items in (("inputs", self.inputs), ("outputs", self.outputs))
        }
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "version": self.version,
            "abi": self.abi,
            "arena_bytes": self.arena_bytes,
            "constant_bytes": self.constant_bytes,
            **tensors,
            "steps": [
                {"kind": step.kind, "layers": step.layers} for step in self.steps
            ],
        }

    def __str__(self) -> str:
        return as_text(self._shown())

    def _shown(self) -> list[ShownTable]:
        rows = [
            (
                str(number),
                step.kind,
                " x ".join(map(str, step.size[1:] if step.size[0] == 1 else step.size)),
                ", ".join(step.epilogues),
                step.layers,
            )
            for number, step in enumerate(self.steps, 1)
        ]
        tensors = ", ".join(
            f"{item.name} {('batch', *item.shape[1:]) if item.shape[:1] == (None,) else item.shape}"
            for item in (*self.inputs, *self.outputs)
        ).replace("'", "")
        notes = [
            f"constants {self.constant_bytes:,} bytes, memory of an image "
            f"{self.arena_bytes:,} bytes",
            f"inputs and outputs: {tensors}",
        ]
        title = (
            f"{self.path} ({self.bytes:,} bytes, flat file of version {self.version})"
        )
        header = ("step", "kind", "size", "epilogues", "layers")
        return [ShownTable(title, header, rows, notes)]


def parse(data: bytes, path: Path) -> FlatFile:
    """What the bytes of a flat file say.

    It takes a sound file at its word: `native/model/flat.cc` is what checks files.

    Raises:
        ArgumentError: the bytes are no flat file, or not those that were written.
    """
    if data[: len(layout.MAGIC)] != layout.MAGIC or len(data) < layout.HEAD.size:
        raise ArgumentError(
            f'"{path}" is no flat file.\n  Fix: lq export MODEL --to flat {path}'
        )
    head = layout.HEAD.unpack(data, 0)
    if head["version"] > layout.FLAT_VERSION or head["abi"] > ABI:
        raise ArgumentError(
            f'"{path}" has version {head["version"]} with operations of version '
            f"{head['abi']}; this larqlite reads up to {layout.FLAT_VERSION} with {ABI}.\n"
            "  Fix: a later larqlite."
        )
    if head["size"] != len(data) or with_checksum(data) != data:
        raise ArgumentError(
            f'"{path}" is not the file that was written: its length or its checksum '
            f"differs.\n  Fix: copy it again, or lq export MODEL --to flat {path}"
        )
    return _Parser(data, head).file(path)


class _Parser:
    """One file while it is read."""

    def __init__(self, data: bytes, head: dict[str, int]) -> None:
        self._data = data
        self._head = head

    def file(self, path: Path) -> FlatFile:
        """All of it."""
        head = self._head
        tensors = [
            self._tensor(record)
            for record in self._records("tensor", head["inputs"] + head["outputs"])
        ]
        ops = list(self._records("op", head["ops"]))
        steps = self._records("step", head["steps"])
        return FlatFile(
            path,
            len(self._data),
            head["version"],
            head["abi"],
            head["arena"],
            tuple(tensors[: head["inputs"]]),
            tuple(tensors[head["inputs"] :]),
            tuple(map(self._buffer, self._records("buffer", head["buffers"]))),
            tuple(self._step(record, ops) for record in steps),
        )

    def _records(self, kind: str, count: int):
        records, size = layout.RECORDS[kind], self._head[f"{kind}_bytes"]
        for number in range(count):
            yield records.unpack(self._data, self._head[f"{kind}s_at"] + number * size)

    def _name(self, at: int) -> str:
        begin = self._head["names_at"] + at
        return self._data[begin : self._data.index(b"\0", begin)].decode()

    def _tensor(self, record: dict[str, int]) -> FlatTensor:
        sizes = [record[f"size{axis}"] for axis in range(record["axes"])]
        return FlatTensor(
            self._name(record["name"]),
            layout.DTYPES[record["type"]],
            tuple(None if size == -1 else size for size in sizes),
            record["buffer"],
        )

    def _buffer(self, record: dict[str, int]) -> FlatBuffer:
        dtype, initial = layout.DTYPES[record["type"]], None
        if count := record["initial_count"]:
            little = dtype.newbyteorder("<")
            at = record["initial_at"]
            initial = np.frombuffer(self._data, little, count, at).astype(dtype)
        return FlatBuffer(
            self._name(record["name"]),
            dtype,
            _ROLES[record["role"]],
            record["count"],
            record["at"],
            initial,
        )

    def _step(self, record: dict[str, int], ops: list[dict[str, int]]) -> FlatStep:
        first = record["first_op"]
        own = ops[first : first + record["op_count"]]
        return FlatStep(
            self._name(record["name"]),
            StepKind(record["kind"]).name.lower(),
            tuple(EpilogueKind(op["kind"]).name.lower() for op in own),
            tuple(record[name] for name in ("depth", "height", "width", "channels")),
            record,
        )
