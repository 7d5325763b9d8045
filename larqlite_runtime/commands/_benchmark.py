"""The command `lq benchmark`: without TensorFlow, but for engines that run the Keras model."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larqlite_runtime import start
from larqlite_runtime._errors import InputError
from larqlite_runtime._machine import available_cores
from larqlite_runtime.command_output import tell
from larqlite_runtime.commands._around import load, require_counts, require_file

COMMAND = "lq benchmark"
HELP = {
    "model": "The saved model of the file, for tensorflow and tflite.",
    "against": "Some of onnxruntime (on the same file), tensorflow and tflite (on the "
    "model); by default onnxruntime if it is there, and with --model tensorflow too.",
    "threads": "Of each engine (default: all physical cores).",
    "batch": "Samples of a call (default: 1).",
    "seconds": "How long to measure each engine (default: 1).",
    "output": "Where to draw a bar chart (.png, .svg or .pdf).",
    "unsafe": "Let a model file run the Python that it carries.",
    "imports": "Modules that register your own quantizers, layers and converters.",
}


@dataclass(frozen=True)
class BenchmarkOptions:
    """Measure how fast a deployed file runs; `HELP` says what is what."""

    file: Path
    model: Path | None = None
    against: Sequence[str] = ()
    threads: int | None = None
    batch: int = 1
    seconds: float = 1.0
    output: Path | None = None
    json: bool = False
    imports: Sequence[str] = ()
    unsafe: bool = False
    precision: str = "float32"
    engine: str = "auto"

    def __post_init__(self) -> None:
        require_counts(COMMAND, threads=self.threads, batch_size=self.batch)
        if not (math.isfinite(self.seconds) and 0 < self.seconds <= 600):
            raise InputError(
                f"{COMMAND}: --seconds {self.seconds:g} is out of range.\n"
                "  Fix: more than 0, at most 600."
            )

    def run(self) -> None:
        """Prints the table, the verdict and the times of the steps, and draws the chart.

        Raises:
            RuntimeModelError: the file, the model or an option is not usable.
        """
        tell(lambda: (self._run(), 0), self.json)

    def _run(self) -> dict[str, Any]:
        from larqlite_runtime import benchmark, outputs

        names = [name for words in self.against for name in words.split(",") if name]
        if not names:
            names = self._names_by_default()
        benchmark.require_engines(names, self.model is not None, COMMAND)
        require_file(self.file, COMMAND)
        if self.output is not None:
            where = f"{COMMAND}: --output"
            outputs.require_picture(self.output, where, read=(self.file, self.model))
        result = benchmark.benchmark(
            self.file,
            self._engines(names),
            self.threads,
            self.batch,
            self.seconds,
            self.precision,
            self.engine,
        )
        if not self.json:
            print(f"{result}\n\n{result.profile}")
        if self.output is not None:
            result.plot(self.output)
            print(f"wrote {self.output}")
        wrote = None if self.output is None else str(self.output)
        return result.to_dict() | {"wrote": wrote}

    def _names_by_default(self) -> list[str]:
        """ONNX Runtime, if it is there, and TensorFlow, if there is a model for it."""
        from larqlite_runtime.backends.onnxruntime import INSTALL, is_installed

        names = ["onnxruntime"] if is_installed() else []
        names += ["tensorflow"] * (self.model is not None)
        if not names:
            said = "ONNX Runtime is not installed: the file is measured by itself."
            print(f"{COMMAND}: {said}\n  Fix: {INSTALL}", file=sys.stderr)
        return names

    def _engines(self, names: Sequence[str]):
        """The engines by name; those of the Keras model come out of larqlite."""
        from larqlite_runtime.benchmark import ON_FILE

        if self.model is None:
            return [ON_FILE[name] for name in names]
        said = start.what_is_missing(f"{COMMAND} --model")
        if said is not None:
            raise InputError(f"{said}\n  Without --model it needs none.")
        import larqlite

        load(larqlite.load_everything)
        from larqlite.deploy import benchmark_engines

        threads = self.threads or available_cores()
        return benchmark_engines.loaded(
            self.model, names, threads, self.imports, self.unsafe
        )
