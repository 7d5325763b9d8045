"""Code and stack of generated C, as a compiler for microcontrollers makes them."""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from larqlite.deploy._run_program import how_it_ended, run_program
from larqlite.deploy.targets.c._source import CSource
from larqlite.errors import UnsupportedModelError

COMPILER = "arm-none-eabi-gcc"
FLAGS = (
    *("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    *("-std=c99", "-O2"),
)
MADE_BY = "arm-none-eabi-gcc -O2 for a Cortex-M4"
_NODE = re.compile(r'node: \{ title: "([^"]+)" label: "[^"]*?(\d+) bytes \((\w+)')
_EDGE = re.compile(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"')


@dataclass(frozen=True)
class Measured:
    """What a compiler made.

    Attributes:
        flash: bytes of code and constants.
        ram: bytes of static memory.
        stack: bytes that a call of the network takes, at most; without what functions of the
            compiler's own library take.
    """

    flash: int
    ram: int
    stack: int


def measure(source: CSource) -> Measured | str:
    """Compiles a network, without its self-test; why not, where that cannot be done."""
    if shutil.which(COMPILER) is None:
        return f"no {COMPILER} here"
    try:
        return _compiled(source)
    except (OSError, UnsupportedModelError) as error:
        # Such as no room for temporary files: what is measured has been written by now.
        return str(error).splitlines()[0].rstrip(".")


def _compiled(source: CSource) -> Measured:
    name = source.name
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / f"{name}.h").write_text(source.header, encoding="ascii")
        (folder / f"{name}.c").write_text(source.source, encoding="ascii")
        given = (f"-D{name.upper()}_NO_SELF_TEST", "-fcallgraph-info=su", "-c")
        _said(folder, COMPILER, *FLAGS, *given, f"{name}.c", "-o", f"{name}.o")
        sizes = _said(folder, COMPILER.replace("gcc", "size"), f"{name}.o")
        text, data, bss = map(int, sizes.splitlines()[1].split()[:3])
        graph = (folder / f"{name}.ci").read_text()
    return Measured(text + data, data + bss, deepest(graph, f"{name}_run"))


def deepest(graph: str, begin: str) -> int:
    """The bytes of stack of the deepest chain of calls from a function on.

    Args:
        graph: what `-fcallgraph-info=su` writes.
        begin: the function.

    >>> node = 'node: { title: "%s" label: "f\\\\nf.c:1:1\\\\n%d bytes (static)" }'
    >>> edge = 'edge: { sourcename: "f" targetname: "g" label: "f.c:2:1" }'
    >>> deepest("\\n".join([node % ("f", 16), node % ("g", 8), edge]), "f")
    24
    """
    own = {name: int(size) for name, size, _ in _NODE.findall(graph)}
    calls: dict[str, set[str]] = {}
    for caller, called in _EDGE.findall(graph):
        calls.setdefault(caller, set()).add(called)

    @cache
    def depth(name: str) -> int:
        below = (depth(called) for called in calls.get(name, ()))
        return own.get(name, 0) + max(below, default=0)

    # Functions of a file are named with it: "net.c:step".
    return depth(next((name for name in own if name.split(":")[-1] == begin), begin))


def _said(folder: Path, *command: str) -> str:
    program = command[0]
    done = run_program(command, "here", "", folder=folder)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [""]
        said = next((line for line in lines if "error" in line), lines[-1])
        raise UnsupportedModelError(f"{program} {how_it_ended(done)}: {said}")
    return done.stdout
