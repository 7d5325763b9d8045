"""What operations of `keras.ops` compute, by the names of their classes, in TensorFlow."""

from __future__ import annotations

import itertools

import tensorflow as tf

from larqlite import activations
from larqlite.from_keras import _activations
from larqlite.from_keras._operation_layers import FUNCTIONS, function

# One tensor in, one out, or two that are put together element by element.
_ELEMENTWISE = {
    "Absolute": tf.abs, "Abs": tf.abs, "Add": tf.add, "Subtract": tf.subtract,
    "Multiply": tf.multiply, "Divide": tf.divide, "TrueDivide": tf.divide,
    "FloorDivide": tf.math.floordiv, "Mod": tf.math.floormod, "Power": tf.pow,
    "Maximum": tf.maximum, "Minimum": tf.minimum, "Negative": tf.negative,
    "Square": tf.square, "Sqrt": tf.sqrt, "Rsqrt": tf.math.rsqrt,
    "Reciprocal": tf.math.reciprocal, "Exp": tf.exp, "Expm1": tf.math.expm1,
    "Log": tf.math.log, "Log1p": tf.math.log1p, "Sin": tf.sin, "Cos": tf.cos, "Tan": tf.tan,
    "Sinh": tf.sinh, "Cosh": tf.cosh, "Tanh": tf.tanh, "Arcsin": tf.asin, "Arccos": tf.acos,
    "Arctan": tf.atan, "Arctan2": tf.atan2, "Arcsinh": tf.asinh, "Arccosh": tf.acosh,
    "Arctanh": tf.atanh, "Floor": tf.floor, "Ceil": tf.math.ceil, "Sign": tf.sign,
    "Erf": tf.math.erf, "Erfc": tf.math.erfc, "Erfinv": tf.math.erfinv,
    "Equal": tf.equal, "NotEqual": tf.not_equal, "Greater": tf.greater,
    "GreaterEqual": tf.greater_equal, "Less": tf.less, "LessEqual": tf.less_equal,
    "LogicalAnd": tf.logical_and, "LogicalOr": tf.logical_or, "LogicalNot": tf.logical_not,
    "LogicalXor": tf.math.logical_xor, "Isnan": tf.math.is_nan, "Isinf": tf.math.is_inf,
    "Isfinite": tf.math.is_finite, "Sigmoid": tf.sigmoid, "Relu": tf.nn.relu,
    "Relu6": tf.nn.relu6, "Softplus": tf.math.softplus, "Softsign": tf.nn.softsign,
    "Silu": tf.nn.silu, "Selu": tf.nn.selu, "LogSigmoid": tf.math.log_sigmoid,
    "HardSigmoid": activations.hard_sigmoid6, "HardSilu": activations.hard_swish,
    "HardTanh": activations.hard_tanh,
    "TanhShrink": _activations.keras3_tanh_shrink,
    "SparsePlus": _activations.keras3_sparse_plus,
    "SparseSigmoid": _activations.keras3_sparse_sigmoid,
    "StopGradient": tf.stop_gradient, "Copy": tf.identity, "Matmul": tf.matmul,
}  # fmt: skip
FUNCTIONS.update(_ELEMENTWISE)


def _reduction(reduce):
    def computing(x, axis=None, keepdims=False):
        return reduce(x, axis=axis, keepdims=keepdims)

    return computing


FUNCTIONS.update(
    {
        "Sum": _reduction(tf.reduce_sum),
        "Prod": lambda x, axis=None, keepdims=False, dtype=None: tf.reduce_prod(
            x, axis=axis, keepdims=keepdims
        ),
        "Max": lambda x, axis=None, keepdims=False, initial=None: tf.reduce_max(
            x, axis=axis, keepdims=keepdims
        ),
        "Min": lambda x, axis=None, keepdims=False, initial=None: tf.reduce_min(
            x, axis=axis, keepdims=keepdims
        ),
        "Amax": _reduction(tf.reduce_max),
        "Amin": _reduction(tf.reduce_min),
        "Any": _reduction(tf.reduce_any),
        "All": _reduction(tf.reduce_all),
        "Logsumexp": _reduction(tf.reduce_logsumexp),
    }
)


def _in_float32(reduce):
    """Reduces in at least float32, as Keras 3 does."""

    def computing(x, axis=None, keepdims=False):
        if x.dtype.size < 4 or not x.dtype.is_floating:
            x = tf.cast(x, tf.float32)
        return reduce(x, axis=axis, keepdims=keepdims)

    return computing


FUNCTIONS["Mean"] = _in_float32(tf.reduce_mean)
FUNCTIONS["Var"] = _in_float32(tf.math.reduce_variance)
FUNCTIONS["Std"] = _in_float32(tf.math.reduce_std)


