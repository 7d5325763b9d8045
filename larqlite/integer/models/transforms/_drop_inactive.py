"""Layers that do nothing in inference go: noise and augmentation, which train a model."""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerGraph, LayerUse, facts_of, recorded_training
from larqlite.integer.layers.internal import QuantizedLayer, quantized_class
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    dtype_of,
    label,
    new,
    setting,
)
from larqlite.qat.wrapper import name_of

layers = tf_keras.layers


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
    # A Dropout has an integer form of its own, which QuantizeML's models have too.
    has_form = isinstance(layer, QuantizedLayer) or quantized_class(layer) is not None
    is_inactive = facts_of(layer).does_nothing_in_inference and not has_form
    if not is_inactive or len(use.inputs) != 1:
        return False
    return not _trains(use)


def _trains(use: LayerUse) -> bool:
    training = recorded_training(use.layer, use.args, use.kwargs)
    return training is not None and training is not False
