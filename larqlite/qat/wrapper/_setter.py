"""What a user's `set_quantize_weights` puts in the place of each weight."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from larqlite.errors import QuantizerError


class _SetterProbe:
    """Looks like a layer; attributes that are set on it are noted down, not set."""

    __slots__ = ("_notes", "_target")

    def __init__(self, target, notes: list):
        object.__setattr__(self, "_target", target)
        object.__setattr__(self, "_notes", notes)

    @property
    def __dict__(self):
        return vars(self._target)  # where the inherited setter looks for a weight

    @property
    def submodules(self):
        return tuple(
            _SetterProbe(part, self._notes) for part in self._target.submodules
        )

    @property
    def __class__(self):
        return type(self._target)

    def __getattr__(self, name):
        for owner, noted, value in reversed(self._notes):
            if owner is self._target and noted == name:
                return value
        value = getattr(self._target, name)
        if isinstance(value, tf_keras.layers.Layer):
            return _SetterProbe(value, self._notes)
        return value

    def __setattr__(self, name, value):
        self._notes.append((self._target, name, value))


def values_set_by(
    config, layer, weights: Sequence, values: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """The tensors that each weight is replaced by, in the order of `weights`.

    Args:
        config: a `QuantizeConfig` with its own `set_quantize_weights`.
        layer: the layer, which is not changed.
        weights: the variables that the getter returned.
        values: their quantized values.

    Raises:
        QuantizerError: the setter leaves a quantized weight out.
    """
    notes: list = []
    config.set_quantize_weights(_SetterProbe(layer, notes), list(values))
    replaced = {id(getattr(owner, name, None)): value for owner, name, value in notes}
    missing = [w.name for w in weights if id(w) not in replaced]
    if missing:
        raise QuantizerError(
            f"{type(config).__name__}.set_quantize_weights does not set {missing} of "
            f'"{layer.name}", which its get_weights_and_quantizers names.\n'
            "  Fix: set one attribute for each pair, in the same order, e.g. "
            "layer.kernel = quantize_weights[0]; or leave the method out."
        )
    return [replaced[id(weight)] for weight in weights]
