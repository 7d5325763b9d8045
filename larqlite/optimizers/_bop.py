"""Bop: trains weights that are binary themselves, by flipping them."""

from __future__ import annotations

import math
import platform
import warnings
from collections.abc import Iterable

import tensorflow as tf
import tf_keras

from larqlite._misspelt import raise_with_a_guess
from larqlite._registration import PACKAGE, register_object
from larqlite._two_kerases import OfTfKeras
from larqlite.errors import ArgumentError, MissingHyperparameterError
from larqlite.optimizers._hyperparameters import (
    Schedule,
    deserialized,
    parsed,
    scalar_variable,
    serialized,
)
from larqlite.optimizers._members import require_no_state
from larqlite.quantizers import NoOp

__all__ = ["Bop"]


@register_object(aliases=("bop",))
class Bop(OfTfKeras, tf_keras.optimizers.Optimizer):
    r"""Binary optimizer: flips a weight when a moving average of its gradient says so.

    $$ m_t = m_{t-1} + \gamma (g_t - m_{t-1}) $$

    $$ w_t = \begin{cases}
        -\operatorname{sign}(w_{t-1}) & w_{t-1} m_t > \tau \\
        \operatorname{sign}(w_{t-1}) & \text{otherwise}
    \end{cases} $$

    with $m_0 = 0$ and $\operatorname{sign}(0) = +1$. At $w m = \tau$ the weight is
    kept. So the weights are -1 or +1 after every step; a real-valued kernel becomes
    its sign, or the opposite, in the first one. A NaN gradient makes its weight NaN.

    Give it binary kernels only: mark them with the quantizer
    `lq.quantizers.NoOp(precision=1)`, and let `CaseOptimizer` choose another
    optimizer for the rest. A kernel that a quantizer such as `SteSign` binarizes has
    a latent weight, which is for other optimizers to train; Bop warns about it.

    Bop has no learning rate. `gamma` and `threshold` are scalar variables, so
    `tf_keras.backend.set_value` and `lq.callbacks.HyperparameterScheduler` can set
    them; where a schedule was given the variable holds the value of the last step.

    A sparse gradient (`tf.IndexedSlices`) gives the same result as the dense one with
    zeros in the other rows, whose averages decay like any other; repeated indices add
    up. The dense gradient is built on the way.

    Args:
        threshold: $\tau \geq 0$, how strong the average must be to flip a weight, or
            a `LearningRateSchedule`, evaluated at `iterations`.
        gamma: $\gamma$ in [0, 1], how fast the average adapts, or a schedule.
        name: name of the optimizer.
        jit_compile: update each variable in one compiled pass over memory (XLA),
            also on a CPU. The plain operations make about ten passes.
        **kwargs: `clipnorm`, `clipvalue`, `global_clipnorm` and the other arguments
            of `tf_keras.optimizers.Optimizer`, but no `weight_decay` and no `use_ema`.

    Raises:
        ArgumentError: a hyperparameter out of its range, a learning rate, a weight
            decay.
        KerasVersionError: a schedule that belongs to Keras 3.

    Example:
        >>> bop = lq.optimizers.Bop(threshold=0.01, gamma=0.5)
        >>> kernel = tf.Variable([1.0, 1.0, -1.0])
        >>> _ = bop.apply_gradients([(tf.constant([0.1, -0.1, 0.0]), kernel)])
        >>> kernel.numpy().tolist()
        [-1.0, 1.0, -1.0]

    References:
        Latent Weights Do Not Exist: Rethinking Binarized Neural Network Optimization,
        https://arxiv.org/abs/1906.02107, algorithm 1.
    """

    def __init__(
        self,
        threshold: float | Schedule = 1e-8,
        gamma: float | Schedule = 1e-4,
        name: str = "Bop",
        jit_compile: bool = True,
        **kwargs,
    ):
        _refuse_learning_rates(name, kwargs)
        if kwargs.get("use_ema"):
            raise ArgumentError(
                f'Bop "{name}": got use_ema=True, but an average of binary weights is '
                "not binary.\n  Fix: leave it out; gamma averages the gradients."
            )
        try:
            super().__init__(name, jit_compile=jit_compile, **kwargs)
        except TypeError as error:
            raise_with_a_guess(type(self), {"name": name, **kwargs}, error)
            raise
        # Keras compiles on a GPU only, but here it pays on every device.
        self.jit_compile = bool(jit_compile) and _xla_is_available()
        self._learning_rate = None
        self._threshold_schedule, value = self._parsed("threshold", threshold)
        self._threshold = scalar_variable("threshold", value)
        self._gamma_schedule, value = self._parsed("gamma", gamma)
        self._gamma = scalar_variable("gamma", value)

    @staticmethod
    @tf_keras.saving.register_keras_serializable(PACKAGE, "is_binary_variable")
    def is_binary_variable(variable: tf.Variable) -> bool:
        """Whether `variable` has a precision of one bit: a predicate for `CaseOptimizer`.

        It holds for the kernels of layers with `kernel_quantizer=NoOp(precision=1)`,
        which Bop is for, and also for kernels that a quantizer binarizes.

        Example:
            >>> lq.optimizers.Bop.is_binary_variable(tf.Variable(1.0))
            False
        """
        return getattr(variable, "precision", 32) == 1

    @property
    def threshold(self) -> tf.Variable:
        """The scalar variable with the threshold in use."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float | Schedule) -> None:
        self._threshold_schedule, number = self._parsed("threshold", value)
        self._threshold.assign(number)

    @property
    def gamma(self) -> tf.Variable:
        """The scalar variable with the adaptivity rate in use."""
        return self._gamma

    @gamma.setter
    def gamma(self, value: float | Schedule) -> None:
        self._gamma_schedule, number = self._parsed("gamma", value)
        self._gamma.assign(number)

    @property
    def learning_rate(self):
        """Bop has none: reading or setting it raises an `AttributeError`."""
        raise self._no_learning_rate()

    @learning_rate.setter
    def learning_rate(self, value):
        raise self._no_learning_rate()

    def build(self, var_list: Iterable[tf.Variable]) -> None:
        """Creates one moving average per variable; a second call does nothing."""
        var_list = list(var_list)
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._gradient_averages = [
            self.add_variable_from_reference(variable, "gradient_average")
            for variable in var_list
        ]
        self._built = True
        _warn_about_latent_weights(self.name, var_list)

    def apply_gradients(
        self, grads_and_vars, name=None, skip_gradients_aggregation=False, **kwargs
    ):
        """One step of `(gradient, variable)` pairs; see `tf_keras.optimizers.Optimizer`."""
        for name in self._hyperparameters:
            schedule = getattr(self, f"_{name}_schedule")
            if schedule is not None:
                variable = getattr(self, name)
                variable.assign(tf.cast(schedule(self.iterations), variable.dtype))
        return super().apply_gradients(
            [
                (_dense(gradient, variable), variable)
                for gradient, variable in grads_and_vars
            ],
            name=name,
            skip_gradients_aggregation=skip_gradients_aggregation,
            **kwargs,
        )

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Updates the average of one variable, then flips its weights."""
        average = self._gradient_averages[self._index_dict[self._var_key(variable)]]
        # A threshold such as 1e-8 would be zero in float16.
        dtype = tf.float32 if variable.dtype.size < 4 else variable.dtype
        gradient, old_average, weight = (
            tf.cast(x, dtype) for x in (gradient, average, variable)
        )
        gamma, threshold = tf.cast(self._gamma, dtype), tf.cast(self._threshold, dtype)
        new_average = old_average + gamma * (gradient - old_average)
        agreement = weight * self._evidence(variable, gradient, new_average)
        flips = agreement > threshold
        one = tf.ones([], dtype)
        binary = tf.where(tf.not_equal(weight >= 0, flips), one, -one)
        binary = tf.where(tf.math.is_nan(agreement), agreement, binary)
        average.assign(tf.cast(new_average, average.dtype))
        variable.assign(tf.cast(binary, variable.dtype))

    @property
    def _hyperparameters(self) -> tuple[str, ...]:
        """Names of what is a number or a schedule."""
        return "threshold", "gamma"

    def _evidence(self, variable, gradient: tf.Tensor, average: tf.Tensor) -> tf.Tensor:
        """What is compared with the threshold, for the new average of a variable."""
        return average

    def get_config(self) -> dict:
        """The arguments that make an equal optimizer, without its state."""
        held = {
            name: serialized(getattr(self, f"_{name}_schedule"), getattr(self, name))
            for name in self._hyperparameters
        }
        return {**super().get_config(), **held}

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> Bop:
        """The optimizer of a `get_config` dictionary."""
        schedules = {
            key: deserialized(config[key], custom_objects)
            for key in ("threshold", "gamma", "sigma")
            if isinstance(config.get(key), dict)
        }
        return cls(**{**config, **schedules})

    def __deepcopy__(self, memo: dict) -> Bop:
        require_no_state(self)
        return self.from_config(self.get_config())

    def _parsed(self, name: str, value):
        highest = math.inf if name == "threshold" else 1.0
        where = f'{type(self).__name__} "{self.name}", {name}'
        return parsed(value, highest, where, self.iterations)

    def _no_learning_rate(self) -> MissingHyperparameterError:
        return MissingHyperparameterError(
            f'Bop "{self.name}" has no learning rate.\n'
            "  Fix: schedule its gamma or threshold: lq.callbacks."
            'HyperparameterScheduler(schedule, "gamma", optimizer=bop).'
        )


