"""The target c: generated C99 on this machine, or on a core that QEMU emulates."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from larqlite.deploy.targets._boards import BOARDS, HERE, Board
from larqlite.deploy.targets._target import (
    PIXELS,
    DeployedNetwork,
    Target,
    TargetCost,
    program_of_part,
)
from larqlite.deploy.targets.c import source_of
from larqlite.deploy.verifier.internal import Arrays, DeployedFile, Run
from larqlite.errors import UnsupportedModelError
from larqlite_runtime.internal import ProgramTensor, WholeProgram, whole_program

# How far from a whole number a byte may be that is found in images of float32.
_ROUNDED = 1e-3


@dataclass
class CNetwork:
    """A network, or a part of one, that becomes C.

    Attributes:
        whole: its program.
        name: of its functions.
        algorithm: that is taken where it fits.
    """

    whole: WholeProgram
    name: str
    algorithm: str | None = None

    def write(self, folder: Path) -> Path:
        """Writes the C file and its header; gives the former."""
        made = source_of(self.whole, self.name, algorithm=self.algorithm)
        (folder / f"{self.name}.h").write_text(made.header, encoding="ascii")
        path = folder / f"{self.name}.c"
        path.write_text(made.source, encoding="ascii")
        return path

    def call(self, inputs: Mapping[str, np.ndarray]) -> _Call:
        """What `main` does with it for these inputs."""
        given = [_given(inputs[item.name], item) for item in self.whole.inputs]
        shapes = {
            item.name: (item.shape[1:], item.dtype) for item in self.whole.outputs
        }
        shapes |= {
            name: (array.shape[1:], array.dtype)
            for name, array in self.whole.constants.items()
        }
        return _Call(self, given, shapes)


@dataclass
class _Call:
    """Samples for a network, and what they become.

    Attributes:
        network: it.
        given: an array for each input.
        shapes: of a sample of each output, and its type.
    """

    network: CNetwork
    given: list[np.ndarray]
    shapes: dict[str, tuple[tuple[int, ...], np.dtype]]

    @property
    def samples(self) -> int:
        return len(self.given[0])

    @property
    def sizes(self) -> tuple[list[int], list[int]]:
        """Bytes of a sample of each input and output."""
        taken = [array[:1].nbytes for array in self.given]
        made = [math.prod(s) * np.dtype(t).itemsize for s, t in self.shapes.values()]
        return taken, made

    def c(self) -> str:
        """Statements."""
        taken, made = self.sizes
        places, at = [], 0
        for size in taken:
            places.append(f"(const void *)(taken + {at})")
            at += -size // 8 * -8
        at = 0
        for size in made:
            places.append(f"(void *)(made + {at})")
            at += -size // 8 * -8
        reads = _each("machine_read(taken + {}, {});", taken)
        writes = _each("machine_write(made + {}, {});", made)
        return f"""\
  for (int i = 0; i < {self.samples}; ++i) {{
    {reads}
    machine_start();
    {self.network.name}_run({", ".join(places)});
    uint64_t count = machine_taken();
    {writes}
    machine_write(&count, sizeof count);
  }}
"""

    def fed(self) -> bytes:
        """What `main` reads."""
        return b"".join(
            array[i].tobytes() for i in range(self.samples) for array in self.given
        )

    def read(self, data: bytes, at: int) -> tuple[Arrays, list[int], int]:
        """Outputs, counts, and where the next call begins in what `main` wrote."""
        rows: dict[str, list[np.ndarray]] = {name: [] for name in self.shapes}
        counts = []
        for _ in range(self.samples):
            for name, (shape, dtype) in self.shapes.items():
                size = math.prod(shape)
                rows[name].append(np.frombuffer(data, dtype, size, at).reshape(shape))
                at += size * np.dtype(dtype).itemsize
            counts.append(int(np.frombuffer(data, np.uint64, 1, at)[0]))
            at += 8
        return {name: np.stack(each) for name, each in rows.items()}, counts, at


def _given(array: np.ndarray, tensor: ProgramTensor) -> np.ndarray:
    """Samples in the type that the program takes."""
    found = np.ascontiguousarray(array, tensor.dtype)
    if tensor.dtype != np.float32 and not np.array_equal(found, array):
        raise UnsupportedModelError(
            f'c: "{tensor.name}" takes whole numbers from 0 to 255, and the data has others.'
            "\n  Fix: give such data, or leave +pixels out."
        )
    return found


def _each(statement: str, sizes: Sequence[int]) -> str:
    lines, at = [], 0
    for size in sizes:
        lines.append(statement.format(at, size))
        at += -size // 8 * -8
    return "\n    ".join(lines)


@dataclass(frozen=True)
class CRun:
    """What a program did.

    Attributes:
        outputs: of each network.
        counts: of each sample of it: instructions, or nanoseconds on this machine.
        flash, ram: bytes of the program, without its stack and the samples.
    """

    outputs: list[Arrays]
    counts: list[list[int]]
    flash: int
    ram: int


def run_on(
    board: Board,
    networks: Sequence[tuple[CNetwork, Mapping[str, np.ndarray]]],
    folder: Path,
    *flags: str,
) -> CRun:
    """Builds networks into one program and runs them there.

    Args:
        board: the machine.
        networks: each with its inputs by name, the samples on the first axis.
        folder: for what is made.
        flags: of the compiler.

    Raises:
        UnsupportedModelError: a layer has no form in C, or a program does not build or run.
    """
    calls = [network.call(inputs) for network, inputs in networks]
    sources = [network.write(folder) for network, _ in networks]
    rooms = [
        max((sum(-s // 8 * -8 for s in call.sizes[i]) for call in calls), default=8)
        for i in (0, 1)
    ]
    includes = "".join(f'#include "{network.name}.h"\n' for network, _ in networks)
    main = folder / "main.c"
    main.write_text(
        f"""\