def _arg(search):
    def computing(x, axis=None, keepdims=False):
        whole = axis is None
        found = search(tf.reshape(x, [-1]) if whole else x, axis=0 if whole else axis)
        if not keepdims:
            return found
        return (
            tf.reshape(found, [1] * len(x.shape))
            if whole
            else tf.expand_dims(found, axis)
        )

    return computing


FUNCTIONS["Argmax"], FUNCTIONS["Argmin"] = _arg(tf.argmax), _arg(tf.argmin)


@function("Softmax")
def _softmax(x, axis=-1):
    return tf.nn.softmax(x, axis=axis)


@function("LogSoftmax")
def _log_softmax(x, axis=-1):
    return tf.nn.log_softmax(x, axis=axis)


@function("LeakyRelu")
def _leaky_relu(x, negative_slope):
    return tf.nn.leaky_relu(x, alpha=negative_slope)


@function("Elu")
def _elu(x, alpha=1.0):
    return tf.where(x > 0, tf.nn.elu(x), alpha * tf.nn.elu(x))


@function("Celu")
def _celu(x, alpha=1.0):
    return tf.maximum(x, 0) + alpha * tf.math.expm1(tf.minimum(x, 0) / alpha)


@function("Gelu")
def _gelu(x, approximate=True):
    return tf.nn.gelu(x, approximate=approximate)


@function("Glu")
def _glu(x, axis=-1):
    value, gate = tf.split(x, 2, axis=axis)
    return value * tf.sigmoid(gate)


@function("Squareplus")
def _squareplus(x, b=4):
    return (x + tf.sqrt(tf.square(x) + tf.cast(b, x.dtype))) / 2


@function("SoftShrink")
def _soft_shrink(x, threshold=0.5):
    low = tf.where(x < -threshold, x + threshold, tf.zeros_like(x))
    return tf.where(x > threshold, x - threshold, low)


@function("HardShrink")
def _hard_shrink(x, threshold=0.5):
    return tf.where(tf.abs(x) > threshold, x, tf.zeros_like(x))


@function("Threshold")
def _threshold(x, threshold, default_value):
    return tf.where(x > threshold, x, tf.cast(default_value, x.dtype))


@function("Clip")
def _clip(x, x_min, x_max):
    return tf.clip_by_value(x, tf.cast(x_min, x.dtype), tf.cast(x_max, x.dtype))


@function("Round")
def _round(x, decimals=0):
    if decimals == 0:
        return tf.round(x)
    factor = tf.cast(10.0**decimals, x.dtype)
    return tf.round(x * factor) / factor


@function("Cast")
def _cast(x, dtype):
    return tf.cast(x, dtype)


@function("ConvertToTensor")
def _convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    return tf.identity(x) if dtype is None else tf.cast(x, dtype)


@function("ZerosLike")
def _zeros_like(x, dtype=None):
    return tf.zeros_like(x, dtype=dtype)


@function("OnesLike")
def _ones_like(x, dtype=None):
    return tf.ones_like(x, dtype=dtype)


@function("FullLike")
def _full_like(x, fill_value, dtype=None):
    return tf.zeros_like(x, dtype=dtype) + tf.cast(fill_value, dtype or x.dtype)


@function("Where")
def _where(condition, x1=None, x2=None):
    return tf.where(tf.cast(condition, tf.bool), x1, x2)


@function("Reshape")
def _reshape(x, newshape):
    return tf.reshape(x, [-1 if n is None else n for n in newshape])


@function("Ravel")
def _ravel(x):
    return tf.reshape(x, [-1])


@function("Transpose")
def _transpose(x, axes=None):
    return tf.transpose(x, perm=axes)


@function("Swapaxes")
def _swapaxes(x, axis1, axis2):
    order = list(range(len(x.shape)))
    order[axis1], order[axis2] = order[axis2], order[axis1]
    return tf.transpose(x, order)


@function("Moveaxis")
def _moveaxis(x, source, destination):
    rank = len(x.shape)
    listed = [[v] if isinstance(v, int) else list(v) for v in (source, destination)]
    source, destination = ([axis % rank for axis in axes] for axes in listed)
    order = [axis for axis in range(rank) if axis not in source]
    for place, axis in sorted(zip(destination, source, strict=True)):
        order.insert(place, axis)
    return tf.transpose(x, order)


@function("ExpandDims")
def _expand_dims(x, axis):
    for each in [axis] if isinstance(axis, int) else sorted(axis):
        x = tf.expand_dims(x, each)
    return x


@function("Squeeze")
def _squeeze(x, axis=None):
    return tf.squeeze(x, axis=axis)


