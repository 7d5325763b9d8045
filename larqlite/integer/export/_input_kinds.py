"""Which integers the inputs of a file are: those that the model was calibrated with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tf_keras

from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.integer.models.internal import cut, known_ends, readers_of
from larqlite.onnx_graph import WHERE

_Ends = tuple[float, float] | None


def input_kinds(
    model: tf_keras.Model,
    input_dtype: str | None,
    allowed: Sequence[str],
    known: Sequence[_Ends] | None = None,
) -> list[str]:
    """The integer type of each input.

    Args:
        model: an integer model.
        input_dtype: the one that was asked for, which must hold what the input was
            calibrated with; None takes the first that does.
        allowed: types to choose from; the first where nothing is known of an input.
        known: smallest and largest number of each, where calibration has not kept them.

    Raises:
        ArgumentError: no such type holds them.
    """
    found = []
    given = known or [None] * len(model.inputs)
    for name, tensor, ends, more in zip(
        model.input_names, model.inputs, known_ends(model), given, strict=True
    ):
        ends = ends or more
        if ends is None and tensor.dtype.is_integer:
            ends = (tensor.dtype.min, tensor.dtype.max)
        fitting = [kind for kind in allowed if ends is None or _holds(kind, ends)]
        wanted = [input_dtype] if input_dtype else fitting[:1]
        if not set(wanted) & set(fitting):
            raise _not_held(name, ends, input_dtype, fitting, allowed)
        found += wanted
    return found


def require_sizes(name: str, shape) -> None:
    """Refuses an input that leaves more open than the batch.

    Raises:
        UnsupportedModelError: it does.
    """
    if None in shape[1:]:
        example = tuple(32 if size is None else size for size in shape[1:])
        raise UnsupportedModelError(
            f'{WHERE.get()}: the input "{name}" has the shape {shape}, which leaves more '
            "open than the batch; a file has fixed sizes.\n"
            f"  Fix: build the model with tf_keras.Input({example}), and quantize that."
        )


def _holds(kind: str, ends: tuple[float, float]) -> bool:
    info = np.iinfo(kind)
    return bool(info.min <= np.trunc(ends[0]) and np.trunc(ends[1]) <= info.max)


def _not_held(name, ends, input_dtype, fitting, allowed) -> ArgumentError:
    low, high = ends
    fix = (
        f'leave input_dtype out, or input_dtype="{fitting[0]}"'
        if fitting
        else "insert_rescaling(model, scale, 0.0) before it is quantized, and samples of "
        "fewer bits; or lq.integer.export.to_onnx(model), which takes them as float32"
    )
    return ArgumentError(
        f"{WHERE.get()}: the model was calibrated with numbers from {low:g} to {high:g} as "
        f'its input "{name}", which {input_dtype or " and ".join(allowed)} cannot hold.\n'
        f"  Fix: {fix}."
    )


def ends_of(arrays: Sequence[Any]) -> list[tuple[float, float]]:
    """Smallest and largest number of each of some arrays."""
    return [(float(np.min(array)), float(np.max(array))) for array in arrays]


def require_held(model: tf_keras.Model, arrays: Sequence[Any]) -> None:
    """Refuses numbers that the integer layers which read them would cut.

    Raises:
        ArgumentError: there are such.
    """
    inputs = zip(
        model.input_names, model.inputs, arrays, readers_of(model), strict=True
    )
    for name, tensor, array, readers in inputs:
        count = cut(array, tensor.dtype) if readers else 0
        if count:
            raise ArgumentError(
                f'{WHERE.get()}: {count} of {np.size(array)} numbers for the input "{name}" '
                f"lie beyond -256 and 255, or are no whole numbers; they go from "
                f"{np.min(array):g} to {np.max(array):g}.\n"
                "  Fix: the integers that the model is fed. A Rescaling in front takes "
                "them to other numbers: lq.integer.models.transforms.insert_rescaling, "
                "before the model is quantized."
            )


def require_type(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`array` in the type that a file takes, with the same numbers.

    Raises:
        ArgumentError: it does not hold them.
    """
    with np.errstate(invalid="ignore"):
        cast = array.astype(dtype)
    if dtype.kind in "iu" and not np.array_equal(cast.astype(np.float64), array):
        raise ArgumentError(
            f'{WHERE.get()}: the file takes {dtype} as its input "{name}", and the samples '
            f"go from {np.min(array):g} to {np.max(array):g}.\n"
            "  Fix: samples of that type, or a file with another input_dtype."
        )
    return cast
