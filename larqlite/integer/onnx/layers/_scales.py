"""Scales of quantized ONNX models, and the integers that weights become.

A scale is the factor from real values to integers (the reciprocal of ONNX's): a value is
`integer / scale`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers._base import TensorRange
from larqlite.primitives import FLOAT32_LIMIT, INT32_LIMIT

__all__ = [
    "QuantizedKernel",
    "along_channels",
    "highest_of",
    "output_scale",
    "quantize_kernel",
    "relu_bound",
    "requantization",
]

# Stands for the largest magnitude where all values are zero.
ALL_ZERO = 2.0**-16
SMALLEST = 2.0**-64
MOST_SHIFT = 50
ACCUMULATOR = INT32_LIMIT - 1
# Where one side of a product has 16 bits: with an 8-bit scale still exact in float64.
WIDE_ACCUMULATOR = 2**43 - 1
EXACT_PRODUCT = 2**52
HEADROOM = 2.0


def highest_of(bits: int) -> int:
    """The largest integer of a symmetric range: 127 or 32767."""
    return 2 ** (bits - 1) - 1


class QuantizedKernel(NamedTuple):
    """Integers of a layer with weights.

    Attributes:
        codes: int8 in [-127, 127], or int16 in [-32767, 32767], the shape of the kernel.
        bias: int32 `(filters,)`, each an 8-bit number shifted left, or int64 where one
            side has 16 bits; None without bias.
        scale: float64 `(filters,)`, of the accumulators.
        bound: the largest magnitude that any partial sum or accumulator can reach.
    """

    codes: np.ndarray
    bias: np.ndarray | None
    scale: np.ndarray
    bound: int

    @property
    def needs_integers(self) -> bool:
        """Whether float32 could round a partial sum."""
        return self.bound > FLOAT32_LIMIT


def magnitude(seen: TensorRange) -> np.ndarray:
    """The largest magnitude of a range, never zero."""
    largest = np.maximum(np.abs(seen.minimum), np.abs(seen.maximum)).astype(np.float64)
    return np.where(largest == 0, ALL_ZERO, np.maximum(largest, SMALLEST))


def output_scale(
    seen: TensorRange, force_fp: bool = False, bits: int = 8
) -> np.ndarray:
    """`127 / max|x|`, or the power of two `2^(7 - ceil(log2(max|x|)))`, at most 2^23.

    Channels that are zero get 2^7 of these, so that a sum need not be aligned to more.
    Of 16 bits, one for all channels: `32767 / (2 max|x|)`, which leaves room for inputs
    that reach twice as far as the samples.
    """
    largest = magnitude(seen)
    if bits == 16:
        return np.asarray(highest_of(16) / (HEADROOM * largest.max()))
    if force_fp:
        exponent = np.minimum(7 - np.ceil(np.log2(largest)), 23)
        return 2.0 ** np.where(largest == ALL_ZERO, 7, exponent)
    return 127 / largest


def quantize_kernel(
    kernel: np.ndarray,
    bias: np.ndarray | None,
    input_scale: np.ndarray,
    input_limit: int,
    zero_point: np.ndarray | None = None,
    bits: int = 8,
) -> QuantizedKernel:
    """Symmetric codes per filter, of a kernel divided by the scale of its inputs.

    Args:
        kernel: `(filters, ...)`.
        bias: `(filters,)` or None.
        input_scale: broadcasts to the kernel.
        input_limit: the largest magnitude of an input integer.
        zero_point: of the inputs, broadcasts to the kernel; its sum goes into the bias.
        bits: of a code. With 16, or inputs of 16, a bias has as many bits as it needs.
    """
    is_narrow = bits == 8 and input_limit < 2**15
    most = ACCUMULATOR if is_narrow else WIDE_ACCUMULATOR
    flat = (kernel.astype(np.float64) / input_scale).reshape(len(kernel), -1)
    largest = np.abs(flat).max(axis=1)
    scale = highest_of(bits) / np.where(
        largest == 0, ALL_ZERO, np.maximum(largest, SMALLEST**2)
    )
    real_bias = np.zeros(len(kernel)) if bias is None else bias.astype(np.float64)
    with np.errstate(divide="ignore"):
        scale = np.minimum(scale, (most + 1) / 2 / np.abs(real_bias))
    rounded = _eight_bit_mantissa if is_narrow else np.rint
    for _ in range(3):
        codes = np.rint(flat * scale[:, None]).astype(np.int64)
        integers = rounded(real_bias * scale).astype(np.int64)
        if zero_point is not None:
            zeros = np.broadcast_to(zero_point, kernel.shape).reshape(flat.shape)
            integers = integers - (codes * zeros.astype(np.int64)).sum(axis=1)
        bounds = np.abs(codes).sum(axis=1) * input_limit + np.abs(integers)
        if bounds.max() <= most:
            break
        scale = np.where(bounds > most, scale * 0.95 * most / bounds, scale)
    has_bias = bias is not None or zero_point is not None
    return QuantizedKernel(
        codes.astype(np.int8 if bits == 8 else np.int16).reshape(kernel.shape),
        integers.astype(np.int32 if is_narrow else np.int64) if has_bias else None,
        scale,
        int(bounds.max()),
    )


def along_channels(values: np.ndarray, rank: int) -> np.ndarray:
    """One value, or one per channel, as it broadcasts to `(batch, channels, ...)`."""
    values = np.asarray(values)
    if values.ndim == 0 or rank < 3:
        return values
    return values.reshape(-1, *[1] * (rank - 2))


def relu_bound(
    max_value: np.ndarray, scale: np.ndarray, is_narrow: bool = True
) -> np.ndarray:
    """The upper bound of a ReLU as accumulators of a scale, int32; else int64."""
    most, dtype = (ACCUMULATOR, np.int32) if is_narrow else (WIDE_ACCUMULATOR, np.int64)
    return np.minimum(np.rint(max_value * scale), most).astype(dtype)


def _eight_bit_mantissa(values: np.ndarray) -> np.ndarray:
    """The nearest integer `m * 2^shift` with |m| <= 127 and shift >= 0, for each value."""
    shift = np.zeros(values.shape, np.int64)
    while True:
        mantissa = np.rint(values / 2.0**shift).astype(np.int64)
        too_large = np.abs(mantissa) > 127
        if not too_large.any():
            return mantissa << shift
        shift += too_large


def requantization(
    accumulator_scale: np.ndarray,
    wanted_scale: np.ndarray,
    bound: int,
    where: str,
    force_fp: bool = False,
    bits: int = 8,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """`M` and `S_out` of `floor(accumulator * M / 2^S_out + 1/2)`.

    Args:
        accumulator_scale: `(channels,)`.
        wanted_scale: of the output, scalar or `(channels,)`.
        bound: the largest accumulator.
        where: the layer, for messages.
        force_fp: whether the scale is a power of two and stays one.
        bits: of `M`: 8, or 16 for as many of 15 as leave the product exact.

    Returns:
        The two arrays by name, `S_out` of uint8, `M` of uint8 or int32; and the scale of
        the output: as wanted, or smaller if the accumulators are too coarse for it.

    Raises:
        UnsupportedModelError: accumulators that leave no room for the product.
    """
    if bound * 255 > EXACT_PRODUCT:
        raise UnsupportedModelError(
            f"{where}: accumulators up to {bound:,} leave no room for an exact product "
            "with an 8-bit scale in 53 bits.\n"
            "  Fix: pool over a smaller area before this layer."
        )
    width = 8 if bits == 8 else min(15, 52 - int(bound).bit_length())
    largest = 2**width - 1
    most = accumulator_scale * (2.0 ** (width - 1) if force_fp else largest)
    if force_fp:
        most = 2.0 ** np.floor(np.log2(most))
    if wanted_scale.ndim == 0:
        most = most.min()
    wanted_scale = np.minimum(wanted_scale, most)
    ratio = wanted_scale / accumulator_scale
    shift = width - 1 - np.floor(np.log2(ratio)).astype(np.int64)
    shift = np.where(np.rint(ratio * 2.0**shift) > largest, shift - 1, shift)
    shift = np.clip(shift, 0, MOST_SHIFT)
    multiplier = np.clip(np.rint(ratio * 2.0**shift), 0, largest)
    dtype = np.uint8 if bits == 8 else np.int32
    weights = {"M": multiplier.astype(dtype), "S_out": shift.astype(np.uint8)}
    return weights, wanted_scale
