"""Questions about what is quantized as a network runs: signs of inputs, levels, clips."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from larqlite.analysis._diagnosis import (
    CLIPPED,
    NOT_FINITE,
    RELU,
    UNNORMALIZED,
    ZERO_CODES,
    Histogram,
    Judged,
    judge,
)

__all__ = ["QuantizedInput"]

# A channel whose sign is the same in so many of its values says nothing.
_SAME = 0.995
_ZEROS = 0.05
_KEPT = 20_000


@dataclasses.dataclass(eq=False)
class QuantizedInput:
    """What goes into one quantizer of activations, batch by batch, and what comes out.

    Attributes:
        path: of the layer that has the quantizer.
        quantizer: the quantizer; None for what a quantization-aware wrapper gives out.
        source: the path of the layer that the values come from; None for an input of the
            model.
        is_rectified: whether what this layer gives out is never negative.
        code: what leads to the quantizer, as `layer.input_quantizer`.
    """

    path: str
    quantizer: Any
    source: str | None
    code: str = ""
    is_rectified: bool = False
    values: int = 0
    negative: int = 0
    exact: int = 0
    positive: Any = None
    rows: int = 0
    beyond: int = 0
    zeros: int = 0
    top: float = -np.inf
    at_top: int = 0
    levels: set = dataclasses.field(default_factory=set)
    not_finite: int = 0
    sample: list = dataclasses.field(default_factory=list)

    @property
    def is_ours(self) -> bool:
        """Whether it is what a quantizer of larqlite reads, not an output of a wrapper."""
        return self.quantizer is not None

    @property
    def clip(self) -> float | None:
        """The magnitude beyond which no gradient passes."""
        return getattr(self.quantizer, "clip_value", None)

    @property
    def precision(self) -> int | None:
        """Bits of a quantized value, or None if not known."""
        return getattr(self.quantizer, "precision", None)

    def add(self, given: np.ndarray, quantized: np.ndarray) -> None:
        """Counts a batch: the values before and behind the quantizer."""
        self.values += given.size
        self.not_finite += int(np.sum(~np.isfinite(given)))
        self.negative += int(np.sum(given < 0))
        self.exact += int(np.sum(given == 0))
        if self.clip is not None:
            self.beyond += int(np.sum(np.abs(given) > self.clip))
        columns = quantized.reshape(-1, quantized.shape[-1])
        positive = np.sum(columns > 0, axis=0)
        self.positive = positive if self.positive is None else self.positive + positive
        self.rows += len(columns)
        self.zeros += int(np.sum(quantized == 0))
        top = float(np.max(quantized))
        if top > self.top:
            self.top, self.at_top = top, 0
        self.at_top += int(np.sum(quantized == self.top)) if top == self.top else 0
        if len(self.levels) < 8:
            self.levels.update(np.unique(quantized)[:8].tolist())
        if sum(map(len, self.sample)) < _KEPT:
            step = max(1, given.size // 4000)
            self.sample.append(given.ravel()[::step])

    def ask(self, judged: list[Judged]) -> None:
        """Adds what the counts say to the answers."""
        bad = self.not_finite / self.values
        fix = "look for the layer before it whose weights or scales are not finite."
        spread = self._spread()
        if judge(judged, self.path, NOT_FINITE, bad, fix, spread):
            return
        if self.precision == 1 and 0.0 not in self.levels:
            self._ask_signs(judged, spread)
        elif len(self.levels) > 1 or not self.zeros:
            self._ask_levels(judged, spread)
        else:
            self._judge_zeros(judged, spread)

    def _ask_signs(self, judged: list[Judged], spread: Histogram) -> None:
        # Exact zeros are those of a rectifier, of whatever class.
        if self.source is not None and (
            self.is_rectified or self.exact > _ZEROS * self.values
        ):
            is_ill = judge(
                judged,
                self.path,
                RELU,
                self.negative / self.values,
                f'what comes out of "{self.source}" is never negative, so that every sign '
                f'is +1: take its function out, or put it behind "{self.path}"; a '
                "BatchNormalization between them does too.",
                spread,
            )
            if is_ill:
                return
        share = self.positive / self.rows
        constant = float(np.mean((share >= _SAME) | (share <= 1 - _SAME)))
        blocked = self.beyond / self.values
        # Gradients may end for most of them; that for nearly all is ill.
        figure = max(constant, blocked if blocked > 0.95 else 0.0)
        judge(
            judged,
            self.path,
            UNNORMALIZED,
            figure,
            f'put tf_keras.layers.BatchNormalization() before "{self.path}", so that both '
            "signs occur and gradients pass.",
            spread,
        )

    def _ask_levels(self, judged: list[Judged], spread: Histogram) -> None:
        self._judge_zeros(judged, spread)
        # Of three levels, half of the values may well be at the largest.
        is_ternary = self.precision == 2 and min(self.levels) < 0
        if self.is_ours and (is_ternary or self.precision in (None, 1)):
            return
        fix = (
            "put tf_keras.layers.BatchNormalization() before the layer, so that its inputs "
            "are within the range of its quantizer."
            if self.is_ours
            else "set the ranges from data that are like these:\n"
            "    lq.qat.calibrate(model, data)"
        )
        judge(judged, self.path, CLIPPED, self.at_top / self.values, fix, spread)

    def _judge_zeros(self, judged: list[Judged], spread: Histogram) -> None:
        fix = (
            "put tf_keras.layers.BatchNormalization() before the layer, so that its inputs "
            "reach levels other than zero."
            if self.is_ours
            else "set the ranges from data that are like these:\n"
            "    lq.qat.calibrate(model, data)"
        )
        judge(judged, self.path, ZERO_CODES, self.zeros / self.values, fix, spread)

    def _spread(self) -> Histogram:
        limits = () if self.clip is None else (-self.clip, self.clip)
        label = "input of the quantizer" if self.is_ours else "quantized output"
        return Histogram.of(np.concatenate(self.sample), label, limits)
