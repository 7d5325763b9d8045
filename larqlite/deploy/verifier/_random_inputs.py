"""Random inputs out of the range of numbers that a model says it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.graph import LayerCall, facts_of, follow

K = tf_keras.layers
Batch = list[np.ndarray]
# Makes an array of a shape.
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

# Operators behind which the numbers are those of the input.
_PASSING_OPERATORS = frozenset(
    ("cast", "reshape", "transpose", "expand_dims", "squeeze", "concat", "identity")
) | {"getitem", "pad", "stack", "split", "unstack"}
# Samples that show whether a model takes inputs.
_FEW = 4
# A constant from which on a sum, product or quotient is one of pixels.
_OF_PIXELS = 32


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape)


def _between(low: float, high: float) -> Draw:
    return lambda rng, shape: rng.uniform(low, high, shape)


def _integers(count: int) -> Draw:
    return lambda rng, shape: rng.integers(0, count, shape)


_PIXELS = _integers(256)
# What is tried, in this order, where a model says nothing: operators such as log, sqrt,
# acosh and one_hot take some of these numbers only.
_TRIED = (
    *(_normal, _between(0, 1), _between(1, 2), _between(-1, 0)),
    *(_integers(2), _PIXELS, _between(100, 200)),
)


def random_inputs(
    model: tf_keras.Model, samples: int, run: Callable[[Batch], Any]
) -> Batch:
    """Random inputs on which a model gives numbers, the same ones every time.

    Args:
        model: the model.
        samples: how many.
        run: gives the uses of packed layers and the outputs for a batch.

    Raises:
        LookupError: it gives NaN, or does not run, on all that are tried; says which.
    """
    why, infinite = "", None
    for inputs in candidates(model, samples):
        try:
            few = inputs if samples <= _FEW else [array[:_FEW] for array in inputs]
            uses, outputs = run(few)
        except (tf.errors.OpError, ValueError, ArithmeticError) as error:
            why = why or f"it does not run: {in_short(error)}"
            continue
        found = [*(np.asarray(use.input) for use in uses), *outputs]
        if any(np.isnan(array).any() for array in found):
            why = why or "it gives NaN"
        elif all(np.isfinite(array).all() for array in found):
            return inputs
        elif infinite is None:
            infinite = inputs
    if infinite is None:
        raise LookupError(why)
    return infinite


def in_short(error: Exception) -> str:
    """What TensorFlow says in the middle of its message, after the layer's name.

    >>> in_short(ValueError("layer 'e'\\n\\n{{node}} indices = -1 [Op:Gather] name: "))
    "layer 'e': indices = -1"
    """
    text = (getattr(error, "message", None) or str(error)).strip()
    first = text.partition("\n")[0].rstrip(".:")
    inner = re.search(r"\}\} (.*?)\s*\[Op:", text)
    return f"{first}: {inner[1]}" if inner and inner[1] not in first else first


def candidates(model: tf_keras.Model, samples: int) -> Iterator[Batch]:
    """Inputs to try: first what the model states of each input, then of those that have
    to be no whole numbers other ranges too."""
    stated = _stated(model)
    for tried in (None, *_TRIED):
        rng = np.random.default_rng(1)
        batch = []
        for number, tensor in enumerate(model.inputs):
            draw, is_sure = stated.get(number, (tried or _normal, False))
            if tried is not None and not is_sure:
                draw = tried
            array = draw(rng, (samples, *tensor.shape[1:]))
            batch.append(array.astype(tensor.dtype.as_numpy_dtype))
        yield batch


def _stated(model: tf_keras.Model) -> dict[int, tuple[Draw, bool]]:
    """By number of an input what to draw it from, and whether nothing else will do."""
    found: dict[int, tuple[Draw, bool]] = {}
    for number, tensor in enumerate(model.inputs):
        if tensor.dtype.is_bool:
            found[number] = _integers(2), True
        elif tensor.dtype.is_integer:
            found[number] = (_PIXELS if tensor.dtype.size == 1 else _integers(2)), False
    sizes: dict[int, int] = {}
    for number, layer, arguments in _readers(model):
        if isinstance(layer, K.Embedding):
            sizes[number] = min(layer.input_dim, sizes.get(number, layer.input_dim))
            found[number] = _integers(sizes[number]), True
        elif number not in found:
            draw = _of_layer(layer, arguments)
            if draw is not None:
                found[number] = draw, False
    return found


def _readers(model: tf_keras.Model) -> list[tuple[int, Any, tuple]]:
    """The layers that read the numbers of an input as they are: number of the input, the
    layer and its other arguments. What is followed are the inputs that a tensor holds."""
    readers: list[tuple[int, Any, tuple]] = []

    def apply(call: LayerCall) -> list[frozenset[int]]:
        held: frozenset[int] = frozenset().union(*call.inputs)
        if not _passes(call.layer):
            others = (call.args[1:], call.kwargs)
            readers.extend((number, call.layer, others) for number in sorted(held))
            held = frozenset()
        return [held] * len(call.output_tensors)

    follow(model, [frozenset([number]) for number in range(len(model.inputs))], apply)
    return readers


def _passes(layer: Any) -> bool:
    symbol = getattr(layer, "symbol", None)
    if isinstance(symbol, str):
        return symbol.rpartition(".")[2].strip("_") in _PASSING_OPERATORS
    facts = facts_of(layer)
    is_passing = facts.keeps_range and facts.merge in ("", "concatenate")
    return is_passing or "SlicingOp" in type(layer).__name__


def _of_layer(layer: Any, arguments: tuple) -> Draw | None:
    """What a layer is made for, if it says so."""
    if isinstance(layer, K.Rescaling):
        scale = np.abs(np.asarray(layer.scale, np.float64)).min()
        return _PIXELS if 0 < scale <= 1 / _OF_PIXELS else None
    if isinstance(layer, K.Normalization) and not layer.invert:
        return _around(np.asarray(layer.mean), np.asarray(layer.variance))
    if isinstance(layer, K.BatchNormalization):
        rank = layer.input_spec.ndim
        axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        if len(axes) != 1:
            return None
        (axis,) = axes
        beside = [1] * (rank - 1 - axis % rank)
        moments = (layer.moving_mean, layer.moving_variance)
        return _around(*(np.asarray(m).reshape(-1, *beside) for m in moments))
    symbol = str(getattr(layer, "symbol", "") or "").rpartition(".")[2]
    if symbol not in ("add", "subtract", "multiply", "truediv", "divide"):
        return None
    numbers = [
        np.abs(np.asarray(leaf, np.float64))
        for leaf in tf.nest.flatten(arguments)
        if isinstance(leaf, (int, float, np.ndarray))
        or (tf.is_tensor(leaf) and not tf_keras.backend.is_keras_tensor(leaf))
    ]
    is_product = symbol == "multiply"
    of_pixels = [
        (n.min() <= 1 / _OF_PIXELS) if is_product else (n.max() >= _OF_PIXELS)
        for n in numbers
        if n.size and n.min() > 0
    ]
    return _PIXELS if any(of_pixels) else None


def _around(mean: np.ndarray, variance: np.ndarray) -> Draw | None:
    if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        return None
    variance = np.maximum(variance, 0)

    def draw(rng: np.random.Generator, shape: tuple) -> np.ndarray:
        moments = mean, variance
        if not _fits(mean.shape, shape):
            # A layer between has moved or joined axes: all channels as one.
            moments = mean.mean(), variance.mean() + mean.var()
        return rng.normal(size=shape) * np.sqrt(moments[1]) + moments[0]

    return draw


def _fits(channels: tuple, shape: tuple) -> bool:
    """Whether what there is for each channel meets arrays of a shape axis by axis."""
    pairs = zip(reversed(channels), reversed(shape), strict=False)
    return len(channels) <= len(shape) and all(n in (1, size) for n, size in pairs)


def random_pixels(model: tf_keras.Model, samples: int) -> list[np.ndarray]:
    """Whole numbers from 0 to 255 for every input, as float32."""
    rng = np.random.default_rng(0)
    return [
        rng.integers(0, 256, (samples, *item.shape[1:])).astype(np.float32)
        for item in model.inputs
    ]
