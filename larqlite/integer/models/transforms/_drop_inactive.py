"""Layers that do nothing in inference go: noise and augmentation, which train a model."""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerGraph, LayerUse, recorded_training
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    dtype_of,
    label,
    new,
    setting,
)
from larqlite.qat.wrapper import name_of

layers = tf_keras.layers

# A Dropout has an integer form of its own, which QuantizeML's models have too.
INACTIVE = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.RandomBrightness,
    layers.RandomContrast,
    layers.RandomFlip,
    layers.RandomHeight,
    layers.RandomRotation,
    layers.RandomTranslation,
    layers.RandomWidth,
    layers.RandomZoom,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
)


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Drops them, unless a call says `training=True`: what reads them reads their input.

    A cast that such a layer makes stays, as a Rescaling by 1.
    """
    is_changed = False
    for use in list(graph.uses):
        if not _is_inactive(use):
            continue
        given, taken = dtype_of(use.inputs[0]), dtype_of(use.outputs[0])
        if given == taken:
            graph.remove(use)
        else:
            name = label(use.entry)
            if surgery.is_shared(use.entry):
                name = surgery.new_name(name)
            cast = layers.Rescaling(1.0, name=name, dtype=taken)
            graph.rewire(use, new(cast), use.inputs[0])
        is_changed = True
    return is_changed


def _is_inactive(use: LayerUse) -> bool:
    layer = use.layer
    if type(layer) is layers.Activation:
        return name_of(setting(use.entry, "activation")) == "linear"
    if type(layer) not in INACTIVE or len(use.inputs) != 1:
        return False
    return not _trains(use)


def _trains(use: LayerUse) -> bool:
    training = recorded_training(use.layer, use.args, use.kwargs)
    return training is not None and training is not False
