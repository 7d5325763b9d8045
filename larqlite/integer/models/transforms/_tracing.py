"""What a function in a model computes, read from a trace of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import tensorflow as tf
import tf_keras

from larqlite.graph import Edge, LayerUse
from larqlite.integer.models.transforms._surgery import dtype_of, shape_of

layers = tf_keras.layers

# What goes in, and functions `(name, dtype)` that make the layers, in order.
Chain = tuple[list[Edge], list[Callable]]


class Unknown(Exception):
    """A function with an operation that no layer stands for."""


def is_function(layer) -> bool:
    """Whether a layer is a function: a Lambda, or one used on a Keras tensor."""
    return type(layer) is layers.Lambda or isinstance(
        getattr(layer, "symbol", None), str
    )


def relu(maximum: float | None) -> Callable:
    """Makes a ReLU."""
    return functools.partial(layers.ReLU, maximum)


def recognised(use: LayerUse) -> Chain | None:
    """The layers that compute the same as one use of a function, or None."""
    edges = list({id(edge): edge for edge in use.inputs}.values())
    if not edges or len(use.outputs) != 1:
        return None
    try:
        graph = traced(use, edges)
        (output,) = graph.outputs
        known = dict(zip(map(_key, graph.inputs), edges, strict=True))
        return _chain(output, known)
    except Unknown:
        return None


def traced(use: LayerUse, edges: list[Edge]):
    """The trace of one use of a function, whose inputs are those of `edges`.

    Raises:
        Unknown: it does not run, or reads variables.
    """
    function = use.layer.function
    kwargs = dict(use.kwargs)
    if type(use.layer) is layers.Lambda:
        function = functools.partial(function, **(use.layer.arguments or {}))
        # Lambda takes these for itself.
        kwargs = {k: v for k, v in kwargs.items() if k not in ("mask", "training") or v}
    kwargs.pop("name", None)

    def call(*tensors):
        by_edge = dict(zip(map(id, edges), tensors, strict=True))
        args, named = tf.nest.map_structure(
            lambda leaf: by_edge.get(id(leaf), _constant(leaf)), (use.args, kwargs)
        )
        return function(*_as_slices(args), **named)

    specs = [tf.TensorSpec(shape_of(edge), dtype_of(edge)) for edge in edges]
    try:
        concrete = tf.function(call, autograph=False).get_concrete_function(*specs)
    except Exception as error:
        # Whatever a function of the user's raises: then it is not one of those known.
        raise Unknown from error
    if concrete.captured_inputs or len(concrete.outputs) != 1:
        raise Unknown
    return concrete


def _constant(leaf):
    """A leaf of a call's arguments; a tensor as a constant, which a trace shows."""
    is_tensor = isinstance(leaf, tf.Tensor) and not tf.is_symbolic_tensor(leaf)
    return leaf.numpy() if is_tensor else leaf


def _as_slices(args):
    """Arguments in which Keras keeps `start:stop:step` as a dictionary."""
    if isinstance(args, dict) and set(args) == {"start", "stop", "step"}:
        return slice(args["start"], args["stop"], args["step"])
    if isinstance(args, (list, tuple)):
        return type(args)(map(_as_slices, args))
    return args


def _chain(tensor, known: dict) -> Chain:
    """Follows a tensor of a trace back to what went in."""
    if _key(tensor) in known:
        return [known[_key(tensor)]], []
    op = tensor.op
    if op.type == "Identity":
        return _chain(op.inputs[0], known)
    if op.type in _SUMS:
        return _terms(tensor, known), [layers.Add]
    if op.type == "Mul":
        return _factors(tensor, known), [layers.Multiply]
    if op.type not in _UNARY:
        raise Unknown
    source, maker = _UNARY[op.type](op)
    edges, makers = _chain(source, known)
    return edges, [*makers, maker]


def _terms(tensor, known: dict) -> list[Edge]:
    """What a sum adds up, from left to right."""
    terms = []
    for part in tensor.op.inputs:
        if part.shape.rank is None or part.shape.as_list() != tensor.shape.as_list():
            raise Unknown
        if part.op.type in _SUMS and _key(part) not in known:
            terms += _terms(part, known)
            continue
        edges, makers = _chain(part, known)
        if makers:
            raise Unknown
        terms += edges
    if len(terms) < 2:
        raise Unknown
    return terms


def _factors(tensor, known: dict) -> list[Edge]:
    """What a product multiplies: two tensors, with as many axes as it has itself."""
    factors = []
    for part in tensor.op.inputs:
        if part.shape.rank is None or part.shape.rank != tensor.shape.rank:
            raise Unknown
        edges, makers = _chain(part, known)
        if makers:
            raise Unknown
        factors += edges
    return factors


def _relu(op):
    return op.inputs[0], relu(6.0 if op.type == "Relu6" else None)


def _maximum(op):
    left, right = op.inputs
    for value, source in ((right, left), (left, right)):
        constant = tf.get_static_value(value)
        if constant is not None and constant.ndim == 0 and constant == 0:
            return source, relu(None)
    raise Unknown


def _transpose(op):
    order = tf.get_static_value(op.inputs[1])
    if order is None or order[0] != 0:
        raise Unknown
    dims = tuple(int(axis) for axis in order[1:])
    return op.inputs[0], functools.partial(layers.Permute, dims)


def _reshape(op):
    source, result = op.inputs[0], op.outputs[0]
    if not source.shape.rank or not result.shape.rank:
        raise Unknown
    before, after = source.shape.as_list()[1:], result.shape.as_list()[1:]
    # With as many numbers in each, row-major order keeps the rows of a batch apart.
    if None in before + after or math.prod(before) != math.prod(after):
        raise Unknown
    return source, functools.partial(layers.Reshape, tuple(after))


def _activation(op):
    return op.inputs[0], functools.partial(layers.Activation, op.type.lower())


def _leaky_relu(op):
    return op.inputs[0], functools.partial(layers.LeakyReLU, op.get_attr("alpha"))


_SUMS = ("Add", "AddV2", "AddN")
_UNARY = {
    **dict.fromkeys(("Sigmoid", "Tanh", "Elu", "Selu"), _activation),
    **dict.fromkeys(("Softplus", "Softsign"), _activation),
    "LeakyRelu": _leaky_relu,
    "Relu": _relu,
    "Relu6": _relu,
    "Maximum": _maximum,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "ExpandDims": _reshape,
}


def _key(tensor) -> str:
    return tensor.name
