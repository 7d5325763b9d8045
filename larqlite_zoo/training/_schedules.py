"""Learning rates as functions of the epoch: typed data that becomes a Keras schedule.

Each class is a frozen dataclass whose fields are flags of `lqz train`; `build` turns it
into a schedule of optimizer steps, `str` into a phrase for `lqz list --recipes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from larqlite.errors import ArgumentError

if TYPE_CHECKING:
    from tf_keras.optimizers.schedules import LearningRateSchedule as Schedule

Rate = Annotated[float, arg(help="The learning rate, before anything lowers it.")]


@dataclass(frozen=True)
class Constant:
    """The same learning rate from the first step to the last."""

    learning_rate: Rate = 1e-3

    def __str__(self) -> str:
        return f"{self.learning_rate:g}"

    def build(self, steps_per_epoch: int, epochs: int) -> float:
        """The number itself, which Keras optimizers take too."""
        return self.learning_rate


@dataclass(frozen=True)
class Steps:
    r"""$\eta(e) = \eta_0 f_i$ from epoch $e_i$ on, and $\eta_0$ before the first of them.

    Raises:
        ArgumentError: epochs and factors that differ in number, or epochs not in order.
    """

    learning_rate: Rate = 1e-3
    at_epochs: Annotated[
        tuple[int, ...], arg(help="The epochs at which the learning rate changes.")
    ] = ()
    factors: Annotated[
        tuple[float, ...],
        arg(help="What the first learning rate is multiplied by from there on."),
    ] = ()

    def __post_init__(self) -> None:
        if len(self.at_epochs) != len(self.factors):
            raise ArgumentError(
                f"a learning rate that changes at {len(self.at_epochs)} epochs "
                f"({self.at_epochs}), by {len(self.factors)} factors ({self.factors}).\n"
                "  Fix: as many of --at-epochs as of --factors."
            )
        if (
            list(self.at_epochs) != sorted({*self.at_epochs})
            or min(self.at_epochs, default=1) < 1
        ):
            raise ArgumentError(
                f"a learning rate that changes at the epochs {self.at_epochs}.\n"
                "  Fix: different epochs of at least 1, in ascending order."
            )

    def __str__(self) -> str:
        factors = ", ".join(f"{factor:g}" for factor in self.factors)
        epochs = ", ".join(map(str, self.at_epochs))
        steps = f", x{factors} at {epochs}" if epochs else ""
        return f"{self.learning_rate:g}{steps}"

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        import tf_keras

        rates = [self.learning_rate * factor for factor in (1.0, *self.factors)]
        # Keras changes the value *after* a boundary, hence the last step of an epoch.
        boundaries = [epoch * steps_per_epoch - 1 for epoch in self.at_epochs]
        return tf_keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, rates)


@dataclass(frozen=True)
class Exponential:
    r"""$\eta(e) = \eta_0 f^{\lfloor e / n \rfloor}$."""

    learning_rate: Rate = 1e-3
    factor: Annotated[
        float, arg(help="What the learning rate is multiplied by, again and again.")
    ] = 0.5
    every: Annotated[int, arg(help="Epochs from one multiplication to the next.")] = 10

    def __str__(self) -> str:
        return f"{self.learning_rate:g}, x{self.factor:g} every {self.every}"

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        import tf_keras

        return tf_keras.optimizers.schedules.ExponentialDecay(
            self.learning_rate,
            self.every * steps_per_epoch,
            self.factor,
            staircase=True,
        )


@dataclass(frozen=True)
class Linear:
    """From `learning_rate` down to 0 in equal steps.

    With `cosine`, times half a cosine, the schedule that TensorFlow once had under the
    name LinearCosineDecay.
    """

    learning_rate: Rate = 1e-3
    decay_steps: Annotated[
        int | None, arg(help="Steps until the learning rate is 0; None: the whole run.")
    ] = None
    cosine: Annotated[bool, arg(help="Multiply by half a cosine.")] = False

    def __str__(self) -> str:
        return f"{self.learning_rate:g}, linear{' cosine' if self.cosine else ''}"

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        import tf_keras

        steps = self.decay_steps or steps_per_epoch * epochs
        if self.cosine:
            return _learning_schedules().LinearCosineDecay(self.learning_rate, steps)
        return tf_keras.optimizers.schedules.PolynomialDecay(
            self.learning_rate, steps, end_learning_rate=0.0, power=1.0
        )


@dataclass(frozen=True)
class Cosine:
    """Up from 0 over the epochs of `warmup`, then half a cosine down to 0."""

    learning_rate: Rate = 1e-3
    warmup: Annotated[
        float, arg(help="Epochs in which the learning rate rises from 0.")
    ] = 0.0

    def __str__(self) -> str:
        warmup = f", {self.warmup:g} of warm-up" if self.warmup else ""
        return f"{self.learning_rate:g}, cosine{warmup}"

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        return _learning_schedules().CosineDecayWithWarmup(
            self.learning_rate,
            round(self.warmup * steps_per_epoch),
            epochs * steps_per_epoch,
        )


@dataclass(frozen=True)
class RealToBinary:
    """The steps of the Real-to-Binary paper: 5 epochs of warm-up, then times
    `decay_fraction` at epochs 40, 60 and 70."""

    learning_rate: Rate = 1e-3
    decay_fraction: Annotated[
        float, arg(help="What the learning rate is multiplied by at each step.")
    ] = 0.3

    def __str__(self) -> str:
        return f"{self.learning_rate:g}, x{self.decay_fraction:g} at 40, 60, 70"

    def build(self, steps_per_epoch: int, epochs: int) -> Schedule:
        """The Keras schedule."""
        return _learning_schedules().R2BStepSchedule(
            self.learning_rate, steps_per_epoch, self.decay_fraction
        )


AnySchedule = Constant | Steps | Exponential | Linear | Cosine | RealToBinary


def _learning_schedules():
    """The schedules of ours, which derive from those of Keras."""
    from larqlite_zoo.training import learning_schedules

    return learning_schedules
