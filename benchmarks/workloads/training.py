"""One training step of a binary network: forward, backward, Adam, constraints."""

import importlib

import networks
import numpy as np
import tensorflow as tf
import tf_keras

from workloads._base import Workload

NETWORKS = {
    "binary_vgg": (networks.binary_vgg, (32, 32, 3), 10),
    "bireal_net": (networks.bireal_net, (224, 224, 3), 1000),
}


def prepare(
    library: str, network: str, batch_size: int, policy: str = "float32"
) -> Workload:
    """A compiled network, its seeded weights and a fixed batch."""
    tf_keras.mixed_precision.set_global_policy(policy)
    build, shape, classes = NETWORKS[network]
    model = build(importlib.import_module(library))
    networks.set_seeded_weights(model)
    model.compile(
        tf_keras.optimizers.Adam(1e-3),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    rng = np.random.default_rng(1)
    batch = (
        tf.constant(rng.normal(0, 1, (batch_size, *shape)), tf.float32),
        tf.constant(rng.integers(0, classes, batch_size)),
    )
    train_step = tf.function(model.train_step)
    seen: list[float] = []

    def step() -> None:
        # The loss metric is a running mean: reset, it is the loss of this step.
        model.reset_metrics()
        loss = float(train_step(batch)["loss"])
        if not seen:
            seen.extend([loss, *_moments(model.optimizer)])

    return Workload(step, lambda: seen)


def _moments(optimizer: tf_keras.optimizers.Optimizer) -> list[float]:
    """Sums of Adam's averages: after one step, of each kernel's gradient magnitudes.

    The loss of the second step would say less. A binary network is chaotic: weights
    that differ in the last bit flip a few signs, and those change the loss after one
    step of Adam by several percent.
    """
    return [
        float(tf.reduce_sum(tf.abs(variable)))
        for variable in optimizer.variables
        if variable.shape.rank > 1
    ]
