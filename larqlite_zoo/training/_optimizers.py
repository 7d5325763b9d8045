"""Optimizers of a recipe: typed data that becomes a Keras optimizer, for which Keras is
imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from larqlite_zoo.training._schedules import AnySchedule, Constant

if TYPE_CHECKING:
    import tf_keras

# On the command line a schedule's fields stand beside those of its optimizer.
_Schedule = Annotated[AnySchedule, arg(name="")]
_WeightDecay = Annotated[
    float | None,
    arg(help="Share by which a step of learning rate 1 shrinks every weight."),
]


@dataclass(frozen=True)
class Adam:
    """Adam (https://arxiv.org/abs/1412.6980)."""

    schedule: _Schedule = field(default_factory=Constant)
    beta_1: Annotated[float, arg(help="Decay of the mean of the gradients.")] = 0.9
    beta_2: Annotated[float, arg(help="Decay of the mean of their squares.")] = 0.999
    epsilon: Annotated[float, arg(help="Added to the root of the latter.")] = 1e-7
    weight_decay: _WeightDecay = None

    def __str__(self) -> str:
        return f"Adam {self.schedule}"

    def build(self, steps_per_epoch: int, epochs: int) -> tf_keras.optimizers.Optimizer:
        """The Keras optimizer."""
        import tf_keras

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

    schedule: _Schedule = field(default_factory=Constant)
    momentum: Annotated[
        float, arg(help="Share of the last step that is taken once more.")
    ] = 0.0
    nesterov: Annotated[bool, arg(help="Nesterov's momentum.")] = False
    weight_decay: _WeightDecay = None

    def __str__(self) -> str:
        return f"SGD {self.schedule}"

    def build(self, steps_per_epoch: int, epochs: int) -> tf_keras.optimizers.Optimizer:
        """The Keras optimizer."""
        import tf_keras

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

    threshold: Annotated[
        float, arg(help="Size of the averaged gradient from which a weight flips.")
    ] = 1e-8
    gamma: Annotated[
        float, arg(help="Share of the newest gradient in the average.")
    ] = 1e-4

    def __str__(self) -> str:
        return f"Bop {self.threshold:g}"

    def build(self, steps_per_epoch: int, epochs: int) -> tf_keras.optimizers.Optimizer:
        """The larqlite optimizer."""
        import larqlite as lq

        return lq.optimizers.Bop(threshold=self.threshold, gamma=self.gamma)


@dataclass(frozen=True)
class TwoOptimizers:
    """One optimizer for binary kernels, another for every other weight."""

    binary: Adam | Bop = field(default_factory=Adam)
    other: Adam | SGD = field(default_factory=SGD)

    def __str__(self) -> str:
        return f"binary: {self.binary}; other: {self.other}"

    def build(self, steps_per_epoch: int, epochs: int) -> tf_keras.optimizers.Optimizer:
        """The larqlite optimizer, a `CaseOptimizer`."""
        import larqlite as lq

        return lq.optimizers.CaseOptimizer(
            (
                lq.optimizers.Bop.is_binary_variable,
                self.binary.build(steps_per_epoch, epochs),
            ),
            default_optimizer=self.other.build(steps_per_epoch, epochs),
        )


AnyOptimizer = Adam | SGD | TwoOptimizers
