"""Bop's update of 11M binary weights: `apply_gradients` inside a tf.function."""

import importlib

import networks
import numpy as np
import tensorflow as tf

from workloads._base import Workload


def prepare(library: str) -> Workload:
    """The binary kernels of an 18-layer network, with gradients that flip a few."""
    rng = np.random.default_rng(0)
    kernels, gradients = [], []
    for shape in networks.kernel_shapes():
        signs = np.where(rng.normal(0, 1, shape) < 0, -1.0, 1.0)
        kernels.append(tf.Variable(signs, dtype=tf.float32))
        gradients.append(tf.constant(rng.normal(0, 1e-4, shape), tf.float32))
    bop = importlib.import_module(library).optimizers.Bop(threshold=1e-6, gamma=1e-2)

    @tf.function
    def update(gradients: list[tf.Tensor]) -> None:
        bop.apply_gradients(zip(gradients, kernels, strict=True))

    def check() -> list[float]:
        return [float(tf.reduce_sum(kernel)) for kernel in kernels]

    return Workload(lambda: update(gradients), check)
