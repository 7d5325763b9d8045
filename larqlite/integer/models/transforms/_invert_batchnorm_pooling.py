"""A batch normalization after a pooling goes before it, where it can be folded."""

from __future__ import annotations

import numpy as np
import tf_keras

from larqlite._channels import normalization_factors
from larqlite.graph import LayerGraph, LayerUse
from larqlite.integer.models.transforms._fold_batchnorms import (
    is_inference,
    normalizes_last_axis,
    refuse,
)
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    is_linear,
    is_normalization,
    outputs_of,
    pooling_of,
    transformed,
)

__all__ = ["invert_batchnorm_pooling"]


def invert_batchnorm_pooling(model: tf_keras.Model) -> tf_keras.Model:
    r"""A model in which batch normalizations stand before poolings, not after them.

    The first step before `fold_batchnorms`. $a \max(x) + b = \max(a x + b)$ holds for
    $a > 0$ only; with a mean in place of the maximum it holds always.

    Args:
        model: a built Sequential or functional model; it is not changed.

    Returns:
        A new model that computes the same, or the given one if there is nothing to do.

    Raises:
        UnsupportedLayerError: a `RuntimeError`: a gamma that is not positive after a max
            pooling.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Conv2D(2, 3, input_shape=(8, 8, 1)),
        ...     tf_keras.layers.MaxPooling2D(),
        ...     tf_keras.layers.BatchNormalization()])
        >>> inverted = lq.integer.models.transforms.invert_batchnorm_pooling(model)
        >>> [type(layer).__name__ for layer in inverted.layers]
        ['Conv2D', 'BatchNormalization', 'MaxPooling2D']
    """
    return transformed(model, "invert_batchnorm_pooling", [run])


def run(graph: LayerGraph, surgery: Surgery, is_strict: bool = True) -> bool:
    """Inverts; not strict, only where that lets the normalization be folded."""
    is_changed = False
    # From the end, so that a normalization climbs over several poolings.
    pending = list(reversed(graph.uses))
    while pending:
        use = pending.pop(0)
        normalization = _candidate(graph, surgery, use)
        if normalization is None or (
            not is_strict and not _leads_to_kernel(graph, use)
        ):
            continue
        scale, _ = normalization_factors(normalization.layer)
        if pooling_of(use.layer).endswith("max") and (scale <= 0).any():
            channels = np.flatnonzero(scale <= 0).tolist()
            refuse(
                surgery,
                normalization,
                f'gamma is not positive in the channels {channels}, and "{use.layer.name}" '
                "before it takes maxima",
                "normalize before the pooling, or constrain gamma with "
                "tf_keras.constraints.NonNeg()",
                is_strict,
            )
            continue
        normalization.entry.changes["axis"] = -1
        graph.swap(use, normalization)
        is_changed = True
        pending = list(reversed(graph.uses))
    return is_changed


def _candidate(graph: LayerGraph, surgery: Surgery, use: LayerUse) -> LayerUse | None:
    if not pooling_of(use.layer) or len(use.args) != 1:
        return None
    if getattr(use.layer, "data_format", "channels_last") != "channels_last":
        return None
    reader = surgery.reads_alone(graph, use)
    if reader is None or not is_normalization(reader.layer):
        return None
    if not is_inference(reader) or not normalizes_last_axis(reader):
        return None
    return reader


def _leads_to_kernel(graph: LayerGraph, use: LayerUse) -> bool:
    """Whether a layer that takes a normalization stands before the poolings.

    Other normalizations may stand between: they are folded too.
    """
    while pooling_of(use.layer) or is_normalization(use.layer):
        source = use.inputs[0].source
        if source is None or graph.only_consumer(source) is not use:
            return False
        use = source
    return (
        use is not None and outputs_of(use.layer) is not None and is_linear(use.entry)
    )
