"""Operations that move the values of a quantized tensor, but do not change them."""

from __future__ import annotations

import tensorflow as tf

from larqlite.errors import QuantizedTensorError, QuantizedTypeError
from larqlite.integer.tensors import _checks
from larqlite.integer.tensors._fixed_point import FixedPoint
from larqlite.integer.tensors._qfloat import QFloat
from larqlite.integer.tensors._scaling import limited
from larqlite.integer.tensors._storage import dtype_for


def moved(x, operation):
    """`x` with `operation` applied to its values: scales and fractional bits stay."""
    if hasattr(x, "scales"):
        return QFloat(moved(x.fp, operation), x.scales)
    return FixedPoint(operation(x.values), x.value_bits, x.frac_bits, limit=x.limit)


def keeping_channels(x, operation, keeps: bool, what: str):
    """`moved`; a per-axis tensor must keep its last axis."""
    if not keeps and not x.per_tensor:
        raise QuantizedTensorError(
            f"{x.name}: {what} moves the last axis, but the tensor is quantized "
            "per-axis.\n  Fix: `expand(value_bits)` makes it per-tensor."
        )
    return moved(x, operation)


def reshape(tensor, shape, name=None):
    """`tf.reshape`; per-axis, the last dimension stays."""
    known = tf.get_static_value(tf.convert_to_tensor(shape))
    last = None if known is None or len(known) == 0 else int(known[-1])
    keeps = last is not None and last == tensor.shape[-1]
    return keeping_channels(tensor, lambda v: tf.reshape(v, shape), keeps, "reshape")


def transpose(a, perm=None, conjugate=False, name="transpose"):
    """`tf.transpose`; per-axis, the last dimension stays."""
    rank = a.shape.rank
    known = range(rank)[::-1] if perm is None else tf.get_static_value(perm)
    keeps = known is not None and int(list(known)[-1]) == rank - 1
    return keeping_channels(a, lambda v: tf.transpose(v, perm), keeps, "transpose")


def broadcast_to(input, shape, name=None):
    """`tf.broadcast_to`."""
    return moved(input, lambda v: tf.broadcast_to(v, shape))


def expand_dims(input, axis, name=None):
    """`tf.expand_dims`; per-axis, not behind the last dimension."""
    keeps = axis not in (-1, input.shape.rank)
    return keeping_channels(
        input, lambda v: tf.expand_dims(v, axis), keeps, "expand_dims"
    )


def gather(params, indices, validate_indices=None, axis=None, batch_dims=0, name=None):
    """`tf.gather`; from the last dimension, scales and fractional bits come along."""
    rank = params.shape.rank
    is_last = (axis if axis is not None else batch_dims) % rank == rank - 1

    def chosen(values):
        return tf.gather(values, indices, axis=axis, batch_dims=batch_dims)

    if not is_last or params.per_tensor:
        return moved(params, chosen)
    return _with_channels(
        params,
        chosen,
        lambda vector: tf.gather(vector, indices) if vector.shape.rank else vector,
    )


def _with_channels(x, operation, on_vectors):
    """`moved`, where the channels change places too."""
    if hasattr(x, "scales"):
        return QFloat(_with_channels(x.fp, operation, on_vectors), on_vectors(x.scales))
    frac_bits = on_vectors(x.frac_bits)
    return FixedPoint(operation(x.values), x.value_bits, frac_bits, limit=x.limit)


def pad(tensor, paddings, mode="CONSTANT", constant_values=0, name=None):
    """`tf.pad`; `constant_values` are an integer, or an aligned FixedPoint.

    A FixedPoint of one value per channel pads every channel with its own.
    """
    fp = getattr(tensor, "fp", tensor)
    pad_value = getattr(constant_values, "fp", constant_values)
    if not hasattr(pad_value, "frac_bits"):
        limit = max(fp.limit, abs(int(pad_value)))
        return _padded(
            tensor, lambda v: tf.pad(v, paddings, mode, int(pad_value)), limit
        )
    checks = _checks.aligned(
        fp.frac_bits, pad_value.frac_bits, "pad", "fractional bits"
    )
    limit = max(fp.limit, pad_value.limit)
    dtype = dtype_for(limit)

    def operation(values):
        outside = tf.pad(tf.zeros_like(values), paddings, constant_values=1)
        return tf.pad(values, paddings) + outside * tf.cast(
            pad_value.values, values.dtype
        )

    with tf.control_dependencies(checks):
        return _padded(tensor, lambda v: operation(tf.cast(v, dtype)), limit)


