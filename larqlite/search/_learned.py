"""Widths that are learned: each tensor is a mixture of its roundings, and a cost steers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._io import class_numbers, gives_probabilities
from larqlite._progress import bar
from larqlite.analysis.internal import Samples
from larqlite.errors import ArgumentError
from larqlite.qat import DefaultNBitQuantizeScheme, quantize_apply, quantizers
from larqlite.qat.schemes import get_schemes

__all__ = ["learned_shares"]

_FLOAT = "float"
# Adam's rates for weights and for shares, and how soft the choice is at first and at last.
_RATES = (1e-3, 5e-2)
_SOFTNESS = (1.0, 0.2)
# Of the cost above the budget, at first; doubled every tenth of the steps that end above it.
_STRENGTH = 1.0


class _Choice:
    """The shares of the widths of one layer, a variable that is trained."""

    def __init__(self, allowed: np.ndarray) -> None:
        self._allowed = tf.constant(np.where(allowed, 0.0, -np.inf), tf.float32)
        self.logits = tf.Variable(tf.zeros(len(allowed)), name="width")
        self.softness = tf.Variable(_SOFTNESS[0], trainable=False)

    def shares(self) -> tf.Tensor:
        """They sum to 1; a width that the layer cannot have has none."""
        return tf.nn.softmax((self.logits + self._allowed) / self.softness)


class _Mixed(quantizers.Quantizer):
    """The sum of what several quantizers make of a tensor, each times its share.

    Args:
        parts: a quantizer for each width; None leaves the tensor as it is.
        choice: the shares.
    """

    def __init__(self, parts: Sequence[quantizers.Quantizer | None], choice: _Choice):
        self._parts, self._choice = list(parts), choice

    def build(self, tensor_shape, name, layer):
        return {
            str(number): part.build(tensor_shape, f"{name}_{number}", layer)
            for number, part in enumerate(self._parts)
            if part is not None
        }

    def __call__(self, inputs, training, weights, **kwargs):
        shares = tf.cast(self._choice.shares(), inputs.dtype)
        total = tf.zeros_like(inputs)
        for number, part in enumerate(self._parts):
            value = inputs
            if part is not None:
                value = part(inputs, training, weights[str(number)])
            total += shares[number] * value
        return total

    def get_config(self):
        return {"parts": self._parts, "choice": id(self._choice)}


class _MixedScheme(DefaultNBitQuantizeScheme):
    """All widths of one layer at once.

    Args:
        schemes: of each width; None is float.
        choice: the shares.
    """

    def __init__(
        self, schemes: Sequence[DefaultNBitQuantizeScheme | None], choice: _Choice
    ):
        self._schemes, self._choice = list(schemes), choice
        super().__init__()

    def weight_quantizer(self, per_axis: bool) -> quantizers.Quantizer:
        return self._mixed(lambda scheme: scheme.weight_quantizer(per_axis))

    def tensor_quantizer(self) -> quantizers.Quantizer:
        return self._mixed(lambda scheme: scheme.tensor_quantizer())

    def _mixed(self, made) -> quantizers.Quantizer:
        parts = [None if scheme is None else made(scheme) for scheme in self._schemes]
        return _Mixed(parts, self._choice)


def learned_shares(
    model: tf_keras.Model,
    members: Mapping[str, Sequence[str]],
    words: Sequence[str],
    costs: np.ndarray,
    room: float,
    given: Samples,
    ranges: Samples,
    steps: int,
    seed: int,
    where: str,
) -> np.ndarray:
    r"""How much of each width each layer has in the end.

    Weights, and what layers give out, are $\sum_c p_{lc} Q_c(x)$ with shares
    $p_l = \mathrm{softmax}(a_l / \tau)$; trained are the weights and $a$ by

    $$ L + \lambda \max\left(0, \frac{\sum_{l,c} p_{lc} \mathrm{cost}_{lc}}{B} - 1\right) $$

    with the cross-entropy L, $\tau$ falling, and $\lambda$ rising while the cost is above
    the budget. The model is not changed.

    Args:
        model: the float model.
        members: the layers that get a width together, by the name of the first.
        words: of the widths.
        costs: `(layers, widths)`; infinite where a layer does not have a width.
        room: B, what the layers may cost together.
        given: inputs and labels.
        ranges: to set ranges from.
        steps: batches to train on.
        seed: of their order.
        where: the public function, for messages.

    Returns:
        `(layers, widths)`.

    Raises:
        ArgumentError: no labels that are classes, or a width that has no such form.

    References:
        EdMIPS, https://arxiv.org/abs/2004.05795, eq. 10 (mixtures of roundings).
    """
    schemes = [_scheme_of(word, where) for word in words]
    wanted = None if given.labels is None else class_numbers(model, given.labels)
    if wanted is None:
        raise ArgumentError(
            f'{where}: method="learned" trains, and the data has no labels that are '
            'classes.\n  Fix: data=(inputs, labels), or method="measured".'
        )
    choices = [_Choice(np.isfinite(row)) for row in costs]
    table = {
        name: _MixedScheme(schemes, choice)
        for names, choice in zip(members.values(), choices, strict=True)
        for name in names
    }
    mixed = quantize_apply(
        model, table, calibrate=list(ranges.batches()), calibration="minmax"
    )
    each = tf.constant(np.where(np.isfinite(costs), costs, 0.0) / room, tf.float32)
    loss_of = tf_keras.losses.SparseCategoricalCrossentropy(
        from_logits=not gives_probabilities(model)
    )
    of_weights, of_shares = (tf_keras.optimizers.Adam(rate) for rate in _RATES)
    logits = [choice.logits for choice in choices]
    trained = list(mixed.trainable_variables)
    strength = tf.Variable(_STRENGTH, trainable=False)

    @tf.function(reduce_retracing=True)
    def step(x, y):
        with tf.GradientTape() as tape:
            shares = tf.stack([choice.shares() for choice in choices])
            cost = tf.reduce_sum(shares * each)
            loss = loss_of(y, mixed(x, training=True))
            total = loss + strength * tf.maximum(cost - 1.0, 0.0)
        gradients = tape.gradient(total, [*trained, *logits])
        of_weights.apply_gradients(zip(gradients[: len(trained)], trained, strict=True))
        of_shares.apply_gradients(zip(gradients[len(trained) :], logits, strict=True))
        return cost

    order = np.random.default_rng(seed)
    first, last = _SOFTNESS
    with bar("learn widths", steps, "steps") as shown:
        for number in range(steps):
            rows = order.integers(0, given.count, min(given.batch_size, given.count))
            x = tf.nest.map_structure(lambda t, at=rows: tf.gather(t, at), given.inputs)
            for choice in choices:
                choice.softness.assign(first * (last / first) ** (number / steps))
            cost = step(x, tf.constant(wanted[rows]))
            if number % max(steps // 10, 1) == 0 and cost > 1:
                strength.assign(2 * strength)
            shown.advance()
    return np.stack([choice.shares().numpy() for choice in choices])


def _scheme_of(word: str, where: str) -> DefaultNBitQuantizeScheme | None:
    if word == _FLOAT:
        return None
    scheme = get_schemes(word, where)
    if type(scheme) is not DefaultNBitQuantizeScheme and not hasattr(
        scheme, "num_bits_weight"
    ):
        raise ArgumentError(
            f'{where}: method="learned" mixes roundings to ranges, and {word!r} has no '
            'such form.\n  Fix: widths of "int2" to "int16" and "float"; or '
            'method="measured".'
        )
    return scheme
