"""TensorFlow's own operations, for quantized tensors.

`tf.add(x, y)` of two `FixedPoint` tensors is what `x + y` is; a table says which
operation does what.
"""

from __future__ import annotations

import operator

import tensorflow as tf
import tf_keras

from larqlite.integer.tensors import (
    _arithmetic,
    _products,
    _qfloat_arithmetic as _qfloat,
    _shapes,
)
from larqlite.integer.tensors._fixed_point import FixedPoint
from larqlite.integer.tensors._qfloat import QFloat
from larqlite.integer.tensors._qtensor import QTensor

_QTensors = list[QTensor]


def _add(x, y, name=None):
    return x + y


def _subtract(x, y, name=None):
    return x - y


def _multiply(x, y, name=None):
    return x * y


def _compared(operator):
    def of_two(x, y, name=None):
        return operator(x, y)

    return of_two


def _reflected(method: str):
    """A plain tensor on the left: what Python asks of the operand on the right."""

    def of_two(x, y, name=None):
        return getattr(y, method)(x)

    return of_two


def _divide(x, y, name=None):
    return x / y


def _larger(operation):
    def of_two(x, y, name=None):
        module = _qfloat if isinstance(x, QFloat) else _arithmetic
        return module.larger(x, y, operation)

    return of_two


def _clip_by_value(t, clip_value_min, clip_value_max, name=None):
    module = _qfloat if isinstance(t, QFloat) else _arithmetic
    return module.clip_by_value(t, clip_value_min, clip_value_max)


def _reduce_sum(input_tensor, axis=None, keepdims=False, name=None):
    if isinstance(input_tensor, QFloat):
        _arithmetic.require_one_scale(input_tensor, axis)
        fp = _arithmetic.reduce_sum(input_tensor.fp, axis, keepdims)
        return QFloat(fp, input_tensor.scales)
    return _arithmetic.reduce_sum(input_tensor, axis, keepdims)


def _reduce_max(input_tensor, axis=None, keepdims=False, name=None):
    return _arithmetic.reduce_max(input_tensor, axis, keepdims)


def _matmul(
    a,
    b,
    transpose_a=False,
    transpose_b=False,
    adjoint_a=False,
    adjoint_b=False,
    a_is_sparse=False,
    b_is_sparse=False,
    output_type=None,
    grad_a=False,
    grad_b=False,
    name=None,
):
    if transpose_a:
        a = _shapes.transpose(a, _last_two_swapped(a.shape.rank))
    return _products.matmul(a, b, transpose_b=transpose_b)


def _convolution(
    input,
    filters,
    strides=None,
    padding="VALID",
    data_format=None,
    dilations=None,
    name=None,
):
    return _products.convolution(input, filters, strides or 1, padding, dilations or 1)


def _depthwise_conv2d(
    x,
    depthwise_kernel,
    strides=(1, 1),
    padding="valid",
    data_format=None,
    dilation_rate=(1, 1),
):
    return _products.depthwise_convolution(
        x, depthwise_kernel, strides, padding, dilation_rate
    )


def _conv2d_transpose(
    x,
    kernel,
    output_shape,
    strides=(1, 1),
    padding="valid",
    data_format=None,
    dilation_rate=(1, 1),
):
    return _products.convolution_transpose(x, kernel, output_shape, strides, padding)


def _shape(input, out_type=None, name=None):
    values = input.fp.values if isinstance(input, QFloat) else input.values
    return tf.shape(values, out_type=out_type or tf.int32)


def _last_two_swapped(rank: int) -> list[int]:
    return [*range(rank - 2), rank - 1, rank - 2]


_COMPARED = (
    (tf.equal, operator.eq, "__eq__"),
    (tf.not_equal, operator.ne, "__ne__"),
    (tf.less, operator.lt, "__gt__"),
    (tf.less_equal, operator.le, "__ge__"),
    (tf.greater, operator.gt, "__lt__"),
    (tf.greater_equal, operator.ge, "__le__"),
)

_OPERATIONS = (
    (tf.add, {"x": QTensor}, _add),
    (tf.subtract, {"x": QTensor}, _subtract),
    (tf.multiply, {"x": QTensor}, _multiply),
    (tf.divide, {"x": QTensor}, _divide),
    *((api, {"x": QTensor}, _compared(function)) for api, function, _ in _COMPARED),
    *(
        (api, {"x": tf.Tensor, "y": QTensor}, _reflected(method))
        for api, method in (
            (tf.add, "__radd__"),
            (tf.subtract, "__rsub__"),
            (tf.multiply, "__rmul__"),
            (tf.divide, "__rtruediv__"),
            *((api, method) for api, _, method in _COMPARED),
        )
    ),
    (tf.maximum, {"x": QTensor}, _larger(tf.maximum)),
    (tf.minimum, {"x": QTensor}, _larger(tf.minimum)),
    (tf.clip_by_value, {"t": QTensor}, _clip_by_value),
    (tf.reduce_sum, {"input_tensor": QTensor}, _reduce_sum),
    (tf.reduce_max, {"input_tensor": FixedPoint}, _reduce_max),
    (tf.matmul, {"a": QTensor}, _matmul),
    (tf.nn.convolution, {"input": QTensor}, _convolution),
    (tf_keras.backend.depthwise_conv2d, {"x": QTensor}, _depthwise_conv2d),
    (tf_keras.backend.conv2d_transpose, {"x": QTensor}, _conv2d_transpose),
    (tf.nn.max_pool, {"input": QTensor}, _shapes.max_pool),
    (tf.shape, {"input": QTensor}, _shape),
    (tf.reshape, {"tensor": QTensor}, _shapes.reshape),
    (tf.transpose, {"a": QTensor}, _shapes.transpose),
    (tf.broadcast_to, {"input": QTensor}, _shapes.broadcast_to),
    (tf.concat, {"values": _QTensors}, _shapes.concat),
    (tf.stack, {"values": _QTensors}, _shapes.stack),
    (tf.expand_dims, {"input": QTensor}, _shapes.expand_dims),
    (tf.gather, {"params": QTensor}, _shapes.gather),
    (tf.pad, {"tensor": QTensor}, _shapes.pad),
    (tf.tile, {"input": QTensor}, _shapes.tile),
    (tf.zeros_like, {"input": QTensor}, _shapes.zeros_like),
)

for _api, _signature, _function in _OPERATIONS:
    tf.experimental.dispatch_for_api(_api, _signature)(_function)
