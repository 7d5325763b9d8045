"""Ranges of a float ONNX model's tensors, as samples run through it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers import TensorRange
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.integer.onnx.quantization._prepare import FUNCTION, session
from larqlite.primitives import other_axes

__all__ = ["ranges_of"]


def ranges_of(
    graph: FloatGraph,
    tensors: Sequence[str],
    batches: Iterable[dict[str, np.ndarray]],
    is_per_tensor: bool,
) -> dict[str, TensorRange]:
    """Least and largest values of tensors, by channel for those of four axes.

    Args:
        graph: of the float model.
        tensors: which ones.
        batches: of samples, by the name of the input.
        is_per_tensor: one range for all channels.

    Raises:
        UnsupportedModelError: a sample makes a value that is not finite, or does not run.
    """
    names = {given.name for given in graph.inputs}
    inner = [tensor for tensor in dict.fromkeys(tensors) if tensor not in names]
    observed = onnx.ModelProto()
    observed.CopyFrom(graph.model)
    del observed.graph.output[:]
    observed.graph.output.extend(onnx.ValueInfoProto(name=tensor) for tensor in inner)
    runner = session(observed)
    ranges: dict[str, TensorRange] = {}
    for batch in batches:
        try:
            found = runner.run(inner, batch) if inner else []
        except Exception as error:  # onnxruntime's errors share no base but Exception.
            shapes = ", ".join(str(values.shape) for values in batch.values())
            raise UnsupportedModelError(
                f"{FUNCTION}: ONNX Runtime fails on samples of shape {shapes}: {error}\n"
                "  Fix: see that the float model runs on them."
            ) from error
        for tensor, values in [*batch.items(), *zip(inner, found, strict=True)]:
            if tensor in tensors:
                ranges[tensor] = _widened(
                    ranges.get(tensor), tensor, values, is_per_tensor
                )
    return ranges


def _widened(
    before: TensorRange | None, tensor: str, values: np.ndarray, is_per_tensor: bool
) -> TensorRange:
    axes = None
    if values.ndim == 4 and not is_per_tensor:
        axes = tuple(other_axes(4, 1))
    lowest, highest = values.min(axis=axes), values.max(axis=axes)
    if not (np.all(np.isfinite(lowest)) and np.all(np.isfinite(highest))):
        raise UnsupportedModelError(
            f'{FUNCTION}: the tensor "{tensor}" of the float model is not finite on the '
            "samples.\n  Fix: give inputs of the range that the model was trained for."
        )
    if before is not None:
        lowest = np.minimum(lowest, before.minimum)
        highest = np.maximum(highest, before.maximum)
    return TensorRange(np.asarray(lowest), np.asarray(highest))
