"""Where the quantized weights are: as values, and as a model that holds them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tf_keras

from larqlite import context, quantizers
from larqlite.errors import (
    ArgumentError,
    UnbuiltModelError,
    UnsupportedModelError,
    require_tf_keras,
)
from larqlite.layers import QuantLayer

__all__ = ["QuantizedWeight", "freeze", "quantized_weights"]


class QuantizedWeight(NamedTuple):
    """One kernel, as it is trained and as the network uses it.

    Attributes:
        latent: the trained values, float array.
        quantized: the values the layer computes with, of the same shape and dtype.
        precision: bits per quantized value, or None if the quantizer does not say.
        quantizer: the quantizer between the two.
    """

    latent: np.ndarray
    quantized: np.ndarray
    precision: int | None
    quantizer: object


def quantized_weights(model: tf_keras.Model) -> dict[str, QuantizedWeight]:
    """The kernels of a model that a quantizer stands before.

    Args:
        model: a built tf_keras model of any kind, or a single Quant layer.

    Returns:
        `QuantizedWeight` by path, in the order of the layers; the path is that of
        the layer within nested models, and the weight's name, as in
        `"block/quant_conv2d/kernel"`.

    Raises:
        UnbuiltModelError: the weights do not exist yet.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(
        ...     3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="d")])
        >>> weights = lq.models.quantized_weights(model)
        >>> np.unique(abs(weights["d/kernel"].quantized)).tolist()
        [1.0]
    """
    _require_built(model, "lq.models.quantized_weights")
    found = {}
    for path, layer in _quant_layers(model, ""):
        for weight, role in layer.quantized_weights.items():
            quantizer = getattr(layer, role)
            if quantizer is None:
                continue
            found[f"{path}/{weight}"] = QuantizedWeight(
                latent=layer.latent_weight(weight).numpy(),
                quantized=layer.quantized_weight(weight).numpy(),
                precision=getattr(quantizer, "precision", None),
                quantizer=quantizer,
            )
    return found


def freeze(model: tf_keras.Model) -> tf_keras.Model:
    """A copy of a model whose kernels hold the quantized values.

    The copy predicts the same, needs no latent weights, and holds the quantized
    values in every file format. Kernel quantizers become
    `NoOp(precision)`, which leaves values as they are and keeps the bit width
    for the summary; input quantizers stay, since they belong to the computation.

    Args:
        model: a built Sequential or functional tf_keras model; nested models,
            wrappers and shared layers are frozen too.

    Returns:
        An uncompiled model of the same structure.

    Raises:
        UnbuiltModelError: the weights do not exist yet.
        UnsupportedModelError: a model that Keras cannot rebuild from its
            configuration: subclassed, or with a layer shared into a nested model.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(
        ...     3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")])
        >>> np.unique(abs(lq.models.freeze(model).get_weights()[0])).tolist()
        [1.0]
    """
    _require_built(model, "lq.models.freeze")
    refusal = UnsupportedModelError(
        f'lq.models.freeze: the model "{model.name}" ({type(model).__name__}) cannot '
        "be rebuilt from its configuration, which a copy needs.\n"
        "  Fix: build it with tf_keras.Sequential or tf_keras.Model(inputs, outputs), "
        "without a layer that is shared into a nested model; the values alone are in "
        "lq.models.quantized_weights(model)."
    )
    try:
        config = _with_no_op_kernels(model.get_config(), _roles(model))
        frozen = type(model).from_config(config)
    except (NotImplementedError, TypeError) as error:
        raise refusal from error
    lasting = _lasting_weights(model)
    if [w.shape for w in frozen.weights] != [w.shape for w in lasting]:
        raise refusal
    with context.quantized_scope(True):
        frozen.set_weights([variable.numpy() for variable in lasting])
    return frozen


def _require_built(model, where: str) -> None:
    require_tf_keras(model, where)
    if not isinstance(model, tf_keras.layers.Layer):
        raise ArgumentError(f"{where}: expected a tf_keras model, got {model!r}.")
    if not model.built:
        raise UnbuiltModelError(
            f'{where}: the model "{model.name}" has no weights yet.\n'
            "  Fix: give it an input shape (tf_keras.Input), call it on data, or call "
            "model.build(input_shape)."
        )


def _quant_layers(layer, path: str):
    """All Quant layers under `layer` with their paths, each once, in order."""
    seen = set()

    def walk(layer, path):
        if id(layer) in seen:
            return
        seen.add(id(layer))
        if isinstance(layer, QuantLayer):
            yield path or layer.name, layer
        children = getattr(layer, "layers", None)
        if children is None and isinstance(layer, tf_keras.layers.Wrapper):
            children = [layer.layer]
        if children is None:
            children = _sublayers(layer)
        for child in children:
            yield from walk(child, f"{path}/{child.name}" if path else child.name)

    yield from walk(layer, path)


def _sublayers(layer) -> list[tf_keras.layers.Layer]:
    """Layers held by the attributes of a composite layer."""
    below = [m for m in layer.submodules if isinstance(m, tf_keras.layers.Layer)]
    nested = {id(m) for child in below for m in child.submodules}
    return [child for child in below if id(child) not in nested]


def _roles(model) -> set[str]:
    return {
        role
        for _, layer in _quant_layers(model, "")
        for role in layer.quantized_weights.values()
    }


def _with_no_op_kernels(config, roles: set[str]):
    """The configuration with NoOp in place of every kernel quantizer."""
    if isinstance(config, (list, tuple)):
        return type(config)(_with_no_op_kernels(item, roles) for item in config)
    if not isinstance(config, dict):
        return config
    return {
        key: _no_op(value) if key in roles else _with_no_op_kernels(value, roles)
        for key, value in config.items()
    }


def _no_op(quantizer_config):
    quantizer = quantizers.get(quantizer_config)
    precision = getattr(quantizer, "precision", None)
    if precision is None:
        return None
    return quantizers.serialize(quantizers.NoOp(precision))


def _lasting_weights(model) -> list:
    """The weights of a model without those of its kernel quantizers."""
    dropped = {
        id(variable)
        for _, layer in _quant_layers(model, "")
        for role in layer.quantized_weights.values()
        for variable in getattr(getattr(layer, role), "weights", ())
    }
    return [variable for variable in model.weights if id(variable) not in dropped]
