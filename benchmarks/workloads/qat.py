"""Quantization-aware training of MobileNetV2 at 32x32: making the model, and one step."""

import importlib
import logging

import numpy as np
import tensorflow as tf
import tf_keras

from workloads._base import Workload

QUANTIZE = {
    "larqlite": ("larqlite.qat", "quantize_model"),
    "tfmot": (
        "tensorflow_model_optimization.python.core.quantization.keras.quantize",
        "quantize_model",
    ),
}
CLASSES = 10


def prepare(library: str, part: str, batch_size: int = 32) -> Workload:
    """One of three pieces of work on the same network with the same weights.

    Args:
        library: "larqlite" or "tfmot"; of no account for the float network.
        part: "quantize" makes the quantization-aware model; "step" trains it for one
            step at 8 bits; "float" trains the float network for one step.
        batch_size: images of a batch.
    """
    tf_keras.utils.set_random_seed(1)
    network = tf_keras.applications.MobileNetV2(
        (32, 32, 3), weights=None, classes=CLASSES
    )
    logging.getLogger("larqlite").setLevel(logging.ERROR)
    module, name = QUANTIZE[library]
    quantize = getattr(importlib.import_module(module), name)
    if part == "quantize":
        made = []

        def step() -> None:
            made[:] = [quantize(network)]

        return Workload(step, lambda: [float(made[0].count_params())])
    return _training(network if part == "float" else quantize(network), batch_size)


def _training(model: tf_keras.Model, batch_size: int) -> Workload:
    model.compile(
        tf_keras.optimizers.SGD(1e-3),
        tf_keras.losses.SparseCategoricalCrossentropy(),
        jit_compile=False,
    )
    rng = np.random.default_rng(1)
    batch = (
        tf.constant(rng.normal(0, 1, (batch_size, 32, 32, 3)), tf.float32),
        tf.constant(rng.integers(0, CLASSES, batch_size)),
    )
    train_step = tf.function(model.train_step)
    losses = []

    def step() -> None:
        losses.append(float(train_step(batch)["loss"]))

    return Workload(step, lambda: losses[:2])
