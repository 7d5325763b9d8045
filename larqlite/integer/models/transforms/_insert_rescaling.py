"""A Rescaling as the first layer of a model."""

from __future__ import annotations

import tf_keras

from larqlite.errors import ArgumentError
from larqlite.integer.models.transforms._surgery import Surgery, built, new

__all__ = ["insert_rescaling"]


def insert_rescaling(
    model: tf_keras.Model, scale: float, offset: float
) -> tf_keras.Model:
    """A model that first computes `scale * x + offset` of its input.

    Args:
        model: a built Sequential or functional model with one input; it is not changed.
        scale: factor, or one for each channel.
        offset: what is added after it, or one number for each channel.

    Returns:
        A new model.

    Raises:
        UnbuiltModelError: a `ValueError`: the model has no input layer yet.
        ArgumentError: a `ValueError`: it has several.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Flatten(input_shape=(2, 1))])
        >>> scaled = lq.integer.models.transforms.insert_rescaling(model, 0.5, -1.0)
        >>> scaled(tf.constant([[[2.0], [4.0]]])).numpy().tolist()
        [[0.0, 1.0]]
    """
    surgery = Surgery(model, "insert_rescaling")
    if len(surgery.root.inputs) != 1:
        names = ", ".join(layer.name for layer, _ in surgery.root.inputs)
        raise ArgumentError(
            f'{surgery.where}: the model "{model.name}" has several inputs: {names}.\n'
            "  Fix: put a tf_keras.layers.Rescaling after the one that needs it."
        )
    layer = tf_keras.layers.Rescaling(scale, offset, name=surgery.new_name("rescaling"))
    ((_, edge),) = surgery.root.inputs
    surgery.root.insert_after(edge, new(layer))
    return built(surgery)
