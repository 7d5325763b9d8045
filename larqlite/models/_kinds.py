"""The table of formulas: which one counts the multiply-accumulates of a layer.

A layer is looked up along the bases of its class, so a subclass of `Conv2D`
counts as a convolution, whatever its name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import tf_keras

from larqlite._registration import Registry
from larqlite.errors import ArgumentError
from larqlite.from_keras import KerasOperation
from larqlite.graph import FACTS, LayerFacts, add_layer_facts, facts_of
from larqlite.models import _macs
from larqlite.models._call import Call, UnknownCost, size
from larqlite.models._macs import Formula, Product, no_macs
from larqlite.models._operators import formula_of
from larqlite.quantizers import Quantizer

layers = tf_keras.layers


def known_formula(layer: layers.Layer) -> Formula | None:
    """The formula that counts a layer, or None if the cost model does not know it.

    A layer that only has facts counts nothing where these say that it gives out what
    went in, normalizes, or applies a function.
    """
    for cls in type(layer).__mro__:
        if cls in KINDS:
            return KINDS[cls]
    symbol = getattr(layer, "symbol", None)
    if isinstance(symbol, str):
        return formula_of(symbol)
    facts = facts_of(layer)
    is_free = facts.keeps_range or facts.is_batch_normalization or facts.activation
    return no_macs if is_free else None


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is known of a kind of layer: its formula and its facts, under former names.

    Attributes:
        formula: its multiply-accumulates.
        keeps_values: tells for a layer whether all that comes out went in.
    """

    formula: Formula
    keeps_values: Callable[[layers.Layer], bool] = lambda layer: False


def kind_of(layer: layers.Layer) -> Kind | None:
    """`known_formula` and `facts_of` in one, as they were called before."""
    formula = known_formula(layer)
    return formula and Kind(formula, lambda layer: facts_of(layer).keeps_values)


def mac_formula(cls: type[layers.Layer], keeps_values: bool = False) -> Callable:
    """Decorator that teaches the cost model what a layer of one's own computes.

    The formula takes a `Call`, which says how the layer is used (`layer`,
    `input_shape`, `output_shape`, batch first; `input_bits`), and yields
    `(count, weight bits, input bits)` for each kind of multiply-accumulate of one
    sample. It holds for subclasses too.

    Args:
        cls: the layer's class.
        keeps_values: whether all values that come out went in, as in a reshape.

    Returns:
        A decorator that returns the formula unchanged.

    Raises:
        ArgumentError: `cls` is not a class of tf_keras layers.

    Example:
        >>> class Scale(tf_keras.layers.Layer):
        ...     def call(self, inputs):
        ...         return 2 * inputs
        >>> @lq.models.mac_formula(Scale)
        ... def scale_macs(call):
        ...     yield call.output_shape[-1], 32, call.input_bits
        >>> model = tf_keras.Sequential([Scale(input_shape=(5,))])
        >>> lq.models.profile(model).macs
        5
    """
    if not isinstance(cls, type) or not issubclass(cls, layers.Layer):
        raise ArgumentError(
            f"lq.models.mac_formula: {cls!r} is not a class of tf_keras layers.\n"
            "  Fix: decorate with the class itself, e.g. @lq.models.mac_formula(MyLayer)."
        )

    def decorator(formula: Formula) -> Formula:
        KINDS[cls] = formula
        if keeps_values:
            add_layer_facts(cls, LayerFacts(values="picked"))
        return formula

    return decorator


def _time_distributed(call: Call) -> Iterator[Product]:
    """The wrapped layer once per time step."""

    def step(value):
        shape = value.shape
        return dataclasses.replace(value, shape=shape and (shape[0], *shape[2:]))

    steps = size([call.input_shape[1]])
    inside = call.of(
        call.layer.layer,
        args=tuple(step(value) for value in call.inputs),
        kwargs={},
        outputs=tuple(step(value) for value in call.outputs),
    )
    for macs, weight_bits, input_bits in formula_for(inside)(inside):
        yield steps * macs, weight_bits, input_bits


def _bidirectional(call: Call) -> Iterator[Product]:
    """The layer of each direction."""
    for part in (call.layer.forward_layer, call.layer.backward_layer):
        inside = call.of(part)
        yield from formula_for(inside)(inside)


def _wrapped(call: Call) -> Iterator[Product]:
    """The layer inside, which the wrapper calls once."""
    inside = call.of(call.layer.layer)
    yield from formula_for(inside)(inside)


def _operation_of_keras3(call: Call) -> Iterator[Product]:
    """Products of matrices are not told; all else counts nothing, as functions do."""
    if call.layer.operation in ("Einsum", "Matmul", "Tensordot"):
        raise UnknownCost(f"no formula for keras.ops' {call.layer.operation}")
    yield from no_macs(call)


def formula_for(call: Call) -> Formula:
    """The formula of a call's layer.

    Raises:
        UnknownCost: the layer is of no known kind.
    """
    formula = known_formula(call.layer)
    if formula is None:
        raise UnknownCost(_no_formula(call.layer))
    return formula


def _no_formula(layer: layers.Layer) -> str:
    if isinstance(getattr(layer, "symbol", None), str):
        return f"no formula for tf.{layer.symbol}"
    if isinstance(layer, layers.Lambda):
        return (
            "a Lambda layer may compute anything; make it a layer class of its own and "
            "give that a formula with @lq.models.mac_formula"
        )
    name = type(layer).__name__
    return (
        f"no formula for the class {name}; add one with @lq.models.mac_formula({name})"
    )


_WITH_PRODUCTS: dict[type, Formula] = {
    layers.Dense: _macs.dense,
    layers.EinsumDense: _macs.einsum_dense,
    layers.Conv1D: _macs.convolution,
    layers.Conv2D: _macs.convolution,
    layers.Conv3D: _macs.convolution,
    layers.DepthwiseConv1D: _macs.depthwise_convolution,
    layers.DepthwiseConv2D: _macs.depthwise_convolution,
    layers.SeparableConv1D: _macs.separable_convolution,
    layers.SeparableConv2D: _macs.separable_convolution,
    layers.Conv1DTranspose: _macs.transposed_convolution,
    layers.Conv2DTranspose: _macs.transposed_convolution,
    layers.Conv3DTranspose: _macs.transposed_convolution,
    layers.LocallyConnected1D: _macs.locally_connected,
    layers.LocallyConnected2D: _macs.locally_connected,
    layers.RNN: _macs.recurrent,
    layers.ConvLSTM1D: _macs.convolutional_recurrent,
    layers.ConvLSTM2D: _macs.convolutional_recurrent,
    layers.ConvLSTM3D: _macs.convolutional_recurrent,
    layers.Dot: _macs.dot,
    layers.Attention: _macs.attention,
    layers.AdditiveAttention: _macs.attention,
    layers.MultiHeadAttention: _macs.multi_head_attention,
    layers.TimeDistributed: _time_distributed,
    layers.Bidirectional: _bidirectional,
    layers.SpectralNormalization: _wrapped,
    KerasOperation: _operation_of_keras3,
}


# All other layers that are known: what they compute counts nothing.
_FREE = [
    cls for cls in FACTS if not any(base in _WITH_PRODUCTS for base in cls.__mro__)
]

KINDS: dict[type, Formula] = Registry(
    {**dict.fromkeys([Quantizer, *_FREE], no_macs), **_WITH_PRODUCTS}
)
