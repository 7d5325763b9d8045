"""The table of layers that a scheme quantizes by itself: which parts, and how.

One line for each class; a class of your own gets one with `qat.add_rule`. Classes are
matched exactly, since a subclass may compute something else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import tf_keras

from larqlite._registration import Registry
from larqlite.errors import ArgumentError
from larqlite.qat.wrapper import name_of

__all__ = ["Rule", "add_rule", "rule_for"]

layers = tf_keras.layers

PER_AXIS, PER_TENSOR = True, False


def _always(layer) -> bool:
    return True


def _never(layer) -> bool:
    return False


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a scheme does with a class of layers.

    Attributes:
        weights: for each weight, by attribute path, whether each slice of its last axis
            has a range of its own (True) or all of it shares one (False).
        activations: attributes with activation functions to quantize.
        outputs: tells for a layer whether its output is quantized.
    """

    weights: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    activations: tuple[str, ...] = ()
    outputs: Callable[[layers.Layer], bool] = _never


def _activation_output(layer) -> bool:
    """Softmax, sigmoid and tanh have a known range; linear keeps its input's."""
    return name_of(layer.activation) not in ("linear", "softmax", "sigmoid", "tanh")


_KERNEL_PER_AXIS = Rule({"kernel": PER_AXIS}, ("activation",))
_KERNEL = Rule({"kernel": PER_TENSOR}, ("activation",))
_DEPTHWISE = Rule({"depthwise_kernel": PER_AXIS}, ("activation",))
_RECURRENT = Rule(
    {"cell.kernel": PER_TENSOR, "cell.recurrent_kernel": PER_TENSOR}, outputs=_always
)
_OUTPUT = Rule(outputs=_always)
_NOTHING = Rule()

_OUTPUTS_ONLY = (
    "ReLU LeakyReLU ELU ThresholdedReLU Concatenate Add Subtract Multiply Average Maximum "
    "Minimum Dot UpSampling2D UpSampling1D UpSampling3D AveragePooling1D AveragePooling2D "
    "AveragePooling3D GlobalAveragePooling1D GlobalAveragePooling2D "
    "GlobalAveragePooling3D BatchNormalization LayerNormalization GroupNormalization "
    "UnitNormalization Normalization Rescaling Resizing Attention AdditiveAttention"
)
_NOTHING_TO_QUANTIZE = (
    "Softmax Flatten Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D Reshape "
    "Permute RepeatVector ActivityRegularization Cropping1D Cropping2D Cropping3D "
    "ZeroPadding1D ZeroPadding2D ZeroPadding3D MaxPooling1D MaxPooling2D MaxPooling3D "
    "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GaussianNoise "
    "GaussianDropout AlphaDropout Masking Identity CenterCrop RandomBrightness "
    "RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation RandomTranslation "
    "RandomWidth RandomZoom"
)

_OF_KERAS: dict[type, Rule] = {
    **{getattr(layers, name): _OUTPUT for name in _OUTPUTS_ONLY.split()},
    **{getattr(layers, name): _NOTHING for name in _NOTHING_TO_QUANTIZE.split()},
    layers.experimental.SyncBatchNormalization: _OUTPUT,
    layers.Activation: Rule(outputs=_activation_output),
    layers.PReLU: Rule({"alpha": PER_TENSOR}, outputs=_always),
    layers.Conv1D: _KERNEL_PER_AXIS,
    layers.Conv2D: _KERNEL_PER_AXIS,
    layers.Conv3D: _KERNEL_PER_AXIS,
    layers.DepthwiseConv1D: _DEPTHWISE,
    layers.DepthwiseConv2D: _DEPTHWISE,
    layers.Conv1DTranspose: _KERNEL,
    layers.Conv2DTranspose: _KERNEL,
    layers.Conv3DTranspose: _KERNEL,
    layers.LocallyConnected1D: _KERNEL,
    layers.LocallyConnected2D: _KERNEL,
    layers.Dense: _KERNEL,
    layers.EinsumDense: _KERNEL,
    # What it gives out are rows of its weights, quantized already.
    layers.Embedding: Rule({"embeddings": PER_TENSOR}),
    layers.SimpleRNN: _RECURRENT,
    layers.GRU: _RECURRENT,
    layers.LSTM: _RECURRENT,
    layers.Bidirectional: Rule(
        {
            f"{direction}_layer.cell.{kernel}": PER_TENSOR
            for direction in ("forward", "backward")
            for kernel in ("kernel", "recurrent_kernel")
        },
        outputs=_always,
    ),
    layers.MultiHeadAttention: Rule(
        {
            f"{part}.kernel": PER_TENSOR
            for part in ("query", "key", "value", "attention_output")
        },
        outputs=_always,
    ),
}

RULES: dict[type, Rule] = Registry(_OF_KERAS)


def rule_for(layer: layers.Layer) -> Rule | None:
    """The rule for a layer's class, or None."""
    if type(layer) is layers.TimeDistributed:
        inner = rule_for(layer.layer)
        return inner and Rule(
            {f"layer.{path}": per_axis for path, per_axis in inner.weights.items()},
            tuple(f"layer.{path}" for path in inner.activations),
            lambda _: inner.outputs(layer.layer),
        )
    return RULES.get(type(layer))


def add_rule(cls: type[layers.Layer], rule: Rule) -> None:
    """Teaches the default schemes a layer class of your own.

    Args:
        cls: the class; subclasses are not included.
        rule: its parts.

    Raises:
        ArgumentError: `cls` is no class of tf_keras layers, or `rule` no Rule.

    Example:
        >>> class Scaled(tf_keras.layers.Dense):
        ...     pass
        >>> lq.qat.add_rule(Scaled, lq.qat.Rule({"kernel": False}, ("activation",)))
        >>> model = tf_keras.Sequential([Scaled(2, input_shape=(3,))])
        >>> lq.qat.quantize_model(model).layers[-1].layer.kernel.precision
        8
    """
    if not isinstance(cls, type) or not issubclass(cls, layers.Layer):
        raise ArgumentError(f"lq.qat.add_rule: {cls!r} is no class of tf_keras layers.")
    if not isinstance(rule, Rule):
        raise ArgumentError(
            f"lq.qat.add_rule: {rule!r} is no lq.qat.Rule.\n"
            '  Fix: e.g. lq.qat.Rule({"kernel": True}, ("activation",)).'
        )
    RULES[cls] = rule
