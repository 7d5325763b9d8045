"""What runs an export: a stock ONNX Runtime, or a TFLite interpreter."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from larqlite.errors import ArgumentError, MissingFileError, UnsupportedModelError
from larqlite.integer.export._file import LAYERS
from larqlite.integer.export._input_kinds import require_type
from larqlite.onnx_graph import WHERE, read_model

STEP = "larqlite.integer.step"


class OnnxFile:
    """An ONNX export in a stock ONNX Runtime.

    Attributes:
        form: "onnx" or "qdq".
        layers: tensors of the layers, by path, see `_file`.
        steps: of each output; None if it is not quantized.
    """

    def __init__(self, proto: onnx.ModelProto):
        import onnxruntime

        properties = {entry.key: entry.value for entry in proto.metadata_props}
        self.form = "onnx" if LAYERS in properties else "qdq"
        self.layers = json.loads(properties.get(LAYERS, "{}"))
        self._outputs = [info.name for info in proto.graph.output]
        steps = json.loads(properties.get(STEP, "[]"))
        # One number before there was one for each output.
        steps = steps if isinstance(steps, list) else [steps]
        self.steps = (steps + [None] * len(self._outputs))[: len(self._outputs)]
        shown = onnx.ModelProto()
        shown.CopyFrom(proto)
        infos = {info.name: info for info in proto.graph.value_info}
        wanted = {row["tensor"] for rows in self.layers.values() for row in rows}
        shown.graph.output.extend(
            infos[name] for name in sorted(wanted - set(self._outputs)) if name in infos
        )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors have no common public name
            raise UnsupportedModelError(
                f"{WHERE.get()}: ONNX Runtime does not load the file: {error}\n"
                "  Fix: write it again with lq.integer.export."
            ) from error

    def __call__(self, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        """All known tensors by name, for one batch of every input."""
        feeds = {}
        for info, array in zip(self._session.get_inputs(), arrays, strict=True):
            kind = info.type.removeprefix("tensor(").removesuffix(")")
            dtype = np.dtype(kind.replace("float", "float32"))
            feeds[info.name] = require_type(info.name, array, dtype)
        names = [info.name for info in self._session.get_outputs()]
        values = dict(zip(names, self._session.run(names, feeds), strict=True))
        known = {
            i.name: array
            for i, array in zip(self._session.get_inputs(), arrays, strict=True)
        }
        return {**known, **values}

    def outputs(self, tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Those of the model, in order."""
        return [tensors[name] for name in self._outputs]


class TFLiteFile:
    """A TFLite export in the interpreter.

    Attributes: as of `OnnxFile`.
    """

    form = "tflite"

    def __init__(self, content: bytes, model):
        from larqlite.qat.tflite.internal import (
            TFLiteInterpreter,
            positions_of,
            read_file,
            step_of_output,
        )

        file, where = read_file(content, WHERE.get()), WHERE.get()
        self.layers: dict[str, Any] = {}
        self._run = TFLiteInterpreter(content)
        # The converter sorts inputs and outputs by name.
        self._order_in = positions_of(
            self._run.input_names, model.input_names, "inputs", where
        )
        self._order_out = positions_of(
            self._run.output_names, model.output_names, "outputs", where
        )
        self.steps = [step_of_output(file, file.outputs[i]) for i in self._order_out]

    def __call__(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs for one batch of every input."""
        return self._run([arrays[i].astype(np.float32) for i in self._order_in])

    def outputs(self, tensors: list[np.ndarray]) -> list[np.ndarray]:
        """Those of the model, in order."""
        return [tensors[i] for i in self._order_out]


def opened(file: Any, model) -> OnnxFile | TFLiteFile:
    """An export of a model out of its path, its bytes, or a `ModelProto`.

    Raises:
        ArgumentError, MissingFileError: it is none of these.
    """
    if isinstance(file, onnx.ModelProto):
        return OnnxFile(file)
    if isinstance(file, (bytes, bytearray)):
        return TFLiteFile(bytes(file), model)
    if not isinstance(file, (str, os.PathLike)):
        raise ArgumentError(
            f"{WHERE.get()}: {type(file).__name__} is no export.\n"
            "  Fix: a path, a ModelProto, or the bytes of a TFLite file."
        )
    path = Path(file)
    if path.suffix not in (".onnx", ".tflite"):
        raise ArgumentError(
            f'{WHERE.get()}: "{path.name}" ends in neither ".onnx" nor ".tflite".\n'
            "  Fix: the path of a file of lq.integer.export."
        )
    if not path.is_file():
        raise MissingFileError(
            f'{WHERE.get()}: there is no file "{path}".\n'
            "  Fix: write it with lq.integer.export.to_onnx(model, path)."
        )
    if path.suffix == ".tflite":
        return TFLiteFile(path.read_bytes(), model)
    fix = "write it with lq.integer.export.to_onnx(model, path)."
    return OnnxFile(read_model(path, WHERE.get(), fix))
