"""The table of layer kinds: which formula counts a layer, and what keeps its values.

A layer is looked up along the bases of its class, so a subclass of `Conv2D`
counts as a convolution, whatever its name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import tf_keras

from larqlite._registration import Registry
from larqlite.errors import ArgumentError
from larqlite.graph import KEEPING_VALUES, names
from larqlite.layers import RPReLU, TwoSlopeReLU
from larqlite.models import _macs
from larqlite.models._call import Call, UnknownCost, size
from larqlite.models._macs import Formula, Product, no_macs
from larqlite.models._operators import formula_of
from larqlite.quantizers import Quantizer

layers = tf_keras.layers


def _always(layer: layers.Layer) -> bool:
    return True


def _never(layer: layers.Layer) -> bool:
    return False


def _is_linear(layer: layers.Layer) -> bool:
    return layer.activation is tf_keras.activations.linear


def _takes_nearest(layer: layers.Layer) -> bool:
    return layer.interpolation == "nearest"


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the cost model knows of a kind of layer.

    Attributes:
        formula: its multiply-accumulates.
        keeps_values: tells for a layer whether all that comes out went in, so that
            a quantized input stays quantized (reshaping, maxima; not sums, padding).
    """

    formula: Formula
    keeps_values: Callable[[layers.Layer], bool] = _never


def kind_of(layer: layers.Layer) -> Kind | None:
    """The kind of a layer, or None if the cost model does not know it."""
    for cls in type(layer).__mro__:
        if cls in KINDS:
            return KINDS[cls]
    symbol = getattr(layer, "symbol", None)
    formula = formula_of(symbol) if isinstance(symbol, str) else None
    if formula is None:
        return None
    keeps = symbol.rpartition(".")[2] in KEEPING_VALUES
    return Kind(formula, _always if keeps else _never)


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
        KINDS[cls] = Kind(formula, _always if keeps_values else _never)
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


def formula_for(call: Call) -> Formula:
    """The formula of a call's layer.

    Raises:
        UnknownCost: the layer is of no known kind.
    """
    kind = kind_of(call.layer)
    if kind is None:
        raise UnknownCost(_no_formula(call.layer))
    return kind.formula


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


_KEEPING = names(
    "InputLayer Flatten Reshape Permute RepeatVector Identity "
    "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout "
    "GaussianDropout GaussianNoise ActivityRegularization Concatenate Maximum Minimum "
    "MaxPooling1D MaxPooling2D MaxPooling3D "
    "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D "
    "Cropping1D Cropping2D Cropping3D RandomFlip UpSampling1D UpSampling3D"
)
_FREE = names(
    "ReLU LeakyReLU PReLU ELU ThresholdedReLU Softmax Masking Embedding "
    "AveragePooling1D AveragePooling2D AveragePooling3D "
    "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D "
    "BatchNormalization LayerNormalization GroupNormalization UnitNormalization "
    "Normalization Rescaling Add Subtract Multiply Average "
    "ZeroPadding1D ZeroPadding2D ZeroPadding3D CenterCrop Resizing RandomCrop "
    "RandomBrightness RandomContrast RandomHeight RandomRotation RandomTranslation "
    "RandomWidth RandomZoom CategoryEncoding Discretization Hashing HashedCrossing "
    "IntegerLookup StringLookup TextVectorization"
)

_OF_KERAS: dict[type, Kind] = {
    **{getattr(layers, name): Kind(no_macs, _always) for name in _KEEPING},
    **{getattr(layers, name): Kind(no_macs) for name in _FREE},
    layers.Activation: Kind(no_macs, _is_linear),
    layers.UpSampling2D: Kind(no_macs, _takes_nearest),
    layers.experimental.SyncBatchNormalization: Kind(no_macs),
    Quantizer: Kind(no_macs),
    RPReLU: Kind(no_macs),
    TwoSlopeReLU: Kind(no_macs),
    layers.Dense: Kind(_macs.dense),
    layers.EinsumDense: Kind(_macs.einsum_dense),
    layers.Conv1D: Kind(_macs.convolution),
    layers.Conv2D: Kind(_macs.convolution),
    layers.Conv3D: Kind(_macs.convolution),
    layers.DepthwiseConv1D: Kind(_macs.depthwise_convolution),
    layers.DepthwiseConv2D: Kind(_macs.depthwise_convolution),
    layers.SeparableConv1D: Kind(_macs.separable_convolution),
    layers.SeparableConv2D: Kind(_macs.separable_convolution),
    layers.Conv1DTranspose: Kind(_macs.transposed_convolution),
    layers.Conv2DTranspose: Kind(_macs.transposed_convolution),
    layers.Conv3DTranspose: Kind(_macs.transposed_convolution),
    layers.LocallyConnected1D: Kind(_macs.locally_connected),
    layers.LocallyConnected2D: Kind(_macs.locally_connected),
    layers.RNN: Kind(_macs.recurrent),
    layers.ConvLSTM1D: Kind(_macs.convolutional_recurrent),
    layers.ConvLSTM2D: Kind(_macs.convolutional_recurrent),
    layers.ConvLSTM3D: Kind(_macs.convolutional_recurrent),
    layers.Dot: Kind(_macs.dot),
    layers.Attention: Kind(_macs.attention),
    layers.AdditiveAttention: Kind(_macs.attention),
    layers.MultiHeadAttention: Kind(_macs.multi_head_attention),
    layers.TimeDistributed: Kind(_time_distributed),
    layers.Bidirectional: Kind(_bidirectional),
}

KINDS: dict[type, Kind] = Registry(_OF_KERAS)
