"""Operations that move the values of a quantized tensor, but do not change them."""

from __future__ import annotations

import tensorflow as tf

from larqlite.errors import QuantizedTensorError
from larqlite.integer.tensors import _checks
from larqlite.integer.tensors._scaling import fixed_point
from larqlite.integer.tensors._storage import dtype_for


def moved(x, operation):
    """`x` with `operation` applied to its values: scales and fractional bits stay."""
    if hasattr(x, "scales"):
        from larqlite.integer.tensors._qfloat import QFloat

        return QFloat(moved(x.fp, operation), x.scales)
    return fixed_point(operation(x.values), x.value_bits, x.frac_bits, x.limit)


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
    """`tf.gather`; per-axis, not from the last dimension."""
    rank = params.shape.rank
    keeps = (axis if axis is not None else batch_dims) % rank != rank - 1
    return keeping_channels(
        params,
        lambda v: tf.gather(v, indices, axis=axis, batch_dims=batch_dims),
        keeps,
        "gather",
    )


def pad(tensor, paddings, mode="CONSTANT", constant_values=0, name=None):
    """`tf.pad`; `constant_values` are a number of integers, or an aligned FixedPoint.

    A FixedPoint of one value per channel pads every channel with its own.
    """
    fp = getattr(tensor, "fp", tensor)
    fill = getattr(constant_values, "fp", constant_values)
    if not hasattr(fill, "frac_bits"):
        limit = max(fp.limit, abs(int(fill)))
        return _padded(tensor, lambda v: tf.pad(v, paddings, mode, int(fill)), limit)
    checks = _checks.aligned(fp.frac_bits, fill.frac_bits, "pad", "fractional bits")
    limit = max(fp.limit, fill.limit)
    dtype = dtype_for(limit)

    def operation(values):
        inside = tf.pad(tf.ones_like(values[..., :1]), paddings_without_channels)
        padded = tf.pad(values, paddings)
        outside = (1 - inside) * tf.cast(fill.values, values.dtype)
        return padded + outside

    paddings_without_channels = tf.concat(
        [tf.convert_to_tensor(paddings)[:-1], [[0, 0]]], axis=0
    )
    with tf.control_dependencies(checks):
        return _padded(tensor, lambda v: operation(tf.cast(v, dtype)), limit)


def _padded(x, operation, limit: int):
    if hasattr(x, "scales"):
        from larqlite.integer.tensors._qfloat import QFloat

        return QFloat(_padded(x.fp, operation, limit), x.scales)
    from larqlite.integer.tensors._scaling import limited

    return limited(operation(x.values), x.value_bits, x.frac_bits, limit)


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

    Along the last axis, fractional bits become a vector; along another, they must be
    equal.
    """
    first, rank = values[0], values[0].shape.rank
    bits = max(x.value_bits for x in values)
    limit = max(x.limit for x in values)
    dtype = dtype_for(limit)
    if axis % rank == rank - 1:
        checks = []
        frac_bits = [tf.broadcast_to(x.frac_bits, [x.shape[-1]]) for x in values]
        if all(x.frac_bits is first.frac_bits and x.per_tensor for x in values):
            frac_bits = first.frac_bits
        else:
            frac_bits = tf.concat(frac_bits, axis=0)
    else:
        checks = _all_aligned(values, "concat")
        frac_bits = first.frac_bits
    with tf.control_dependencies(checks):
        joined = tf.concat([tf.cast(x.values, dtype) for x in values], axis)
    return fixed_point(joined, bits, frac_bits, limit)


def stack(values, axis=0, name="stack"):
    """`tf.stack` of tensors with equal fractional bits; the most value bits of any."""
    first = values[0]
    if axis in (-1, first.shape.rank):
        for x in values:
            x.assert_per_tensor()
    bits = max(x.value_bits for x in values)
    limit = max(x.limit for x in values)
    dtype = dtype_for(limit)
    with tf.control_dependencies(_all_aligned(values, "stack")):
        stacked = tf.stack([tf.cast(x.values, dtype) for x in values], axis)
    return fixed_point(stacked, bits, first.frac_bits, limit)


def _all_aligned(values, where: str) -> list:
    return [
        check
        for x in values[1:]
        for check in _checks.aligned(
            values[0].frac_bits, x.frac_bits, where, "fractional bits"
        )
    ]
