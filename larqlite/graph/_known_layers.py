"""The records of the layer classes of Keras and of larqlite."""

from __future__ import annotations

import tf_keras

from larqlite import layers as quant_layers, quantizers
from larqlite.graph._layer_facts import FACTS, KernelAxes, LayerFacts
from larqlite.graph._operators import names

K = tf_keras.layers
Layer = K.Layer

_KNOWN_BY_KERAS = names(
    """
    Masking Embedding LayerNormalization GroupNormalization UnitNormalization
    Normalization Rescaling CategoryEncoding Discretization Hashing HashedCrossing
    IntegerLookup StringLookup TextVectorization Attention AdditiveAttention
    MultiHeadAttention RNN SimpleRNN GRU LSTM ConvLSTM1D ConvLSTM2D ConvLSTM3D
    Bidirectional TimeDistributed
    """
)
_DOING_NOTHING = names(
    """
    Identity ActivityRegularization Dropout SpatialDropout1D SpatialDropout2D
    SpatialDropout3D AlphaDropout GaussianDropout GaussianNoise RandomBrightness
    RandomContrast RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth
    RandomZoom
    """
)
_MOVED = LayerFacts(values="moved", is_monotone=True)
_RESHAPED = LayerFacts(values="reshaped", is_monotone=True)
_BETWEEN = LayerFacts(values="between", is_monotone=True)
_PADDED = LayerFacts(values="between", is_monotone=True, pads_zeros=True)
_OTHER_ACTIVATION = LayerFacts(activation="other")
_NORMALIZATION = LayerFacts(is_batch_normalization=True)


def _with(*kernels: KernelAxes) -> LayerFacts:
    return LayerFacts(kernels)


def _pooling(kind: str) -> LayerFacts:
    values = "picked" if kind.endswith("max") else "between"
    return LayerFacts(values=values, is_monotone=True, pooling=kind)


def _merge(kind: str, values: str = "computed", is_monotone: bool = True) -> LayerFacts:
    return LayerFacts(values=values, is_monotone=is_monotone, merge=kind)


def _flatten(layer: Layer) -> LayerFacts:
    # With channels first it gives out the channels as the last axis.
    return _RESHAPED if layer.data_format == "channels_last" else _MOVED


def _resized(layer: Layer) -> LayerFacts:
    by_method = {"nearest": _MOVED, "bilinear": _BETWEEN, "area": _BETWEEN}
    return by_method.get(layer.interpolation, LayerFacts())


def _activation(layer: Layer) -> LayerFacts:
    if layer.activation is tf_keras.activations.linear:
        return LayerFacts(does_nothing_in_inference=True)
    return LayerFacts(activation="fused")


def _relu(layer: Layer) -> LayerFacts:
    return LayerFacts(is_monotone=layer.negative_slope >= 0, activation="fused")


def _leaky(layer: Layer) -> LayerFacts:
    return LayerFacts(is_monotone=layer.alpha >= 0, activation="other")


_KERNEL = KernelAxes("kernel")
_UNTOLD = KernelAxes("kernel", channels_out=(), channels_in=())

FACTS.update({getattr(K, name): LayerFacts() for name in _KNOWN_BY_KERAS})
FACTS.update(
    {
        getattr(K, name): LayerFacts(does_nothing_in_inference=True)
        for name in _DOING_NOTHING
    }
)
FACTS.update(
    {
        K.InputLayer: _RESHAPED,
        K.Reshape: _RESHAPED,
        K.Flatten: _flatten,
        K.Permute: _MOVED,
        K.RepeatVector: _MOVED,
        K.UpSampling1D: _MOVED,
        K.UpSampling2D: _resized,
        K.UpSampling3D: _MOVED,
        K.Resizing: _resized,
        K.CenterCrop: _BETWEEN,
        K.RandomCrop: _BETWEEN,
        K.Activation: _activation,
        K.ReLU: _relu,
        K.LeakyReLU: _leaky,
        K.ELU: _leaky,
        K.ThresholdedReLU: LayerFacts(is_monotone=True, activation="other"),
        K.PReLU: _OTHER_ACTIVATION,
        K.Softmax: _OTHER_ACTIVATION,
        quant_layers.RPReLU: _OTHER_ACTIVATION,
        quant_layers.TwoSlopeReLU: _OTHER_ACTIVATION,
        K.Add: _merge("add"),
        K.Subtract: _merge("subtract", is_monotone=False),
        K.Multiply: _merge("multiply", is_monotone=False),
        K.Average: _merge("average", "between"),
        K.Maximum: _merge("maximum", "picked"),
        K.Minimum: _merge("minimum", "picked"),
        K.Concatenate: _merge("concatenate", "moved"),
        K.Dot: _merge("dot", is_monotone=False),
        K.BatchNormalization: _NORMALIZATION,
        K.experimental.SyncBatchNormalization: _NORMALIZATION,
        K.Dense: _with(_KERNEL),
        K.EinsumDense: _with(_UNTOLD),
        K.LocallyConnected1D: _with(_UNTOLD),
        K.LocallyConnected2D: _with(_UNTOLD),
    }
)
for _rank in (1, 2, 3):
    _wide = KernelAxes("kernel", spatial=_rank)
    _depthwise = KernelAxes("depthwise_kernel", (-2, -1), (-2,), spatial=_rank)
    _pointwise = KernelAxes("pointwise_kernel", spatial=_rank)
    _spreading = KernelAxes("kernel", (-2,), (-1,), spatial=_rank, is_transposed=True)
    _of_rank = {
        f"Conv{_rank}D": _with(_wide),
        f"Conv{_rank}DTranspose": _with(_spreading),
        f"DepthwiseConv{_rank}D": _with(_depthwise),
        f"SeparableConv{_rank}D": _with(_depthwise, _pointwise),
        f"MaxPooling{_rank}D": _pooling("max"),
        f"AveragePooling{_rank}D": _pooling("mean"),
        f"GlobalMaxPooling{_rank}D": _pooling("global max"),
        f"GlobalAveragePooling{_rank}D": _pooling("global mean"),
        f"ZeroPadding{_rank}D": _PADDED,
        f"Cropping{_rank}D": _MOVED,
    }
    for _name, _facts in _of_rank.items():
        if hasattr(K, _name):
            FACTS[getattr(K, _name)] = _facts

# A Quant layer has the kernels of the layer that it is a quantized form of.
for _cls in vars(quant_layers).values():
    if isinstance(_cls, type) and issubclass(_cls, quant_layers.QuantLayer):
        _base = next((cls for cls in _cls.__mro__ if cls in FACTS), None)
        if _base is not None:
            FACTS[_cls] = FACTS[_base]

# What a quantizer makes of numbers is its own matter: nothing else is known to be true.
for _cls in vars(quantizers).values():
    if isinstance(_cls, type) and issubclass(_cls, quantizers.Quantizer):
        FACTS[_cls] = LayerFacts()
