"""The tables of converters, and the decorators that fill them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import tf_keras

from larqlite._registry import Registry
from larqlite.errors import ArgumentError

CONVERTERS: dict[type, Callable] = Registry()
OPERATORS: dict[str, Callable] = Registry()
ACTIVATIONS: dict[Any, Callable] = Registry()
REFUSALS: dict[type, tuple[str, str]] = Registry()


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


def _adding_to(table: dict, keys: tuple) -> Callable:
    def decorator(function: Callable) -> Callable:
        table.update(dict.fromkeys(keys, function))
        return function

    return decorator
