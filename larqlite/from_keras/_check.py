"""The comparison that ends each conversion: layer by layer, then the model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from larqlite.errors import UnsupportedLayerError, UnsupportedModelError
from larqlite.from_keras import _walk
from larqlite.from_keras._sample_inputs import sample_inputs
from larqlite.graph import call_in_inference

BOUND = 1e-5  # of the largest value
UNITS = 2  # in the last place, in 16 bits


def compare(built: Any, inputs: Any, where: str) -> tuple[dict, float, tuple[str, ...]]:
    """Calls every layer with the same numbers in both, and then the whole models.

    Args:
        built: what `build` made.
        inputs: what the model takes; None for random numbers.
        where: for messages.

    Returns:
        The largest difference for each call by path, that of the outputs, notes.

    Raises:
        UnsupportedLayerError: the first layer that differs.
        UnsupportedModelError: the outputs differ by more than Keras 3's own move.
    """
    top = built.top
    values = sample_inputs(top.graph) if inputs is None else keras.tree.flatten(inputs)
    differences: dict[str, float] = {}
    theirs = _layer_by_layer(top, values, "", differences, where)
    ours = _outputs_of_ours(top, values)
    difference = max(map(_difference, theirs, ours))
    notes = ()
    if not all(map(_near, theirs, ours)):
        moved = max(map(_difference, theirs, _theirs(top, list(map(_moved, values)))))
        if not difference <= 4 * moved:
            raise UnsupportedModelError(
                f'{where}: "{top.source.name}": each layer is the same, but the outputs '
                f"differ by {difference:.1e} of the largest value, while a change of the "
                f"inputs by 2**-22 moves those of Keras 3 by {moved:.1e}.\n  Fix: report "
                "it with the model; until then convert the parts before and behind the "
                "layers that are called with more than one input or mask."
            )
        notes = (
            f"the outputs differ by {difference:.1e} of the largest value, as they move "
            f"by {moved:.1e} in Keras 3 when the inputs change by 2**-22",
        )
    return differences, difference, notes


def _theirs(top: Any, values: list) -> list[np.ndarray]:
    return _layer_by_layer(top, values, "", None, "")


def _layer_by_layer(
    graph: Any, values: list, prefix: str, differences: dict | None, where: str
) -> list:
    """What comes out of a model of Keras 3, whose layers are compared on the way.

    Args:
        graph: a converted graph.
        values: for its inputs, flat.
        prefix: of the paths of its layers.
        differences: takes what is found; None: nothing is compared.
        where: for messages.
    """
    known = {
        id(t): _for_keras(v, t) for t, v in zip(graph.graph.inputs, values, strict=True)
    }
    last = {id(t): step for step in graph.steps for t in step.call.inputs}
    last.update((id(t), None) for t in graph.graph.outputs)
    for step in graph.steps:
        call = step.call
        args, kwargs = _walk.filled(call, lambda t: known[id(t)])
        if step.inside is not None:
            given = in_order(step.inside.graph, args[0])
            outputs = _layer_by_layer(
                step.inside, given, f"{prefix}{call.name}/", differences, where
            )
        else:
            if differences is not None:
                ours = _ours(step, args, kwargs, prefix, where)
            outputs = _theirs_of(call, known, f"{prefix}{call.name}", where)
            if differences is not None:
                _note(step, outputs, ours, prefix, differences, where)
        known.update(zip(map(id, call.outputs), outputs, strict=True))
        for tensor in call.inputs:  # so that memory holds what is read later only
            if last[id(tensor)] is step:
                known.pop(id(tensor), None)
    return [known[id(t)] for t in graph.graph.outputs]


def in_order(graph: Any, given: Any) -> list:
    """What a model inside is called with, in the order of its inputs."""
    built = _walk.input_structure(graph)
    if isinstance(given, dict) and not isinstance(built, dict):
        return [given[layer.name] for layer in _walk.input_layers(graph)]
    return keras.tree.flatten(given)


def _theirs_of(call: Any, known: dict, name: str, where: str) -> list:
    """What Keras 3 gives out in inference."""
    try:
        return _walk.run(call, lambda t: known[id(t)])
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise UnsupportedModelError(
            f"{where}: Keras 3 itself cannot compute {type(call.operation).__name__} "
            f'"{name}" for the numbers that both are compared with: {said}\n  Fix: give '
            "inputs=[...] that the model takes, or mend the layer."
        ) from error


def _ours(step: Any, args: tuple, kwargs: dict, prefix: str, where: str) -> list:
    """What tf_keras gives out for the same numbers."""
    args, kwargs = keras.tree.map_structure(
        lambda value: _for_tf(value, step.masked), (args, kwargs)
    )
    try:
        return keras.tree.flatten(call_in_inference(step.apply, args, kwargs))
    except Exception as error:
        operation = step.call.operation
        said = " ".join(str(error).split())[:300]
        raise UnsupportedLayerError(
            f'{where}: {type(operation).__name__} "{prefix}{step.call.name}": tf_keras '
            f"cannot compute it here: {said}\n  Fix: {_way_out(step)}"
        ) from error


def _note(step, theirs: list, ours: list, prefix: str, found: dict, where: str) -> None:
    """Enters the difference of a call; raises if it is too large."""
    name = f"{prefix}{step.call.name}"
    worst = max(map(_difference, theirs, ours), default=0.0)
    found[name] = max(worst, found.get(name, 0.0))
    if len(theirs) == len(ours) and all(map(_near, theirs, ours)):
        return
    operation = step.call.operation
    raise UnsupportedLayerError(
        f'{where}: {type(operation).__name__} "{name}" is the first layer whose outputs '
        f"differ: by {worst:.1e} of the largest value for the same inputs (bound "
        f"{BOUND:.0e}).\n  Fix: {_way_out(step)}"
    )


def _way_out(step: Any) -> str:
    if _walk.is_layer(step.call.operation):
        cls = type(step.call.operation).__name__
        return (
            "leave the layer out, or register a layer that computes the same: "
            f"@lq.models.keras3_converter({cls})."
        )
    return "compute it in a layer class of your own, and register that."


def _outputs_of_ours(top: Any, values: list) -> list:
    packed = keras.tree.pack_sequence_as(_walk.input_structure(top.graph), values)
    given = keras.tree.map_structure(tf.convert_to_tensor, packed)
    return keras.tree.flatten(top.model(given, training=False))


def _for_keras(value: Any, tensor: Any) -> Any:
    if keras.ops.is_tensor(value):
        return value
    return keras.ops.convert_to_tensor(value, dtype=tensor.dtype)


def _for_tf(value: Any, masked: bool) -> Any:
    """A value of Keras 3 for tf_keras, with its mask or without."""
    if not keras.ops.is_tensor(value):
        return value
    is_ours = isinstance(value, (tf.Tensor, tf.SparseTensor))
    ours = tf.identity(value) if is_ours else tf.convert_to_tensor(_array(value))
    mask = _walk.mask_of(value)
    if masked and mask is not None:
        ours._keras_mask = tf.convert_to_tensor(_array(mask))
    return ours


def _array(value: Any) -> np.ndarray:
    if isinstance(value, tf.SparseTensor):
        value = tf.sparse.to_dense(value)
    if isinstance(value, tf.Tensor):
        return value.numpy()
    return np.asarray(keras.ops.convert_to_numpy(value))


def _difference(a: Any, b: Any) -> float:
    """The largest difference of two tensors, relative to the largest value of the first."""
    a, b = _array(a), _array(b)
    if a.shape != b.shape:
        return float("inf")
    if not (_is_number(a) and _is_number(b)):
        return 0.0 if np.array_equal(a, b) else float("inf")
    a, b = a.astype("float64"), b.astype("float64")
    odd = ~(np.isfinite(a) & np.isfinite(b))
    if not np.array_equal(a[odd], b[odd], equal_nan=True):
        return float("inf")
    a, b = a[~odd], b[~odd]
    if not a.size:
        return 0.0
    largest = np.abs(a).max()
    return float(np.abs(a - b).max() / (largest if largest > 0 else 1.0))


def _is_number(a: np.ndarray) -> bool:
    return a.dtype.kind in "fiub" or a.dtype.name == "bfloat16"


def _near(a: Any, b: Any) -> bool:
    """Whether a difference is within the bound of its dtype; whole numbers are equal."""
    dtype = _array(a).dtype
    if dtype.kind in "iub":
        return _difference(a, b) == 0
    bound = BOUND
    if dtype.itemsize == 2:
        bound = max(BOUND, UNITS * float(tf.experimental.numpy.finfo(dtype).eps))
    return _difference(a, b) <= bound


def _moved(value: Any) -> Any:
    """Numbers by 2**-22 of themselves larger; others as they are."""
    value = np.asarray(value)
    return value * value.dtype.type(1 + 2**-22) if value.dtype.kind == "f" else value
