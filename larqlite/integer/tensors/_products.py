"""Matrix products and convolutions of quantized tensors, exact in every sum."""

from __future__ import annotations

import tensorflow as tf

from larqlite.errors import QuantizedTypeError
from larqlite.integer.tensors._constants import folded
from larqlite.integer.tensors._exact import Product, exact_product
from larqlite.integer.tensors._fixed_point import FixedPoint
from larqlite.integer.tensors._qfloat import QFloat


def convolution(x, w, strides=1, padding="VALID", dilations=1):
    """The N-D convolution of `x` `(batch, ..., in)` with `w` `(..., in / groups, out)`.

    Args:
        x: FixedPoint, also per-axis, or QFloat, per-tensor.
        w: FixedPoint or QFloat, per-tensor or per output channel.
        strides: integer or one per spatial dimension.
        padding: `"VALID"` or `"SAME"`, with zeros.
        dilations: integer or one per spatial dimension.

    Returns:
        FixedPoint, or QFloat if an operand is one; value bits of `x`, fractional bits
        added, saturated once at the end.
    """
    padding = padding.upper()
    groups = x.shape[-1] // w.shape[-2]

    def product(left, right):
        if groups == 1:
            return convolved(left, right, strides, padding, dilations)
        pairs = zip(
            tf.split(left, groups, axis=-1),
            tf.split(right, groups, axis=-1),
            strict=True,
        )
        parts = [convolved(a, b, strides, padding, dilations) for a, b in pairs]
        return tf.concat(parts, axis=-1)

    return _of(
        x,
        w,
        product,
        terms=_size(w.shape[:-1]),
        summed=range(w.shape.rank - 1),
        on_weights=lambda shift: _for_groups(shift, groups, w.shape[-1]),
        channels=w.shape.rank - 2 if groups == 1 else None,
    )


def convolved(left, right, strides, padding, dilations=1):
    """`tf.nn.convolution` of float tensors, right for unequal strides too.

    TensorFlow 2.16 to 2.21 with oneDNN skips rows of a float32 image of one channel where
    the columns' stride is larger than that of the rows and one column comes out. In
    float64 it does not.
    """
    each = tf.nest.flatten(strides)
    is_skipped = left.shape[-1] == 1 and left.shape.rank > 3 and len(set(each)) > 1
    dtype = tf.float64 if is_skipped else left.dtype
    found = tf.nn.convolution(
        tf.cast(left, dtype),
        tf.cast(right, dtype),
        strides=strides,
        padding=padding,
        dilations=dilations,
    )
    return tf.cast(found, left.dtype)


def depthwise_convolution(
    x, w, strides=(1, 1), padding="VALID", dilations=(1, 1), convolve=None
):
    """The depthwise convolution of `x` `(batch, h, w, in)` with `w` `(h, w, in, m)`.

    Channels do not mix, so `x` may be per-axis; otherwise as `convolution`.
    `convolve`, a function of two float tensors, takes the place of the convolution itself,
    for one that adds as many products or fewer, such as its transpose.
    """
    strides = (1, *_pair(strides), 1)
    dilations = _pair(dilations)

    def product(left, right):
        return tf.nn.depthwise_conv2d(
            left, right, strides, padding.upper(), dilations=dilations
        )

    multiplier = w.shape[-1]

    def per_output(vector):
        return _of_depthwise_kernel(vector, multiplier)

    def per_input(vector):
        if vector.shape.rank == 0 or multiplier == 1:
            return vector
        return tf.repeat(vector, multiplier)

    return _of(
        x,
        w,
        convolve or product,
        terms=_size(w.shape[:2]),
        summed=(0, 1),
        of_left=per_input,
        of_right=lambda v: per_output(v) if v.shape.rank else v,
    )


def convolution_transpose(x, w, output_shape, strides, padding="VALID"):
    """The transposed 2D convolution of `x` `(batch, h, w, in)` with `w` `(h, w, out, in)`.

    Args:
        x: FixedPoint, also per-axis, or QFloat, per-tensor.
        w: FixedPoint or QFloat, per-tensor or per output channel.
        output_shape: shape of the result, `(batch, h, w, out)`.
        strides: two integers.
        padding: `"VALID"` or `"SAME"`.
    """

    def product(left, right):
        return tf.nn.conv2d_transpose(
            left, right, output_shape, strides, padding.upper()
        )

    return _of(
        x,
        w,
        product,
        terms=_size((*w.shape[:2], w.shape[-1])),
        summed=(0, 1, 3),
        on_weights=lambda shift: shift,
        channels=3,
    )


