"""The scope in which a model is traced for TFLite, and what is only done in it."""

from __future__ import annotations

import contextlib
import contextvars
from collections import Counter
from collections.abc import Collection, Iterator

import tensorflow as tf

from larqlite.primitives import fake_quant, nudged, steps_of
from larqlite.qat.lowerings._weight import (
    STORED_BITS,
    has_range,
    range_of,
    values_to_round,
)

__all__ = ["exporting", "in_float", "is_alone", "is_exporting", "nth_use", "stored"]


class _Export:
    """One export: the normalizations on their own, and how often layers were called."""

    def __init__(self, alone: Collection[str]):
        self.alone = frozenset(alone)
        self.uses: Counter[str] = Counter()


_export: contextvars.ContextVar[_Export | None] = contextvars.ContextVar(
    "larqlite_qat_exporting", default=None
)


@contextlib.contextmanager
def exporting(alone: Collection[str] = ()) -> Iterator[None]:
    """Within the block, models are traced as TFLite stores them.

    Args:
        alone: names of wrapped normalizations that no convolution can take in.
    """
    token = _export.set(_Export(alone))
    try:
        yield
    finally:
        _export.reset(token)


def is_exporting() -> bool:
    """Whether a model is being traced for TFLite."""
    return _export.get() is not None


def is_alone(name: str) -> bool:
    """Whether a normalization is one that no convolution can take in, in an export."""
    export = _export.get()
    return export is not None and name in export.alone


def nth_use(name: str) -> int:
    """How often a layer was called before in this export; counts this call."""
    export = _export.get()
    if export is None:
        return 0
    export.uses[name] += 1
    return export.uses[name] - 1


def in_float(inputs: tf.Tensor, dtype: str) -> tf.Tensor:
    """What a layer makes of integers; in an export with the range that pixels have."""
    if inputs.dtype.is_floating:
        return inputs
    values = tf.cast(inputs, dtype)
    if not is_exporting() or inputs.dtype not in (tf.uint8, tf.int8):
        return values
    return fake_quant(values, float(inputs.dtype.min), float(inputs.dtype.max))


def stored(quantizer, inputs, variables) -> tf.Tensor | None:
    """Values of 1 to 7 bits on codes of 8, or None if `quantizer` does that itself.

    The range of 8 bits begins where the narrow one does, with the same step; what lies
    above the narrow one is cut off before.
    """
    if not is_exporting() or not has_range(quantizer):
        return None
    if quantizer.num_bits >= STORED_BITS:
        return None
    minimum, maximum = range_of(quantizer, variables)
    if minimum.shape.rank != 0:
        return None
    values = values_to_round(quantizer, inputs, variables)
    if quantizer.num_bits == 1:
        signs = tf.where(values >= 0, maximum, -maximum)
        return fake_quant(signs, -maximum, maximum, STORED_BITS, True)
    narrow = quantizer.narrow_range
    lowest, highest, step, _ = nudged(minimum, maximum, quantizer.num_bits, narrow)
    last = lowest + steps_of(STORED_BITS, narrow_range=False) * step
    return fake_quant(tf.minimum(values, highest), lowest, last, STORED_BITS)
