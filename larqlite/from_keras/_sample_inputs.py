"""Inputs to compare a model with: random ones that its layers take."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from larqlite.from_keras import _walk

BATCH = 2
STEPS = 8  # for a time dimension of any length
SIDES = (32, 96, 224)  # for image sides of any length


def sample_inputs(graph: Any, seed: int = 0) -> list[np.ndarray]:
    """An array for each input of a graph: batch 2, normal numbers, indices within vocabularies.

    Args:
        graph: of Keras 3.
        seed: of the numbers.
    """
    rng = np.random.default_rng(seed)
    highest, words, masked = _vocabularies(graph)
    values = []
    for layer in _walk.input_layers(graph):
        shape = list(layer.batch_shape)
        shape[:1] = [shape[0] or BATCH] if shape else []
        free = STEPS if len(shape) < 4 else SIDES[0]
        shape = [free if size is None else size for size in shape]
        value = _numbers(rng, shape, str(layer.dtype), highest, words)
        if masked is not None and len(shape) > 1 and value.dtype.kind in "fiu":
            value[-1, -(-shape[1] // 2) :] = (
                masked  # the second half of the last sample
            )
        values.append(value)
    return values


def _numbers(rng, shape: list, dtype: str, highest: int, words: list) -> np.ndarray:
    if dtype == "string":
        return rng.choice(np.array([*words, "unknown", ""], dtype=object), shape)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if "int" in dtype:
        return rng.integers(0, highest, shape).astype(dtype)
    if highest != 10:  # indices as floats
        return rng.integers(0, highest, shape).astype(dtype)
    return rng.normal(size=shape).astype("float32").astype(dtype)


def _vocabularies(graph: Any) -> tuple[int, list[str], float | None]:
    """How many indices every embedding of a model takes, words of its vocabularies, and the
    number that its masks stand for."""
    highest, words, masked = [], [], None
    pending = [call.operation for call in _walk.calls_of(graph)]
    while pending:
        layer = pending.pop()
        if not _walk.is_layer(layer):
            continue
        pending += layer._layers
        if isinstance(layer, keras.layers.Embedding):
            highest.append(layer.input_dim)
            masked = 0 if layer.mask_zero else masked
        if isinstance(layer, keras.layers.Masking):
            masked = layer.mask_value
        if isinstance(layer, keras.layers.CategoryEncoding):
            highest.append(layer.num_tokens)
        if hasattr(layer, "get_vocabulary"):
            words += [w for w in layer.get_vocabulary()[:20] if isinstance(w, str)]
    return min(highest, default=10), words, masked
