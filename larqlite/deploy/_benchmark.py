"""How fast a deployed file runs, beside other ways to run the same network."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import larqlite_runtime
from larqlite.deploy._benchmark_engines import (
    ON_FILE,
    ON_MODEL,
    Call,
    Contestant,
    require_engines,
)
from larqlite.deploy._benchmark_result import PACKED, Benchmark, Timing

if TYPE_CHECKING:
    import tf_keras

# A turn of one engine: short enough that all get through the same moods of a machine, long
# enough that caches are its own for most of it.
TURN_SECONDS = 0.02
LEAST_TURNS = 5
# Between turns, so that threads of the last one that still wait actively go to sleep.
PAUSE_SECONDS = 0.003


def benchmark(
    path: str | os.PathLike,
    model: tf_keras.Model | None = None,
    against: Sequence[str] = ("onnxruntime",),
    threads: int | None = None,
    batch: int = 1,
    seconds: float = 1.0,
    where: str = "lq benchmark",
) -> Benchmark:
    """Measures a file on larqlite_runtime, and other engines in turns with it.

    Args:
        path: of the file.
        model: the Keras model that it was made of; "tensorflow" and "tflite" need it.
        against: the other engines, out of "onnxruntime", "tensorflow", "tflite".
        threads: of every engine; all physical cores by default.
        batch: samples of a call.
        seconds: how long to measure each engine.
        where: what messages name.

    Raises:
        ArgumentError: an unknown engine, or one that needs a model.
        RuntimeModelError: no packed model in the file.
    """
    require_engines(against, model is not None, where)
    runtime = larqlite_runtime.load(path, threads)
    content = Path(path).read_bytes()
    inputs = _inputs(runtime, model, batch)
    given = inputs if len(inputs) > 1 else inputs[0]
    profile = runtime.profile(given)
    contestants = [_packed(runtime, profile)] + [
        {**ON_FILE, **ON_MODEL}[name](content, model, runtime.threads)
        for name in dict.fromkeys(against)
    ]
    calls = [contestant.prepare(inputs) for contestant in contestants]
    results = [call() for call in calls]
    times = _in_turns(calls, seconds)
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


def _inputs(
    runtime: larqlite_runtime.Model, model: tf_keras.Model | None, batch: int
) -> list[np.ndarray]:
    """Random inputs that the model takes: whole numbers for an embedding."""
    if model is not None:
        from larqlite.deploy._verify_inputs import random_inputs

        with contextlib.suppress(LookupError):
            return random_inputs(model, batch, lambda x: _in_keras(model, x))
    shapes = [(batch, *item.shape[1:]) for item in runtime.inputs]
    rng = np.random.default_rng(0)
    normal = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    try:
        runtime(normal if len(normal) > 1 else normal[0])
    except (RuntimeError, ValueError):  # negative indices
        return [rng.integers(0, 2, shape).astype(np.float32) for shape in shapes]
    return normal


def _in_keras(
    model: tf_keras.Model, inputs: list[np.ndarray]
) -> tuple[list, list[np.ndarray]]:
    results = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    if isinstance(results, dict):
        results = list(results.values())
    flat = results if isinstance(results, (list, tuple)) else [results]
    return [], [np.asarray(result) for result in flat]


def _packed(
    runtime: larqlite_runtime.Model, profile: larqlite_runtime.Profile
) -> Contestant:
    def prepare(inputs: Sequence[np.ndarray]) -> Call:
        given = list(inputs) if len(inputs) > 1 else inputs[0]

        def call() -> list[np.ndarray]:
            result = runtime(given)
            return result if isinstance(result, list) else [result]

        return call

    kernels = [path for path in profile.by_path() if path != "onnxruntime"]
    what = f"the file with packed kernels, {', '.join(kernels)}"
    return Contestant(PACKED, what, prepare)


def _in_turns(calls: Sequence[Call], seconds: float) -> list[np.ndarray]:
    """Seconds of a call in every turn, for each of the engines."""
    counts = []
    for call in calls:
        call()
        begin = time.perf_counter()
        call()
        counts.append(max(1, int(TURN_SECONDS / (time.perf_counter() - begin))))
    taken: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds * len(calls)
    while len(taken[0]) < LEAST_TURNS or time.perf_counter() < end:
        for call, count, own in zip(calls, counts, taken, strict=True):
            time.sleep(PAUSE_SECONDS)
            call()
            begin = time.perf_counter()
            for _ in range(count):
                call()
            own.append((time.perf_counter() - begin) / count)
    return [np.array(own) for own in taken]


def _difference(expected: Sequence[Any], found: Sequence[Any]) -> float:
    """The largest difference of outputs, relative to the largest output."""
    largest = [
        float(np.abs(a - b).max(initial=0) / max(np.abs(a).max(initial=0), 1e-30))
        for a, b in zip(expected, found, strict=True)
    ]
    return max(largest)
