"""What runs a file, or a part of it: larqlite_runtime, or a stock ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx

import larqlite_runtime
from larqlite.deploy.verifier._file import DeployedFile

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], dict[str, np.ndarray]]


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

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
        """A function of arrays by name that computes tensors from others."""
        isa = None if self._model.isa == "numpy" else self._model.isa
        part = larqlite_runtime.load(
            self._file.content,
            self._model.threads,
            isa=isa,
            inputs=inputs,
            outputs=outputs,
            budget=self._model.budget,
        )
        return part.run

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

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Run:
        """A function of arrays by name that computes tensors from others."""
        part = self._extractor.extract_model(list(inputs), list(outputs))
        return _session(part.SerializeToString(), list(outputs))

    def whole(self) -> Run:
        """A function that runs the whole file."""
        return _session(self._file.content, self._file.outputs)

    def paths(self, inputs: Arrays) -> dict[str, str]:
        """What runs each node, by its name."""
        return {node: self.name for entry in self._file.entries for node in entry.nodes}


def _session(content: bytes, outputs: list[str]) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # there may be a session for every layer
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )

    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        return dict(zip(outputs, session.run(outputs, dict(arrays)), strict=True))

    return run
