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
    shapes = _shapes(graph)
    inputs = zip(_walk.input_layers(graph), graph.inputs, shapes, strict=True)
    for layer, tensor, shape in inputs:
        dtype = str(layer.dtype)
        if _are_indices(graph, tensor):  # of any dtype
            value = rng.integers(0, highest, shape).astype(dtype)
        else:
            value = _numbers(rng, shape, dtype, highest, words)
        if masked is not None and len(shape) > 1 and value.dtype.kind in "fiu":
            half = -(-shape[1] // 2)
            value[-1, half:] = masked  # of the last sample
        values.append(value)
    return values


def _shapes(graph: Any) -> list[list[int]]:
    """A shape for each input; free sides of images as small as the layers allow."""
    for side in SIDES:
        shapes = []
        for tensor in graph.inputs:
            free = STEPS if len(tensor.shape) < 4 else side
            sizes = [free if size is None else size for size in tensor.shape]
            batch = tensor.shape[0] if len(sizes) and tensor.shape[0] else BATCH
            shapes.append([batch, *sizes[1:]] if sizes else [])
        if shapes == [list(t.shape) for t in graph.inputs] or _fits(graph, shapes):
            break
    return shapes


def _fits(graph: Any, shapes: list[list[int]]) -> bool:
    """Whether a graph takes inputs of these shapes."""
    tensors = [
        keras.KerasTensor(shape, dtype=t.dtype)
        for shape, t in zip(shapes, graph.inputs, strict=True)
    ]
    structure = _walk.input_structure(graph)
    try:
        graph.compute_output_spec(keras.tree.pack_sequence_as(structure, tensors))
    except ValueError:
        return False
    return True


def _numbers(rng, shape: list, dtype: str, highest: int, words: list) -> np.ndarray:
    if dtype == "string":
        return rng.choice(np.array([*words, "unknown", ""], dtype=object), shape)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if "int" in dtype:
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


def _are_indices(graph: Any, tensor: Any) -> bool:
    """Whether an embedding, or a layer like it, reads a tensor of numbers."""
    if tensor.dtype == "string":
        return False
    for call in _walk.calls_of(graph):
        if not any(each is tensor for each in call.inputs):
            continue
        if isinstance(call.operation, _READING_INDICES):
            return True
        if _walk.is_model(call.operation):
            inside = getattr(call.operation, "_functional", call.operation)
            if any(_are_indices(inside, each) for each in inside.inputs):
                return True
    return False


_READING_INDICES = (
    keras.layers.Embedding,
    keras.layers.CategoryEncoding,
    keras.layers.IntegerLookup,
    keras.layers.StringLookup,
)
