"""Matrix products and convolutions of integers, exact whatever the number of terms.

A sum of products of integers is exact in a float type as long as no partial sum can pass
what the type holds. Three cases are told apart by what is known of the magnitudes:

1. `|x| * |w| * terms <= 2^24`: float32.
2. up to 2^53: float32 if the weights at hand prove it (`|x| * sum |w|` of each output),
   else float64.
3. above: the left operand is split into pieces of fewer bits, each product is computed in
   float64, and the parts are added; a result above 2^53 saturates anyway.

A left operand whose channels differ in fractional bits is aligned first, as `expand` does
it. In the second case the shifts go into the weights instead, which are fewer.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from larqlite.errors import QuantizedTypeError
from larqlite.integer.tensors import _rounding
from larqlite.integer.tensors._constants import embedded, folded, value_of
from larqlite.integer.tensors._scaling import fixed_point
from larqlite.integer.tensors._storage import (
    FLOAT32_LIMIT,
    FLOAT64_LIMIT,
    UNKNOWN_LIMIT,
    saturated,
)

Product = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


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
            return tf.nn.convolution(
                left, right, strides=strides, padding=padding, dilations=dilations
            )
        pairs = zip(
            tf.split(left, groups, axis=-1),
            tf.split(right, groups, axis=-1),
            strict=True,
        )
        parts = [
            tf.nn.convolution(
                a, b, strides=strides, padding=padding, dilations=dilations
            )
            for a, b in pairs
        ]
        return tf.concat(parts, axis=-1)

    return _of(
        x,
        w,
        product,
        terms=_size(w.shape[:-1]),
        summed=range(w.shape.rank - 1),
        on_weights=lambda shift: _for_groups(shift, groups, w.shape[-1]),
    )


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
    )


def _of(
    x, w, product: Product, terms, summed, of_left=None, of_right=None, on_weights=None
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
    values, limit = _exact(left, right, product, terms, list(summed), shift, on_weights)
    if shift is None:
        frac_bits = of_left(left.frac_bits)
    with folded(frac_bits, right.frac_bits):
        frac_bits = frac_bits + of_right(right.frac_bits)
    fp = fixed_point(values, left.value_bits, frac_bits, limit)
    sides = [(s, c) for s, c in ((x, of_left), (w, of_right)) if hasattr(s, "scales")]
    if not sides:
        return fp
    from larqlite.integer.tensors._qfloat import QFloat

    with folded(*(side.scales for side, _ in sides)):
        scales = [change(side.scales) for side, change in sides]
        product_of_scales = scales[0] if len(scales) == 1 else scales[0] * scales[1]
    return QFloat(fp, product_of_scales)


def _exact(left, right, product: Product, terms, summed, shift, on_weights):
    """The integers of the product, saturated, and their bound."""
    most = left.limit if shift is None else 2**left.value_bits
    limit = most * right.limit * terms if terms else UNKNOWN_LIMIT
    if FLOAT32_LIMIT < limit <= FLOAT64_LIMIT:
        return _by_the_weights(left, right, product, summed, shift, on_weights)
    left = left if shift is None else left.expand(left.value_bits)[0]
    if limit <= FLOAT32_LIMIT:
        values = product(_as(left, tf.float32), embedded(_as(right, tf.float32)))
    else:
        values, limit = _in_pieces(left, right, product, terms), UNKNOWN_LIMIT
    return saturated(values, left.value_bits, limit)


def _by_the_weights(left, right, product, summed, shift, on_weights):
    """The product in float32 where the weights prove that to be exact, else in float64.

    Weights that are constants prove it once, while the graph is made. Others prove it at
    each call; the result is float64 then, whichever was computed.
    """

    def in_float64():
        aligned = left if shift is None else left.expand(left.value_bits)[0]
        values = product(_as(aligned, tf.float64), _as(right, tf.float64))
        return saturated(values, left.value_bits, UNKNOWN_LIMIT)[0]

    limit = 2**left.value_bits
    if left.limit > FLOAT32_LIMIT or right.limit > FLOAT32_LIMIT:
        return in_float64(), limit
    weights = _as(right, tf.float32)
    with folded(weights, *(() if shift is None else (shift,))):
        if shift is not None:
            weights = weights * on_weights(_rounding.exp2(shift, tf.float32))
        # Partial sums of integers are exact in float32 up to the limit, and above it
        # they are too large to be taken for less.
        largest = tf.reduce_max(tf.reduce_sum(tf.abs(weights), axis=summed))
    most = min(FLOAT32_LIMIT, limit - 1)
    known = value_of(largest)
    if known is not None and known * left.limit <= most:
        bound = int(known) * left.limit
        return product(_as(left, tf.float32), embedded(weights)), bound
    if known is not None:
        return in_float64(), limit
    return tf.cond(
        largest * left.limit <= most,
        lambda: tf.cast(product(_as(left, tf.float32), weights), tf.float64),
        lambda: tf.cast(in_float64(), tf.float64),
    ), limit


def _for_groups(shift: tf.Tensor, groups: int, outputs: int) -> tf.Tensor:
    """A vector for the input channels as `(in / groups, out)`, for a grouped kernel."""
    if groups == 1:
        return shift[:, tf.newaxis]
    by_group = tf.transpose(tf.reshape(shift, [groups, -1]))
    return tf.repeat(by_group, outputs // groups, axis=1)


def _same(vector: tf.Tensor) -> tf.Tensor:
    return vector


def _in_pieces(left, right, product: Product, terms) -> tf.Tensor:
    """The sum of the products of pieces of `left`, highest bits first.

    Each product is exact. A total is exact up to 2^53; once above, no further piece can
    bring it back below, so that it saturates rightly.
    """
    terms = terms or 2**16
    of_products = (right.limit * terms).bit_length()
    piece_bits = max(1, FLOAT64_LIMIT.bit_length() - 1 - of_products)
    rest, others = _as(left, tf.float64), _as(right, tf.float64)
    pieces = []
    for _ in range(-(-left.limit.bit_length() // piece_bits) - 1):
        higher = _rounding.floor(rest * 2.0**-piece_bits)
        pieces.append(rest - higher * 2.0**piece_bits)
        rest = higher
    total = product(rest, others)
    for piece in reversed(pieces):
        total = total * 2.0**piece_bits + product(piece, others)
    return total


def _as(x, dtype) -> tf.Tensor:
    return x.values if x.values.dtype == dtype else tf.cast(x.values, dtype)


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
