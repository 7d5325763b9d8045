"""Whether a file that was just made computes what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from larqlite.errors import UnsupportedModelError
from larqlite.integer.export.plan import ExportPlan
from larqlite.onnx_graph import WHERE

SAMPLES = 8
# Ties move codes by one, which a deep network of few bits makes more of. Another network
# is off by as much as its outputs differ among themselves.
_MOST_OFF, _MOST_OFF_ON_AVERAGE = 0.25, 0.25
# A sigmoid of 1e-11 may come out as 0.
_SATURATED = 1e-6


def random_inputs(plan: ExportPlan) -> list[np.ndarray]:
    """Whole numbers of the range that each input has, float32."""
    random = np.random.default_rng(0)
    return [
        random.integers(
            low, high + 1, (tensor.shape[0] or SAMPLES, *tensor.shape[1:])
        ).astype(np.float32)
        for tensor, (low, high) in zip(plan.inputs.values(), plan.ends, strict=True)
    ]


def require_same(
    name: str,
    wanted: Sequence[Any],
    found: Sequence[np.ndarray],
    what: str,
    fix: str,
    by_largest: bool,
) -> None:
    """Refuses a file whose outputs are those of another network.

    Args:
        name: of the model.
        wanted, found: outputs of the model and of the file.
        what: made the file.
        fix: the way out.
        by_largest: whether one output that is far off is enough.

    Raises:
        UnsupportedModelError: they are not the same.
    """
    for expected, array in zip(wanted, found, strict=True):
        expected = np.asarray(expected, np.float64)
        array = np.asarray(array, np.float64).reshape(expected.shape)
        if not np.all(np.isfinite(expected)):
            continue
        off, spread = np.abs(array - expected), float(np.std(expected))
        largest = float(np.max(np.abs(expected), initial=0))
        least = max(1e-3 * largest, _SATURATED)
        is_off = np.mean(off) > max(_MOST_OFF_ON_AVERAGE * spread, least)
        if by_largest:
            is_off |= np.max(off) > max(_MOST_OFF * float(np.ptp(expected)), least)
        if is_off:
            raise UnsupportedModelError(
                f'{WHERE.get()}: {what} makes another network of "{name}": an output is '
                f"off by {np.max(off):.3g}, while all outputs lie between "
                f"{np.min(expected):.3g} and {np.max(expected):.3g}.\n"
                f"  Fix: {fix}."
            )


def outputs_of(model: Callable, arrays: list[np.ndarray], model_inputs) -> list:
    """The numbers that a Keras model gives out."""
    values = [
        tf.cast(array, tensor.dtype)
        for array, tensor in zip(arrays, model_inputs, strict=True)
    ]
    structure = tf.nest.pack_sequence_as(model.input, values)
    results = tf.nest.flatten(model(structure, training=False))
    if hasattr(model, "reset_states"):
        model.reset_states()
    return [getattr(r, "to_float", lambda r=r: r)() for r in results]
