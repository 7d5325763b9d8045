"""`freeze`: a quantized model whose integers are constants, for inference."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from larqlite._copies import copy_of
from larqlite.errors import ArgumentError, QuantizedTypeError
from larqlite.graph import require_model
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.integer.models._calibrate import calibration_required
from larqlite.integer.tensors.internal import frozen

__all__ = ["freeze"]


class _Frozen(tf_keras.Model):
    """A model whose graphs hold the weights of another one as constants."""

    def __init__(self, model: tf_keras.Model):
        super().__init__(name=model.name)
        # Past Keras: the weights are none of this model's.
        self.__dict__["_source"] = model
        # Eager calls run it too: only a graph has constants.
        self.__dict__["_graph"] = tf.function(self._outputs, autograph=False)
        self.build(model.input_shape)

    def build(self, input_shape):
        """Nothing to build."""
        self.built = True

    @tf.autograph.experimental.do_not_convert
    def call(self, inputs, training=None):
        """The outputs of the quantized model; it is never training."""
        return self._graph(inputs)

    def _outputs(self, inputs):
        with frozen():
            return self._source(inputs, training=False)


def freeze(model: tf_keras.Model) -> tf_keras.Model:
    """The quantized model as one for inference, faster, with the same outputs.

    A quantized model keeps float weights, so that it can be trained, and computes their
    integers at each call. Here they are computed once, when a graph is made: what depends
    on weights alone becomes constants, and the bounds that the weights prove choose the
    type of every accumulator. Each output is that of `model`, bit for bit.

    Args:
        model: a quantized, calibrated model. A copy is taken: later changes of its
            weights have no effect.

    Returns:
        A Keras model to call or `predict` with; it has no weights, and cannot be saved:
        save `model`, or export it.

    Raises:
        ArgumentError: (a `ValueError`) a model without quantized layers, or one that is
            not calibrated.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> integer_model = lq.integer.models.quantize(model)
        >>> x = np.array([[1, 2, 3]], np.uint8)
        >>> fast = lq.integer.models.freeze(integer_model)
        >>> bool(np.all(fast.predict(x, verbose=0) == integer_model(x)))
        True
    """
    where = "lq.integer.freeze"
    require_model(model, where, refused=QuantizedTypeError)
    if not any(isinstance(layer, QuantizedLayer) for layer in model.layers):
        raise ArgumentError(
            f'{where}: "{model.name}" has no quantized layers.\n'
            "  Fix: pass what `quantize` returns."
        )
    if calibration_required(model):
        raise ArgumentError(
            f'{where}: "{model.name}" is not calibrated.\n'
            "  Fix: `calibrate(float_model, model, samples)` first."
        )
    return _Frozen(copy_of(model, where))
