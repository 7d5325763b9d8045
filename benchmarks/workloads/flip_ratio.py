"""One update of the flip ratio of every kernel of a network, 11M weights."""

import importlib
import itertools

import networks
import numpy as np
import tensorflow as tf

from workloads._base import Workload


def prepare(library: str) -> Workload:
    """A FlipRatio per kernel, fed with two sets of signs in turn."""
    rng = np.random.default_rng(0)
    shapes = networks.kernel_shapes()
    signs = itertools.cycle(
        [
            [
                tf.constant(np.where(rng.normal(0, 1, s) < 0, -1.0, 1.0), tf.float32)
                for s in shapes
            ]
            for _ in range(2)
        ]
    )
    flip_ratio = importlib.import_module(library).metrics.FlipRatio
    metrics = [flip_ratio(name=f"flip_ratio_{i}") for i in range(len(shapes))]
    for metric, values in zip(metrics, next(signs), strict=True):
        metric.update_state(values)

    @tf.function
    def update(kernels: list[tf.Tensor]) -> None:
        for metric, kernel in zip(metrics, kernels, strict=True):
            metric.update_state(kernel)

    def check() -> list[float]:
        return [float(metric.result()) for metric in metrics]

    return Workload(lambda: update(next(signs)), check)