#include <stddef.h>
#include <stdint.h>
{includes}
void machine_open(int which);
void machine_read(void *to, size_t bytes);
void machine_write(const void *from, size_t bytes);
void machine_start(void);
uint64_t machine_taken(void);
static union {{ uint64_t aligned; unsigned char bytes[{rooms[0] or 8}]; }} room_in;
static union {{ uint64_t aligned; unsigned char bytes[{rooms[1] or 8}]; }} room_out;
int main(void) {{
  unsigned char *taken = room_in.bytes, *made = room_out.bytes;
  machine_open(0);
  machine_open(1);
{"".join(call.c() for call in calls)}  return 0;
}}
""",
        encoding="ascii",
    )
    (folder / "in.bin").write_bytes(b"".join(call.fed() for call in calls))
    program = board.build([main, *sources], folder, *flags)
    board.run(program)
    data, at = (folder / "out.bin").read_bytes(), 0
    outputs, counts = [], []
    for call in calls:
        found, count, at = call.read(data, at)
        outputs.append(found)
        counts.append(count)
    flash, ram = board.sizes(program)
    # What `main` holds of samples is not the network's.
    return CRun(outputs, counts, flash, ram - sum(room or 8 for room in rooms))


class CTarget:
    """C99 of the file, and of parts of it, a program each."""

    name = "c"

    def __init__(self, network: DeployedNetwork, variant: str) -> None:
        self._file: DeployedFile = network.file
        self._board = _board_of(variant)
        self._options = {"small": True}
        self._pixels = {"pixels": network.pixels} if variant.endswith(PIXELS) else {}
        # What has no form in C is refused here.
        whole = whole_program(self._file.content, **self._options, **self._pixels)
        self._whole = CNetwork(whole, "network")
        self.what = f"C99, {self._board.compiler[0]}"
        if self._board.emulator:
            self.what += f" for {self._board.name}, {self._board.emulator[0]}"
        if self._pixels:
            self.what += ", fed with bytes"

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
        """A function of arrays by name that computes tensors of the file from others."""
        if self._file.is_all(inputs, outputs):
            return self.whole()
        pixels = self._pixels if set(self._file.inputs) <= set(inputs) else {}
        whole = program_of_part(self._file, inputs, outputs, **self._options, **pixels)
        return self._run_of(CNetwork(whole, "part"))

    def whole(self) -> Run:
        """A function that runs the whole file."""
        return self._run_of(self._whole)

    def paths(self, inputs: Arrays) -> dict[str, str]:
        """What runs each node, by its name."""
        name = self._board.name
        return {node: name for entry in self._file.entries for node in entry.nodes}

    def cost(self, inputs: Arrays) -> TargetCost:
        """What one sample takes: the median of some on this machine; instructions of one."""
        repeated = 1 if self._board.emulator else 51
        given = {name: np.repeat(x, repeated, axis=0) for name, x in inputs.items()}
        found = self._run(self._whole, given)
        sizes = {"bytes": found.flash, "bytes_of": "flash", "ram": found.ram}
        count = sorted(found.counts[0])[repeated // 2]
        if self._board.emulator:
            return TargetCost(**sizes, instructions=count)
        return TargetCost(**sizes, milliseconds=count * 1e-6)

    def _run_of(self, network: CNetwork) -> Run:
        return lambda arrays: self._run(network, arrays).outputs[0]

    def _run(self, network: CNetwork, arrays: Arrays) -> CRun:
        pixels = self._pixels.get("pixels", True)
        if pixels is not True:
            arrays = dict(arrays) | {
                item.name: _bytes_of(arrays[item.name], *pixels)
                for item in network.whole.inputs
                if item.dtype == np.uint8
            }
        with tempfile.TemporaryDirectory() as folder:
            return run_on(self._board, [(network, arrays)], Path(folder))


def _bytes_of(x: np.ndarray, scale: Any, offset: Any) -> np.ndarray:
    """The bytes p of images that are `scale * p + offset`, up to roundings of float32."""
    found = (x.astype(np.float64) - np.asarray(offset)) / np.asarray(scale)
    whole = np.rint(found)
    if np.abs(found - whole).max(initial=0) > _ROUNDED or not (
        0 <= whole.min(initial=0) <= whole.max(initial=0) <= 255
    ):
        raise UnsupportedModelError(
            f"c: the data is not {scale} * p + {offset} of whole numbers p from 0 to 255."
            "\n  Fix: such data, pixels= as the network is fed, or leave +pixels out."
        )
    return whole.astype(np.uint8)


def _board_of(variant: str) -> Board:
    name = variant.removesuffix(PIXELS).removesuffix("+")
    return BOARDS[name] if name else HERE


TARGETS = (
    Target(
        "c",
        CTarget,
        variants=(*BOARDS, PIXELS, *(f"{name}+{PIXELS}" for name in BOARDS)),
        missing=lambda variant: _board_of(variant).missing,
    ),
)
