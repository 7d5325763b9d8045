"""Each layer that a scheme quantizes gets the scheme's config for its class."""

from __future__ import annotations

import logging

import tf_keras

from larqlite.errors import UnsupportedLayerError
from larqlite.graph import LayerGraph
from larqlite.layers import QuantLayer
from larqlite.qat.passes import separable
from larqlite.qat.wrapper import QuantizeLayer
from larqlite.quantizers import Quantizer

log = logging.getLogger("larqlite.qat")


def run(graph: LayerGraph) -> None:
    """Looks up each layer in its scheme's registry."""
    for entry in graph.entries():
        if entry.scheme is None or entry.config is not None or entry.graph is not None:
            continue
        if entry.is_operator:
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
    name, inner = type(layer).__name__, layer
    while type(inner) is tf_keras.layers.TimeDistributed:
        inner = inner.layer  # it has the rule of the layer inside
    of_rule = type(inner).__name__
    parts = ""
    if type(layer) in separable.SEPARABLE:
        parts = (
            "let the pass larqlite.qat.passes.separable.run stand before "
            "larqlite.qat.passes.configs.run, as in lq.qat.QuantizeLayoutTransform(): "
            "it makes two convolutions of the layer, which have rules. Or "
        )
    return UnsupportedLayerError(
        f'larqlite.qat: no rule for the layer "{layer.name}" of class {name} '
        f"({type(layer).__module__}).\n"
        f"  Fix: {parts}say how it is quantized: quantize_annotate_layer(layer, config) "
        f"with a QuantizeConfig, or lq.qat.add_rule({of_rule}, lq.qat.Rule(...)) for all "
        "of its class; leave it float with NoOpQuantizeConfig() as its config, or with a "
        f'scheme {{"{layer.name}": "float", "*": "int8"}}.'
    )
