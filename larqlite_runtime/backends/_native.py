"""The compiled kernels: found beside the package, loaded with ctypes, checked, run."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from collections.abc import Callable, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np

from larqlite_runtime._errors import NativeError, quoted
from larqlite_runtime._program import KernelStep
from larqlite_runtime.backends._c_structures import ABI, CBuffer, CStep, c_steps

logger = logging.getLogger("larqlite_runtime")

# Names of instruction sets, and their numbers in the library.
INSTRUCTION_SETS = {"portable": 0, "avx2": 1, "avx512": 2, "neon": 3, "amx": 4}
NUMPY = "numpy"  # what runs where there are no native kernels
# From the fastest to the slowest.
_PREFERRED = ("amx", "avx512", "avx2", "neon", "portable")
ISA_VARIABLE = "LARQLITE_ISA"
REQUIRE_VARIABLE = "LARQLITE_REQUIRE_NATIVE"

FOLDER = Path(__file__).parent.parent  # where setup.py puts them

_INSTALL = (
    "  Fix: pip install --force-reinstall --no-deps larqlite-runtime, whose wheels hold them; in "
    "a checkout, install a C++17 compiler (Debian: apt-get install g++), then pip install "
    "--force-reinstall --no-deps ."
)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The kernels, None if there are none and none are required.

    Raises:
        NativeError: there are none, or of another version, and LARQLITE_REQUIRE_NATIVE
            is set.
    """
    try:
        return _load()
    except (OSError, NativeError) as error:
        if os.environ.get(REQUIRE_VARIABLE, "0") not in ("", "0"):
            raise NativeError(
                f"{error}\n  {REQUIRE_VARIABLE} is set, so this is an error.\n{_INSTALL}"
            ) from None
        say_once(f"{error} Packed layers run in NumPy, many times slower.\n{_INSTALL}")
        return None


def _load() -> ctypes.CDLL:
    paths = [FOLDER / f"_kernels{suffix}" for suffix in EXTENSION_SUFFIXES]
    found = next((path for path in paths if path.exists()), None)
    if found is None:
        raise NativeError(f"There are no native kernels in {FOLDER}.")
    lib = ctypes.CDLL(str(found))
    lib.lq_abi.restype = ctypes.c_int32
    if lib.lq_abi() != ABI:
        raise NativeError(
            f"{found.name} has version {lib.lq_abi()} of the interface, not {ABI}."
        )
    steps, buffers = ctypes.POINTER(CStep), ctypes.POINTER(CBuffer)
    int32 = ctypes.c_int32
    lib.lq_supports.argtypes, lib.lq_supports.restype = [int32], int32
    lib.lq_halves.argtypes, lib.lq_halves.restype = [int32], int32
    lib.lq_weights_size.argtypes = [steps]
    lib.lq_weights_size.restype = ctypes.c_int64
    lib.lq_check.argtypes, lib.lq_check.restype = [steps, buffers, int32, int32], int32
    times = ctypes.POINTER(ctypes.c_double)
    lib.lq_run.argtypes = [steps, int32, buffers, *[int32] * 5, times]
    lib.lq_run.restype = int32
    lib.lq_threads.argtypes = [steps, *[int32] * 5, times]
    lib.lq_threads.restype = int32
    lib.lq_processors.argtypes, lib.lq_processors.restype = [], int32
    for peak_of in (lib.lq_peak, lib.lq_peak_of_codes):
        peak_of.argtypes, peak_of.restype = [int32, ctypes.c_double], ctypes.c_double
    return lib


@functools.cache
def _function_that_runs(is_short: bool) -> Callable:
    """`lq_run` of the library, for arguments that are of its types already.

    Args:
        is_short: called without letting other threads of Python in.
    """
    lib = library()
    run = (ctypes.PyDLL(lib._name) if is_short else lib)["lq_run"]
    run.restype = ctypes.c_int32
    return run


@functools.cache
def say_once(text: str) -> None:
    """Logs a warning unless the same was logged before."""
    logger.warning(text)


