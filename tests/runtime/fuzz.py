"""Loads thousands of damaged models: each runs or is refused, and nothing else happens.

    python tests/runtime/fuzz.py --count 20000 --seed 0

A damaged file is refused with a `ModelFileError` that says a fix, or it runs: its outputs
have the shapes that it promises, and the native kernels and NumPy agree on them, but for
models that multiply floats, where the last digit is not promised. Random
sound files, some of them whole, must run. Anything else, too much time, or too much memory
is a finding: the file is kept, and the last line says how to see it again. Nothing here
imports TensorFlow, so it can run under an address sanitizer (`make fuzz`).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import random
import resource
import sys
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import larqlite_runtime  # noqa: E402  (the path first)
from larqlite_runtime.backends import _native  # noqa: E402
from larqlite_runtime.reader import _budget  # noqa: E402
from larqlite_runtime.reader._file import read  # noqa: E402
from tests.runtime import files  # noqa: E402
from tests.runtime.growth import grown  # noqa: E402
from tests.runtime.mutations import Mutator  # noqa: E402

GOLDEN = ROOT / "tests" / "golden"
BUDGET = 64 << 20  # bytes that a model may ask for
FLOAT_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
MAX_MACS = 2 * 10**8  # so that no sound model takes long


class Finding(AssertionError):
    """Something that must not happen."""


@dataclass
class Result:
    """What became of the files.

    Attributes:
        outcomes: how many ran, were refused, and why (the first words).
        findings: what must not happen, and the numbers of the files that showed it.
        slowest: seconds of processor time that one file took.
        memory: megabytes by which the process grew.
    """

    outcomes: collections.Counter = field(default_factory=collections.Counter)
    findings: dict[str, list[int]] = field(default_factory=dict)
    slowest: float = 0.0
    memory: float = 0.0

    def add_finding(self, number: int, error: BaseException) -> None:
        """Notes an error by what it says and where it was raised."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        text = f"{type(error).__name__} at {place}: {str(error)[:300]}"
        self.findings.setdefault(text, []).append(number)
        self.outcomes["a finding"] += 1

    def __str__(self) -> str:
        rows = [f"{count:8}  {what}" for what, count in self.outcomes.most_common(40)]
        rows.append(f"slowest {self.slowest:.2f} s, memory +{self.memory:.0f} MB")
        rows.append(f"{len(self.findings)} kinds of findings")
        for text, numbers in self.findings.items():
            rows.append(f"FOUND {len(numbers)} times, first in {numbers[0]}: {text}")
        return "\n".join(rows)


def seeds() -> list[bytes]:
    """Sound models: those of `files`, and small ones that `lq.deploy.export` wrote."""
    built = [make().SerializeToString() for make in files.SEEDS.values()]
    exported = [path.read_bytes() for path in sorted(GOLDEN.glob("*.onnx"))]
    return built + exported


def try_file(data: bytes, rng: random.Random) -> str:
    """What becomes of one file: "ran", or why it was refused.

    Raises:
        Finding: it gave wrong shapes, other values without the native kernels, or an
            error without a fix.
        Exception: any other error, which is a finding too.
    """
    threads = rng.choice([1, 1, 1, 2])
    try:
        model = larqlite_runtime.load(data, threads=threads, budget=BUDGET)
    except larqlite_runtime.ModelFileError as error:
        return _reason(error)
    with _without_kernels():
        other = larqlite_runtime.load(data, threads=threads, budget=BUDGET)
    numbers = np.random.default_rng(rng.getrandbits(32))
    # Sums of floats may be added in another order, which may turn a sign that follows.
    is_exact = not any(node.op in FLOAT_PRODUCTS for node in read(data).nodes)
    for batch in rng.sample([1, 2, 3, 5], 2):
        x = {item.name: _array(numbers, batch, item.shape) for item in model.inputs}
        _compare(model, model.run(x), other.run(x), batch, is_exact)
    try:
        model({item.name: np.zeros((1,) * 9) for item in model.inputs})
    except larqlite_runtime.InputError as error:
        _reason(error)
    return "ran"


@contextlib.contextmanager
def _without_kernels():
    """Models that are loaded here run in NumPy."""
    library = _native.library
    _native.library = lambda: None
    try:
        yield
    finally:
        _native.library = library


