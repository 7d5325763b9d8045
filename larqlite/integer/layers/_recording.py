"""What a quantized model computed on its way: recorded when asked for, free otherwise."""

from __future__ import annotations

import contextlib
import contextvars
import warnings
from collections.abc import Iterator

import tensorflow as tf

from larqlite.errors import DtypeError
from larqlite.integer.tensors import FixedPoint, QFloat

__all__ = [
    "FixedPointRecorder",
    "NonTrackFixedPointVariable",
    "NonTrackVariable",
    "QFloatRecorder",
    "TensorRecorder",
    "recording",
]

_enabled = contextvars.ContextVar("larqlite_integer_recording", default=False)


@contextlib.contextmanager
def recording(enable: bool) -> Iterator[None]:
    """Context in which quantized layers record their weights, shifts and scales.

    Inside, compiled functions run eagerly, so `model.predict` records as
    `model(x)` does, even where it had been traced before. Outside, recorders cost one
    look at a flag when a graph is traced, and nothing when it runs.

    Args:
        enable: True to record, False not to.

    >>> from larqlite.integer.layers import TensorRecorder, recording
    >>> shift = TensorRecorder("shift")
    >>> with recording(True):
    ...     _ = shift(tf.constant(3))
    >>> int(shift.value)
    3
    """
    was_eager = tf.config.functions_run_eagerly()
    token = _enabled.set(bool(enable))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Even though the `tf.config")
            if enable:
                tf.config.run_functions_eagerly(True)
            yield
    finally:
        if enable:
            tf.config.run_functions_eagerly(was_eager)
        _enabled.reset(token)


def is_recording() -> bool:
    """Whether the caller is inside of `recording(True)`."""
    return _enabled.get()


class TensorRecorder:
    """Keeps the last tensor that passed while recording.

    A call returns its argument. `value` is None until something was recorded.

    Args:
        name: a name to recognise it by.
    """

    records: type | tuple[type, ...] | None = None

    def __init__(self, name: str = ""):
        self.name = name
        self.value = None

    def __call__(self, x):
        if _enabled.get():
            self._record(x)
        return x

    def _record(self, x) -> None:
        if self.records is None:
            x = tf.convert_to_tensor(x)
        elif not isinstance(x, self.records):
            raise DtypeError(
                f'{type(self).__name__} "{self.name}" got a {type(x).__name__}.\n'
                f"  Fix: give it a {self.records.__name__}."
            )
        # A symbolic tensor has no value, and would keep its graph alive.
        if all(hasattr(t, "numpy") for t in tf.nest.flatten(x, expand_composites=True)):
            self.value = x

    def __deepcopy__(self, memo):
        return type(self)(self.name)

    def __repr__(self) -> str:
        return f'<{type(self).__name__} "{self.name}": {self.value!r}>'


class FixedPointRecorder(TensorRecorder):
    """Keeps the last FixedPoint that passed while recording, such as quantized weights.

    Args:
        name: a name to recognise it by.
    """

    records = FixedPoint


class QFloatRecorder(TensorRecorder):
    """Keeps the last QFloat that passed while recording, such as quantized weights.

    Args:
        name: a name to recognise it by.
    """

    records = QFloat


class NonTrackVariable:
    """A variable that lives between calls, and that no layer saves.

    It exists from the first `set` on, of whatever shape that tensor has, in graphs too.

    Args:
        name: the name of the variable.

    >>> state = lq.integer.layers.NonTrackVariable("state")
    >>> state.value is None
    True
    >>> state.set(tf.constant([1.0, 2.0]))
    >>> state.value.numpy().tolist()
    [1.0, 2.0]
    >>> state.reset()
    >>> state.value.numpy().tolist()
    [0.0, 0.0]
    """

    def __init__(self, name: str = ""):
        self.name = name
        self._variable = None

    @property
    def value(self) -> tf.Tensor | None:
        """The tensor that was set last, or None before the first `set`."""
        return None if self._variable is None else self._variable.read_value()

    def set(self, value) -> None:
        """Keeps `value`, which must have the dtype and rank of the first one."""
        value = tf.convert_to_tensor(value)
        if self._variable is None:
            unknown = tf.TensorShape([None] * value.shape.rank)
            with tf.init_scope():
                self._variable = tf.Variable(
                    tf.zeros([0] * value.shape.rank, value.dtype),
                    trainable=False,
                    shape=unknown,
                    name=self.name or None,
                )
        self._variable.assign(value)

    def reset(self) -> None:
        """Sets every element to zero; nothing where nothing was set."""
        if self._variable is not None:
            self._variable.assign(tf.zeros_like(self._variable))

    def __deepcopy__(self, memo):
        return type(self)(self.name)


class NonTrackFixedPointVariable(NonTrackVariable):
    """A FixedPoint that lives between calls, and that no layer saves.

    Args:
        name: the name of its variables.
    """

    def __init__(self, name: str = ""):
        super().__init__(name)
        self._value_bits = self._limit = None
        self._frac_bits = NonTrackVariable(f"{name}_frac_bits" if name else "")

    @property
    def value(self) -> FixedPoint | None:
        """The FixedPoint that was set last, or None before the first `set`."""
        if self._variable is None:
            return None
        return FixedPoint(
            super().value, self._value_bits, self._frac_bits.value, limit=self._limit
        )

    def set(self, value: FixedPoint) -> None:
        """Keeps `value`.

        Raises:
            DtypeError: `value` is not a FixedPoint.
        """
        if not isinstance(value, FixedPoint):
            raise DtypeError(
                f'NonTrackFixedPointVariable "{self.name}" got a {type(value).__name__}.'
                "\n  Fix: give it a FixedPoint."
            )
        self._value_bits, self._limit = value.value_bits, value.limit
        super().set(value.values)
        self._frac_bits.set(value.frac_bits)
