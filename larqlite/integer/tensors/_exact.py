"""How a sum of products of integers is computed exactly, whatever the number of terms.

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

from larqlite.integer.tensors import _rounding
from larqlite.integer.tensors._constants import (
    embedded,
    folded,
    is_only_signature_of,
    value_of,
)
from larqlite.integer.tensors._parts import in_parts
from larqlite.integer.tensors._storage import UNKNOWN_LIMIT, saturated
from larqlite.primitives import FLOAT32_LIMIT, FLOAT64_LIMIT

Product = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def exact_product(
    left, right, product: Product, terms, summed, shift, on_weights, channels
):
    """The integers of the product, saturated, and their bound."""
    most = left.limit if shift is None else 2**left.value_bits
    limit = most * right.limit * terms if terms else UNKNOWN_LIMIT
    if terms and FLOAT32_LIMIT < limit <= FLOAT64_LIMIT:
        return _by_the_weights(
            left, right, product, terms, summed, shift, on_weights, channels
        )
    left = left if shift is None else left.expand(left.value_bits)[0]
    if limit <= FLOAT32_LIMIT:
        values = product(_as(left, tf.float32), embedded(_as(right, tf.float32)))
    else:
        values, limit = _in_pieces(left, right, product, terms), UNKNOWN_LIMIT
    return saturated(values, left.value_bits, limit)


def _by_the_weights(left, right, product, terms, summed, shift, on_weights, channels):
    """The product in float32 where the weights prove that to be exact, else in float64.

    Between them, the higher and the lower bits of the weights are two products in
    float32, which is much faster than one in float64. Weights that are constants prove
    what suffices once, while the graph is made. Others prove it at each call; the result
    is float64 then, whichever was computed.
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
        parts = in_parts(left, value_of(weights), summed, shift, channels)
        return parts(product) if parts else (in_float64(), limit)

    def in_float32():
        return tf.cast(product(_as(left, tf.float32), weights), tf.float64)

    if is_only_signature_of(largest):
        return in_float32(), limit
    bits = _lower_bits(left.limit * terms)

    def in_two_parts():
        higher = _rounding.round_half_even(weights * 2.0**-bits)
        lower = weights - higher * 2.0**bits
        x = _as(left, tf.float32)
        high, low = (tf.cast(product(x, w), tf.float64) for w in (higher, lower))
        values = saturated(high * 2.0**bits + low, left.value_bits, UNKNOWN_LIMIT)[0]
        return tf.cast(values, tf.float64)

    def in_float64_always():
        return tf.cast(in_float64(), tf.float64)

    fits = largest * left.limit <= most
    if bits < 1:
        return tf.cond(fits, in_float32, in_float64_always), limit
    rounded_up = largest * 2.0**-bits + terms / 2
    fits_in_parts = rounded_up * left.limit <= FLOAT32_LIMIT // 2
    if shift is not None:
        room = left.value_bits - left.limit.bit_length()
        fits_in_parts = tf.logical_and(fits_in_parts, tf.reduce_max(shift) <= room)
    # One choice of three: a choice inside of another is traced twice.
    first = tf.where(fits, 0, tf.where(fits_in_parts, 1, 2))
    ways = [in_float32, in_two_parts, in_float64_always]
    return tf.switch_case(first, ways), limit


def _lower_bits(reach: int) -> int:
    """The most lower bits of weights whose products, summed, stay exact in float32.

    Args:
        reach: the largest magnitude of the other operand, times the number of terms.
    """
    return (FLOAT32_LIMIT // reach).bit_length()


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