def _compare(model, found: dict, other: dict, batch: int, is_exact: bool) -> None:
    for item in model.outputs:
        array, expected = found[item.name], (batch, *item.shape[1:])
        if array.shape != expected or array.dtype != item.dtype:
            raise Finding(
                f"output {item.name}: {array.dtype} {array.shape}, not {item.dtype} "
                f"{expected}"
            )
        if is_exact and not np.array_equal(array, other[item.name], equal_nan=True):
            different = ~np.isclose(array, other[item.name], 0, 0, equal_nan=True)
            raise Finding(
                f"output {item.name}: {different.sum()} of {array.size} values differ "
                f"between {model.isa} and NumPy"
            )


def _reason(error: Exception) -> str:
    """The kind of refusal: its message without names and numbers."""
    message = str(error)
    if "Fix: " not in message:
        raise Finding(f"no fix is named: {message}")
    if len(message) > 2000:
        raise Finding(f"a message of {len(message)} characters")
    words = message.split(": ", 1)[-1].split("\n")[0]
    kept = [word for word in words.split() if word.isalpha()]
    return "refused: " + " ".join(kept[:7])


def _array(numbers: np.random.Generator, batch: int, shape: tuple) -> np.ndarray:
    x = numbers.normal(size=(batch, *shape[1:])).astype(np.float32)
    if numbers.random() < 0.2:
        chosen = numbers.random(x.shape) < 0.1
        x[chosen] = numbers.choice([0, -0.0, np.inf, -np.inf, np.nan, 1e30])
    return x


def fuzz(
    count: int,
    seed: int = 0,
    first: int = 0,
    seconds: float = 20.0,
    megabytes: float = 1500.0,
    keep: Path | None = None,
    progress: bool = False,
) -> Result:
    """Tries many files.

    Args:
        count: how many.
        seed: of the random numbers; file number n is always the same for it.
        first: the number of the first file.
        seconds: of processor time that one file may take.
        megabytes: by which the process may grow.
        keep: where the file that is being tried lies, so that a crash leaves it.
        progress: whether to print how far it is.
    """
    result, sound = Result(), seeds()
    before = _peak_megabytes()
    for number in range(first, first + count):
        rng = random.Random(f"{seed} {number}")
        data, is_sound = _file(sound, rng)
        if keep:
            keep.write_bytes(data)
        # What never ends in native code ends the process, with a traceback.
        faulthandler.dump_traceback_later(10 * seconds, exit=True)
        begin = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                outcome = try_file(data, rng)
            result.outcomes[outcome] += 1
            spent, grown_by = time.process_time() - begin, _peak_megabytes() - before
            result.slowest = max(result.slowest, spent)
            result.memory = grown_by
            if is_sound and outcome != "ran":
                raise Finding(f"a sound file was {outcome}")
            if spent > seconds:
                raise Finding(f"it took more than {seconds} s")
            if grown_by > megabytes:
                raise Finding(f"the process grew by more than {megabytes} MB")
        except Exception as error:  # every kind is what is looked for
            result.add_finding(number, error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        if progress and (number + 1) % 500 == 0:
            done, found = number + 1 - first, len(result.findings)
            print(f"{done} files, {found} kinds of findings", flush=True)
    return result


def _file(sound: list[bytes], rng: random.Random) -> tuple[bytes, bool]:
    """A file, and whether it is sound."""
    choice = rng.random()
    if choice < 0.15:
        return grown(rng), True
    return Mutator(sound, rng).file(grown(rng) if choice < 0.4 else None), False


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--megabytes", type=float, default=1500.0)
    parser.add_argument(
        "--kernels",
        type=Path,
        help="folder of a _kernels.so to use instead, one built with a sanitizer",
    )
    parser.add_argument("--keep", type=Path, default=Path("fuzz-current.onnx"))
    options = parser.parse_args()
    faulthandler.enable()
    _budget.MAX_MACS = MAX_MACS
    given = vars(options)
    if kernels := given.pop("kernels"):
        _native.FOLDER = kernels
    print(f"The kernels run on {_native.choose_isa()}.")
    result = fuzz(**given, progress=True)
    print(result)
    if result.findings:
        print(f"See one again: fuzz.py --seed {options.seed} --first NUMBER --count 1")
    else:
        options.keep.unlink(missing_ok=True)
    return bool(result.findings)


if __name__ == "__main__":
    sys.exit(main())
