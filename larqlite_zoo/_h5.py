"""Which weights a Keras `.h5` file holds, compared with those of a model; float kernels."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from pathlib import Path

import h5py
import tensorflow as tf
import tf_keras

from larqlite.errors import UnsupportedModelError
from larqlite.layers import QuantLayer

Named = tuple[str, tuple[int, ...]]


def compare_shapes(
    model: tf_keras.Model, path: Path, left: Collection[int] = ()
) -> bool:
    """Compares a file with a model in the order in which Keras loads it.

    Args:
        model: any built tf_keras model.
        path: of an `.h5` file, of weights or of a whole model.
        left: ids of weights of the model that the file has not.

    Returns:
        False if the file is in Keras' newer layout (`.weights.h5`), which goes by names
        and is left to Keras.

    Raises:
        UnsupportedModelError: the file cannot be read, or a weight has another shape;
            the message names the first that differs.
    """
    try:
        with h5py.File(path, "r") as file:
            group = file.get("model_weights", file)
            if not _attribute(group, "layer_names"):
                return False
            in_file = list(_weights_of_file(group))
    except (OSError, KeyError) as error:
        raise UnsupportedModelError(
            f"{path}: no readable HDF5 file ({error}).\n"
            "  Fix: the file may be cut off or damaged; copy or fetch it again."
        ) from error
    in_model = [
        (weight.name, tuple(weight.shape))
        for weight in _weights_of_model(model)
        if id(weight) not in left
    ]
    for number, (theirs, ours) in enumerate(itertools.zip_longest(in_file, in_model)):
        if theirs is None or ours is None or theirs[1] != ours[1]:
            raise UnsupportedModelError(
                f'{path}: the weights of another network than "{model.name}": weight '
                f"{number} is {_describe(theirs)} in the file, {_describe(ours)} in the "
                f"model ({len(in_file)} weights in the file, {len(in_model)} in the "
                "model).\n  Fix: a file saved from the same network, with the same "
                "num_classes, include_top and channels of the input."
            )
    return True


def _weights_of_file(group: h5py.Group) -> Iterator[Named]:
    for layer in _attribute(group, "layer_names"):
        for weight in _attribute(group[layer], "weight_names"):
            yield weight, tuple(group[layer][weight].shape)


def _weights_of_model(model: tf_keras.Model) -> Iterator[tf.Variable]:
    for layer in model.layers:
        yield from layer.trainable_weights + layer.non_trainable_weights


def load_float_kernels(model: tf_keras.Model, path: Path) -> bool:
    """Loads a file of the same network with float kernels, whose quantizers learn nothing.

    What the model's kernel quantizers learn starts from the kernels that were loaded.

    Returns:
        False if it is no such file, or if the model's kernel quantizers have no weights;
        then nothing changes.
    """
    layers = [part for part in model.submodules if isinstance(part, QuantLayer)]
    left = {
        id(weight)
        for layer in layers
        for role in layer.quantized_weights.values()
        for weight in getattr(getattr(layer, role), "weights", ())
    }
    if not left or not h5py.is_hdf5(path):
        return False
    ours = [w for w in _weights_of_model(model) if id(w) not in left]
    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        names = [
            (layer, weight)
            for layer in _attribute(group, "layer_names")
            for weight in _attribute(group[layer], "weight_names")
        ]
        if len(names) != len(ours):
            return False
        compare_shapes(model, path, left)
        for weight, (layer, name) in zip(ours, names, strict=True):
            weight.assign(group[layer][name][()])
    for layer in layers:
        layer.start_quantizers()
    return True


def _attribute(group: h5py.Group, name: str) -> list[str]:
    """A list of names; Keras splits one that is too long for HDF5 into name0, name1..."""
    values = list(group.attrs.get(name, ()))
    for number in itertools.count():
        if f"{name}{number}" not in group.attrs:
            break
        values.extend(group.attrs[f"{name}{number}"])
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


def _describe(weight: Named | None) -> str:
    return "missing" if weight is None else f'"{weight[0]}" {weight[1]}'
