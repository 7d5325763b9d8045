"""Where the quantized weights are: as values, and as a model that holds them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite import context, quantizers
from larqlite._copies import carry, children, layer_like, same_class
from larqlite.errors import (
    LarqliteError,
    UnsupportedModelError,
)
from larqlite.graph import is_functional, require_model
from larqlite.layers import QuantLayer
from larqlite.metrics import FlipRatio

__all__ = [
    "QuantizedWeight",
    "flip_ratios",
    "freeze",
    "quantized_weights",
    "saturation",
]

_FREEZE = "lq.models.freeze"


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
        model: a built tf_keras model of any kind, quantization-aware ones included, or a
            single layer.

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
    require_model(
        model,
        "lq.models.quantized_weights",
        kind=tf_keras.layers.Layer,
        subclassed=True,
    )
    found = {}
    for path, layer in _paths(model, ""):
        for name, view, quantizer in _views(layer):
            with context.quantized_scope(False):
                latent = tf.convert_to_tensor(view).numpy()
            with context.quantized_scope(True):
                quantized = tf.convert_to_tensor(view).numpy()
            found[f"{path}/{name}"] = QuantizedWeight(
                latent, quantized, getattr(quantizer, "precision", None), quantizer
            )
    return found


def flip_ratios(model: tf_keras.Model) -> dict[str, FlipRatio]:
    """The flip ratios that a model tracks, by layer.

    For callbacks and training loops: `result()` is the mean share of the weights of a
    kernel that flip from one step to the next, since the epoch began.

    Args:
        model: a tf_keras model of any kind, or a single layer; built inside of
            `lq.context.metrics_scope(["flip_ratio"])`, or of quantizers with that metric.

    Returns:
        Metrics by path, in the order of the layers; the path is that of the layer within
        nested models, as in `"block/conv"`, and for a layer with several kernels the
        kernel's name too, as in `"block/separable/depthwise_kernel"`. Empty where
        nothing is tracked.

    Raises:
        UnbuiltModelError: the weights do not exist yet.

    Example:
        >>> with lq.context.metrics_scope(["flip_ratio"]):
        ...     layer = lq.layers.QuantDense(3, kernel_quantizer="ste_sign",
        ...         kernel_constraint="weight_clip", name="hidden")
        >>> model = tf_keras.Sequential([tf_keras.Input((2,)), layer])
        >>> {path: metric.name for path, metric in lq.models.flip_ratios(model).items()}
        {'hidden': 'flip_ratio/hidden'}
    """
    require_model(
        model, "lq.models.flip_ratios", kind=tf_keras.layers.Layer, subclassed=True
    )
    found = {}
    for path, layer in _paths(model, ""):
        if isinstance(layer, QuantLayer):
            for place, metric in layer.flip_ratios.items():
                found[path + place.removeprefix(layer.name)] = metric
    return found


def saturation(model: tf_keras.Model) -> dict[str, float]:
    r"""The share of the latent weights of each kernel that are at their clip.

    $$ \frac{1}{n} \sum_{i=1}^{n} [\lvert w_i \rvert \geq c] $$

    for $n$ latent weights $w$ and $c$ = `clip_value` of the kernel's constraint
    (`weight_clip`), or else of its quantizer. A weight at its clip is far from changing
    its quantized value; one beyond it gets no gradient.

    Args:
        model: a built tf_keras model of any kind, or a single layer.

    Returns:
        Shares in [0, 1] by the paths of `quantized_weights`; kernels without a clip are
        left out, since nothing bounds them.

    Raises:
        UnbuiltModelError: the weights do not exist yet.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(
        ...     2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="d",
        ...     use_bias=False)])
        >>> model.set_weights([np.array([[1.0, -1.0], [0.5, -0.5]])])
        >>> lq.models.saturation(model)
        {'d/kernel': 0.5}
    """
    require_model(
        model, "lq.models.saturation", kind=tf_keras.layers.Layer, subclassed=True
    )
    found = {}
    for path, layer in _paths(model, ""):
        if isinstance(layer, QuantLayer):
            for name in layer.quantized_weights:
                clip = layer.clip_of(name)
                if clip is not None:
                    latent = abs(layer.latent_weight(name).numpy())
                    found[f"{path}/{name}"] = float(np.mean(latent >= clip))
    return found


def _views(layer) -> Iterator[tuple[str, tf.Variable, object]]:
    """Name, variable and quantizer of each quantized weight of a layer itself."""
    if isinstance(layer, QuantLayer):
        for name, role in layer.quantized_weights.items():
            if getattr(layer, role) is not None:
                yield name, getattr(layer, name), getattr(layer, role)
    # Quantization-aware layers, whose quantizers come from a config.
    for view, quantizer, *_ in getattr(layer, "weight_slots", ()):
        parts = view.name.partition(":")[0].split("/")
        name = "/".join(parts[parts.index(layer.layer.name) + 1 :])
        yield name, view, quantizer


def freeze(model: tf_keras.Model) -> tf_keras.Model:
    """A copy of a model whose kernels hold the quantized values.

    The copy predicts the same, needs no latent weights, and holds the quantized
    values in every file format. Kernel quantizers become
    `NoOp(precision)`, which leaves values as they are and keeps the bit width
    for the summary; input quantizers stay, since they belong to the computation.
    Quantization-aware layers stay what they are, with quantized values in them.

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
    require_model(model, _FREEZE, kind=tf_keras.layers.Layer, subclassed=True)
    try:
        frozen = _frozen_copy(model)
        carry(model, frozen, _FREEZE, read=_quantized, below=_children)
    except (LarqliteError, NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0].removeprefix(f"{_FREEZE}: ")
        raise UnsupportedModelError(
            f'{_FREEZE}: the model "{model.name}" ({type(model).__name__}) cannot be '
            "rebuilt layer by layer from its configuration, which a copy needs: "
            f"{reason.rstrip('.')}.\n"
            "  Fix: build it with tf_keras.Sequential or tf_keras.Model(inputs, "
            "outputs), without a layer that is shared into a nested model; give classes "
            "of your own a get_config. The values alone are in "
            "lq.models.quantized_weights(model)."
        ) from error
    return frozen


