"""Where a loss became NaN: found by running the last steps again, layer by layer."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.errors import LarqliteError


class DivergenceError(LarqliteError, ArithmeticError):
    """A loss or a weight that became NaN or infinite in training."""


def error(run, step: int) -> DivergenceError:
    """What to raise after the step whose loss, or whose weights, are not finite.

    The weights at that moment do not tell the layer: one backward pass spreads NaN over
    all of them. So the run goes back to its last checkpoint and repeats the steps since,
    whose batches are the same, to the one before; then the layers are looked at.
    """
    saved = run.checkpoints.restore()
    where = "not looked for, because the run is distributed over several devices"
    if run.strategy.num_replicas_in_sync == 1:
        step, where = _locate(run, saved, step)
    good = run.checkpoints.last or "none: it happened before the first one was written"
    return DivergenceError(
        f"{run.recipe.name}: the loss is not finite at step {step} (epoch "
        f"{(step - 1) // run.steps + 1}).\n  Layer: {where}.\n"
        f"  Last good checkpoint: {good}.\n"
        "  Fix: a smaller learning rate, a warm-up, or clean inputs; the same command "
        "goes on from that checkpoint."
    )


def _locate(run, saved: int, bad: int) -> tuple[int, str]:
    """The step, counted from 1, that went wrong first, and a phrase naming the layer."""
    model = run.trained.model
    if saved == 0 and run.checkpoints.last is None:
        run.start_again()
    step = saved
    for images, labels in run.batches(saved, shard=(0, 1)).take(bad - saved):
        before = model.get_weights()
        model.reset_metrics()
        loss = model.train_on_batch(images, labels, return_dict=True)["loss"]
        step += 1
        after_is_finite = all(np.isfinite(w).all() for w in model.get_weights())
        if np.isfinite(loss) and after_is_finite:
            continue
        model.set_weights(before)
        return step, _layer(run.trained.student, model, images, labels)
    return bad, "not found: the steps since the checkpoint went well when repeated"


def _layer(student, model, images, labels) -> str:
    """Names what is not finite first: the images, an output on the way, a gradient."""
    if not np.isfinite(images).all():
        return "none, the images of this step hold values that are not finite"
    found = _first_output(student, images)
    if found is not None:
        return found
    gradients = _gradients(model, images, labels)
    broken = {
        variable.name
        for variable, gradient in gradients
        if gradient is not None and not np.isfinite(tf.convert_to_tensor(gradient)).all()
    }
    for layer in reversed(list(_layers(student))):
        names = [weight.name for weight in layer.trainable_weights]
        if broken.intersection(names):
            return f'"{layer.name}", the gradient of {names[0]}'
    return "the loss itself; every output and gradient is finite"


def _first_output(student: tf_keras.Model, images) -> str | None:
    layers = [layer for layer in _layers(student) if not _is_input(layer)]
    inspected = tf_keras.Model(student.inputs, [layer.output for layer in layers])
    outputs = inspected(images, training=True)
    for layer, output in zip(layers, outputs, strict=True):
        if not np.isfinite(tf.cast(output, tf.float32)).all():
            bad = [w.name for w in layer.weights if not np.isfinite(w.numpy()).all()]
            reason = f"whose weight {bad[0]} is not finite" if bad else "its output"
            return f'"{layer.name}", {reason}'
    return None


def _gradients(model, images, labels):
    with tf.GradientTape() as tape:
        predictions = model(images, training=True)
        loss = model.compute_loss(images, labels, predictions, None)
    variables = model.trainable_variables
    return list(zip(variables, tape.gradient(loss, variables), strict=True))


def _layers(model: tf_keras.Model):
    return model.layers


def _is_input(layer) -> bool:
    return isinstance(layer, tf_keras.layers.InputLayer)