def matmul(a, b, transpose_b=False):
    """The product of the last two dimensions of `a` `(..., n, k)` and `b` `(..., k, m)`.

    Args:
        a: FixedPoint, also per-axis, or QFloat, per-tensor.
        b: FixedPoint or QFloat, per-tensor, or per-axis if not transposed.
        transpose_b: whether `b` is `(..., m, k)`.
    """
    if transpose_b:
        b.assert_per_tensor()
    terms = b.shape[-1] if transpose_b else b.shape[-2]

    def product(left, right):
        return tf.matmul(left, right, transpose_b=transpose_b)

    summed = (b.shape.rank - 1 if transpose_b else b.shape.rank - 2,)
    return _of(
        a,
        b,
        product,
        terms=terms or a.shape[-1],
        summed=summed,
        on_weights=lambda shift: shift if transpose_b else shift[:, tf.newaxis],
        channels=summed[0] if b.shape.rank == 2 else None,
    )


def _of(
    x,
    w,
    product: Product,
    terms,
    summed,
    of_left=None,
    of_right=None,
    on_weights=None,
    channels=None,
):
    """The product of two quantized tensors, as the type that their scales ask for.

    Args:
        x: the left operand.
        w: the right operand.
        product: of two float tensors.
        terms: how many products are added for one output; None if unknown.
        summed: axes of `w` that are.
        of_left: a vector for the channels of `x` as one for the outputs; None if the
            channels are added.
        of_right: the same for the vectors of `w`.
        on_weights: a vector for the channels of `x` in the shape of `w`.
        channels: the axis of `w` that are the channels of `x`, if all meet all outputs.
    """
    left, right = getattr(x, "fp", x), getattr(w, "fp", w)
    if not hasattr(left, "frac_bits") or not hasattr(right, "frac_bits"):
        raise QuantizedTypeError(
            f"A product of a {type(x).__name__} and a {type(w).__name__}: both must be "
            "FixedPoint or QFloat.\n  Fix: quantize the other one first."
        )
    shift = None
    if of_left is None:
        if hasattr(x, "scales") and not x.per_tensor:
            x.assert_per_tensor()
        of_left = _same
        if not left.per_tensor:
            with folded(left.frac_bits):
                frac_bits = tf.reduce_max(left.frac_bits)
                shift = frac_bits - left.frac_bits
    of_right = of_right or _same
    values, limit = exact_product(
        left, right, product, terms, list(summed), shift, on_weights, channels
    )
    if shift is None:
        frac_bits = of_left(left.frac_bits)
    with folded(frac_bits, right.frac_bits):
        frac_bits = frac_bits + of_right(right.frac_bits)
    fp = FixedPoint(values, left.value_bits, frac_bits, limit=limit)
    sides = [(s, c) for s, c in ((x, of_left), (w, of_right)) if hasattr(s, "scales")]
    if not sides:
        return fp
    with folded(*(side.scales for side, _ in sides)):
        scales = [change(side.scales) for side, change in sides]
        product_of_scales = scales[0] if len(scales) == 1 else scales[0] * scales[1]
    return QFloat(fp, product_of_scales)


def _for_groups(shift: tf.Tensor, groups: int, outputs: int) -> tf.Tensor:
    """A vector for the input channels as `(in / groups, out)`, for a grouped kernel."""
    if groups == 1:
        return shift[:, tf.newaxis]
    by_group = tf.transpose(tf.reshape(shift, [groups, -1]))
    return tf.repeat(by_group, outputs // groups, axis=1)


def _same(vector: tf.Tensor) -> tf.Tensor:
    return vector


def _of_depthwise_kernel(vector: tf.Tensor, multiplier: int) -> tf.Tensor:
    """A vector for the input channels, or `(in, m)`, as one for the output channels."""
    if vector.shape.rank == 2 and vector.shape[1] == multiplier:
        return tf.reshape(vector, [-1])
    flat = tf.reshape(vector, [-1])
    return flat if multiplier == 1 else tf.repeat(flat, multiplier)


def _pair(value):
    return (value, value) if isinstance(value, int) else tuple(value)


def _size(shape) -> int | None:
    size = 1
    for dimension in shape:
        if dimension is None:
            return None
        size *= int(dimension)
    return size
