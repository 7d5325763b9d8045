"""Optimizers of a recipe: typed data that becomes a Keras optimizer."""

from __future__ import annotations

from dataclasses import dataclass, field

import tf_keras

import larqlite as lq
from larqlite_zoo.training._schedules import AnySchedule, Constant


@dataclass(frozen=True)
class Adam:
    """Adam (https://arxiv.org/abs/1412.6980)."""

    schedule: AnySchedule = field(default_factory=Constant)
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    weight_decay: float | None = None

    def build(self, steps_per_epoch: int, epochs: int) -> tf_keras.optimizers.Optimizer:
        """The Keras optimizer."""
        return tf_keras.optimizers.Adam(
            self.schedule.build(steps_per_epoch, epochs),
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent."""

    schedule: AnySchedule = field(default_factory=Constant)
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float | None = None

    def build(self, steps_per_epoch: int, epochs: int) -> tf_keras.optimizers.Optimizer:
        """The Keras optimizer."""
        return tf_keras.optimizers.SGD(
            self.schedule.build(steps_per_epoch, epochs),
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


@dataclass(frozen=True)
class Bop:
    """The binary optimizer: flips weights, keeps no latent ones
    (https://arxiv.org/abs/1906.02107)."""

    threshold: float = 1e-8
    gamma: float = 1e-4

    def build(self, steps_per_epoch: int, epochs: int) -> tf_keras.optimizers.Optimizer:
        """The larqlite optimizer."""
        return lq.optimizers.Bop(threshold=self.threshold, gamma=self.gamma)


@dataclass(frozen=True)
class TwoOptimizers:
    """One optimizer for binary kernels, another for every other weight."""

    binary: Adam | Bop = field(default_factory=Adam)
    other: Adam | SGD = field(default_factory=SGD)

    def build(self, steps_per_epoch: int, epochs: int) -> tf_keras.optimizers.Optimizer:
        """The larqlite optimizer, a `CaseOptimizer`."""
        return lq.optimizers.CaseOptimizer(
            (
                lq.optimizers.Bop.is_binary_variable,
                self.binary.build(steps_per_epoch, epochs),
            ),
            default_optimizer=self.other.build(steps_per_epoch, epochs),
        )


AnyOptimizer = Adam | SGD | TwoOptimizers
