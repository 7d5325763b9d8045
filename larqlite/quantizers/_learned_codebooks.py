"""Levels that are sums of a few learned numbers, with signs or without (LQ-Nets)."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from larqlite._channels import channels_shape
from larqlite.errors import ArgumentError, near_matches
from larqlite.math import as_floating, ops_of
from larqlite.primitives import other_axes
from larqlite.quantizers._base import without_autograph
from larqlite.quantizers._multibit import MODES, require_bits
from larqlite.quantizers._own_weights import OwnWeight, WithWeights
from larqlite.quantizers._registered import register

__all__ = ["LQLevels"]

_MOST_BITS = 4
# Of the diagonal: what keeps equations solvable if the codes of a batch are all alike.
_RIDGE = 1e-6


@register("lq_levels")
class LQLevels(WithWeights):
    r"""The nearest of $2^k$ levels that are sums of k learned numbers, fitted in training.

    With a basis $v = (v_1, \ldots, v_k)$, and codes b of -1 and 1 for weights, of 0 and 1 for
    activations:

    $$ q(x) = v^T b, \; b \text{ such that } v^T b \text{ is nearest to } x \qquad
       \frac{\partial q}{\partial x} = 1 $$

    For activations the gradient is 0 below the lowest level and above the highest. What lies
    in the middle of two levels gets the lower one.

    The basis has no gradient. Each call in training fits it by one step of alternating
    least squares: the codes b of all x, of the present basis, and with $B = (b_1 \ldots b_N)$
    the basis that is best for them,

    $$ v^* = (B B^T)^{-1} B x \qquad v \leftarrow m v + (1 - m) v^* $$

    The first call sets it to $v^*$ of evenly spaced levels about as wide as x. In inference
    it stays; before training, weights are quantized with what a first call would set, and
    activations with evenly spaced levels from 0 to 3. Precision: k bits (and k numbers, for
    weights k a channel).

    Args:
        bits: k, 1 to 4.
        mode: "weights" or "activations"; None is "weights" where a layer has it for one of
            its weights, else "activations".
        per_channel: whether each channel of the last axis of weights has a basis of its own.
        momentum: m.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: `bits` is no integer from 1 to 4; an unknown mode; the number of
            channels of weights is not known when it is built.

    Example:
        >>> levels = lq.quantizers.LQLevels(2, mode="weights")
        >>> weights = tf.constant([[-1.6], [-0.4], [0.5], [1.5]])
        >>> np.round(levels(weights, training=True), 2).ravel()
        array([-1.55, -0.45,  0.45,  1.55], dtype=float32)
        >>> np.round(levels.basis, 2)
        array([[0.55, 1.  ]], dtype=float32)

    References:
        LQ-Nets, https://arxiv.org/abs/1807.10029, section 3.2 (eq. 4 to 6), 3.3 and
        algorithm 1; codes of 0 and 1 for activations as in the authors' code.
    """

    def __init__(
        self,
        bits: int = 2,
        mode: str | None = None,
        per_channel: bool = True,
        momentum: float = 0.9,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_bits(self._where(), "bits", bits)
        if bits > _MOST_BITS:
            raise ArgumentError(
                f"{self._where()}: bits={bits}, and tables of levels have at most "
                f"{_MOST_BITS} bits.\n"
                f'  Fix: bits={_MOST_BITS}, or evenly spaced levels, e.g. "lsq".'
            )
        if mode not in (None, *MODES):
            raise ArgumentError(
                f"{self._where()}: mode must be one of {MODES}, or None, got {mode!r}."
                f"{near_matches(str(mode), MODES)}"
            )
        self.bits, self.mode = bits, mode
        self.per_channel, self.momentum = per_channel, momentum

    @property
    def precision(self) -> int:
        return self.bits

    @property
    def gradient_everywhere(self) -> bool:
        return self.of_weights

    @property
    def of_weights(self) -> bool:
        """Whether its inputs are weights, all of which are there in every call."""
        return self.quantizes_weights if self.mode is None else self.mode == "weights"

    def own_weights(self, input_shape):
        shape = (self.bits,)
        if self._has_channels:
            shape = (*channels_shape(input_shape, -1, self._where()), self.bits)
        return {"basis": OwnWeight(shape, "zeros", trainable=False, set_by_calls=True)}

    @property
    def _has_channels(self) -> bool:
        return self.of_weights and self.per_channel

    @property
    def _codes(self) -> np.ndarray:
        """The codes b, float32 `(2^k, k)`."""
        bits = np.arange(2**self.bits)[:, None] >> np.arange(self.bits) & 1
        return (1 - 2 * bits if self.of_weights else bits).astype(np.float32)

    def call(self, inputs, training=None):
        return without_autograph(self._call, inputs, training)

    def quantize(self, x):
        return without_autograph(self._call, x, None)

    def _call(self, x, training):
        x = as_floating(x, self._where())
        stored = tf.convert_to_tensor(self.basis)
        if training is None or (not tf.is_tensor(training) and not training):
            return self.levels(x, self.usable(x, stored))
        used, fitted = self.fitted(x, stored)
        if tf.is_tensor(training):
            training = tf.cast(training, "bool")
            used = tf.where(training, used, self.usable(x, stored))
            fitted = tf.where(training, fitted, stored)
        self.basis.assign(fitted)
        return self.levels(x, used)

    # The arithmetic, in the words of `ops_of`, for both kinds of Keras.

    def usable(self, x, stored):
        """The basis of a call in inference."""
        ops = ops_of(x)
        if self.of_weights:
            start = self._fit(x, self._start(x))
        else:
            even = 3 / (2**self.bits - 1) * 2.0 ** np.arange(self.bits)
            start = ops.array(even.astype(np.float32), stored)
        has_begun = ops.sum(ops.abs(stored), [-1]) > 0
        return ops.stop_gradient(ops.where(has_begun, stored, start))

    def fitted(self, x, stored) -> tuple:
        """The basis of a call in training, and the one that it stores."""
        ops = ops_of(x)
        has_begun = ops.sum(ops.abs(stored), [-1]) > 0
        fit = self._fit(x, ops.where(has_begun, stored, self._start(x)))
        moved = stored * self.momentum + fit * (1 - self.momentum)
        new = ops.where(has_begun, moved, fit)
        new = ops.where(new == new, new, stored)  # a NaN is for the loss to show
        used = ops.where(has_begun, stored, new)
        return ops.stop_gradient(used), ops.stop_gradient(new)

    def levels(self, x, *weights):
        return ops_of(x).with_gradient(self._rounded, self._pulled_back, x, *weights)

    def _rounded(self, x, basis):
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # levels are not exact in 16 bits
            return ops.like(self._rounded(ops.float32(x), basis), x)
        table, _ = self._sorted(ops, basis)
        finite = ops.clip(x, -1e30, 1e30)
        found = ops.take(table, self._places(ops, x, table))
        return ops.like(found, x) + (finite - finite)  # NaN stays

    def _pulled_back(self, x, basis, dy):
        ops = ops_of(x)
        if self.of_weights:
            return dy, basis - basis
        return ops.where(self._passes(x, basis), dy, 0), basis - basis

    def _passes(self, x, basis):
        ops = ops_of(x)
        table, _ = self._sorted(ops, basis)
        x = ops.float32(x)
        return (x >= table[0]) & (x <= table[-1])

    def _sorted(self, ops, basis) -> tuple:
        """The levels in rising order, and the codes in theirs: of all channels one behind
        the other, and for each of the k bits one."""
        basis, count = ops.reshape(basis, (-1, self.bits)), 2**self.bits
        codes = ops.array(self._codes, basis)
        levels = sum(basis[:, i : i + 1] * codes[:, i] for i in range(self.bits))
        one, other = levels[:, :, None], levels[:, None, :]
        earlier = ops.array(np.tri(count, k=-1, dtype=np.float32), basis)
        below = ops.like(other < one, basis) + ops.like(other == one, basis) * earlier
        ranks = ops.sum(below, [2])
        places = ops.array(np.arange(count, dtype=np.float32), basis)
        of_rank = ops.like(ranks == places, basis)  # (channels, code, rank)
        table = ops.sum(levels[:, :, None] * of_rank, [1])
        bits = [
            ops.reshape(ops.sum(codes[:, i, None] * of_rank, [1]), (-1,))
            for i in range(self.bits)
        ]
        return ops.reshape(table, (-1,)), bits

    def _places(self, ops, x, table):
        """The place in the table of the level of each x, as a float."""
        count = 2**self.bits
        rows = ops.reshape(table, (-1, count))
        middles = (rows[:, 1:] + rows[:, :-1]) / 2
        if not self._has_channels:
            middles = middles[0]
        place = 0 * ops.ones_like(x)
        for number in range(count - 1):
            place = place + ops.like(x > ops.like(middles[..., number], x), x)
        if self._has_channels:
            channels = np.arange(rows.shape[0], dtype=np.float32) * count
            place = place + ops.array(channels, x)
        return place

    def _start(self, x):
        """Evenly spaced levels about as wide as x."""
        ops = ops_of(x)
        x = ops.float32(x)
        mean = ops.mean(ops.abs(x), self._axes(x))
        mean = ops.reshape(mean, (-1, 1) if self._has_channels else (1,))
        widest = 2 if self.of_weights else 4
        parts = widest / 2**self.bits * 2.0 ** np.arange(self.bits)
        return mean * ops.array(parts.astype(np.float32), mean)

    def _fit(self, x, basis):
        """The basis that is best for the codes of another one."""
        ops = ops_of(x)
        x, axes = ops.float32(x), self._axes(x)
        table, codes = self._sorted(ops, basis)
        places = self._places(ops, x, table)
        bits = [ops.take(each, places) for each in codes]
        k = range(self.bits)

        def added(values):
            return ops.reshape(ops.sum(values, axes), basis.shape[:-1] or (1,))

        rows = [[added(bits[i] * bits[j]) for j in k] for i in k]
        right = [added(bits[i] * x) for i in k]
        ridge = sum(rows[i][i] for i in k) * _RIDGE + 1e-20
        for i in k:
            rows[i][i] = rows[i][i] + ridge
        solution = _solved(rows, right)
        parts = [ops.reshape(part, (-1, 1)) for part in solution]
        columns = [ops.array(row, x) for row in np.eye(self.bits, dtype=np.float32)]
        fit = sum(part * column for part, column in zip(parts, columns, strict=True))
        return ops.reshape(fit, tuple(basis.shape))

    def _axes(self, x) -> list[int] | None:
        return other_axes(len(x.shape)) if self._has_channels else None

    def derivative(self, x):
        ops = ops_of(x)
        if self.of_weights:
            return ops.ones_like(x)
        return self._passes(x, self.usable(x, tf.convert_to_tensor(self.basis)))

    def level_table(self, x):
        basis = self.usable(x, tf.convert_to_tensor(self.basis))
        basis = tf.reshape(basis, (-1, self.bits))
        return sum(basis[:, i : i + 1] * self._codes[:, i] for i in range(self.bits))

    def codes(self, quantized):
        table, _ = self._sorted(
            ops_of(quantized),
            self.usable(quantized, tf.convert_to_tensor(self.basis)),
        )
        return self._places(ops_of(quantized), tf.cast(quantized, "float32"), table)

    def get_config(self) -> dict:
        own = ("bits", "mode", "per_channel", "momentum")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def _solved(rows: list[list], right: list) -> list:
    """The solution of symmetric equations, positive definite, by elimination."""
    rows, right, count = [list(row) for row in rows], list(right), len(right)
    for i in range(count):
        for j in range(i + 1, count):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i], strict=True)]
            right[j] = right[j] - factor * right[i]
    for i in reversed(range(count)):
        known = sum(rows[i][j] * right[j] for j in range(i + 1, count))
        right[i] = (right[i] - known) / rows[i][i]
    return right
