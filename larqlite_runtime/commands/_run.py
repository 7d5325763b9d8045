"""The command `lq run`: NumPy and the runtime are imported when it is done."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite_runtime import progress
from larqlite_runtime._errors import InputError
from larqlite_runtime.command_output import tell
from larqlite_runtime.commands._around import require_counts

if TYPE_CHECKING:
    import numpy as np

    from larqlite_runtime.arrays import LabeledArrays

COMMAND = "lq run"
# Labels that are printed.
SHOWN = 10

HELP = {
    "file": "An .onnx file of `lq export`.",
    "data": "A .npz with x (or an array for each input, by its name) and, to measure "
    "accuracy, y; x_test and y_test come first; or a .npy with inputs.",
    "output": "Where to write the outputs (.npz, or .npy for one).",
    "threads": "That work on one call (default: all physical cores).",
    "batch": "Samples of a call.",
    "precision": "Of float layers: float32 (default), bf16, or int8-input for whole "
    "numbers from 0 to 255.",
    "engine": "auto (default) leaves float layers to ONNX Runtime where it is faster; native has "
    "the kernels run everything.",
    "samples": "How many of the samples (default: all).",
    "profile": "Show where the time of a call goes, step by step.",
    "json": "Print JSON, for a program to read.",
}


@dataclass(frozen=True)
class RunOptions:
    """Run a deployed model on data in a file, without TensorFlow; `HELP` says what is what."""

    file: Path
    data: Path
    output: Path | None = None
    threads: int | None = None
    batch: int = 32
    profile: bool = False
    json: bool = False
    samples: int | None = None
    precision: str = "float32"
    engine: str = "auto"

    def run(self) -> None:
        """Runs the model, and prints labels and times.

        Raises:
            RuntimeModelError: the file, the data or an option is not usable.
        """
        tell(lambda: (self._run(), 0), self.json)

    def _run(self) -> dict[str, Any]:
        from larqlite_runtime import load
        from larqlite_runtime.arrays import read, require_output, write_arrays
        from larqlite_runtime.commands._accuracy import accuracies

        require_counts(
            COMMAND,
            threads=self.threads,
            batch_size=self.batch,
            samples=self.samples,
        )
        model = load(
            self.file, self.threads, precision=self.precision, engine=self.engine
        )
        read_too = (self.file, self.data)
        require_output(
            self.output, [item.name for item in model.outputs], COMMAND, read_too
        )
        data = read(self.data, [item.name for item in model.inputs], COMMAND)
        if self.samples is not None:
            data = data.first(self.samples)
        tell_what_is_not_finite(data, f"{COMMAND}: --data {self.data}")
        seconds, outputs = self._outputs(model, data)
        if self.output is not None:
            write_arrays(self.output, outputs)
        if self.json:
            return self._as_data(model, data, seconds, outputs)
        print(f"{self.file}: {_kernels(model)}, {_counted(model.threads, 'thread')}")
        each = 1e6 * seconds / data.samples
        print(
            f"{_counted(data.samples, 'sample')} in {seconds:.3g} s "
            f"({each:,.0f} us each, in batches of {min(self.batch, data.samples)})"
        )
        counted = accuracies(outputs, data.labels)
        for name, array in outputs.items():
            _print_output(name, array)
            if name in counted:
                print(counted[name])
        if self.profile:
            print(model.profile(data.batch(0, self.batch)))
        if self.output is not None:
            print(f"wrote {self.output}")
        return {}

    def _as_data(
        self, model, data: LabeledArrays, seconds: float, outputs
    ) -> dict[str, Any]:
        """The same in types that JSON knows; labels where an output has one a sample."""
        from larqlite_runtime.commands._accuracy import accuracies

        made = {}
        counted = accuracies(outputs, data.labels)
        for name, array in outputs.items():
            made[name] = {"shape": list(array.shape)}
            found = _labels(array)
            if found is not None:
                made[name]["labels"] = found.tolist()
            if found is not None or name in counted:
                accuracy = counted.get(name)
                made[name]["accuracy"] = accuracy and accuracy.share
                made[name]["why_no_accuracy"] = accuracy and accuracy.why
        return {
            "file": str(self.file),
            "isa": model.isa,
            "threads": model.threads,
            "samples": data.samples,
            "batch": min(self.batch, data.samples),
            "seconds": seconds,
            "outputs": made,
            "profile": model.profile(data.batch(0, self.batch)).to_dict()
            if self.profile
            else None,
            "wrote": None if self.output is None else str(self.output),
        }

    def _outputs(
        self, model, data: LabeledArrays
    ) -> tuple[float, dict[str, np.ndarray]]:
        import numpy as np

        parts: list[dict[str, np.ndarray]] = []
        try:
            model.run(data.batch(0, self.batch))  # what only the first call has to do
            begin = time.perf_counter()
            with progress.line("run") as show:
                for start in range(0, data.samples, self.batch):
                    parts.append(model.run(data.batch(start, self.batch)))
                    show((start + self.batch) / data.samples)
                seconds = time.perf_counter() - begin
        except InputError as error:
            raise InputError(f"{COMMAND}: --data {self.data}: {error}") from error
        return seconds, {
            name: np.concatenate([part[name] for part in parts]) for name in parts[0]
        }


def tell_what_is_not_finite(data: LabeledArrays, where: str) -> None:
    """Says on the error stream which samples have no answer that means anything."""
    from larqlite_runtime.arrays import what_is_not_finite

    said = what_is_not_finite(data.inputs.values())
    if said is not None:
        print(
            f"{where}: {said}; what comes out for them means nothing.", file=sys.stderr
        )


def _kernels(model) -> str:
    from larqlite_runtime._profile import PATHS

    return PATHS.get(model.isa, model.isa)


def _print_output(name: str, array: np.ndarray) -> None:
    shape = "x".join(map(str, array.shape))
    found = _labels(array)
    if found is None:
        print(f"{name} ({shape}): from {array.min():.4g} to {array.max():.4g}")
        return
    more = " ..." if len(found) > SHOWN else ""
    print(f"{name} ({shape}): labels {' '.join(map(str, found[:SHOWN]))}{more}")


def _labels(array: np.ndarray) -> np.ndarray | None:
    """The labels that an output gives, one a sample; None if it is none of classes."""
    return None if array.ndim != 2 or array.shape[-1] == 1 else array.argmax(-1)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
