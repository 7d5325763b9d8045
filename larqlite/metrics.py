"""Metrics of the training of quantized weights."""

from __future__ import annotations

from typing import Any, NoReturn

import tensorflow as tf
import tf_keras

from larqlite._registration import named_function, register_object
from larqlite._two_kerases import OfTfKeras, refuse_inside_keras_3
from larqlite.errors import ArgumentError

__all__ = ["FlipRatio"]

ROW = 128  # the largest power of two whose sum of ones fits into a byte


@register_object()
class FlipRatio(OfTfKeras, tf_keras.metrics.Metric):
    r"""Mean share of values that changed from one update to the next.

    $$ \frac{1}{T - 1} \sum_{t=2}^{T} \frac{1}{n} \sum_{i=1}^{n} [v_{i,t} \neq v_{i,t-1}] $$

    for $T$ updates with tensors of $n$ values; 0 for fewer than two updates.
    Resetting starts a new mean: the first update after it is compared with nothing.

    Args:
        values_dtype: dtype the values are kept and compared in. An integer dtype
            saves memory and time but truncates fractions; None (default) keeps
            float values as they are.
        name: name of the metric, also in the training history.
        dtype: dtype of the result.

    Raises:
        ArgumentError: values of another shape than before; or it is called as one of the
            metrics of `compile`.

    Example:
        >>> metric = lq.metrics.FlipRatio()
        >>> for values in ([1.0, 1.0], [2.0, 2.0], [1.0, 2.0]):
        ...     metric.update_state(values)
        >>> float(metric.result())
        0.75

    References:
        Latent weights do not exist, https://arxiv.org/abs/1906.02107, section 3.
    """

    def __init__(
        self, values_dtype: str | None = None, name: str = "flip_ratio", dtype=None
    ):
        super().__init__(name=name, dtype=dtype)
        self.values_dtype = None if values_dtype is None else tf.as_dtype(values_dtype)
        self._total = self._scalar("total")
        self._count = self._scalar("count")
        self._previous_values = None

    def _scalar(self, name: str):
        return self.add_weight(
            name,
            initializer="zeros",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def build(self, input_shape) -> None:
        """Makes the state that remembers values of this shape."""
        super().build(input_shape)
        self._previous_values = self.add_weight(
            "previous_values",
            shape=tf.TensorShape(input_shape),
            dtype=_storable(self.values_dtype or tf.as_dtype(self.dtype)),
            initializer="zeros",
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def update_state(self, values, sample_weight=None) -> None:
        """Adds the share of `values` that differ from those of the last update.

        Args:
            values: tensor, of the same shape at every update.
            sample_weight: must be None; a flip has no weight.
        """
        if sample_weight is not None:
            refuse_inside_keras_3(self, "metrics")
            raise _belongs_to_a_kernel("FlipRatio()")
        values = tf.convert_to_tensor(values)
        if self._previous_values is None:
            with tf.init_scope():
                self.build(values.shape)
        previous = self._previous_values
        if not values.shape.is_compatible_with(previous.shape):
            raise ArgumentError(
                f'FlipRatio "{self.name}": values of shape {values.shape} cannot be '
                f"compared with the values of shape {previous.shape} before.\n"
                "  Fix: use one metric for each tensor."
            )
        values = tf.cast(values, previous.dtype)
        changed = _share(tf.not_equal(values, previous), self.dtype)
        self._total.assign_add(changed * tf.sign(self._count))
        self._count.assign_add(1)
        previous.assign(values)

    def result(self) -> tf.Tensor:
        """The mean share, in [0, 1]."""
        return tf.math.divide_no_nan(self._total, tf.nn.relu(self._count - 1))

    def reset_state(self) -> None:
        """Starts a new mean."""
        self._total.assign(0)
        self._count.assign(0)

    def get_config(self) -> dict:
        name = None if self.values_dtype is None else self.values_dtype.name
        return {**super().get_config(), "values_dtype": name}


def _storable(dtype: tf.DType) -> tf.DType:
    """The dtype itself, or float16, which holds every byte, for the workers of a cluster:
    they send each other the first value of a variable, and cannot send bytes."""
    cluster = tf.distribute.MultiWorkerMirroredStrategy
    is_byte = dtype in (tf.int8, tf.uint8)
    return (
        tf.float16
        if is_byte and isinstance(tf.distribute.get_strategy(), cluster)
        else dtype
    )


def _share(mask: tf.Tensor, dtype) -> tf.Tensor:
    """The share of true values of a mask of known shape.

    Bytes are summed in short rows first, which takes a quarter of the memory
    traffic of a cast to floats.
    """
    size = mask.shape.num_elements()
    ones = tf.reshape(tf.cast(mask, tf.uint8), [-1])
    whole = size - size % ROW
    rows = tf.reduce_sum(tf.reshape(ones[:whole], [-1, ROW]), axis=1)
    rest = tf.reduce_sum(tf.cast(ones[whole:], dtype))
    return (tf.reduce_sum(tf.cast(rows, dtype)) + rest) / max(size, 1)


@named_function
def flip_ratio(y_true: Any, y_pred: Any) -> NoReturn:
    """What `compile(metrics=["flip_ratio"])` resolves to: an error that says the way."""
    raise _belongs_to_a_kernel('"flip_ratio"')


def _belongs_to_a_kernel(metric: str) -> ArgumentError:
    return ArgumentError(
        f"metrics=[{metric}] in compile() compares labels with predictions, but a flip "
        "ratio belongs to a kernel.\n"
        '  Fix: build the layers inside of `with lq.context.metrics_scope(["flip_ratio"]):`.'
    )
