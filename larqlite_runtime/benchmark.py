"""How fast a deployed file runs, beside other ways to run the same network."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from larqlite_runtime import progress
from larqlite_runtime._errors import InputError, RuntimeModelError
from larqlite_runtime._load import load
from larqlite_runtime._model import Model
from larqlite_runtime._profile import Profile
from larqlite_runtime.backends.onnxruntime import imported
from larqlite_runtime.benchmark_result import PACKED, Benchmark, Timing
from larqlite_runtime.names import near_matches

Arrays = Sequence[np.ndarray]
Call = Callable[[], Any]

# A turn of one engine: short enough that all get through the same moods of a machine, long
# enough that caches are its own for most of it.
TURN_SECONDS = 0.02
LEAST_TURNS = 5
# Between turns, so that threads of the last one that still wait actively go to sleep.
PAUSE_SECONDS = 0.003
# Inputs that are tried in turn.
_DRAWN = (
    lambda rng, shape: rng.normal(size=shape),
    lambda rng, shape: rng.random(shape),
    lambda rng, shape: rng.integers(0, 2, shape),
)


@dataclass(frozen=True)
class Contestant:
    """A way to run the network.

    Attributes:
        name: of the engine.
        what: what it runs, and how.
        prepare: gives a function that runs the network once on these inputs.
    """

    name: str
    what: str
    prepare: Callable[[Arrays], Call]


# From the content of a file and a number of threads.
Engine = Callable[[bytes, int], Contestant]


def onnxruntime_on_file(content: bytes, threads: int) -> Contestant:
    """A stock ONNX Runtime on the same file, with its own settings.

    Raises:
        MissingOnnxRuntimeError: it is not installed.
    """
    onnxruntime = imported("lq benchmark --against onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    names = [item.name for item in session.get_inputs()]

    def prepare(inputs: Arrays) -> Call:
        given = dict(zip(names, inputs, strict=True))
        return lambda: session.run(None, given)

    what = f"the same file in float32, ONNX Runtime {onnxruntime.__version__}"
    return Contestant("onnxruntime", what, prepare)


# Engines that run the file itself; those that need its Keras model are larqlite's.
ON_FILE: dict[str, Engine] = {"onnxruntime": onnxruntime_on_file}
ON_MODEL = ("tensorflow", "tflite")


def require_engines(names: Sequence[str], has_model: bool, where: str) -> None:
    """Refuses names of engines that are unknown, or need a model that is not there.

    Raises:
        InputError: one is such a name.
    """
    for name in names:
        if name not in (*ON_FILE, *ON_MODEL):
            raise InputError(
                f'{where}: there is no engine "{name}" to compare with.'
                f"{near_matches(name, (*ON_FILE, *ON_MODEL))}\n"
                f"  Fix: some of {', '.join((*ON_FILE, *ON_MODEL))}."
            )
        if name in ON_MODEL and not has_model:
            raise InputError(
                f"{where}: {name} runs the Keras model, not the file.\n"
                "  Fix: name the model that the file was made of with --model."
            )


def benchmark(
    path: str | os.PathLike,
    engines: Sequence[Engine] = (onnxruntime_on_file,),
    threads: int | None = None,
    batch: int = 1,
    seconds: float = 1.0,
    precision: str = "float32",
    engine: str = "auto",
) -> Benchmark:
    """Measures a file on larqlite_runtime, and other engines in turns with it.

    Args:
        path: of the file.
        engines: the others.
        threads: of every engine; all physical cores by default.
        batch: samples of a call.
        seconds: how long to measure each engine.
        precision: of float layers in larqlite_runtime; see `larqlite_runtime.load`.
        engine: that computes float layers there, likewise.

    Raises:
        RuntimeModelError: no packed model in the file.
    """
    runtime = load(path, threads, precision=precision, engine=engine)
    content = Path(path).read_bytes()
    inputs = _inputs(runtime, batch)
    given = inputs if len(inputs) > 1 else inputs[0]
    profile = runtime.profile(given)
    contestants = [_packed(runtime, profile)]
    contestants += [engine(content, runtime.threads) for engine in engines]
    calls = [contestant.prepare(inputs) for contestant in contestants]
    results = [call() for call in calls]
    with progress.line("benchmark") as show:
        times = _in_turns(calls, seconds, show)
    return Benchmark(
        file=str(path),
        bytes=len(content),
        batch=batch,
        threads=runtime.threads,
        isa=runtime.isa,
        timings=tuple(
            Timing(
                engine=contestant.name,
                what=contestant.what,
                median=float(np.median(own)),
                low=float(np.quantile(own, 0.25)),
                high=float(np.quantile(own, 0.75)),
                turns=len(own),
                difference=_difference(results[0], result),
            )
            for contestant, own, result in zip(contestants, times, results, strict=True)
        ),
        profile=profile,
    )


def _inputs(runtime: Model, batch: int) -> list[np.ndarray]:
    """Random inputs that the model takes: indices for an embedding, positive numbers for
    a logarithm."""
    shapes = [(batch, *item.shape[1:]) for item in runtime.inputs]
    found = None
    for draw in _DRAWN:
        rng = np.random.default_rng(0)
        inputs = [draw(rng, shape).astype(np.float32) for shape in shapes]
        try:
            outputs = runtime.run(inputs if len(inputs) > 1 else inputs[0])
        except (RuntimeModelError, RuntimeError, ValueError):
            continue
        if not any(np.isnan(array).any() for array in outputs.values()):
            return inputs
        found = inputs if found is None else found
    if found is None:
        raise InputError(
            "lq benchmark: the model runs on none of the random inputs that are tried.\n"
            "  Fix: measure a call on inputs of yours: larqlite_runtime.load(path)"
            ".profile(x)."
        )
    return found


def _packed(runtime: Model, profile: Profile) -> Contestant:
    def prepare(inputs: Arrays) -> Call:
        given = list(inputs) if len(inputs) > 1 else inputs[0]

        def call() -> list[np.ndarray]:
            result = runtime(given)
            return result if isinstance(result, list) else [result]

        return call

    kernels = [path for path in profile.by_path() if path != "onnxruntime"]
    what = f"the file with packed kernels, {', '.join(kernels)}"
    if runtime.precision != "float32":
        what += f", float layers in {runtime.precision}"
    return Contestant(PACKED, what, prepare)


def _in_turns(
    calls: Sequence[Call], seconds: float, show: Callable[[float], None]
) -> list[np.ndarray]:
    """Seconds of a call in every turn, for each of the engines; `show` gets the share of
    the time that has gone by."""
    counts = []
    for call in calls:
        call()
        begin = time.perf_counter()
        call()
        counts.append(max(1, int(TURN_SECONDS / (time.perf_counter() - begin))))
    taken: list[list[float]] = [[] for _ in calls]
    whole = seconds * len(calls)
    end = time.perf_counter() + whole
    while len(taken[0]) < LEAST_TURNS or time.perf_counter() < end:
        for call, count, own in zip(calls, counts, taken, strict=True):
            time.sleep(PAUSE_SECONDS)
            call()
            begin = time.perf_counter()
            for _ in range(count):
                call()
            own.append((time.perf_counter() - begin) / count)
        show(1 - (end - time.perf_counter()) / whole)
    return [np.array(own) for own in taken]


def _difference(expected: Sequence[Any], found: Sequence[Any]) -> float:
    """The largest difference of outputs, relative to the largest output."""
    largest = [
        float(np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1e-30))
        for a, b in zip(expected, found, strict=True)
    ]
    return max(largest)