def _xla_is_available() -> bool:
    return not (platform.system() == "Darwin" and platform.machine() == "arm64")


def _dense(gradient, variable: tf.Variable) -> tf.Tensor | None:
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.math.unsorted_segment_sum(
        gradient.values, gradient.indices, variable.shape[0]
    )


def _refuse_learning_rates(name: str, arguments: dict) -> None:
    for argument in ("learning_rate", "lr", "weight_decay"):
        if arguments.setdefault(argument, None):
            raise ArgumentError(
                f'Bop "{name}": got {argument}={arguments[argument]!r}, but Bop flips '
                "binary weights and has no learning rate to scale it.\n"
                "  Fix: leave it out; gamma and threshold say how fast weights flip."
            )
    del arguments["learning_rate"], arguments["lr"]


def _warn_about_latent_weights(name: str, variables: list[tf.Variable]) -> None:
    latent = [
        f"{variable.name} ({type(quantizer).__name__})"
        for variable in variables
        if (quantizer := getattr(variable, "quantizer", None)) is not None
        and not isinstance(quantizer, NoOp)
        and Bop.is_binary_variable(variable)
    ]
    if latent:
        warnings.warn(
            f'Bop "{name}" was given latent weights, which a quantizer binarizes: '
            f"{', '.join(latent)}. Bop makes them -1 or +1, and the pseudo-gradient "
            "of the quantizer distorts what it averages.\n"
            "  Fix: kernel_quantizer=lq.quantizers.NoOp(precision=1) for weights that "
            "Bop trains, or another optimizer for these.",
            stacklevel=2,
        )
