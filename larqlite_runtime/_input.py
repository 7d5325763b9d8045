"""What a caller feeds: float32 arrays of the right shapes, indices in range, batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from larqlite_runtime._errors import InputError, InputTypeError, quoted, shape_text
from larqlite_runtime._graph import CheckedGraph, Shape
from larqlite_runtime.planner import Subgraph

# All values that go into one of these come out of it.
_KEEPING = ("Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
_KEEPING += ("Transpose", "Expand", "Tile")


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


@dataclass(frozen=True)
class Table:
    """Rows that an input chooses from."""

    node: str
    rows: int


def tables(subgraph: Subgraph) -> dict[str, Table]:
    """For each input that holds indices, the smallest table that they are for."""
    found: dict[str, Table] = {}
    for node in subgraph.nodes:
        if node.domain or node.op != "Gather" or node.inputs[1] in subgraph.constants:
            continue
        name = node.inputs[1]
        while name in subgraph.producer:
            maker = subgraph.nodes[subgraph.producer[name]]
            if maker.domain or maker.op not in _KEEPING:
                break
            name = maker.inputs[0]
        if name not in subgraph.inputs:
            continue
        shape = subgraph.shapes[node.inputs[0]]
        table = Table(node.name, shape[node.attributes["axis"]])
        if name not in found or table.rows < found[name].rows:
            found[name] = table
    return found


def check_indices(found: Mapping[str, Table], inputs: Mapping[str, np.ndarray]) -> None:
    """Refuses an index that its table does not have, as Keras does.

    Raises:
        InputError: a negative index, one from the number of rows up, or NaN.
    """
    for name, table in found.items():
        low, high = inputs[name].min(), inputs[name].max()
        # A cast to integers cuts off what is behind the point.
        if low > -1 and high < table.rows:
            continue
        wrong = low if not low > -1 else high
        raise InputError(
            f"the input {quoted(name)} holds the index {wrong:.9g}, but "
            f"{quoted(table.node)} has {table.rows} rows, 0 to {table.rows - 1}.\n"
            "  Fix: give indices of that range; words that are unknown need a row of "
            "their own."
        )


def check_pixels(
    names: Sequence[str], given: object, inputs: Mapping[str, np.ndarray]
) -> None:
    """Refuses what is no integer pixel, where the first layer computes on these.

    Args:
        names: of the inputs that hold pixels.
        given: what the model was called with.
        inputs: the same as float32.

    Raises:
        InputError: a value that is no whole number from 0 to 255.
    """
    if getattr(given, "dtype", None) == np.uint8:
        return
    for name in names:
        values = inputs[name]
        wrong = ~((values >= 0) & (values <= 255) & (values == np.rint(values)))
        if wrong.any():
            raise InputError(
                f"the input {quoted(name)} holds {values[wrong][0]:.9g}, but with "
                'precision="int8-input" it takes whole numbers from 0 to 255.\n  Fix: give '
                'a uint8 array, not scaled, or load the file with precision="float32".'
            )


def batches_of(
    given, batch_size: int, inputs: Mapping[str, Shape]
) -> tuple[Iterable, int | None]:
    """The batches, and how many there are if that is known.

    Args:
        given: an array or a dictionary of arrays, which are cut into batches, or an
            iterable of batches, or of tuples of batches and labels.
        batch_size: samples of a batch that is cut.
        inputs: shapes of the inputs by name.

    Raises:
        InputError: an array of a wrong shape, or what is neither.
    """
    if not isinstance(given, Mapping) and hasattr(given, "__array__"):
        given = np.asarray(given)  # a tensor of any library
    if isinstance(given, (np.ndarray, Mapping)):
        return _cut(given, batch_size, inputs)
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
        raise InputTypeError(
            f"predict: {type(given).__name__} is neither an array nor an iterable of "
            "batches.\n  Fix: give an array of samples, a list of batches, or a dataset."
        )
    try:
        total = len(given)
    except TypeError:
        total = None  # a generator, or a dataset that does not know its length
    return (without_labels(batch, inputs) for batch in given), total


def _cut(given, batch_size: int, inputs: Mapping[str, Shape]) -> tuple[Iterator, int]:
    if isinstance(given, np.ndarray):
        arrays = {"": given}
    else:
        arrays = {name: np.asarray(array) for name, array in given.items()}

    def part(begin: int, end: int):
        parts = {name: array[begin:end] for name, array in arrays.items()}
        return parts[""] if isinstance(given, np.ndarray) else parts

    check_inputs(CheckedGraph(inputs=dict(inputs)), part(0, 1))
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"predict: the arrays have different numbers of samples, {lengths}.\n  Fix: "
            "give each input as many samples."
        )
    length = next(iter(lengths.values()))
    starts = range(0, length, batch_size)
    return (part(at, at + batch_size) for at in starts), len(starts)


def without_labels(batch, inputs: Mapping[str, Shape]):
    """The inputs of what may be `(inputs, labels)` or `(inputs, labels, weights)`.

    A tuple of as many arrays as the model has inputs is all inputs, and so is one of
    samples.
    """
    if not isinstance(batch, tuple) or not 1 <= len(batch) <= 3:
        return batch
    first = batch[0]
    if len(inputs) > 1:
        is_whole = isinstance(first, (Mapping, list, tuple))
        return first if is_whole else batch
    if isinstance(first, Mapping):
        return first
    (shape,) = inputs.values()
    return first if np.ndim(first) == len(shape) else batch