def choose_isa(wanted: str | None = None) -> str:
    """The instruction set to use.

    Args:
        wanted: its name, or "numpy"; the environment variable LARQLITE_ISA or the fastest
            that this CPU has by default. One that the CPU or the library lacks gives the
            next slower one, which is said once.

    Raises:
        NativeError: no such name.
    """
    if wanted is not None and not isinstance(wanted, str):
        raise NativeError(
            f"load: isa={wanted!r} is no name.\n  Fix: one of "
            f"{', '.join([*INSTRUCTION_SETS, NUMPY])}; without it the fastest is chosen."
        )
    asked = (wanted or os.environ.get(ISA_VARIABLE, "")).strip().lower()
    if asked and asked not in (*INSTRUCTION_SETS, NUMPY):
        where = "isa" if wanted else ISA_VARIABLE
        raise NativeError(
            f"{where}: there is no instruction set {quoted(asked)}.\n  Fix: one of "
            f"{', '.join([*INSTRUCTION_SETS, NUMPY])}; without it the fastest is chosen."
        )
    lib = None if asked == NUMPY else library()
    if lib is None:
        return NUMPY
    order = _PREFERRED[_PREFERRED.index(asked) :] if asked else _PREFERRED
    usable = [name for name in order if lib.lq_supports(INSTRUCTION_SETS[name])]
    if asked and usable[0] != asked:
        say_once(
            f'The instruction set "{asked}" is not there on this CPU or in this library; '
            f'"{usable[0]}" is used.'
        )
    return usable[0]


def supports(isa: str) -> bool:
    """Whether there are kernels of an instruction set here, and the CPU has it."""
    lib = library()
    return lib is not None and bool(lib.lq_supports(INSTRUCTION_SETS[isa]))


def peak(isa: str, seconds: float = 0.2) -> float:
    """One-bit products per second that one core can do in registers."""
    lib = library()
    return lib.lq_peak(INSTRUCTION_SETS[isa], seconds) * 1e9 if lib else 0.0


class Part:
    """Steps as the library takes them; they can be bound to memory any number of times."""

    def __init__(self, steps: Sequence[KernelStep]) -> None:
        self.steps = steps
        self._c_steps = c_steps(steps)

    def estimate(
        self, batch: int, piece: int, threads: int, isa: str
    ) -> tuple[int, float]:
        """How many of the threads are worth their while, and what one would take.

        Args:
            batch, piece, threads, isa: as of `bind`.

        Returns:
            A number of threads, and seconds of all steps on one.
        """
        steps, number = self._c_steps, INSTRUCTION_SETS[isa]
        of_steps = (ctypes.c_double * len(self.steps))()
        chosen = library().lq_threads(
            steps, len(self.steps), batch, piece, threads, number, of_steps
        )
        return chosen, sum(of_steps) * 1e-9

    def bind(
        self,
        buffers: ctypes.Array,
        batch: int,
        threads: int,
        isa: str,
        piece: int | None = None,
        is_short: bool = False,
    ) -> Callable[[np.ndarray | None], None]:
        """A function that runs the steps on these buffers.

        Args:
            buffers: array of `CBuffer`, which the caller keeps and may change.
            batch: images.
            threads: that work together, at most.
            isa: name of the instruction set.
            piece: images that all steps are run for before the next come; all of them
                by default.
            is_short: whether a call takes so little time that other threads of Python
                wait for its end rather than take turns.

        Raises:
            NativeError: a step does not fit the buffers.
        """
        lib, count = library(), len(self.steps)
        piece = batch if piece is None else piece
        for number, step in enumerate(self.steps):
            failed = lib.lq_check(
                ctypes.byref(self._c_steps[number]), buffers, len(buffers), piece
            )
            if failed:
                raise NativeError(
                    f'The step "{step.label}" does not fit its memory (check {failed}). '
                    "This is a defect of larqlite_runtime.\n"
                    "  Fix: please report it with the model file."
                )
        run, int32 = _function_that_runs(is_short), ctypes.c_int32
        # Made once: what ctypes makes of plain numbers takes as long as a small step.
        arguments = (
            *(self._c_steps, int32(count), buffers, int32(len(buffers))),
            *(int32(batch), int32(piece), int32(threads)),
            int32(INSTRUCTION_SETS[isa]),
        )

        def call(seconds: np.ndarray | None = None) -> None:
            times = None
            if seconds is not None:
                times = seconds.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
            failed = run(*arguments, times)
            if failed:
                raise NativeError(
                    f'The step "{self.steps[failed - 1].label}" could not run.\n'
                    "  Fix: there may be too little memory; use smaller batches."
                )

        return call
