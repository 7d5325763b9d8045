"""C compilers that are here, and the flags that generated C has to pass."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")


def shared(source: Path, compiler: str = "gcc", *flags: str) -> ctypes.CDLL:
    """C as a library of this process."""
    library = source.with_suffix(f".{compiler}.so")
    given = [*STRICT, "-O2", "-shared", "-fPIC", *flags]
    run([compiler, *given, "-o", str(library), str(source)])
    return ctypes.CDLL(str(library))


def run(command: list[str], **options) -> str:
    """What a program prints; an AssertionError with its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def has(*programs: str) -> bool:
    """Whether programs are on the PATH."""
    return all(shutil.which(program) for program in programs)
