"""Random graphs whose floats are exact, on every back end: all of them have to give the same bits.

The graphs are those of `tests/runtime/random_networks.py`; what they should give is computed by a
stock ONNX Runtime. A back end takes many graphs at once, so that one binary holds them all.
Networks of Keras (`keras_graphs.py`), whose floats are rounded, go the same way.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

import larqlite_runtime
from larqlite.deploy.targets._boards import BOARDS, HERE, Board
from larqlite.deploy.targets._on_c import CNetwork, run_on
from larqlite.deploy.targets._on_wasm import run_in_node
from larqlite_runtime import NoNativeStepError
from larqlite_runtime.internal import WholeProgram, supports, whole_program
from tests.devices.keras_graphs import KerasCase
from tests.runtime.networks import stock
from tests.runtime.random_networks import MOVES, random_input, random_network

SAMPLES = 2
# Sums, thresholds, and what moves values, by turns with all that the runtime knows.
_KINDS = ({}, {"ops": MOVES}, {"length": 3})

Arrays = dict[str, np.ndarray]


@dataclass
class GraphCase:
    """A graph by its seed, two samples, and what comes out.

    Attributes:
        seed: of all random numbers.
    """

    seed: int
    off = 0.0  # of the largest value, by which one may be off

    @property
    def name(self) -> str:
        """A name of C."""
        return f"graph_{self.seed}"

    @property
    def said(self) -> str:
        """It, in a line."""
        return f"seed {self.seed}"

    @cached_property
    def model(self):
        """The graph, and the names of the sums of its packed layers."""
        return random_network(self.seed, **_KINDS[self.seed % len(_KINDS)])

    @cached_property
    def content(self) -> bytes:
        """The file."""
        return self.model[0].SerializeToString()

    @cached_property
    def outputs(self) -> list[str]:
        """What is asked for: the outputs, or, of every second graph, the sums of packed
        layers instead, which are the packed integers themselves."""
        graph, accumulators = self.model
        if self.seed // len(_KINDS) % 2 and accumulators:
            return accumulators
        return [item.name for item in graph.graph.output]

    @cached_property
    def inputs(self) -> Arrays:
        """Two samples."""
        return random_input(self.model[0], SAMPLES, self.seed)

    @cached_property
    def wanted(self) -> Arrays:
        """What a stock ONNX Runtime makes of them."""
        return stock(self.model[0], self.inputs, self.outputs)

    @cached_property
    def program(self) -> WholeProgram:
        """The same for machines without Python."""
        return whole_program(self.content, outputs=self.outputs)

    @cached_property
    def refused(self) -> str:
        """Operations that no step of the kernels computes, or ""."""
        try:
            assert self.program.steps is not None
        except NoNativeStepError as error:
            said = str(error).partition("Fix:")[0]
            return " ".join(sorted(set(re.findall(r"\((\w+)[:)]", said)))) or said
        return ""


@dataclass(frozen=True)
class BackEnd:
    """What runs graphs.

    Attributes:
        name: of it.
        run: gives the outputs of each graph, given a folder for what is built.
        needs: programs that it needs.
        is_whole: whether it can run only what the kernels compute from end to end.
    """

    name: str
    run: Callable[[Sequence[GraphCase], Path], list[Arrays]]
    needs: tuple[str, ...] = ()
    is_whole: bool = False


def _on_kernels(isa: str) -> BackEnd:
    def run(cases: Sequence[GraphCase], folder: Path) -> list[Arrays]:
        return [
            larqlite_runtime.load(
                case.content, threads=1, isa=isa, outputs=case.outputs
            ).run(case.inputs)
            for case in cases
        ]

    return BackEnd(isa, run)


def _in_c(board: Board) -> BackEnd:
    """All graphs in one program of C."""

    def run(cases: Sequence[GraphCase], folder: Path) -> list[Arrays]:
        networks = [(CNetwork(case.program, case.name), case.inputs) for case in cases]
        return run_on(board, networks, folder, "-O1").outputs if cases else []

    name = "c" if board is HERE else f"c:{board.name}"
    return BackEnd(name, run, board.programs, is_whole=True)


def by_algorithms(names: Sequence[str]) -> BackEnd:
    """All graphs in one program of C, whose sums of bits take one of some algorithms each."""

    def run(cases: Sequence[GraphCase], folder: Path) -> list[Arrays]:
        networks = [
            (
                CNetwork(case.program, case.name, names[number % len(names)]),
                case.inputs,
            )
            for number, case in enumerate(cases)
        ]
        return run_on(HERE, networks, folder, "-O1").outputs if cases else []

    return BackEnd("c, " + ", ".join(names), run, HERE.programs, is_whole=True)


def _in_node(cases: Sequence[GraphCase], folder: Path) -> list[Arrays]:
    """All graphs in one process of Node."""
    networks = [(case.program, case.inputs) for case in cases]
    return run_in_node(networks, folder).outputs


BACK_ENDS = [
    *map(_on_kernels, filter(supports, ("portable", "avx2", "avx512", "amx", "neon"))),
    _on_kernels("numpy"),
    # The microbit has the core of cortex-m0, and no room for many graphs.
    *map(_in_c, (HERE, *(b for b in BOARDS.values() if b.name != "microbit"))),
    BackEnd("wasm", _in_node, ("node", "web/larqlite.wasm"), is_whole=True),
]


def differing(case: GraphCase | KerasCase, found: Arrays) -> list[str]:
    """The outputs that are not what they should be to the bit, each in a line.

    Floats of networks of Keras may be summed in another order.
    """
    lines = []
    for name, wanted in case.wanted.items():
        array = found.get(name)
        if array is None or array.shape != wanted.shape:
            shape = None if array is None else array.shape
            lines.append(f"{case.said}, {name}: {shape} in place of {wanted.shape}")
            continue
        off = case.off * max(float(np.abs(wanted).max(initial=0)), 1e-3)
        count = int((~(np.abs(array - wanted) <= off)).sum())
        if count and not np.array_equal(array, wanted):
            lines.append(f"{case.said}, {name}: {count} of {wanted.size} values differ")
    return lines


def runnable(count: int) -> list[GraphCase]:
    """The first graphs that the kernels run from end to end."""
    found = (case for case in map(GraphCase, itertools.count()) if not case.refused)
    return list(itertools.islice(found, count))