@function("Concatenate")
def _concatenate(xs, axis=-1):
    return tf.concat(xs, axis=axis)


@function("Stack")
def _stack(x, axis=0):
    return tf.stack(x, axis=axis)


@function("Unstack")
def _unstack(x, num=None, axis=0):
    return tf.unstack(x, num=num, axis=axis)


@function("Split")
def _split(x, indices_or_sections, axis=0):
    if isinstance(indices_or_sections, int):
        return tf.split(x, indices_or_sections, axis=axis)
    ends = [0, *indices_or_sections, x.shape[axis]]
    return tf.split(x, [b - a for a, b in itertools.pairwise(ends)], axis=axis)


@function("Repeat")
def _repeat(x, repeats, axis=None):
    return tf.repeat(x, repeats, axis=axis)


@function("Tile")
def _tile(x, repeats):
    repeats = [repeats] if isinstance(repeats, int) else list(repeats)
    missing = len(x.shape) - len(repeats)
    x = tf.reshape(x, [*[1] * -missing, *tf.unstack(tf.shape(x))]) if missing < 0 else x
    return tf.tile(x, [*[1] * missing, *repeats])


@function("BroadcastTo")
def _broadcast_to(x, shape):
    return tf.broadcast_to(x, shape)


@function("Flip")
def _flip(x, axis=None):
    axes = (
        range(len(x.shape))
        if axis is None
        else [axis]
        if isinstance(axis, int)
        else axis
    )
    return tf.reverse(x, [a % len(x.shape) for a in axes])


@function("Roll")
def _roll(x, shift, axis=None):
    if axis is None:
        return tf.reshape(tf.roll(tf.reshape(x, [-1]), shift, 0), tf.shape(x))
    return tf.roll(x, shift, axis)


@function("Pad")
def _pad(x, constant_values=None, pad_width=(), mode="constant"):
    width = [pad_width] if isinstance(pad_width, int) else list(pad_width)
    if len(width) == 1 and isinstance(width[0], int):
        width = [[width[0], width[0]]]
    width = width * len(x.shape) if len(width) == 1 else width
    return tf.pad(x, width, mode.upper(), constant_values or 0)


@function("GetItem")
def _get_item(x, key):
    return x[tuple(key) if isinstance(key, list) else key]


@function("Take")
def _take(x, indices, axis=None):
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    indices = tf.cast(indices, tf.int32)
    indices = tf.where(indices < 0, indices + tf.shape(x)[axis], indices)
    return tf.gather(x, indices, axis=axis)


@function("Cumsum")
def _cumsum(x, axis=None, dtype=None):
    return tf.cumsum(tf.reshape(x, [-1]) if axis is None else x, axis=axis or 0)


@function("Sort")
def _sort(x, axis=-1):
    return tf.sort(x, axis=axis)


@function("TopK")
def _top_k(x, k, sorted=True):
    return list(tf.math.top_k(x, k, sorted=sorted))


@function("Einsum")
def _einsum(*operands, subscripts):
    return tf.einsum(subscripts, *operands)


@function("Tensordot")
def _tensordot(x1, x2, axes=2):
    return tf.tensordot(x1, x2, axes)


@function("OneHot")
def _one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    return tf.one_hot(
        tf.cast(x, tf.int32), num_classes, axis=axis, dtype=dtype or tf.float32
    )


@function("Norm")
def _norm(x, ord=None, axis=None, keepdims=False):
    if ord not in (None, 1, 2) or (ord is not None and not isinstance(axis, int)):
        raise ValueError(f"ord={ord!r} with axis={axis!r}")
    if ord == 1:
        return tf.reduce_sum(tf.abs(x), axis=axis, keepdims=keepdims)
    return tf.sqrt(tf.reduce_sum(tf.square(x), axis=axis, keepdims=keepdims))


@function("Normalize")
def _normalize(x, axis=-1, order=2, epsilon=None):
    epsilon = tf.cast(1e-7 if epsilon is None else epsilon, x.dtype)
    return x / tf.maximum(_norm(x, order, axis, True), epsilon)


@function("RMSNorm")
def _rms_norm(x, scale=None, axis=-1, epsilon=None):
    mean = tf.reduce_mean(tf.square(x), axis=axis, keepdims=True)
    outputs = x * tf.math.rsqrt(mean + (1e-7 if epsilon is None else epsilon))
    return outputs if scale is None else outputs * scale


@function("MaxPool")
def _max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    strides = pool_size if strides is None else strides
    return tf.nn.max_pool(inputs, pool_size, strides, padding.upper())


@function("AveragePool")
def _average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    strides = pool_size if strides is None else strides
    return tf.nn.avg_pool(inputs, pool_size, strides, padding.upper())
