"""What a target is: a way to run a deployed file, which is compared with Keras and measured."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from larqlite._registry import Registry
from larqlite.errors import ArgumentError, near_matches
from larqlite_runtime import NoNativeStepError
from larqlite_runtime.internal import Pixels, WholeProgram, whole_program

if TYPE_CHECKING:
    import tf_keras

    from larqlite.deploy.verifier.internal import Arrays, DeployedFile, Run

# Seconds for which one sample after the other is timed, and the least number of them.
TIMED, LEAST = 0.1, 5
# How variants end of targets that take images as bytes.
PIXELS = "pixels"
_BUILT_IN, _FIRST = "_on_", ("keras", "onnxruntime", "native")


@dataclasses.dataclass(frozen=True)
class TargetCost:
    """What a network and a sample of it take on a target; None is not known.

    Attributes:
        bytes: of the network there.
        bytes_of: what they are of: "file", "flash".
        ram: bytes of memory that it needs while it runs.
        milliseconds: of one sample, on this machine.
        instructions: of one sample, counted in an emulator.
    """

    bytes: int | None = None
    bytes_of: str = "file"
    ram: int | None = None
    milliseconds: float | None = None
    instructions: int | None = None

    @property
    def taken(self) -> str:
        """What a sample takes, for people: instructions where they were counted, or time."""
        if self.instructions is not None:
            return f"{self.instructions:,} instructions"
        return "-" if self.milliseconds is None else f"{self.milliseconds:.3g} ms"

    @property
    def size(self) -> str:
        """What the network takes of the target, for people."""
        size = "-" if self.bytes is None else f"{self.bytes:,} ({self.bytes_of})"
        return size if self.ram is None else f"{size}, {self.ram:,} (RAM)"


@dataclasses.dataclass(frozen=True)
class DeployedNetwork:
    """What a target is given.

    Attributes:
        model: the Keras model.
        file: the file that was made of it, `file.content` its bytes.
        pixels: what targets that take bytes make of them, as of `whole_program`.
    """

    model: tf_keras.Model
    file: DeployedFile
    pixels: Pixels = True


class TargetEngine(Protocol):
    """Runs a network, and parts of it; `FileEngine` of the verifier, and what it costs.

    Attributes:
        name: of what runs it.
        what: the same for people: versions, the instruction set.
    """

    name: str
    what: str

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
        """A function of arrays by name that computes tensors of the file from others."""

    def whole(self) -> Run:
        """A function that runs the whole file."""

    def paths(self, inputs: Arrays) -> dict[str, str]:
        """What runs each node, by its name."""

    def cost(self, inputs: Arrays) -> TargetCost:
        """What one sample takes."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A way to run a deployed file.

    Attributes:
        name: such as "c".
        open: gives a `TargetEngine` for a `DeployedNetwork` and the name of a variant. What
            cannot run there is refused by an error of larqlite or of its runtime.
        variants: what may stand behind the name and a colon, such as "cortex-m0" of
            "c:cortex-m0"; "" is the target itself.
        missing: what has to be installed for a variant, and how; "" if it is there.
        is_reference: whether it is what all others are compared with, and has a cost only.
        is_whole: whether it runs networks from end to end only. Its engine has `traced` in
            place of `part`, `whole` and `paths`: for inputs by name it gives the outputs by
            name, and the sums of packed layers by their paths, in the layout of the file.
    """

    name: str
    open: Callable[[DeployedNetwork, str], TargetEngine]
    variants: tuple[str, ...] = ()
    missing: Callable[[str], str] = lambda variant: ""
    is_reference: bool = False
    is_whole: bool = False


_REGISTERED: dict[str, Target] = Registry()


def register(target: Target) -> Target:
    """Adds a target, which `verify_on` and `lq verify --on` then know by its name.

    Args:
        target: it takes the place of one of the same name.

    Example:
        >>> from larqlite.deploy import targets
        >>> native = targets.known()["native"]
        >>> slow = targets.Target("slow", lambda network, _: native.open(network, "portable"))
        >>> _ = targets.register(slow)
        >>> "slow" in targets.known()
        True
    """
    _REGISTERED[target.name] = target
    return target


def known() -> dict[str, Target]:
    """All targets by name: those of the files `_on_*.py` beside this one, then registered
    ones."""
    folder = importlib.import_module(__package__)
    names = sorted(item.name for item in pkgutil.iter_modules(folder.__path__))
    found = [
        target
        for name in names
        if name.startswith(_BUILT_IN)
        for target in importlib.import_module(f"{__package__}.{name}").TARGETS
    ]
    # Those that need nothing else first, and of these the one that others are compared with.
    found.sort(
        key=lambda target: _FIRST.index(target.name) if target.name in _FIRST else 9
    )
    return {target.name: target for target in found} | _REGISTERED


def chosen(words: str | Iterable[str], where: str) -> dict[str, tuple[Target, str]]:
    """The targets that words name, each with its variant, by the word.

    Args:
        words: names, or several of them between commas; "all" is every target without
            its variants.
        where: the function that messages name.

    Raises:
        ArgumentError: there is no such target, no such variant, or no word.
    """
    words = [words] if isinstance(words, str) else list(words)
    names = [name.strip() for word in words for name in word.split(",")]
    names = [name for name in names if name]
    table = known()
    if not names:
        raise ArgumentError(
            f"{where}: no target is named.\n  Fix: some of {', '.join(table)}, or all."
        )
    if "all" in names:
        names = [name for name in names if name != "all"] + list(table)
    found: dict[str, tuple[Target, str]] = {}
    for word in names:
        name, colon, variant = word.partition(":")
        target = table.get(name)
        if target is None:
            raise ArgumentError(
                f'{where}: there is no target "{name}".{near_matches(name, table)}\n'
                f"  Fix: some of {', '.join(table)}, or all."
            )
        if colon and variant not in target.variants:
            there = ", ".join(f"{name}:{each}" for each in target.variants)
            raise ArgumentError(
                f'{where}: the target "{name}" has no variant "{variant}".'
                f"{near_matches(variant, target.variants)}\n"
                f"  Fix: {' or one of '.join(filter(None, (name, there)))}."
            )
        found[word] = target, variant
    return found


def program_of_part(
    file: DeployedFile,
    inputs: Sequence[str],
    outputs: Sequence[str],
    **options: Any,
) -> WholeProgram:
    """The program of a part of a file, for machines without Python; `options` are those of
    `whole_program`.

    A quantizer alone, whose levels nobody sums, may have no step; then its output is left out,
    and the sums of the layer that reads it have to show what it does.

    Raises:
        NoNativeStepError: another operation has none; says which.
    """
    options |= {"inputs": list(inputs)}
    try:
        return whole_program(file.content, outputs=list(outputs), **options)
    except NoNativeStepError:
        quantized = {entry.quantized for entry in file.entries}
        seen = [name for name in outputs if name not in quantized]
        if len(seen) in (0, len(outputs)):
            raise
        return whole_program(file.content, outputs=seen, **options)


def milliseconds_of(call: Callable[[], Any]) -> float:
    """The median time of a call that was made once before."""
    call()
    taken: list[float] = []
    end = time.perf_counter() + TIMED
    while len(taken) < LEAST or time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(taken)
