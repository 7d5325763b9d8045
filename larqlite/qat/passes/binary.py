"""Layers of a binary scheme become larqlite's Quant layers, with ReLUs out of their way.

The sign of what is never negative is always +1. So a binary layer reads what goes into
a ReLU, not what comes out of it; max-pooling and layers that keep values lie between
them, if only binary layers read those.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol, runtime_checkable

import tf_keras

import larqlite.layers as quant_layers
from larqlite.graph import LayerEntry, LayerGraph, LayerUse, facts_of
from larqlite.qat.wrapper import name_of

log = logging.getLogger("larqlite.qat")
layers = tf_keras.layers

# Float class: Quant class, which carries the same arguments.
QUANT_CLASS = {
    getattr(layers, name): getattr(quant_layers, f"Quant{name}")
    for name in (
        *("Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D"),
        *("SeparableConv1D", "SeparableConv2D", "Conv2DTranspose", "Conv3DTranspose"),
        *("Conv1DTranspose", "LocallyConnected1D", "LocallyConnected2D"),
    )
    if hasattr(quant_layers, f"Quant{name}")
}
# Their sign is that of their input, or +1 throughout.
_NEVER_NEGATIVE = (
    "relu",
    "relu6",
    "sigmoid",
    "hard_sigmoid",
    "hard_sigmoid6",
    "softplus",
    "exponential",
)


@runtime_checkable
class QuantLayerScheme(Protocol):
    """A scheme whose layers become Quant layers, as those of `BinaryScheme` do.

    Attributes:
        kernel_quantizer: quantizer of their kernels.
        input_quantizer_of_layers: quantizer of their inputs; None leaves them, and
            ReLUs before them, as they are.
    """

    kernel_quantizer: Any
    input_quantizer_of_layers: Any


def run(graph: LayerGraph) -> None:
    """Puts Quant layers in the place of the layers of binary schemes."""
    binary = [
        use
        for use in graph.uses
        if isinstance(use.entry.scheme, QuantLayerScheme)
        and type(use.layer) in QUANT_CLASS
        and use.entry.config is None
    ]
    for use in binary:
        if use.entry.scheme.input_quantizer_of_layers is not None:
            _read_signs(graph, use, {id(u.entry) for u in binary})
    for use in binary:
        if not use.entry.is_new:
            _become_quantized(use.entry, graph.prefix)
    for entry in graph.entries():
        if isinstance(entry.scheme, QuantLayerScheme):
            entry.scheme = None
    graph.drop_unused()


def _read_signs(graph: LayerGraph, use: LayerUse, binary: set[int]) -> None:
    """Takes the last function that is never negative out of what a binary layer reads."""
    reader, source = use, use.inputs[0].source
    while source is not None and facts_of(source.layer).keeps_signs:
        if not _all_binary(graph, source, reader, binary):
            return
        reader, source = source, source.inputs[0].source
    if source is None or source.entry.graph is not None:
        return
    if is_never_negative(source.layer):
        if type(source.layer) in (layers.ReLU, layers.Activation):
            graph.bypass(source, reader)
        elif (
            type(source.layer) in QUANT_CLASS  # the activation is the last it computes
            and _all_binary(graph, source, reader, binary)
            and not graph.is_shared(source.entry)
            and not source.entry.is_new
        ):
            source.entry.changes["activation"] = "linear"
        else:
            log.warning(
                'larqlite.qat: the binary layer "%s" reads the output of "%s", which is '
                "never negative, so that its sign is always +1. Fix: put the activation "
                "into a layer of its own.",
                use.layer.name,
                source.layer.name,
            )


def is_never_negative(layer: layers.Layer) -> bool:
    """Whether the function that a layer computes last gives out nothing below zero."""
    return _function_of(layer) in _NEVER_NEGATIVE


def _function_of(layer: layers.Layer) -> str:
    if type(layer) is layers.ReLU:
        return "linear" if layer.get_config()["negative_slope"] else "relu"
    return name_of(getattr(layer, "activation", None))


def _all_binary(
    graph: LayerGraph, source: LayerUse, reader: LayerUse, binary: set[int]
) -> bool:
    """Whether all that read a use are binary layers, or the given one on the way."""
    return all(
        user is reader or (user is not None and id(user.entry) in binary)
        for edge in source.outputs
        for user in graph.consumers(edge)
    )


def _become_quantized(entry: LayerEntry, prefix: str) -> None:
    old, scheme = entry.layer, entry.scheme
    config = {**old.get_config(), **entry.changes}
    quant_class = QUANT_CLASS[type(old)]
    config["input_quantizer"] = scheme.input_quantizer_of_layers
    config["name"] = f"{prefix}{old.name}"
    copies = []
    for kernel, role in quant_class.quantized_weights.items():
        constraint = kernel.removesuffix("_kernel") + "_constraint"
        config[role] = scheme.kernel_quantizer
        config[constraint] = config[constraint] or "weight_clip"
        copies.append((kernel, getattr(old, kernel)))
    if getattr(old, "bias", None) is not None:
        copies.append(("bias", old.bias))
    new = quant_class.from_config(config)
    entry.layer, entry.is_new, entry.copies = new, True, tuple(copies)
    entry.reason = f"replaced by {quant_class.__name__}"
