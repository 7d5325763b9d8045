"""Which layer of a network is the first to give a value that is not finite."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

flatten = tf.nest.flatten


def broken_output(model: tf_keras.Model, images, training: bool) -> str | None:
    """A phrase naming the first layer whose output is not finite, or None."""
    layers, outputs = _outputs(model, images, training)
    for layer, output in zip(layers, outputs, strict=True):
        if _are_finite(output):
            continue
        bad = [w.name for w in layer.weights if not _are_finite(w.numpy())]
        if bad:
            return f'"{layer.name}", whose weight {bad[0]} is not finite'
        if isinstance(layer, tf_keras.Model):
            inputs = tf_keras.Model(model.inputs, layer.get_input_at(0))
            inside = broken_output(layer, inputs(images, training=training), training)
            return inside or f'"{layer.name}", its output'
        return f'"{layer.name}", its output'
    return None


def broken_gradient(model, student, images, labels) -> str | None:
    """A phrase naming the layer whose backward pass is the first to go wrong, or None.

    That is one whose output has a finite gradient, and whose weights or inputs have not.

    Args:
        model: compiled.
        student: the model itself, or the part of it whose layers are looked at.
        images, labels: the batch.
    """
    if model is not student:
        return _broken_weight(model, student, images, labels)
    with tf.GradientTape() as tape:
        layers, outputs = _outputs(student, images, training=True)
        loss = model.compute_loss(images, labels, outputs[-1], None)
    gradients = tape.gradient(loss, outputs)
    values = {
        id(symbol): value
        for layer, output in zip(layers, outputs, strict=True)
        for symbol, value in zip(
            flatten(layer.get_output_at(0)), flatten(output), strict=True
        )
    }
    values |= {id(symbol): images for symbol in student.inputs}
    for layer, gradient in zip(reversed(layers), reversed(gradients), strict=True):
        known = [g for g in flatten(gradient) if g is not None]
        if not known:
            continue
        if not _are_finite(known):
            return f'"{layer.name}", the gradient of its output'
        if _breaks(layer, gradient, values):
            return f'"{layer.name}", its gradient'
    return None


def _breaks(layer, gradient, values) -> bool:
    """Whether a layer makes bad gradients of a good one."""
    inputs = tf.nest.map_structure(
        lambda symbol: values.get(id(symbol)), layer.get_input_at(0)
    )
    weights = layer.trainable_weights
    try:
        with tf.GradientTape() as tape:
            tape.watch(flatten(inputs))
            output = layer(inputs, training=True)
        made = tape.gradient(output, [inputs, weights], output_gradients=gradient)
    except (TypeError, ValueError):
        return False  # an operation that takes more than its inputs
    return not _are_finite([g for g in flatten(made) if g is not None])


def _broken_weight(model, student, images, labels) -> str | None:
    with tf.GradientTape() as tape:
        predictions = model(images, training=True)
        loss = model.compute_loss(images, labels, predictions, None)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    broken = {
        variable.name
        for variable, gradient in zip(variables, gradients, strict=True)
        if gradient is not None and not _are_finite(gradient)
    }
    for layer in reversed(student.layers):
        for weight in layer.trainable_weights:
            if weight.name in broken:
                return f'"{layer.name}", the gradient of {weight.name}'
    return None


def _outputs(model: tf_keras.Model, images, training: bool):
    """The layers of a model in the order of computation, and what they return."""
    layers = [
        layer
        for layer in model.layers
        if not isinstance(layer, tf_keras.layers.InputLayer)
    ]
    inspected = tf_keras.Model(
        model.inputs, [layer.get_output_at(0) for layer in layers]
    )
    outputs = inspected(images, training=training)
    return layers, outputs if len(layers) > 1 else [outputs]


def _are_finite(values) -> bool:
    return all(
        np.isfinite(np.asarray(tf.cast(tf.convert_to_tensor(value), tf.float32))).all()
        for value in flatten(values)
        if not tf.convert_to_tensor(value).dtype.is_integer
    )
