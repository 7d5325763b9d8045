"""Questions that several passes ask about a use of a layer."""

from __future__ import annotations

from collections.abc import Callable

import tf_keras

from larqlite.graph import LayerGraph, LayerUse, facts_of
from larqlite.qat.config import LayerQuantizeConfig
from larqlite.qat.wrapper import name_of

layers = tf_keras.layers


def is_ours(use: LayerUse | None) -> bool:
    """Whether a scheme, not the user, says how this use's layer is quantized."""
    return (
        use is not None
        and use.entry.scheme is not None
        and isinstance(use.entry.config, LayerQuantizeConfig)
    )


def is_linear(use: LayerUse) -> bool:
    """Whether a layer applies no activation function."""
    return name_of(getattr(use.layer, "activation", None)) == "linear"


def is_relu(use: LayerUse | None) -> bool:
    """Whether a layer is a ReLU or ReLU6 that an integer engine fuses."""
    if use is None:
        return False
    if type(use.layer) is layers.Activation:
        return name_of(use.layer.activation) in ("relu", "relu6")
    if type(use.layer) is not layers.ReLU:
        return False
    config = use.layer.get_config()
    return (
        config["max_value"] in (None, 6)
        and not config["negative_slope"]
        and not config["threshold"]
    )


def computes_with_kernel(layer: layers.Layer) -> bool:
    """Whether a layer is known to compute sums of products with one kernel."""
    return facts_of(layer).kernel is not None


def is_made_of_kernel(layer: layers.Layer) -> bool:
    """Whether it is one of those, or derives from one, whatever it computes."""
    return facts_of(layer, ()).kernel is not None


def is_batch_normalization(layer: layers.Layer) -> bool:
    """Whether a layer is known to be a batch normalization."""
    return facts_of(layer).is_batch_normalization


def is_matchable(
    graph: LayerGraph, use: LayerUse | None, condition: Callable[[layers.Layer], bool]
) -> bool:
    """Whether a use is ours, of a layer of which this is true, and its only one."""
    return is_ours(use) and condition(use.layer) and not graph.is_shared(use.entry)


def leave_to(use: LayerUse, reader: LayerUse, keep_sums: bool = False) -> None:
    """What comes out of a use is quantized only after the layer that reads it.

    Args:
        use: of the layer.
        reader: the one that reads it.
        keep_sums: whether what goes into an activation stays quantized, where it is.
    """
    config = use.entry.config
    config = config.only_before() if keep_sums else config.without("activations")
    use.entry.config = config.without(
        "outputs", reason=f"output quantized after {reader.layer.name}"
    )
