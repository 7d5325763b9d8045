"""What quantized tensors refuse, and that the error tells what to do."""

import numpy as np
import pytest
import tensorflow as tf

from larqlite.errors import LarqliteError
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor

X = FixedPoint([[1, -2, 3], [4, 5, 127]], 7, 2)
AXIS = FixedPoint([[1, -2, 3], [4, 5, 127]], 7, [1, 2, 3])
Q = QFloat(X, 0.5)
QAXIS = QFloat(X, [0.5, 1.0, 2.0])

WRONG_NUMBERS = {
    "promote to fewer bits": lambda: X.promote(6),
    "expand to fewer bits": lambda: AXIS.expand(6),
    "a shift that leaves nothing": lambda: X.rescale(9),
    "a shift that leaves nothing in fewer bits": lambda: X.rescale(6, 4),
    "downscale up": lambda: X.downscale(3),
    "upscale down": lambda: X.upscale(1),
    "downscale one channel up": lambda: AXIS.downscale([1, 2, 4]),
    "unaligned sum": lambda: X + AXIS,
    "unaligned difference": lambda: X - FixedPoint([1, 1, 1], 7, 3),
    "unaligned maximum": lambda: tf.maximum(X, AXIS),
    "unaligned clip": lambda: tf.clip_by_value(X, AXIS, X),
    "division by zero": lambda: X / FixedPoint([1, 0, 1], 7, 0),
    "division by the number zero": lambda: X / 0,
    "different scales": lambda: Q + QAXIS,
    "difference of different scales": lambda: Q - QFloat(X, 0.25),
    "clip with other scales": lambda: tf.clip_by_value(Q, QAXIS, Q),
    "a negative right shift": lambda: X >> -1,
    "a negative left shift": lambda: X << -1,
    "a right shift per channel of all": lambda: X >> [1, 2, 3],
    "no bits": lambda: FixedPoint([1], 0, 0),
    "too many bits": lambda: FixedPoint([1], 53, 0),
    "half a fractional bit": lambda: FixedPoint([1], 7, 0.5),
    "per-axis assertion": lambda: AXIS.assert_per_tensor(),
    "per-axis assertion of scales": lambda: QAXIS.assert_per_tensor(),
    "sum over channels": lambda: tf.reduce_sum(AXIS, axis=-1),
    "sum over channels of scales": lambda: tf.reduce_sum(QAXIS),
    "maximum over channels": lambda: tf.reduce_max(AXIS),
    "transposed channels": lambda: tf.transpose(AXIS),
    "reshaped channels": lambda: tf.reshape(AXIS, (3, 2)),
    "tiled channels": lambda: tf.tile(AXIS, [1, 2]),
    "an axis behind channels": lambda: tf.expand_dims(AXIS, -1),
    "stacked behind channels": lambda: tf.stack([AXIS, AXIS], axis=-1),
    "concatenated with another scale": lambda: tf.concat([X, AXIS], axis=0),
    "stacked with another scale": lambda: tf.stack([X, AXIS], axis=0),
    "padded with another scale": lambda: tf.pad(
        X, [[1, 1], [0, 0]], constant_values=FixedPoint(1, 7, 5)
    ),
}

WRONG_TYPES = {
    "a sum with a float": lambda: X + 0.5,
    "a sum with a tensor": lambda: X + tf.ones((2, 3)),
    "a sum with a string": lambda: X + "a",
    "a sum with scales": lambda: Q + X,
    "a sum of scales and a number": lambda: Q + 1,
    "a product with a float": lambda: X * 0.5,
    "a quotient with a float": lambda: X / 0.5,
    "a comparison with a string": lambda: X < "a",
    "a negative power": lambda: X**-1,
    "a power of half": lambda: X**0.5,
    "bits that are no integer": lambda: FixedPoint([1], 7.5, 0),
    "promote to a tensor": lambda: X.promote(tf.constant(8)),
    "align to a float": lambda: X.align(2.0),
    "scales of floats": lambda: QFloat([1.0, 2.0], 0.5),
    "quantized twice": lambda: FixedPoint.quantize(X, 7),
    "shifted by a quantized tensor": lambda: X << X,
}


@pytest.mark.parametrize("what", WRONG_NUMBERS)
def test_numbers_that_do_not_fit_are_refused_with_a_fix(what):
    with pytest.raises(ValueError, match="Fix: ") as refused:
        WRONG_NUMBERS[what]()
    assert isinstance(refused.value, LarqliteError)


@pytest.mark.parametrize("what", WRONG_TYPES)
def test_types_that_do_not_fit_are_refused_with_a_fix(what):
    with pytest.raises(TypeError, match="Fix: ") as refused:
        WRONG_TYPES[what]()
    assert isinstance(refused.value, LarqliteError)


def test_what_is_only_known_later_is_refused_when_the_function_runs():
    @tf.function(
        input_signature=[tf.TensorSpec((), tf.int32), tf.TensorSpec((3,), tf.float32)]
    )
    def run(frac, divisor):
        rescaled = X.downscale(frac)
        return (rescaled / FixedPoint(divisor, 7, 0)).values

    run(1, [1.0, 2.0, 3.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="downscale"):
        run(3, [1.0, 2.0, 3.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="zero"):
        run(1, [1.0, 0.0, 3.0])


def test_a_quantized_tensor_is_not_changed_by_what_is_refused():
    before = X.values.numpy()
    for refuse in (*WRONG_NUMBERS.values(), *WRONG_TYPES.values()):
        with pytest.raises(LarqliteError):
            refuse()
    np.testing.assert_array_equal(X.values, before)


def test_the_abstract_class_holds_no_values():
    with pytest.raises(TypeError):
        QTensor(tf.TensorShape([1])).to_float()
