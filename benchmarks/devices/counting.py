"""Instructions that a program for a board executes, function by function, counted in QEMU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from larqlite.deploy.targets._boards import Board

PLUGIN = Path(__file__).with_name("count.c")
BYTES = 4 << 20  # of code that are looked at
SEMIHOSTING = ("-nographic", "-semihosting-config", "enable=on,target=native")


def flash_of(board: Board) -> int:
    """Where the code of a board begins."""
    return 0x80000000 if board.name == "rv32" else 0


def counted(board: Board, program: Path) -> dict[str, int]:
    """Runs a program in the folder that it lies in.

    Returns:
        Instructions by function, and by "elsewhere".

    Raises:
        RuntimeError: it ends otherwise than by returning 0.
    """
    folder = program.parent
    plugin, counts = folder / "libcount.so", folder / "counts.bin"
    compiler = ["gcc", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*compiler, str(PLUGIN), "-o", str(plugin)], check=True)
    begin = flash_of(board)
    given = f"{plugin},base={begin},bytes={BYTES},out={counts}"
    command = [*board.emulator, *SEMIHOSTING, "-plugin", given, "-kernel", str(program)]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"{board.name}: {done.returncode}: {done.stderr[-500:]}")
    *of_code, elsewhere = np.fromfile(counts, np.uint64)
    of_code = np.array(of_code, np.uint64)
    found = {"elsewhere": int(elsewhere)}
    functions = _functions(board, program)
    ends = [address for address, _ in functions[1:]] + [begin + BYTES]
    for (address, name), end in zip(functions, ends, strict=True):
        total = int(of_code[(address - begin) // 2 : (end - begin) // 2].sum())
        if total:
            found[name] = found.get(name, 0) + total
    return found


def _functions(board: Board, program: Path) -> list[tuple[int, str]]:
    """Addresses and names, in order."""
    nm = board.compiler[0].replace("gcc", "nm")
    said = subprocess.run(
        [nm, "-n", str(program)], check=True, capture_output=True, text=True
    )
    found = []
    for line in said.stdout.splitlines():
        address, kind, name = line.split(maxsplit=2)
        if kind in "tTwW" and name[0] not in "$.":
            found.append((int(address, 16) & ~1, name))
    return found
