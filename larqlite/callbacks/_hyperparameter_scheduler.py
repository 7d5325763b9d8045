"""HyperparameterScheduler: changes a hyperparameter of an optimizer while it trains."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable

import tensorflow as tf
import tf_keras

from larqlite._two_kerases import CallbackOfTfKeras
from larqlite.errors import (
    ArgumentError,
    MissingHyperparameterError,
    require_tf_keras,
)
from larqlite.optimizers import CaseOptimizer

__all__ = ["HyperparameterScheduler"]

PROBED = ("learning_rate", "gamma", "threshold")


class HyperparameterScheduler(CallbackOfTfKeras):
    """Sets a hyperparameter of an optimizer at every epoch or step.

    It works for the learning rate (`"learning_rate"` or `"lr"`) of new and legacy
    optimizers, for `"gamma"` and `"threshold"` of `Bop`, for every other
    hyperparameter that the optimizer keeps in a variable, and for the
    sub-optimizers of a `CaseOptimizer`.

    Args:
        schedule: function `(t, value)` or `(t)` that returns the new value as a
            number, where `value` is the present one, a float. `t` is the epoch,
            counted from 0, or `optimizer.iterations` if `update_freq="step"`. A
            function that accepts two arguments gets two.
        hyperparameter: name of the attribute of the optimizer.
        optimizer: the optimizer; that of the model by default. Name the
            sub-optimizer if the model is trained by a `CaseOptimizer`.
        update_freq: `"epoch"` or `"step"`.
        verbose: print every new value if above 0.
        log_name: name of the value in the logs and the history; that of the
            hyperparameter by default.

    Raises:
        ArgumentError: a schedule that cannot be called like this or returns no
            number, an unknown `update_freq`, a hyperparameter that the optimizer does
            not have, keeps as a constant, or takes from a `LearningRateSchedule`.
        KerasVersionError: an optimizer of Keras 3.

    Example:
        >>> bop = lq.optimizers.Bop(gamma=0.1)
        >>> scheduler = lq.callbacks.HyperparameterScheduler(
        ...     lambda epoch, gamma: 0.5 * gamma, "gamma", optimizer=bop)
        >>> scheduler.set_model(tf_keras.Sequential())
        >>> scheduler.on_epoch_begin(0)
        >>> float(bop.gamma)
        0.05...
    """

    def __init__(
        self,
        schedule: Callable[..., float],
        hyperparameter: str,
        optimizer: tf_keras.optimizers.Optimizer | None = None,
        update_freq: str = "epoch",
        verbose: int = 0,
        log_name: str | None = None,
    ):
        super().__init__()
        where = f'HyperparameterScheduler("{hyperparameter}")'
        if update_freq not in ("epoch", "step"):
            raise ArgumentError(
                f'{where}: got update_freq={update_freq!r}.\n  Fix: pass "epoch" or "step".'
            )
        if optimizer is not None:
            require_tf_keras(optimizer, where)
        self._takes_value = _takes_value(schedule, where)
        self.schedule = schedule
        self.hyperparameter = hyperparameter
        self.optimizer = optimizer
        self._uses_optimizer_of_model = optimizer is None
        self.update_freq = update_freq
        self.verbose = verbose
        self.log_name = log_name or hyperparameter

    def set_model(self, model: tf_keras.Model) -> None:
        """Finds the optimizer and checks that it has the hyperparameter."""
        super().set_model(model)
        if self._uses_optimizer_of_model:
            self.optimizer = getattr(model, "optimizer", None)
        self._variable = self._found_variable()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets the value of this epoch."""
        if self.update_freq == "epoch":
            self._set("Epoch", epoch)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Sets the value of this step."""
        if self.update_freq == "step":
            self._set("Batch", int(self.optimizer.iterations))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the present value, a float, to the logs."""
        if logs is not None:
            logs[self.log_name] = self._value()

    def _set(self, unit: str, time: int) -> None:
        result = (
            self.schedule(time, self._value())
            if self._takes_value
            else self.schedule(time)
        )
        try:
            value = float(result)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise ArgumentError(
                f"{self._where}: the schedule returned {result!r} for {unit.lower()} "
                f"{time}.\n  Fix: return a finite number."
            )
        tf_keras.backend.set_value(self._variable, value)
        if self.verbose > 0:
            print(f"{unit} {time}: {self.log_name} is now {self._value()}.")

    def _value(self) -> float:
        return float(tf_keras.backend.get_value(self._variable))

    @property
    def _where(self) -> str:
        return f'HyperparameterScheduler("{self.hyperparameter}")'

    def _found_variable(self) -> tf.Variable:
        """The variable that holds the hyperparameter."""
        name = "learning_rate" if self.hyperparameter == "lr" else self.hyperparameter
        optimizer = _owner(self.optimizer, name)
        if not _has(optimizer, name):
            raise ArgumentError(
                f"{self._where}: {_described(optimizer)} has no such hyperparameter.\n"
                f"  Fix: {_advice(optimizer, name)}"
            )
        value = getattr(optimizer, name)
        if isinstance(optimizer.get_config().get(name), dict):
            raise ArgumentError(
                f"{self._where}: the {name} of {_described(optimizer)} follows a "
                "LearningRateSchedule, which would overwrite it at every step.\n"
                f"  Fix: give the optimizer a number as {name}, or leave out this "
                "callback."
            )
        if not isinstance(value, tf.Variable):
            raise ArgumentError(
                f"{self._where}: the {name} of {_described(optimizer)} is the constant "
                f"{value!r}, which a compiled training step does not read again.\n"
                "  Fix: schedule a hyperparameter that is a variable, or use the "
                "optimizer of the same name in tf_keras.optimizers.legacy."
            )
        return value


def _takes_value(schedule, where: str) -> bool:
    """Whether the schedule is called as `(t, value)` rather than `(t)`."""
    try:
        signature = inspect.signature(schedule)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"{where}: the schedule {schedule!r} is not a function with a known "
            "signature.\n  Fix: pass a Python function of (t, value) or of (t)."
        ) from error
    for arguments in ((0, 0.0), (0,)):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return len(arguments) == 2
    raise ArgumentError(
        f"{where}: the schedule has the signature {signature}, which takes neither "
        "(t, value) nor (t).\n  Fix: pass a function of these positional arguments."
    )


def _owner(optimizer, name: str):
    """The optimizer that holds the hyperparameter of a wrapping one."""
    if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    if isinstance(optimizer, CaseOptimizer) and name == "learning_rate":
        with contextlib.suppress(MissingHyperparameterError):
            return optimizer.learning_rate_owner()
    return optimizer


def _has(optimizer, name: str) -> bool:
    try:
        return getattr(optimizer, name, None) is not None
    except ValueError:  # a new Keras optimizer without a learning rate
        return False


def _described(optimizer) -> str:
    if optimizer is None:
        return "a model that is not compiled"
    return f'{type(optimizer).__name__} "{optimizer.get_config().get("name")}"'


def _advice(optimizer, name: str) -> str:
    if optimizer is None:
        return "compile the model first, or pass optimizer=..."
    if isinstance(optimizer, CaseOptimizer):
        having = [_described(x) for x in optimizer.optimizers if _has(x, name)]
        return f"pass optimizer=..., the sub-optimizer; {' and '.join(having) or 'none'} has it."
    having = [x for x in PROBED if _has(optimizer, x)]
    return f"check the name; it has {' and '.join(having) or 'no learning rate'}."
