"""The table of Keras 3's layer classes: how each becomes a layer of tf_keras."""

from __future__ import annotations

from typing import Any

import tf_keras

from larqlite import keras3, layers, quantizers
from larqlite.from_keras import _own_layers, _preprocessing
from larqlite.from_keras._config import ANY, arrays
from larqlite.from_keras._rule import LayerRule, same


def _wrapped(layer: Any, cls: type, kwargs: dict, maker: Any) -> tf_keras.layers.Layer:
    return cls(maker.inside(layer.layer), **kwargs)


def _wrapped_whole(layer: Any, cls: type, kwargs: dict, maker: Any):
    return cls(maker.alone(layer.layer), **kwargs)


def _spectral_weights(layer: Any) -> list:
    """Those of the layer inside and then `vector_u`: the order of tf_keras."""
    return arrays([*layer.layer.weights, layer.vector_u])


def _bidirectional(layer: Any, cls: type, kwargs: dict, maker: Any):
    return cls(
        maker.alone(layer.forward_layer),
        backward_layer=maker.alone(layer.backward_layer),
        **kwargs,
    )


def _with_cell(layer: Any, cls: type, kwargs: dict, maker: Any):
    return cls(maker.alone(layer.cell), **kwargs)


def _with_cells(layer: Any, cls: type, kwargs: dict, maker: Any):
    return cls([maker.alone(cell) for cell in layer.cells], **kwargs)


def _recurrent(layer: Any, cls: type, kwargs: dict, maker: Any):
    return cls(**kwargs, **zeros(layer))


def zeros(layer: Any) -> dict:
    """`zero_output_for_mask`, which tf_keras takes without naming it."""
    flag = getattr(layer, "zero_output_for_mask", False)
    return {"zero_output_for_mask": True} if flag else {}


def _quantized(layer: Any, cls: type, kwargs: dict, maker: Any):
    """A layer of `larqlite.keras3` as its namesake, whose quantizers have the same formulas."""
    config = layer.get_config()
    for role in ("input_quantizer", *layer.quantized_weights.values()):
        value = config[role]
        kwargs[role] = None if value is None else quantizers.deserialize(value)
    return cls(**kwargs)


def rule_of(cls: type) -> LayerRule | None:
    """The rule of a class of Keras 3, or None where there is none."""
    if issubclass(cls, keras3.QuantizerOfKeras3):
        return LayerRule(cls.rule_class)
    is_known = cls.__module__.startswith(("keras.src.", "larqlite.keras3."))
    return RULES.get(cls.__name__) if is_known else None


QUANTIZERS = frozenset({"input_quantizer", "kernel_quantizer", "depthwise_quantizer"})
TIMED = frozenset({"zero_output_for_mask"})

RULES: dict[str, LayerRule] = {
    **same(
        """
        Activation ActivityRegularization Add AlphaDropout Average AveragePooling1D
        AveragePooling2D AveragePooling3D BatchNormalization Concatenate
        Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose Cropping1D
        Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU
        EinsumDense Embedding Flatten GRUCell GaussianDropout GaussianNoise
        GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
        GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
        Identity LSTMCell Masking MaxPooling1D MaxPooling2D
        MaxPooling3D Maximum Minimum Multiply PReLU Permute ReLU RepeatVector
        Reshape SeparableConv1D SeparableConv2D SimpleRNNCell Softmax SpatialDropout1D
        SpatialDropout2D SpatialDropout3D Subtract UnitNormalization UpSampling1D
        UpSampling2D UpSampling3D ZeroPadding2D ZeroPadding3D AdditiveAttention
        """
    ),
    "Attention": LayerRule(),
    "LeakyReLU": LayerRule(rename={"negative_slope": "alpha"}),
    "LayerNormalization": LayerRule(neutral={"rms_scaling": (False,)}),
    "MultiHeadAttention": LayerRule(
        neutral={"use_gate": (False,), "sliding_window": (None,), "flash_attention": (ANY,)}
    ),
    "ZeroPadding1D": LayerRule(neutral={"data_format": ("channels_last",)}),
    **same("GRU LSTM SimpleRNN ConvLSTM1D ConvLSTM2D ConvLSTM3D", without=TIMED,
           make=_recurrent),
    "RNN": LayerRule(
        without=TIMED | {"cell"},
        make=lambda layer, cls, kwargs, maker: _with_cell(
            layer, cls, {**kwargs, **zeros(layer)}, maker
        ),
    ),
    "StackedRNNCells": LayerRule(without=frozenset({"cells"}), make=_with_cells),
    "Bidirectional": LayerRule(
        without=frozenset({"layer", "backward_layer"}), make=_bidirectional
    ),
    "TimeDistributed": LayerRule(
        without=frozenset({"layer"}), make=_wrapped, has_weights=False
    ),
    "SpectralNormalization": LayerRule(
        _own_layers.SpectralNormalization,
        without=frozenset({"layer"}),
        make=_wrapped_whole,
        weights=_spectral_weights,
    ),
    **_preprocessing.RULES,
    "RMSNormalization": LayerRule(_own_layers.RMSNormalization),
    "LayerScale": LayerRule(_own_layers.LayerScale),
    "CustomScaleLayer": LayerRule(_own_layers.ScaledSum),
    "QuantConv2D": LayerRule(layers.QuantConv2D, without=QUANTIZERS, make=_quantized),
    "QuantDense": LayerRule(layers.QuantDense, without=QUANTIZERS, make=_quantized),
    "QuantDepthwiseConv2D": LayerRule(
        layers.QuantDepthwiseConv2D, without=QUANTIZERS, make=_quantized
    ),
}  # fmt: skip
