"""Which converter writes a layer, an activation or a quantizer, and how it is applied."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tf_keras

from larqlite._registration import NamedFunction
from larqlite.deploy._converter_tables import (
    ACTIVATIONS,
    CONVERTERS,
    OPERATORS,
    REFUSALS,
)
from larqlite.deploy.converters._identity import convert_identity
from larqlite.errors import UnsupportedLayerError
from larqlite.graph import METHODS, facts_of, first_override
from larqlite.onnx_graph import refuse
from larqlite.quantizers import Quantizer
from larqlite.quantizers.internal import find

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer

# What a quantizer computes is in these methods, as a layer in `METHODS`: a subclass that
# has one of its own computes something else.
_QUANTIZER_METHODS = ("call", "forward", "quantize", "threshold", "__call__")


def activation(graph: Writer, value: Value, fn: Any, where: str) -> Value:
    """Writes an activation or quantizer applied to a value.

    Args:
        graph: the graph.
        value: what goes in.
        fn: a Keras activation, function, quantizer or layer; None leaves the value.
        where: path of the place it stands in, for names and messages.

    Raises:
        UnsupportedLayerError: it has no converter.
    """
    if fn is None or fn is tf_keras.activations.linear:
        return value
    if is_quantizer(fn):
        return quantize(graph, value, fn, where)
    if isinstance(fn, tf_keras.layers.Layer):
        return _as_layer(graph, value, fn, where)
    name = getattr(fn, "__name__", None) or repr(fn)
    raise UnsupportedLayerError(
        f'lq.deploy.export: "{where}": there is no converter for the activation '
        f"`{name}`.\n  Fix: use an activation of Keras or larqlite, or teach this one "
        f"with @lq.deploy.activation_converter({name})."
    )


def _as_layer(graph: Writer, value: Value, layer: Any, where: str) -> Value:
    convert, outer = converter_of(layer, where), graph.path
    graph.path = where
    try:
        return convert(graph, layer, value)
    finally:
        graph.path = outer


def converter_of(layer: tf_keras.layers.Layer, path: str) -> Callable:
    """The converter of a layer.

    Raises:
        UnsupportedLayerError: there is none, or the layer computes something else than
            the class that has one.
    """
    symbol = getattr(layer, "symbol", None)
    if isinstance(symbol, str):
        return _operator_of(layer, symbol, path)
    if isinstance(layer, Quantizer) or type(layer) in ACTIVATIONS:
        return lambda graph, quantizer, value: quantize(graph, value, quantizer, path)
    if type(layer) not in CONVERTERS and facts_of(layer).does_nothing_in_inference:
        return convert_identity
    own = f"teach it with @lq.deploy.converter({type(layer).__name__})"
    for cls in type(layer).__mro__:
        if cls in REFUSALS:
            raise refuse(layer, path, *REFUSALS[cls])
        if cls not in CONVERTERS:
            continue
        overridden = first_override(type(layer), cls, METHODS)
        if overridden is None:
            convert = CONVERTERS[cls]
            return _on_integers(convert) if facts_of(layer).keeps_signs else convert
        raise refuse(
            layer,
            path,
            f"its class overrides `{overridden}` of {cls.__name__}, so what it computes "
            "is not known",
            own,
        )
    raise refuse(layer, path, "there is no converter for its class", own)


def _operator_of(layer: tf_keras.layers.Layer, symbol: str, path: str) -> Callable:
    for name in (symbol, symbol.rpartition(".")[2]):
        if name in OPERATORS:
            return OPERATORS[name]
    raise refuse(
        layer,
        path,
        f"there is no converter for the TensorFlow function tf.{symbol}",
        "use a layer that is exported, or make it a layer class of its own and teach "
        "that with @lq.deploy.converter",
    )


def _on_integers(convert: Callable) -> Callable:
    """The converter of a layer that rising steps may go before or behind: it moves, or takes
    the largest of, integers, and their scale follows, so that packed layers behind it find
    the integers."""

    def converted(graph: Writer, layer: Any, value: Any, *args: Any, **kwargs: Any):
        levels = getattr(value, "levels", None)
        if not isinstance(getattr(value, "integers", None), str) or levels.scale <= 0:
            return convert(graph, layer, value, *args, **kwargs)
        integers = dataclasses.replace(
            value, name=value.integers, levels=levels.unscaled, integers=None
        )
        made = convert(graph, layer, integers, *args, **kwargs)
        return graph.scaled(made, levels.scale, levels.offset)

    return converted


def activation_converter_of(fn: Any) -> Callable | None:
    """The registered converter of a quantizer, activation layer or function, or None.

    A function that stands for a quantizer class, as `"ste_sign"` in a Keras layer, is
    converted as an instance of the class.
    """
    if _is_hashable(fn) and fn in ACTIVATIONS:
        return ACTIVATIONS[fn]
    quantizer = _quantizer_behind(fn)
    if quantizer is not None:
        convert = activation_converter_of(quantizer)
        return convert and (lambda graph, _, value: convert(graph, quantizer, value))
    for cls in type(fn).__mro__:
        if cls in ACTIVATIONS:
            overridden = first_override(type(fn), cls, _QUANTIZER_METHODS)
            return ACTIVATIONS[cls] if overridden is None else None
    return None


def _quantizer_behind(fn: Any) -> Quantizer | None:
    """The quantizer that a registered function is the function of, or None."""
    if not isinstance(fn, NamedFunction):
        return None
    entry = find(fn.__name__)
    is_class = entry is not None and inspect.isclass(entry.target)
    return entry.target() if is_class and entry.function is fn else None


def quantize(graph: Writer, value: Value, quantizer: Any, where: str) -> Value:
    """Writes a quantizer applied to a value.

    Args:
        graph: the graph.
        value: what goes in.
        quantizer: an object, or a function of a tensor.
        where: path of the place it stands in, `"conv/input_quantizer"`.

    Raises:
        UnsupportedLayerError: it has no converter.
    """
    convert = activation_converter_of(quantizer)
    if convert is None:
        raise _unknown(quantizer, where)
    outer, graph.path = graph.path, where
    try:
        result = convert(graph, quantizer, value)
    finally:
        graph.path = outer
    is_for_inputs = where.endswith("/input_quantizer")
    is_known = isinstance(quantizer, Quantizer) or is_for_inputs
    if is_known and result.levels is None and result.name != value.name:
        graph.without_levels[result.name] = _name_of(quantizer)
    return result


def is_quantizer(fn: Any) -> bool:
    """Whether `quantize` is what writes a function or layer."""
    return isinstance(fn, Quantizer) or activation_converter_of(fn) is not None


def _unknown(quantizer: Any, where: str) -> Exception:
    is_object = isinstance(quantizer, Quantizer)
    name = _name_of(quantizer)
    if not is_object and not name.isidentifier():  # "<lambda>"
        name = "my_function"
    return refuse(
        quantizer,
        where,
        "there is no converter for this quantizer",
        f"teach it with @lq.deploy.activation_converter({name}), or use one of "
        "lq.quantizers.names()",
    )


def _name_of(quantizer: Any) -> str:
    return getattr(quantizer, "__name__", None) or type(quantizer).__name__


def _is_hashable(fn: Any) -> bool:
    return getattr(type(fn), "__hash__", None) is not None