def _padded(x, operation, limit: int):
    if hasattr(x, "scales"):
        return QFloat(_padded(x.fp, operation, limit), x.scales)
    return limited(x, operation(x.values), x.value_bits, x.frac_bits, limit)


def tile(input, multiples, name=None):
    """`tf.tile`; per-axis, not along the last dimension."""
    known = tf.get_static_value(tf.convert_to_tensor(multiples))
    keeps = known is not None and known[-1] == 1
    return keeping_channels(input, lambda v: tf.tile(v, multiples), keeps, "tile")


def zeros_like(input, dtype=None, name=None, layout=None):
    """`tf.zeros_like`, with the same scales, fractional bits and value bits."""
    return moved(input, tf.zeros_like)


def max_pool(input, ksize, strides, padding, data_format=None, name=None):
    """`tf.nn.max_pool`: the order of integers is that of their numbers."""
    return moved(
        input, lambda v: tf.nn.max_pool(v, ksize, strides, padding, data_format)
    )


def concat(values, axis, name="concat"):
    """`tf.concat` of any number of tensors; the most value bits of any.

    Along the last axis, fractional bits and scales become vectors where they differ;
    along another, they must be equal.
    """
    is_last = axis % values[0].shape.rank == values[0].shape.rank - 1
    return _joined(values, lambda v: tf.concat(v, axis), "concat", is_last)


def stack(values, axis=0, name="stack"):
    """`tf.stack` of tensors with equal fractional bits; the most value bits of any."""
    if axis in (-1, values[0].shape.rank):
        for x in values:
            x.assert_per_tensor()
    return _joined(values, lambda v: tf.stack(v, axis), "stack", False)


def _joined(values, operation, where: str, channels: bool):
    if any(hasattr(x, "scales") for x in values):
        values = _all_qfloats(values)
        fp = _joined([x.fp for x in values], operation, where, channels)
        sizes = [x.shape[-1] for x in values]
        scales = [x.scales for x in values]
        scales, checks = _of_joined(scales, sizes, where, "scales", channels)
        with tf.control_dependencies(checks):
            return QFloat(fp, tf.identity(scales) if checks else scales)
    bits = max(x.value_bits for x in values)
    limit = max(x.limit for x in values)
    dtype = dtype_for(limit)
    sizes, parts = [x.shape[-1] for x in values], [x.frac_bits for x in values]
    frac_bits, checks = _of_joined(parts, sizes, where, "fractional bits", channels)
    with tf.control_dependencies(checks):
        joined = operation([tf.cast(x.values, dtype) for x in values])
    return FixedPoint(joined, bits, frac_bits, limit=limit)


def _of_joined(parts, sizes, where: str, what: str, channels: bool):
    """What holds for the joined channels, and checks that a graph has to make."""
    first = parts[0]
    if channels:
        if first.shape.rank == 0 and all(part is first for part in parts):
            return first, []
        vectors = [
            tf.broadcast_to(part, [size])
            for part, size in zip(parts, sizes, strict=True)
        ]
        return tf.concat(vectors, axis=0), []
    checks = [
        check
        for part in parts[1:]
        for check in _checks.aligned(first, part, where, what)
    ]
    return first, checks


def _all_qfloats(values) -> list:
    if not all(hasattr(x, "scales") for x in values):
        raise QuantizedTypeError(
            "concat or stack of FixedPoint and QFloat tensors together.\n"
            "  Fix: turn the QFloats into FixedPoint first: `x.to_fixed_point()[0]`."
        )
    return list(values)
