"""Questions that some training steps of a copy answer: which gradients are zero, what flips."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._copies import copy_of
from larqlite._io import lesson
from larqlite.analysis._diagnosis import NEVER, NO_GRADIENT, Histogram, Judged, judge
from larqlite.analysis._kernel_checks import Kernel, kernels_of, near_zero
from larqlite.analysis._samples import Samples
from larqlite.graph import facts_of

__all__ = ["ask_training"]

# With fewer weights it may happen that none flips.
_FEWEST = 64


def ask_training(
    judged: list[Judged],
    model: tf_keras.Model,
    layers_of: Any,
    samples: Samples,
    steps: int,
    learning_rate: float,
    seed: int,
    where: str,
    *,
    keeps_latents: bool,
) -> None:
    """Trains a copy for some steps, and asks of each kernel whether it takes part.

    Args:
        judged: takes the answers.
        model: the model, which is not changed.
        layers_of: gives `(path, layer)` of a model.
        samples: what it is trained on, a batch in each step.
        steps: how many.
        learning_rate: of Adam.
        seed: of the signs that stand for labels, where there are none.
        where: the public function, for messages.
        keeps_latents: whether there are latent weights, which steps of Adam move.
    """
    copy = copy_of(model, where)
    layers = list(layers_of(copy))
    kernels = [kernel for path, layer in layers for kernel in kernels_of(path, layer)]
    watched = _watched(layers)
    if not watched or not copy.trainable_variables:
        return
    loss_of = _loss(model, copy, samples, seed, where)
    optimizer = tf_keras.optimizers.Adam(learning_rate)
    optimizer.build(copy.trainable_variables)
    signs = [np.sign(kernel.quantized) for kernel in kernels]
    flipped = [np.zeros(sign.shape, bool) for sign in signs]
    moved = {
        key: np.zeros(variable.shape, bool) for key, (_, variable, _) in watched.items()
    }
    largest = {
        key: np.zeros(variable.shape, np.float32)
        for key, (_, variable, _) in watched.items()
    }
    batches = list(samples.batches())
    for step in range(steps):
        number = step % len(batches)
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(copy(batches[number], training=True))
            loss = loss_of(number, outputs) + sum(copy.losses)
        gradients = tape.gradient(loss, copy.trainable_variables)
        pairs = list(zip(gradients, copy.trainable_variables, strict=True))
        for gradient, variable in pairs:
            key = id(_plain(variable))
            if key in watched and gradient is not None:
                size = np.abs(tf.convert_to_tensor(gradient).numpy())
                moved[key] |= size > 0
                largest[key] = np.maximum(largest[key], size)
        optimizer.apply_gradients([pair for pair in pairs if pair[0] is not None])
        for kernel, sign, flips in zip(kernels, signs, flipped, strict=True):
            flips |= np.sign(kernel.quantized) != sign
    _judge_gradients(judged, watched, moved, largest)
    still = {key for key in watched if not moved[key].any()}
    for kernel, flips in zip(kernels, flipped, strict=True):
        if keeps_latents and id(_plain(kernel.weight)) not in still:
            _judge_flips(judged, kernel, flips)


def _watched(layers: list) -> dict[int, tuple[str, Any, str]]:
    """The trainable kernels of layers: path, variable, and what leads to it in code."""
    found: dict[int, tuple[str, Any, str]] = {}
    for path, layer in layers:
        named = [(kernel.weight, kernel.code) for kernel in kernels_of(path, layer)]
        named += [
            (getattr(layer, axes.name, None), f"layer.{axes.name}")
            for axes in facts_of(layer).kernels
        ]
        for variable, code in named:
            if layer.trainable and getattr(variable, "trainable", False):
                found.setdefault(id(_plain(variable)), (path, variable, code))
    return found


def _judge_gradients(
    judged: list[Judged], watched: dict, moved: dict, largest: dict
) -> None:
    ill = [key for key in watched if 1 - moved[key].mean() > 0.95]
    last = watched[ill[-1]][0] if ill else ""
    for key, (path, _, _) in watched.items():
        behind = (
            f'The first of them, from the outputs, is "{last}": '
            if path != last
            else ""
        )
        judge(
            judged,
            path,
            NO_GRADIENT,
            float(1 - moved[key].mean()),
            f"{behind}look at what stands between {last} and the outputs: a ReLU that gives "
            "only zeros, signs or levels whose inputs are all clipped. "
            f"tf_keras.layers.BatchNormalization() behind {last}, before its activation, "
            "lets gradients pass again.",
            Histogram.of(largest[key], "largest gradient of a weight"),
        )


def _judge_flips(judged: list[Judged], kernel: Kernel, flips: np.ndarray) -> None:
    has_signs = kernel.is_binary or kernel.precision == 2
    if not has_signs or flips.size < _FEWEST:
        return
    judge(
        judged,
        kernel.path,
        NEVER,
        float(flips.mean()),
        "bring the latent weights nearer to zero, the signs as they are, so that steps of "
        f"the learning rate reach it:\n{near_zero(kernel.code)}",
        Histogram.of(kernel.latent, "latent weight"),
    )


def _loss(
    model: tf_keras.Model, copy: tf_keras.Model, samples: Samples, seed: int, where: str
) -> Any:
    """The loss of a batch, by its number, for the outputs of the copy."""
    size = samples.batch_size
    if samples.labels is not None and len(model.outputs) == 1:
        found = lesson(model, getattr(model, "loss", None), samples.labels, where)
        labels = found.labels(model, samples.labels)
        loss = found.loss
        if isinstance(loss, str):
            loss = tf_keras.losses.get(loss)

        def of_labels(number: int, outputs: list) -> tf.Tensor:
            wanted = labels[number * size : (number + 1) * size]
            return tf.reduce_mean(tf.cast(loss(wanted, outputs[0]), tf.float32))

        return of_labels
    random = np.random.default_rng(seed)
    # Of each batch the same in every step, so that steps go one way.
    signs: dict[int, list] = {}

    def of_signs(number: int, outputs: list) -> tf.Tensor:
        if number not in signs:
            signs[number] = [random.choice((-1.0, 1.0), out.shape) for out in outputs]
        pairs = zip(outputs, signs[number], strict=True)
        return sum(
            tf.reduce_mean(tf.cast(out, tf.float32) * sign) for out, sign in pairs
        )

    return of_signs


def _plain(variable: Any) -> Any:
    """The variable under a view, by which an optimizer knows it."""
    while (inner := getattr(variable, "latent_variable", None)) is not None:
        variable = inner
    return variable
