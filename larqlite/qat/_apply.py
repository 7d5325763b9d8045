"""`quantize_apply` and `quantize_model`: the quantization-aware copy of a model."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Mapping
from typing import Any

import tf_keras

from larqlite.errors import ArgumentError
from larqlite.graph import LayerEntry, LayerGraph
from larqlite.qat._calibrate import calibrate as set_ranges, require_method
from larqlite.qat.config import QuantizeConfig
from larqlite.qat.graph import Builder, read
from larqlite.qat.passes import QuantizeLayoutTransform, follow_configs
from larqlite.qat.schemes import FLOAT, get_schemes
from larqlite.qat.wrapper import QuantizeLayer, QuantizeWrapperV2

__all__ = ["quantize_apply", "quantize_model"]

log = logging.getLogger("larqlite.qat")


def quantize_model(
    to_quantize: tf_keras.Model,
    quantized_layer_name_prefix: str | None = "quant_",
    scheme: Any = None,
    calibrate: Any = None,
    calibration: str = "auto",
) -> tf_keras.Model:
    """A quantization-aware copy of a whole model.

    The copy has the same weights. Its layers compute with fake-quantized tensors, in
    training and in inference; compile it and train on.

    Args:
        to_quantize: a built Sequential or functional tf_keras model, or one of Keras 3
            (`lq.models.from_keras`).
        quantized_layer_name_prefix: goes before the names of quantized layers.
        scheme: as for `quantize_apply`; 8 bits by default.
        calibrate: data to set the ranges from, as for `lq.qat.calibrate`.
        calibration: how they follow from it, likewise.

    Returns:
        A new, uncompiled model. The given one is not changed.

    Raises:
        As `quantize_apply`.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(20, input_shape=(20,)), tf_keras.layers.Flatten()])
        >>> quantized = lq.qat.quantize_model(model, calibrate=np.ones((8, 20), "float32"))
        >>> [layer.count_params() for layer in quantized.layers]
        [3, 425, 1]

    References:
        https://arxiv.org/abs/1712.05877, section 3.
    """
    where = "lq.qat.quantize_model"
    graph = read(to_quantize, where)
    for part in graph.graphs():
        for entry in part.entries():
            entry.is_annotated = True
    return quantize_graph(
        graph, scheme, quantized_layer_name_prefix, calibrate, calibration, where
    )


def quantize_apply(
    model: tf_keras.Model,
    scheme: Any = None,
    quantized_layer_name_prefix: str | None = "quant_",
    calibrate: Any = None,
    calibration: str = "auto",
) -> tf_keras.Model:
    """A copy of a model in which the annotated layers are quantization-aware.

    Args:
        model: a built Sequential or functional tf_keras model with annotated layers.
        scheme: "int8" (the default), "int1" to "int16", "binary", "ternary", "float",
            "prune_preserve", "cluster_preserve" (`lq.qat.collab_opts`); weights and
            activations apart, as in "int4/8", "binary/8" or "int4/float"; a
            `QuantizeScheme`; or a dictionary from patterns of layer names (as in
            `"block*"`) or layer classes to one of these or a `QuantizeConfig`; the first
            that fits counts, and such layers need no annotation.
        quantized_layer_name_prefix: goes before the names of quantized layers; None for
            none.
        calibrate: data to set the ranges from, as for `lq.qat.calibrate`. Without it
            they are set by training.
        calibration: how they follow from it, likewise.

    Returns:
        A new, uncompiled model with the same weights. The given one is not changed.

    Raises:
        ArgumentError: no model, nothing annotated, an unknown scheme, or a pattern that
            fits no layer.
        UnbuiltModelError: the model's shapes are not known yet.
        UnsupportedModelError: subclassed, already quantization-aware, or with a layer
            that cannot be cloned.
        UnsupportedLayerError: a layer whose class the scheme has no rule for.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(8, input_shape=(4,), name="first"),
        ...     tf_keras.layers.Dense(8, name="inner"),
        ...     tf_keras.layers.Dense(2, name="last")])
        >>> mixed = lq.qat.quantize_apply(model, {"inner": "binary", "*": "int8"})
        >>> [(layer.name, type(layer).__name__) for layer in mixed.layers[1:]]
        [('quant_first', 'QuantizeWrapperV2'), ('quant_inner', 'QuantDense'),
         ('quant_last', 'QuantizeWrapperV2')]
    """
    where = "lq.qat.quantize_apply"
    graph = read(model, where)
    return quantize_graph(
        graph, scheme, quantized_layer_name_prefix, calibrate, calibration, where
    )


def quantize_graph(
    graph: LayerGraph,
    scheme: Any,
    prefix: str | None = "quant_",
    calibrate: Any = None,
    calibration: str = "auto",
    where: str = "lq.qat.quantize_apply",
) -> tf_keras.Model:
    """`quantize_apply` for a graph, on behalf of the function named `where`."""
    require_method(calibration, where)
    schemes = get_schemes(scheme, where)
    _choose_schemes(graph, schemes, where)
    follow_configs(graph, where)
    for part in graph.graphs():
        part.prefix = prefix or ""
    _layout(graph).apply(graph)
    model = Builder(prefix or "", where).model(graph)
    if calibrate is not None:
        set_ranges(model, calibrate, calibration=calibration)
    elif any(
        isinstance(m, (QuantizeWrapperV2, QuantizeLayer)) for m in model.submodules
    ):
        log.warning(
            '%s: the ranges of "%s" are not set yet, so that its outputs mean nothing '
            "before it is trained or calibrated. Fix: %s(..., calibrate=data), "
            "lq.qat.calibrate(model, data), or fit.",
            where,
            model.name,
            where,
        )
    return model


def _layout(graph: LayerGraph) -> QuantizeLayoutTransform:
    """The passes of all schemes in a model, each once; the default ones if there is none."""
    schemes = [entry.scheme for part in graph.graphs() for entry in part.entries()]
    passes = [
        run
        for scheme in dict.fromkeys(schemes)
        if scheme is not None
        for run in scheme.get_layout_transformer().passes
    ]
    return QuantizeLayoutTransform(list(dict.fromkeys(passes)) or None)


def _choose_schemes(graph: LayerGraph, schemes, where: str) -> None:
    """Gives each entry the scheme, or the config, that it is to be quantized by."""
    unused = set(schemes) if isinstance(schemes, Mapping) else set()
    for part in graph.graphs():
        for entry in part.entries():
            if entry.graph is not None and entry.is_annotated:
                for inner in entry.graph.entries():
                    inner.is_annotated = True
                entry.config = None
    any_chosen = any_annotated = False
    for part in graph.graphs():
        for entry in part.entries():
            if entry.graph is None:
                any_chosen |= _choose(entry, schemes, unused)
                any_annotated |= entry.is_annotated
    if unused:
        names = [e.name for part in graph.graphs() for e in part.entries()]
        raise ArgumentError(
            f"{where}: no layer fits {', '.join(map(repr, sorted(unused, key=str)))} of "
            f"the scheme.\n  Fix: the layers are {', '.join(names)}."
        )
    if not any_chosen and any_annotated:
        raise ArgumentError(
            f'{where}: the scheme leaves every layer of "{graph.model.name}" float.\n'
            '  Fix: give some layers a width, e.g. {"dense*": "int8"}.'
        )
    if not any_chosen:
        raise ArgumentError(
            f'{where}: no layer of "{graph.model.name}" is annotated, so there is '
            "nothing to quantize.\n"
            "  Fix: lq.qat.quantize_model(model) for all layers; "
            "quantize_annotate_layer(layer) or a scheme {pattern: scheme} for some."
        )


def _choose(entry: LayerEntry, schemes, unused: set) -> bool:
    """Whether the entry is to be quantized; sets its scheme or config."""
    chosen = schemes if entry.is_annotated else None
    if isinstance(schemes, Mapping):
        key = next((key for key in schemes if _fits(key, entry)), None)
        chosen = None if key is None else schemes[key]
        # A pattern that only fits what an earlier one took is of use too.
        unused.difference_update([k for k in list(unused) if _fits(k, entry)])
    if entry.config is not None:
        return True
    if chosen is None or chosen == FLOAT:
        return False
    if isinstance(chosen, QuantizeConfig):
        entry.config = chosen
    else:
        entry.scheme = chosen
    return True


def _fits(key: Any, entry: LayerEntry) -> bool:
    if isinstance(key, type):
        return isinstance(entry.layer, key)
    return fnmatch.fnmatchcase(entry.name, str(key))
