"""Each layer that a scheme quantizes gets the scheme's config for its class."""

from __future__ import annotations

import logging

import tf_keras

from larqlite.errors import UnsupportedLayerError
from larqlite.layers import QuantLayer
from larqlite.qat._graph import Graph
from larqlite.qat._layer import QuantizeLayer
from larqlite.quantizers import Quantizer

log = logging.getLogger("larqlite.qat")


def run(graph: Graph) -> None:
    """Looks up each layer in its scheme's registry."""
    for entry in graph.entries():
        if entry.scheme is None or entry.config is not None or entry.graph is not None:
            continue
        if isinstance(getattr(entry.layer, "symbol", None), str):
            continue
        if isinstance(entry.layer, tf_keras.layers.Lambda):
            log.warning(
                'larqlite.qat: the Lambda layer "%s" may compute anything and is left '
                "as it is. Fix: make it a layer class of its own.",
                entry.name,
            )
            entry.scheme = None
        elif isinstance(entry.layer, (QuantLayer, Quantizer, QuantizeLayer)):
            entry.reason = "quantized by its own quantizers"
            entry.scheme = None
        else:
            entry.config = entry.scheme.config_of(entry.layer)
            if entry.config is None:
                raise _unknown(entry.layer)


def _unknown(layer: tf_keras.layers.Layer) -> UnsupportedLayerError:
    name = type(layer).__name__
    return UnsupportedLayerError(
        f'larqlite.qat: no rule for the layer "{layer.name}" of class {name} '
        f"({type(layer).__module__}).\n"
        "  Fix: say how it is quantized: quantize_annotate_layer(layer, config) with a "
        f"QuantizeConfig, or lq.qat.add_rule({name}, lq.qat.Rule(...)) for all of its "
        "class; leave it float with NoOpQuantizeConfig() as its config, or with a "
        f'scheme {{"{layer.name}": "float", "*": "int8"}}.'
    )
