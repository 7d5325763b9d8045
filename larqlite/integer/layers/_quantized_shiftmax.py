"""The shiftmax of integers: a softmax of base two whose division is a shift."""

from __future__ import annotations

from math import log

import tensorflow as tf

from larqlite._gradients import custom_gradient
from larqlite.errors import ArgumentError
from larqlite.integer.tensors import FixedPoint
from larqlite.integer.tensors.internal import dtype_for, exp2
from larqlite.primitives import round_log2

EXP_BITWIDTH = 10
BUFFER_BITWIDTH = 32


def shiftmax_of_integers(
    x: FixedPoint,
    axis=-1,
    exp_bitwidth: int = EXP_BITWIDTH,
    buffer_bitwidth: int = BUFFER_BITWIDTH,
    where: str = "shiftmax",
) -> FixedPoint:
    r"""Softmax with powers of two, a shift for every element.

    $$ y_i = \lfloor x_i \rfloor - \max_k \lfloor x_k \rfloor \qquad
       p_i = \lfloor 2^{e + y_i - s} \rfloor \cdot 2^{-e} \qquad
       s = \mathrm{round}\left(\log_2 \sum_k 2^{y_k}\right) $$

    with $e$ = `exp_bitwidth`. The sum is one of integers $\lfloor 2^{P + y_k} \rfloor$;
    $P = 2e$, less only where the sum of $n$ elements would leave the buffer:
    $P = buffer\_bitwidth - 1 - \lceil \log_2 n \rceil$. It is exact, and so is the
    rounding of its logarithm.

    Args:
        x: FixedPoint; per-axis, it is aligned in the buffer first.
        axis: the axis, or axes, that sum up to about one.
        exp_bitwidth: fractional bits of the result.
        buffer_bitwidth: bits of the sum, with the sign's.
        where: the layer, for messages.

    Returns:
        FixedPoint of the shape of `x`: `exp_bitwidth + 1` value bits, `exp_bitwidth`
        fractional bits.

    Raises:
        ArgumentError: the buffer does not hold the sum.

    References:
        Cardarilli et al., A pseudo-softmax function for hardware-based high speed image
        classification, https://doi.org/10.1038/s41598-021-94691-7
    """
    if not x.per_tensor:
        x, _ = x.expand(max(buffer_bitwidth - 1, x.value_bits))
    rank = x.shape.rank
    axes = [a % rank for a in (axis if isinstance(axis, (list, tuple)) else [axis])]
    precision = exponent_precision(
        [x.shape[a] for a in axes], exp_bitwidth, buffer_bitwidth, where
    )
    sum_dtype = dtype_for(_product([x.shape[a] for a in axes]) << precision)

    @custom_gradient
    def of_values(values):
        scale = exp2(-x.frac_bits, values.dtype)
        whole = tf.floor(values * scale)
        below = whole - tf.reduce_max(whole, axes, keepdims=True)
        # One below the smallest exponent that still counts stands for all under it.
        lowest = tf.constant(-precision - 1, below.dtype)
        exponents = tf.cast(tf.maximum(below, lowest), tf.int32)
        terms = tf.floor(exp2(exponents + precision, sum_dtype))
        total = tf.reduce_sum(terms, axes, keepdims=True)
        shift = round_log2(total) - precision
        codes = tf.floor(exp2(exponents + exp_bitwidth - shift))

        def gradient(upstream):
            """That of softmax in base two, with the rounded sum as a constant factor."""
            dtype = upstream.dtype
            share = tf.cast(terms / total, dtype)
            weighted = upstream * codes
            pulled = weighted - share * tf.reduce_sum(weighted, axes, keepdims=True)
            return tf.cast(pulled, values.dtype) * scale * log(2)

        return codes, gradient

    return FixedPoint(
        of_values(x.values), exp_bitwidth + 1, exp_bitwidth, limit=2**exp_bitwidth
    )


def check_bitwidths(exp_bitwidth: int, buffer_bitwidth: int, where: str) -> None:
    """Raises unless the buffer has room for the square of the exponentials.

    Raises:
        ArgumentError: it has not, or the bits are no whole numbers.
    """
    whole = isinstance(exp_bitwidth, int) and not isinstance(exp_bitwidth, bool)
    if not whole or exp_bitwidth < 1:
        raise ArgumentError(
            f"{where}: exp_bitwidth={exp_bitwidth!r} must be a whole number of bits >= 1."
            f"\n  Fix: exp_bitwidth={EXP_BITWIDTH} is the default."
        )
    if buffer_bitwidth <= 2 * exp_bitwidth:
        raise ArgumentError(
            f"{where}: a buffer of {buffer_bitwidth} bits does not hold sums of "
            f"exponentials of exp_bitwidth={exp_bitwidth}; it needs more than "
            f"{2 * exp_bitwidth}.\n"
            f"  Fix: exp_bitwidth={max(1, (buffer_bitwidth - 1) // 2)} or less, or "
            f"buffer_bitwidth={2 * exp_bitwidth + 1} or more."
        )


def exponent_precision(
    sizes: list, exp_bitwidth: int, buffer_bitwidth: int, where: str
) -> int:
    """The fractional bits of the exponentials that are added."""
    if None in sizes:
        return 2 * exp_bitwidth
    free = buffer_bitwidth - 1 - (_product(sizes) - 1).bit_length()
    if free < exp_bitwidth:
        raise ArgumentError(
            f"{where}: the sum of {_product(sizes)} exponentials with {exp_bitwidth} "
            f"fractional bits does not fit into a buffer of {buffer_bitwidth} bits.\n"
            f"  Fix: buffer_bitwidth={buffer_bitwidth + exp_bitwidth - free} or more."
        )
    return min(2 * exp_bitwidth, free)


def _product(sizes: list) -> int:
    """The number of elements of these axes; what is not known counts as very many."""
    product = 1
    for size in sizes:
        product *= 2**20 if size is None else int(size)
    return product
