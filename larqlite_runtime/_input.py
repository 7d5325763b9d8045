"""What a caller feeds, as float32 arrays of the shapes that the model takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from larqlite_runtime._errors import InputError, InputTypeError
from larqlite_runtime._graph import CheckedGraph, Shape
from larqlite_runtime._text import quoted, shape_text


def check_inputs(graph: CheckedGraph, x) -> dict[str, np.ndarray]:
    """All inputs of a model by name, ready to run.

    Args:
        graph: the model.
        x: an array or nested list, for a model of one input; else a list or tuple of
            them in the order of `graph.inputs`, or a dictionary by name.

    Returns:
        C-contiguous float32 arrays of one batch size.

    Raises:
        InputError: missing or unknown inputs, or a wrong shape; see `check_input`.
        InputTypeError: what can't be turned into numbers.
    """
    names = list(graph.inputs)
    if isinstance(x, Mapping):
        if set(x) != set(names):
            raise InputError(
                f"the model has the inputs {_names(names)}, but the dictionary has "
                f"{_names(x)}.\n  Fix: give exactly one array for each input."
            )
        given = dict(x)
    elif len(names) == 1:
        given = {names[0]: x}
    elif isinstance(x, (list, tuple)) and len(x) == len(names):
        given = dict(zip(names, x, strict=True))
    else:
        count = f" of {len(x)}" if isinstance(x, (list, tuple)) else ""
        raise InputError(
            f"the model has {len(names)} inputs, {_names(names)}, but got one "
            f"{type(x).__name__}{count}.\n  Fix: give a list of {len(names)} arrays in "
            "that order, or a dictionary by name."
        )
    arrays = {
        name: check_input(name, shape, given[name])
        for name, shape in graph.inputs.items()
    }
    batches = {name: len(array) for name, array in arrays.items()}
    if len(set(batches.values())) > 1:
        text = ", ".join(f"{quoted(name)}: {count}" for name, count in batches.items())
        raise InputError(
            f"the inputs have different batch sizes ({text}).\n  Fix: give each input as "
            "many samples."
        )
    return arrays


def check_input(name: str, shape: Shape, x) -> np.ndarray:
    """One input as C-contiguous float32.

    Integers, booleans and other floats are cast, as Keras does it: a uint8 image keeps
    its values 0 to 255. NaN and infinities pass.

    Args:
        name: of the input.
        shape: that the model takes, None for the batch.
        x: an array of at least one sample, or nested lists.

    Raises:
        InputError: another number of axes, other sizes, no samples, lists of uneven
            lengths, or a float64 that is infinite as float32.
        InputTypeError: text, objects, complex numbers.

    >>> check_input("image", (None, 2), [[1, 2], [3, 4]])
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    where = f"the input {quoted(name)} takes float32 {shape_text(shape)}"
    try:
        array = np.asarray(x)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{where}, but got a {type(x).__name__} that is no array: {error}.\n  Fix: "
            "give a NumPy array, or lists of equal lengths."
        ) from None
    if array.dtype.kind not in "fiub":
        raise InputTypeError(
            f"{where}, but got {type(x).__name__} of {array.dtype}.\n  Fix: convert it, "
            "`numpy.asarray(x, 'float32')`."
        )
    _check_shape(where, shape, array)
    if array.dtype.itemsize <= 4 and array.dtype.kind == "f":
        return np.ascontiguousarray(array, np.float32)
    with np.errstate(over="ignore"):
        result = np.ascontiguousarray(array, np.float32)
    if array.dtype.kind == "f" and (np.isinf(result) & np.isfinite(array)).any():
        raise InputError(
            f"{where}, but got {array.dtype} with values beyond the range of float32.\n"
            "  Fix: scale the data before it is fed."
        )
    return result


def _check_shape(where: str, shape: Shape, array: np.ndarray) -> None:
    if array.ndim == len(shape) and array.shape[1:] == shape[1:]:
        if len(array):
            return
        raise InputError(f"{where}, but got no samples.\n  Fix: give at least one.")
    if array.shape == shape[1:]:
        fix = "a single sample needs a batch axis, `x[None]`."
    elif array.ndim == len(shape) and _moved(array.shape) == shape[1:]:
        fix = "the channels are first here: `numpy.moveaxis(x, 1, -1)`."
    elif array.ndim == len(shape) and array.shape[1:] == _moved(shape):
        fix = "the channels are last here: `numpy.moveaxis(x, -1, 1)`."
    else:
        fix = f"give an array of the shape {shape_text(shape)}."
    raise InputError(
        f"{where}, but got the shape {shape_text(array.shape)}.\n  Fix: {fix}"
    )


def _moved(shape: tuple) -> tuple:
    """Sizes of a sample, its first axis moved to the end."""
    return (*shape[2:], shape[1]) if len(shape) > 2 else ()


def _names(names) -> str:
    return ", ".join(quoted(name) for name in names)
