"""Tensors inside of an exported file, computed by a stock ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


def metadata(path: Path) -> dict:
    """The texts of a file, those in JSON decoded."""
    texts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    version = texts.pop("larqlite.version")
    return {key: json.loads(text) for key, text in texts.items()} | {
        "larqlite.version": version
    }


def tensors(path: Path, inputs: dict | np.ndarray, names=()) -> dict[str, np.ndarray]:
    """The outputs of a file and those of its inner tensors that are named."""
    model = onnx.load(path)
    outputs = {output.name for output in model.graph.output}
    infos = {info.name: info for info in model.graph.value_info}
    model.graph.output.extend(infos[name] for name in names if name not in outputs)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    if not isinstance(inputs, dict):
        inputs = {session.get_inputs()[0].name: inputs}
    found = [output.name for output in session.get_outputs()]
    return dict(zip(found, session.run(found, inputs), strict=True))


def channels_last(array: np.ndarray) -> np.ndarray:
    """`(batch, channels, ...)` as `(batch, ..., channels)`."""
    return np.moveaxis(array, 1, -1)
