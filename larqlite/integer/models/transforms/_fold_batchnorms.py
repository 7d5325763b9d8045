"""A batch normalization becomes part of the kernel and bias before it."""

from __future__ import annotations

import logging

import numpy as np
import tf_keras

from larqlite._channels import normalization_factors
from larqlite.errors import UnsupportedLayerError
from larqlite.graph import LayerGraph, LayerUse
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    give,
    is_linear,
    is_normalization,
    label,
    outputs_of,
    scaled,
    setting,
    shape_of,
    transformed,
    weights_of,
)

__all__ = ["fold_batchnorms"]

log = logging.getLogger("larqlite.integer")


def fold_batchnorms(model: tf_keras.Model) -> tf_keras.Model:
    r"""A model whose batch normalizations are part of the layers before them.

    With $a = \gamma / \sqrt{\sigma^2 + \epsilon}$ the kernel becomes $a w$, and the bias
    $a b + \beta - \mu a$. Folded into: convolutions of 1 to 3 dimensions, their
    transposes, depthwise and separable ones, `PaddedConv2D`, `DepthwiseConv2DTranspose`,
    `Dense`, and the integer layers made of them. A layer of larqlite that quantizes its
    own kernel (`QuantConv2D` ...) keeps its normalization, as the factor would be lost in
    the sign; so does a layer with an activation, with several readers, or that is called
    more than once.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to fold.

    Raises:
        UnsupportedLayerError: a `RuntimeError`: a gamma is 0, or the axis normalized is
            not the last one.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(2, use_bias=False, input_shape=(3,)),
        ...     tf_keras.layers.BatchNormalization()])
        >>> folded = lq.integer.models.transforms.fold_batchnorms(model)
        >>> [type(layer).__name__ for layer in folded.layers], folded.count_params()
        (['Dense'], 8)

    References:
        https://arxiv.org/abs/1712.05877, section 3.2.
    """
    return transformed(model, "fold_batchnorms", [run])


def run(graph: LayerGraph, surgery: Surgery, is_strict: bool = True) -> bool:
    """Folds what can be folded; `is_strict` raises where it cannot, else leaves it."""
    is_changed = False
    for use in list(graph.uses):
        # One after another: the next normalization may be folded too.
        while (normalization := _candidate(graph, surgery, use)) is not None:
            problem = _problem(normalization)
            if problem:
                refuse(surgery, normalization, *problem, is_strict)
                break
            _fold(use, normalization)
            graph.remove(normalization)
            is_changed = True
    return is_changed


def refuse(
    surgery: Surgery, normalization: LayerUse, what: str, fix: str, is_strict: bool
) -> None:
    """Raises, or says in the log that a normalization stays.

    Raises:
        UnsupportedLayerError: if `is_strict`.
    """
    name = normalization.layer.name
    text = f'{surgery.where}: BatchNormalization "{name}": {what}.'
    if is_strict:
        raise UnsupportedLayerError(f"{text}\n  Fix: {fix}.")
    log.info("%s It stays as it is.", text)


def is_inference(use: LayerUse) -> bool:
    """Whether a normalization uses its moving statistics when the model is not trained."""
    return use.kwargs.get("training") in (None, False)


def normalizes_last_axis(use: LayerUse) -> bool:
    """Whether the axis of a batch normalization is the last one."""
    axes = np.ravel(setting(use.entry, "axis")).tolist()
    rank = len(shape_of(use.inputs[0]))
    return [axis % rank for axis in axes] == [rank - 1]


def _candidate(graph: LayerGraph, surgery: Surgery, use: LayerUse) -> LayerUse | None:
    if outputs_of(use.layer) is None or not is_linear(use.entry):
        return None
    reader = surgery.reads_alone(graph, use)
    if reader is None or not is_normalization(reader.layer) or not is_inference(reader):
        return None
    return None if weights_of(use.entry) is None else reader


def _problem(normalization: LayerUse) -> tuple[str, str] | None:
    if not normalizes_last_axis(normalization):
        axis = np.ravel(setting(normalization.entry, "axis")).tolist()
        return (
            f"axis={axis} is not the last one of {shape_of(normalization.inputs[0])}",
            "normalize channels last, axis=-1",
        )
    scale, _ = normalization_factors(normalization.layer)
    if (scale == 0).any():
        channels = np.flatnonzero(scale == 0).tolist()
        return (
            f"gamma is 0 in the channels {channels}, which would leave them a kernel of "
            "zeros",
            "prune these channels, or give them a small gamma",
        )
    return None


def _fold(use: LayerUse, normalization: LayerUse) -> None:
    scale, offset = normalization_factors(normalization.layer)
    axes = outputs_of(use.layer)
    weights = weights_of(use.entry)
    if setting(use.entry, "use_bias"):
        offset = offset + np.asarray(weights["bias"], np.float64) * scale
    log.debug('"%s" is folded into "%s"', normalization.layer.name, label(use.entry))
    give(
        use.entry,
        {"use_bias": True},
        **{axes.name: scaled(weights[axes.name], scale, axes), "bias": offset},
    )
