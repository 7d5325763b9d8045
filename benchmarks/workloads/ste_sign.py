"""ste_sign of 4M floats and its gradient."""

import importlib

import numpy as np
import tensorflow as tf

from workloads._base import Workload


def prepare(library: str, jit_compile: bool = False, size: int = 2**22) -> Workload:
    """`q(x)` and `dq/dx * dy` for fixed `x` and `dy` of `size` values."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(0, 1, size), tf.float32)
    dy = tf.constant(rng.normal(0, 1, size), tf.float32)
    quantizer = importlib.import_module(library).quantizers.SteSign()

    @tf.function(jit_compile=jit_compile)
    def forward_and_backward(
        x: tf.Tensor, dy: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizer(x)
        return y, tape.gradient(y, x, dy)

    def check() -> list[float]:
        y, dx = forward_and_backward(x, dy)
        return [float(tf.reduce_sum(y)), float(tf.reduce_sum(tf.abs(dx)))]

    return Workload(lambda: forward_and_backward(x, dy), check)
