"""Learning rates as functions of the step, as Keras schedules that files can hold."""

from __future__ import annotations

import math

import tensorflow as tf
import tf_keras


@tf_keras.saving.register_keras_serializable("larqlite_zoo")
class CosineDecayWithWarmup(tf_keras.optimizers.schedules.LearningRateSchedule):
    r"""A line up from 0, then half a cosine down to 0.

    $$ \eta(s) = \eta_{max} \cdot \begin{cases}
       \min(1, s / (w - 1)) & s < w \\
       \tfrac12 (1 + \cos(\pi \min(1, (s - w) / (d - w - 1)))) & s \ge w
       \end{cases} $$

    Args:
        max_learning_rate: $\eta_{max}$, reached at the end of the warm-up.
        warmup_steps: $w$; 0 for none.
        decay_steps: $d$, the step at which 0 is reached.

    Example:
        >>> from larqlite_zoo.training.learning_schedules import CosineDecayWithWarmup
        >>> schedule = CosineDecayWithWarmup(1.0, warmup_steps=5, decay_steps=26)
        >>> [round(float(schedule(step)), 3) for step in (0, 2, 4, 5, 15, 25)]
        [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]

    References:
        SGDR, https://arxiv.org/abs/1608.03983, eq. 5.
    """

    def __init__(self, max_learning_rate: float, warmup_steps: int, decay_steps: int):
        super().__init__()
        self.max_learning_rate = max_learning_rate
        self.warmup_steps = warmup_steps
        self.decay_steps = decay_steps

    def __call__(self, step):
        """The learning rate at a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        rising = step / max(self.warmup_steps - 1, 1)
        length = max(self.decay_steps - self.warmup_steps - 1, 1)
        part = tf.clip_by_value((step - self.warmup_steps) / length, 0.0, 1.0)
        falling = 0.5 * (1.0 + tf.cos(math.pi * part))
        share = tf.where(step < self.warmup_steps, tf.minimum(rising, 1.0), falling)
        return self.max_learning_rate * share

    def get_config(self) -> dict:
        """The arguments."""
        return {
            "max_learning_rate": self.max_learning_rate,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
        }


@tf_keras.saving.register_keras_serializable("larqlite_zoo")
class R2BStepSchedule(tf_keras.optimizers.schedules.LearningRateSchedule):
    r"""A line up from 0 over 5 epochs, then times `decay_fraction` after 40, 60, 70.

    Args:
        initial_learning_rate: reached at the end of the warm-up.
        steps_per_epoch: optimizer steps of one epoch.
        decay_fraction: factor of each of the three steps down.
        name: kept in the config.

    Example:
        >>> from larqlite_zoo.training.learning_schedules import R2BStepSchedule
        >>> schedule = R2BStepSchedule(1.0, steps_per_epoch=10, decay_fraction=0.5)
        >>> [float(schedule(10 * epoch)) for epoch in (0, 1, 5, 41, 61, 71)]
        [0.0, 0.20000000298023224, 1.0, 0.5, 0.25, 0.125]

    References:
        Training Binary Neural Networks with Real-to-Binary Convolutions,
        https://arxiv.org/abs/2003.11535, section 5.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        steps_per_epoch: int,
        decay_fraction: float,
        name: str | None = None,
    ):
        super().__init__()
        self.initial_learning_rate = initial_learning_rate
        self.steps_per_epoch = steps_per_epoch
        self.decay_fraction = decay_fraction
        self.name = name

    def __call__(self, step):
        """The learning rate at a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        epoch = step / self.steps_per_epoch
        passed = sum(tf.cast(epoch > end, tf.float32) for end in (40, 60, 70))
        decayed = tf.pow(tf.constant(self.decay_fraction, tf.float32), passed)
        return self.initial_learning_rate * tf.where(epoch <= 5, epoch / 5, decayed)

    def get_config(self) -> dict:
        """The arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "steps_per_epoch": self.steps_per_epoch,
            "decay_fraction": self.decay_fraction,
            "name": self.name,
        }


@tf_keras.saving.register_keras_serializable("larqlite_zoo")
class LinearCosineDecay(tf_keras.optimizers.schedules.LearningRateSchedule):
    r"""A line down to 0 times half a cosine, plus a small floor.

    $$ \eta(s) = \eta_0 \left((\alpha + 1 - p) \tfrac12 (1 + \cos \pi p) + \beta\right),
       \quad p = \min(1, s / d) $$

    TensorFlow had it as `tf.keras.experimental.LinearCosineDecay`, with half a period.

    Args:
        initial_learning_rate: $\eta_0$.
        decay_steps: $d$.
        alpha, beta: see the formula.

    Example:
        >>> from larqlite_zoo.training.learning_schedules import LinearCosineDecay
        >>> schedule = LinearCosineDecay(1.0, decay_steps=100)
        >>> [round(float(schedule(step)), 4) for step in (0, 50, 100)]
        [1.001, 0.251, 0.001]

    References:
        Neural Optimizer Search with Reinforcement Learning,
        https://arxiv.org/abs/1709.07417, section 4.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        beta: float = 0.001,
    ):
        super().__init__()
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.beta = beta

    def __call__(self, step):
        """The learning rate at a step, a float32 scalar."""
        part = tf.minimum(tf.cast(step, tf.float32) / self.decay_steps, 1.0)
        cosine = 0.5 * (1.0 + tf.cos(math.pi * part))
        share = (self.alpha + 1.0 - part) * cosine + self.beta
        return self.initial_learning_rate * share

    def get_config(self) -> dict:
        """The arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "beta": self.beta,
        }
