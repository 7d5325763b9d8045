"""What a width of one unit costs, measured: the model is quantized there, and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tf_keras

from larqlite.analysis._samples import Samples
from larqlite.analysis._units import Unit
from larqlite.qat import quantize_apply

__all__ = ["FloatReference", "decibels", "rank_correlation", "sqnr_db"]


class FloatReference:
    """The float model's outputs, which those of its quantized copies are compared with.

    Args:
        model: the float model.
        samples: to compare on.
        calibration: to set ranges from.
    """

    def __init__(self, model: tf_keras.Model, samples: Samples, calibration: Samples):
        self._model, self._samples, self._calibration = model, samples, calibration
        self.outputs = samples.outputs(model)
        right = samples.right(model, self.outputs)
        self.accuracy = None if right is None else float(np.mean(right))

    def cell(self, unit: Unit, width: Any) -> tuple[float, float | None]:
        """SQNR in dB, and accuracy, with one unit at a width and all others in float."""
        quantized = quantize_apply(
            self._model, unit.table(width), calibrate=list(self._calibration.batches())
        )
        outputs = self._samples.outputs(quantized)
        right = self._samples.right(self._model, outputs)
        accuracy = None if right is None else float(np.mean(right))
        return sqnr_db(self.outputs, outputs), accuracy


def sqnr_db(wanted: list[np.ndarray], given: list[np.ndarray]) -> float:
    r"""$10 \log_{10} (\sum f^2 / \sum (f - q)^2)$ of outputs; infinite where they are equal."""
    pairs = [
        (f.astype(np.float64), q.astype(np.float64))
        for f, q in zip(wanted, given, strict=True)
    ]
    signal = sum(float(np.sum(f**2)) for f, _ in pairs)
    noise = sum(float(np.sum((f - q) ** 2)) for f, q in pairs)
    return decibels(signal, noise)


def decibels(signal: float, noise: float) -> float:
    """The ratio of two powers in dB; infinite without noise."""
    if not noise:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal else float("-inf")


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    r"""Spearman's $\rho$: the correlation of ranks, equal values sharing their mean rank.

    Returns:
        From -1 to 1; None for fewer than three pairs, or where all values of one are equal.

    Example:
        >>> from larqlite.analysis._measured import rank_correlation
        >>> round(rank_correlation([1, 2, 3, 4], [10, 30, 20, 40]), 3)
        0.8
    """
    ranks = [_ranks(np.asarray(values, np.float64)) for values in (first, second)]
    if len(first) < 3 or not all(np.ptp(each) for each in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    below = (values[:, None] > values).sum(axis=1)
    equal = (values[:, None] == values).sum(axis=1)
    return below + (equal - 1) / 2
