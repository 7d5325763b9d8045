"""Questions that several passes ask about a use of a layer."""

from __future__ import annotations

import tf_keras

from larqlite.graph import LayerGraph, LayerUse
from larqlite.qat.config import LayerQuantizeConfig
from larqlite.qat.wrapper import name_of

layers = tf_keras.layers

WITH_KERNEL = (
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
    layers.Conv3DTranspose,
    layers.Dense,
)
BATCH_NORMALIZATIONS = (
    layers.BatchNormalization,
    layers.experimental.SyncBatchNormalization,
)


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


def is_matchable(
    graph: LayerGraph, use: LayerUse | None, classes: tuple[type, ...]
) -> bool:
    """Whether a use is ours, of one of these classes, and the only one of its layer."""
    return (
        is_ours(use) and type(use.layer) in classes and not graph.is_shared(use.entry)
    )


def leave_to(use: LayerUse, reader: LayerUse) -> None:
    """What comes out of a use is quantized only after the layer that reads it."""
    use.entry.config = use.entry.config.without(
        "activations", "outputs", reason=f"output quantized after {reader.layer.name}"
    )