def _quantized(variable) -> tf.Tensor:
    with context.quantized_scope(True):
        return tf.convert_to_tensor(variable)


def _frozen_copy(layer):
    """A copy with new weights in which NoOp stands for every kernel quantizer."""
    if is_functional(layer):
        copied = tf_keras.models.clone_model(layer, clone_function=_frozen_copy)
        return same_class(layer, copied, _FREEZE)
    if isinstance(layer, QuantLayer):
        changes = {role: _no_op(getattr(layer, role)) for role in _roles(layer)}
        quantizer = copy.deepcopy(layer.input_quantizer)
        return layer_like(layer, _FREEZE, {**changes, "input_quantizer": quantizer})
    if any(isinstance(below, QuantLayer) for below in layer.submodules):
        return layer_like(layer, _FREEZE, _with_no_op_kernels(layer.get_config()))
    return layer_like(layer, _FREEZE)


def _roles(layer: QuantLayer):
    return layer.quantized_weights.values()


def _no_op(quantizer) -> quantizers.NoOp | None:
    precision = getattr(quantizer, "precision", None)
    return None if precision is None else quantizers.NoOp(precision)


def _with_no_op_kernels(config):
    """The configuration of a composite layer, its Quant layers with NoOp kernels."""
    if isinstance(config, (list, tuple)):
        return type(config)(_with_no_op_kernels(item) for item in config)
    if not isinstance(config, dict):
        return config
    rewritten = {key: _with_no_op_kernels(value) for key, value in config.items()}
    name = config.get("registered_name") or config.get("class_name")
    cls = tf_keras.saving.get_registered_object(name) if name else None
    if isinstance(cls, type) and issubclass(cls, QuantLayer):
        for role in cls.quantized_weights.values():
            no_op = _no_op(quantizers.get(config["config"][role]))
            rewritten["config"][role] = no_op and quantizers.serialize(no_op)
    return rewritten


def _paths(model, path: str):
    """The layers of a model with their paths, each once, in order."""
    seen = set()

    def walk(layer, path):
        if id(layer) in seen:
            return
        seen.add(id(layer))
        yield path or layer.name, layer
        for child in _children(layer):
            yield from walk(child, f"{path}/{child.name}" if path else child.name)

    return walk(model, path)


def _children(layer) -> list[tf_keras.layers.Layer]:
    """The layers directly under a layer, without the quantizers of its kernels."""
    if isinstance(layer, QuantLayer):
        quantizer = layer.input_quantizer
        return [quantizer] if isinstance(quantizer, tf_keras.layers.Layer) else []
    return children(layer)
