"""Learning rates as functions of the epoch: typed data that becomes a Keras schedule.

Each class is a frozen dataclass whose fields are flags of `lqz train`; `build` turns it
into a schedule of optimizer steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import tf_keras

from larqlite_zoo.training.learning_schedules import (
    CosineDecayWithWarmup,
    LinearCosineDecay,
    R2BStepSchedule,
)

Schedule = tf_keras.optimizers.schedules.LearningRateSchedule


@dataclass(frozen=True)
class Constant:
    """The same learning rate from the first step to the last."""

    learning_rate: float = 1e-3

    def build(self, steps_per_epoch: int, epochs: int) -> float:
        """The number itself, which Keras optimizers take too."""
        return self.learning_rate


@dataclass(frozen=True)
class Steps:
    """`learning_rate * factors[i]` from epoch `epochs[i]` on; before it, `learning_rate`."""

    learning_rate: float
    epochs: tuple[int, ...]
    factors: tuple[float, ...]

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        rates = [self.learning_rate * factor for factor in (1.0, *self.factors)]
        # Keras changes the value *after* a boundary, hence the last step of an epoch.
        boundaries = [epoch * steps_per_epoch - 1 for epoch in self.epochs]
        return tf_keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)


@dataclass(frozen=True)
class Exponential:
    """`learning_rate * factor ** (epoch // every)`."""

    learning_rate: float
    factor: float
    every: int

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        return tf_keras.optimizers.schedules.ExponentialDecay(
            self.learning_rate, self.every * steps_per_epoch, self.factor, staircase=True
        )


@dataclass(frozen=True)
class Linear:
    """From `learning_rate` down to 0 in equal steps over `steps` (None: the whole run).

    With `cosine`, times half a cosine, the schedule that TensorFlow once had under the
    name LinearCosineDecay.
    """

    learning_rate: float
    steps: int | None = None
    cosine: bool = False

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        steps = self.steps or steps_per_epoch * epochs
        if self.cosine:
            return LinearCosineDecay(self.learning_rate, steps)
        return tf_keras.optimizers.schedules.PolynomialDecay(
            self.learning_rate, steps, end_learning_rate=0.0, power=1.0
        )


@dataclass(frozen=True)
class Cosine:
    """Up from 0 over the epochs of `warmup`, then half a cosine down to 0."""

    learning_rate: float
    warmup: float = 0.0

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        return CosineDecayWithWarmup(
            self.learning_rate,
            round(self.warmup * steps_per_epoch),
            epochs * steps_per_epoch,
        )


@dataclass(frozen=True)
class RealToBinary:
    """The steps of the Real-to-Binary paper: 5 epochs of warm-up, then times
    `decay_fraction` at epochs 40, 60 and 70."""

    learning_rate: float
    decay_fraction: float

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        return R2BStepSchedule(self.learning_rate, steps_per_epoch, self.decay_fraction)


AnySchedule = Constant | Steps | Exponential | Linear | Cosine | RealToBinary
