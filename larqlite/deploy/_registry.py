"""Which function converts which layer, TensorFlow operator and quantizer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import tf_keras

from larqlite._registration import NamedFunction
from larqlite.errors import ArgumentError, UnsupportedLayerError
from larqlite.quantizers import Quantizer
from larqlite.quantizers.internal import find

if TYPE_CHECKING:
    from larqlite.onnx_graph._writer import Value, Writer

# The function that a user called, for messages.
WHERE: ContextVar[str] = ContextVar("where", default="lq.deploy.export")

CONVERTERS: dict[type, Callable] = {}
OPERATORS: dict[str, Callable] = {}
ACTIVATIONS: dict[Any, Callable] = {}
REFUSALS: dict[type, tuple[str, str]] = {}

# What a layer or quantizer computes is in these methods: a subclass that has one of its
# own computes something else.
_LAYER_METHODS = (
    "call",
    "call_on_quantized",
    "convolution_op",
    "padded",
    "finished",
    "__call__",
)
_QUANTIZER_METHODS = ("call", "forward", "quantize", "threshold", "__call__")


def converter(*classes: type[tf_keras.layers.Layer]) -> Callable:
    """Decorator that teaches `lq.deploy.export` how to write a layer.

    The function takes the graph, the layer, and the arguments of the layer's call with
    a value in place of each tensor. It adds nodes and returns the value that comes out
    (a list of them, if there are several). `graph.node(op, inputs, **attributes)` adds an
    ONNX node and returns the name of its output, `graph.constant(array)` and
    `graph.weight(graph.path, name, array)` add what it reads, and
    `graph.value(name, shape)` makes a value of a name. The converter also serves
    subclasses, unless they override `call`.

    Args:
        *classes: the classes of layers.

    Returns:
        A decorator that returns the function unchanged.

    Raises:
        ArgumentError: something that is not a class of tf_keras layers.

    Example:
        >>> class Scale(tf_keras.layers.Layer):
        ...     def call(self, inputs):
        ...         return 2 * inputs
        >>> @lq.deploy.converter(Scale)
        ... def convert_scale(graph, layer, value):
        ...     two = graph.constant(np.float32(2))
        ...     product = graph.node("Mul", [value.name, two], name=graph.path)
        ...     return graph.value(product, value.shape, like=value)
    """
    for cls in classes:
        if not inspect.isclass(cls) or not issubclass(cls, tf_keras.layers.Layer):
            raise ArgumentError(
                f"lq.deploy.converter: {cls!r} is not a class of tf_keras layers.\n"
                "  Fix: decorate with the class itself, e.g. "
                "@lq.deploy.converter(MyLayer)."
            )
    return _adding_to(CONVERTERS, classes)


def activation_converter(*targets: Any) -> Callable:
    """Decorator that teaches `lq.deploy.export` how to write a quantizer or activation.

    The function takes the graph, the quantizer, and the value that goes in; it adds
    nodes and returns the value that comes out. `levels` of that value says what it holds
    ("sign", "heaviside", "ternary" or "steps:k"), so that a packed layer behind it
    computes on integers. The converter serves the quantizer wherever it stands: as the
    input quantizer of a layer, as an activation, and as a layer of its own. It also
    serves subclasses, unless they override `forward` or `call`.

    Args:
        *targets: classes of quantizers, or plain functions of a tensor.

    Returns:
        A decorator that returns the function unchanged.

    Raises:
        ArgumentError: something that is neither a class of layers nor a function.

    Example:
        >>> class HardSign(lq.quantizers.Quantizer):
        ...     precision = 1
        ...     def forward(self, x):
        ...         return lq.math.sign(x)
        ...     def derivative(self, x):
        ...         return tf.abs(x) <= 1
        >>> @lq.deploy.activation_converter(HardSign)
        ... def convert_hard_sign(graph, quantizer, value):
        ...     name = graph.node("Sign", [value.name], domain="ai.larqlite")
        ...     return graph.value(name, value.shape, like=value, levels="sign")
    """
    for target in targets:
        is_class = inspect.isclass(target)
        if not callable(target) or (
            is_class and not issubclass(target, tf_keras.layers.Layer)
        ):
            raise ArgumentError(
                f"lq.deploy.activation_converter: {target!r} is neither a class of "
                "quantizers nor a function of a tensor.\n"
                "  Fix: decorate with the class or function itself, e.g. "
                "@lq.deploy.activation_converter(MyQuantizer)."
            )
    return _adding_to(ACTIVATIONS, targets)


def operator(*symbols: str) -> Callable:
    """Decorator: converts a TensorFlow function used as a layer, e.g. "math.add"."""
    return _adding_to(OPERATORS, symbols)


def refused(cls: type[tf_keras.layers.Layer], why: str, fix: str) -> None:
    """Makes a class of layers refused, with the reason and the way out."""
    REFUSALS[cls] = (why, fix)


def refuse(layer: Any, path: str, why: str, fix: str) -> UnsupportedLayerError:
    """The error for a layer that cannot be exported exactly; to be raised.

    Args:
        layer: the layer, or whatever else stands at `path`.
        path: where it is in the model.
        why: the reason, a sentence without its full stop.
        fix: the way out, likewise.
    """
    return UnsupportedLayerError(
        f'{WHERE.get()}: {type(layer).__name__} "{path}": {why}.\n  Fix: {fix}.'
    )


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
        return lambda graph, quantizer, value: activation(graph, value, quantizer, path)
    own = f"teach it with @lq.deploy.converter({type(layer).__name__})"
    for cls in type(layer).__mro__:
        if cls in REFUSALS:
            raise refuse(layer, path, *REFUSALS[cls])
        if cls not in CONVERTERS:
            continue
        overridden = first_override(type(layer), cls, _LAYER_METHODS)
        if overridden is None:
            return CONVERTERS[cls]
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
    from larqlite.deploy.converters import _activations

    return _activations.activation(graph, value, fn, where)


def first_override(cls: type, known: type, methods: tuple[str, ...]) -> str | None:
    """The first of those methods that a class has not in common with a base class."""
    for name in methods:
        if getattr(cls, name, None) is not getattr(known, name, None):
            return name
    return None


def _adding_to(table: dict, keys: tuple) -> Callable:
    def decorator(function: Callable) -> Callable:
        table.update(dict.fromkeys(keys, function))
        return function

    return decorator


def _is_hashable(fn: Any) -> bool:
    return getattr(type(fn), "__hash__", None) is not None
