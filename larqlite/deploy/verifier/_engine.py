"""What runs a file, or parts of it: larqlite_runtime, or a stock ONNX Runtime."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import onnx

import larqlite_runtime
from larqlite.deploy.verifier._deployed_file import Cut, DeployedFile, together
from larqlite_runtime.internal import part_loader

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], dict[str, np.ndarray]]


class FileEngine(Protocol):
    """What runs a file, as a whole and in parts.

    Attributes:
        name: of it.
    """

    name: str

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
        """A function of arrays by name that computes tensors of the file from others; those
        inside have the layout of the file."""

    def whole(self) -> Run:
        """A function that runs the whole file."""

    def paths(self, inputs: Arrays) -> dict[str, str]:
        """What runs each node, by its name."""


class RuntimeEngine:
    """larqlite_runtime.

    Args:
        file: the file.
        model: it, loaded.
    """

    name = "larqlite_runtime"

    def __init__(self, file: DeployedFile, model: larqlite_runtime.Model) -> None:
        self._file = file
        self._model = model
        self._load_part = part_loader(file.content, model)

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
        """A function of arrays by name that computes tensors from others."""
        if self._file.is_all(inputs, outputs):
            return self.whole()
        return self._load_part(inputs, outputs).run

    def whole(self) -> Run:
        """A function that runs the whole file."""
        return self._model.run

    def paths(self, inputs: Arrays) -> dict[str, str]:
        """What runs each node, by its name."""
        profile = self._model.profile({k: v[:1] for k, v in inputs.items()}, repeat=1)
        return {
            node: step.path for step in profile.steps for node in step.layer.split(", ")
        }


class StockEngine:
    """ONNX Runtime, which runs packed layers by the functions in the file."""

    name = "onnxruntime"

    def __init__(self, file: DeployedFile) -> None:
        self._file = file
        model = onnx.ModelProto()
        model.CopyFrom(file.model)
        # Older extractors begin at no tensor that the model gives out.
        model.graph.value_info.extend(model.graph.output)
        self._extractor = onnx.utils.Extractor(model)
        self._whole = functools.cache(
            lambda: _session(self._file.content, self._file.outputs)
        )

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
        """A function of arrays by name that computes tensors from others."""
        if self._file.is_all(inputs, outputs):
            return self.whole()
        part = self._extractor.extract_model(list(inputs), list(outputs))
        return _session(part.SerializeToString(), list(outputs))

    def whole(self) -> Run:
        """A function that runs the whole file."""
        return self._whole()

    def paths(self, inputs: Arrays) -> dict[str, str]:
        """What runs each node, by its name."""
        return {node: self.name for entry in self._file.entries for node in entry.nodes}


def _session(content: bytes, outputs: list[str]) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # there may be a session for every layer
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )

    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(outputs, session.run(outputs, dict(arrays)), strict=True))

    return run


# Values of a sample beyond which the memory of a part is given back after each use.
LARGE = 2**22


class Parts:
    """Several cuts of a file on one engine.

    Args:
        file: the file.
        engine: what runs them.
        cuts: the parts.
    """

    def __init__(
        self,
        file: DeployedFile,
        engine: FileEngine,
        cuts: Iterable[Cut],
    ) -> None:
        self._engine = engine
        self._cuts = list(cuts)
        self._groups = together(self._cuts)
        self._is_large = file.values_a_sample > LARGE
        self._runs: dict[int, tuple[list[str], Run]] = {}

    def __call__(self, arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        """What comes out of each cut, by name, given arrays by name."""
        found: list[dict[str, np.ndarray]] = [{} for _ in self._cuts]
        for place, group in enumerate(self._groups):
            inputs, run = self._runs.get(place) or self._opened(group)
            if not self._is_large:
                self._runs[place] = inputs, run
            results = run({name: arrays[name] for name in inputs})
            for number in group:
                outputs = self._cuts[number].outputs
                found[number] = {name: results[name] for name in outputs}
        return found

    def _opened(self, group: list[int]) -> tuple[list[str], Run]:
        cuts = [self._cuts[number] for number in group]
        inputs = list(dict.fromkeys(n for cut in cuts for n in cut.inputs))
        outputs = list(dict.fromkeys(n for cut in cuts for n in cut.outputs))
        return inputs, self._engine.part(inputs, outputs)
