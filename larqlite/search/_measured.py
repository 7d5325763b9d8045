"""What one layer takes at a width: built alone, exported, run, and kept for the next time."""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from larqlite.deploy import export, targets, verify_on
from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.qat import quantize_model
from larqlite_runtime import __version__
from larqlite_runtime.benchmark import benchmark

__all__ = [
    "BOARD",
    "measure_of",
    "require_measurable",
    "whole_instructions",
    "whole_latency",
]

BOARD = "c:cortex-m4"
_SECONDS = 0.2


def require_measurable(cost: str, where: str) -> None:
    """Raises if what measures a cost is not installed.

    Raises:
        ArgumentError: it names what to install.
    """
    if cost != "c_instructions":
        return
    name, _, variant = BOARD.partition(":")
    missing = targets.known()[name].missing(variant)
    if missing:
        raise ArgumentError(
            f"{where}: cost={cost!r} counts instructions of C that QEMU runs: {missing}.\n"
            '  Fix: install these, or cost="latency_ms", "ace" or "bytes".'
        )


def measure_of(
    cost: str, layer: tf_keras.layers.Layer, input_shape: Any, word: str, known: dict
) -> float:
    """Milliseconds or instructions of one layer at a width, measured once.

    Args:
        cost: "latency_ms" or "c_instructions".
        layer: of the float model.
        input_shape: of its input, the batch first.
        word: the width, or "float".
        known: what was measured before, by a key; what is measured is put there.
    """
    key = _key(cost, layer, input_shape, word)
    if key not in known:
        model, inputs = _alone(layer, input_shape)
        if word != "float":
            model = quantize_model(model, scheme=word, calibrate=inputs)
        known[key] = _MEASURES[cost](model, inputs)
    return known[key]


def whole_latency(path: Path) -> float:
    """Milliseconds of one sample with a file, on one thread."""
    return 1e3 * benchmark(path, (), threads=1, seconds=_SECONDS).packed.median


def _latency(model: tf_keras.Model, inputs: np.ndarray) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.onnx"
        export(model, path, verify=False)
        return whole_latency(path)


def whole_instructions(model: tf_keras.Model, inputs: np.ndarray) -> float:
    """Instructions of one sample in C, with every packed integer compared with Keras."""
    row = verify_on(model, BOARD, inputs[:1], samples=1)[BOARD]
    if not row.ok:
        raise UnsupportedModelError(
            row.refused
            or f'lq.search.bits: "{model.name}" is computed otherwise in C than in Keras.\n'
            '  Fix: another cost, and please report this: lq.deploy.verify_on(model, "c").'
        )
    return float(row.cost.instructions)


_MEASURES: dict[str, Callable[[tf_keras.Model, np.ndarray], float]] = {
    "latency_ms": _latency,
    "c_instructions": whole_instructions,
}


def _alone(
    layer: tf_keras.layers.Layer, input_shape: Any
) -> tuple[tf_keras.Model, np.ndarray]:
    """A model of the layer and nothing else, and inputs as normalized images have them."""
    inputs = tf_keras.Input(input_shape[1:])
    copy = type(layer).from_config(layer.get_config())
    model = tf_keras.Model(inputs, copy(inputs))
    copy.set_weights(layer.get_weights())
    drawn = np.random.default_rng(0).normal(size=(8, *input_shape[1:]))
    return model, np.maximum(drawn, 0).astype(np.float32)


def _key(cost: str, layer: Any, input_shape: Any, word: str) -> str:
    """What a measurement depends on: not the name of the layer, nor its weights."""
    config = {k: v for k, v in layer.get_config().items() if k != "name"}
    about = [cost, type(layer).__name__, config, list(input_shape), word, __version__]
    if cost == "latency_ms":
        about += [platform.node(), platform.machine()]
    text = json.dumps(about, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
