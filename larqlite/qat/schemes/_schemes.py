"""Schemes: which bits a model gets, from one word, a table of patterns, or an object."""

from __future__ import annotations

import abc
from typing import Any

import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError
from larqlite.graph import facts_of
from larqlite.qat import quantizers
from larqlite.qat.config import LayerQuantizeConfig, QuantizeConfig, resolve
from larqlite.qat.passes import QuantizeLayoutTransform
from larqlite.qat.schemes._rules import rule_for
from larqlite.qat.wrapper import OF_INTEGERS, name_of
from larqlite.quantizers import AbsmeanTernary

__all__ = [
    "BinaryScheme",
    "Default8BitQuantizeScheme",
    "DefaultNBitQuantizeScheme",
    "DefaultQuantizeRegistry",
    "NamedWeightsScheme",
    "QuantizeRegistry",
    "QuantizeScheme",
    "TernaryScheme",
]

Layer = tf_keras.layers.Layer


class QuantizeRegistry(abc.ABC):
    """Knows the `QuantizeConfig` of each class of layers that a scheme supports."""

    @abc.abstractmethod
    def supports(self, layer: Layer) -> bool:
        """Whether there is a config for the layer."""

    @abc.abstractmethod
    def get_quantize_config(self, layer: Layer) -> QuantizeConfig:
        """The layer's config; an `ArgumentError` (a ValueError) if there is none."""


class QuantizeScheme(abc.ABC):
    """What `quantize_apply` follows: a registry of layers, and passes over the graph.

    Write `get_quantize_registry`. `get_layout_transformer` may add passes of one's own;
    where several schemes meet in a model, each pass runs once. `input_quantizer` is for
    the model's inputs.

    Example:
        >>> class NoDense(lq.qat.Default8BitQuantizeScheme):
        ...     def config_of(self, layer):
        ...         if isinstance(layer, tf_keras.layers.Dense):
        ...             return lq.qat.NoOpQuantizeConfig("as float")
        ...         return super().config_of(layer)
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> lq.qat.quantize_model(model, scheme=NoDense()).layers[-1].quantize_config.reason
        'as float'
    """

    @abc.abstractmethod
    def get_quantize_registry(self) -> QuantizeRegistry:
        """The registry of the layers that the scheme supports."""

    def get_layout_transformer(self) -> QuantizeLayoutTransform:
        """The passes that edit the graph before layers are wrapped."""
        return QuantizeLayoutTransform()

    def input_quantizer(self) -> quantizers.Quantizer | None:
        """The quantizer of the model's inputs; None leaves them as they are."""
        return quantizers.AllValuesQuantizer()

    def tensor_quantizer(self) -> quantizers.Quantizer | None:
        """The quantizer of what operators such as `a + b` give out."""
        return quantizers.MovingAverageQuantizer()

    def config_of(self, layer: Layer) -> QuantizeConfig | None:
        """The config for a layer, or None if the scheme does not know its class."""
        registry = self.get_quantize_registry()
        return registry.get_quantize_config(layer) if registry.supports(layer) else None


class DefaultQuantizeRegistry(QuantizeRegistry):
    """The registry that the table of rules makes for the quantizers of a scheme.

    Args:
        scheme: has `weight_quantizer(per_axis)` and `tensor_quantizer()`; 8 bits by
            default.

    Raises:
        ArgumentError: `get_quantize_config` of a layer that is not supported.

    Example:
        >>> registry = lq.qat.DefaultQuantizeRegistry()
        >>> registry.supports(tf_keras.layers.Dense(2))
        True
        >>> registry.get_quantize_config(tf_keras.layers.Dense(2)).weights["kernel"].num_bits
        8
    """

    def __init__(self, scheme: DefaultNBitQuantizeScheme | None = None):
        self._scheme = scheme or Default8BitQuantizeScheme()

    def supports(self, layer: Layer) -> bool:
        return rule_for(layer) is not None

    def get_quantize_config(self, layer: Layer) -> LayerQuantizeConfig:
        rule, scheme = rule_for(layer), self._scheme
        everywhere = getattr(scheme, "per_axis_everywhere", False)
        if rule is None:
            raise _unsupported(
                layer,
                "has no rule",
                "ask `supports(layer)` first; write a rule for the class with "
                "lq.qat.add_rule, or a QuantizeConfig for the layer",
            )
        activations = rule.activations if scheme.tensor_quantizer() else ()
        return LayerQuantizeConfig(
            weights={
                path: scheme.weight_quantizer(
                    per_axis or (everywhere and _ends_in_channels(layer, path))
                )
                for path, per_axis in rule.weights.items()
            },
            activations={path: scheme.tensor_quantizer() for path in activations},
            outputs=scheme.tensor_quantizer() if rule.outputs(layer) else None,
            places={
                path: "both"
                for path in activations
                if name_of(getattr(*resolve(layer, path), None)) in OF_INTEGERS
            },
        )


@register_object(bare=False)
class DefaultNBitQuantizeScheme(QuantizeScheme):
    """Weights and activations at widths of one's choice, from 1 to 16 bits.

    Weights: range of the present values, symmetric, lowest code left out, one range per
    output channel for convolutions. Activations and outputs: moving average of the
    batches' ranges, asymmetric. Biases stay float.

    Args:
        disable_per_axis: one range for all channels.
        num_bits_weight: bits of the weights.
        num_bits_activation: bits of the activations; None leaves them float.
        per_axis_everywhere: a range for each output channel of dense layers too, which
            costs nothing in packed files; TFLite computes them as convolutions then.

    Raises:
        ArgumentError: a width that is no whole number from 1 to 16.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> scheme = lq.qat.DefaultNBitQuantizeScheme(num_bits_weight=4)
        >>> lq.qat.quantize_model(model, scheme=scheme).layers[-1].layer.kernel.precision
        4

    References:
        https://arxiv.org/abs/1712.05877, section 3;
        https://arxiv.org/abs/1806.08342, section 3 (one range per channel).
    """

    def __init__(
        self,
        disable_per_axis: bool = False,
        num_bits_weight: int = 8,
        num_bits_activation: int | None = 8,
        per_axis_everywhere: bool = False,
    ):
        self.per_axis_everywhere = per_axis_everywhere
        self.disable_per_axis = disable_per_axis
        self.num_bits_weight = num_bits_weight
        self.num_bits_activation = num_bits_activation
        self.weight_quantizer(True)
        self.tensor_quantizer()

    def get_quantize_registry(self) -> QuantizeRegistry:
        return DefaultQuantizeRegistry(self)

    def weight_quantizer(self, per_axis: bool) -> quantizers.Quantizer:
        """The quantizer of a weight."""
        return quantizers.LastValueQuantizer(
            num_bits=self.num_bits_weight,
            per_axis=per_axis and not self.disable_per_axis,
            symmetric=True,
            narrow_range=self.num_bits_weight != 1,
        )

    def input_quantizer(self) -> quantizers.Quantizer | None:
        if self.num_bits_activation is None:
            return None
        return quantizers.AllValuesQuantizer(num_bits=self.num_bits_activation)

    def tensor_quantizer(self) -> quantizers.Quantizer | None:
        if self.num_bits_activation is None:
            return None
        return quantizers.MovingAverageQuantizer(num_bits=self.num_bits_activation)

    def get_config(self) -> dict:
        """The arguments of `__init__`."""
        return {
            "disable_per_axis": self.disable_per_axis,
            "num_bits_weight": self.num_bits_weight,
            "num_bits_activation": self.num_bits_activation,
            "per_axis_everywhere": self.per_axis_everywhere,
        }


@register_object(bare=False)
class Default8BitQuantizeScheme(DefaultNBitQuantizeScheme):
    """8 bits everywhere: what TFLite's integer kernels compute.

    Args:
        disable_per_axis: one range for all channels of a convolution's kernel.

    Example:
        >>> lq.qat.Default8BitQuantizeScheme().num_bits_weight
        8
    """

    def __init__(self, disable_per_axis: bool = False):
        super().__init__(disable_per_axis)

    def get_config(self) -> dict:
        return {"disable_per_axis": self.disable_per_axis}


@register_object(bare=False)
class NamedWeightsScheme(DefaultNBitQuantizeScheme):
    """Weights by a quantizer of `lq.quantizers`, activations at a number of bits.

    Layers stay what they are, and read floats or the outputs of quantized layers: unlike
    `BinaryScheme`, which makes signs of the inputs too.

    Args:
        weight_quantizer: quantizer of the weights, by name or as an object.
        num_bits_activation: bits of the activations; None leaves them float.

    Raises:
        UnknownQuantizerError: a name that no quantizer has.
        ArgumentError: a width that is no whole number from 1 to 16.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> scheme = lq.qat.NamedWeightsScheme("magnitude_aware_sign", 8)
        >>> quantized = lq.qat.quantize_model(model, scheme=scheme)
        >>> row = lq.qat.report(quantized, verbose=False).layers[-1]
        >>> row.weights, row.outputs
        ({'kernel': 1}, 8)
    """

    def __init__(self, weight_quantizer: Any, num_bits_activation: int | None = 8):
        self.named = weight_quantizer
        super().__init__(num_bits_activation=num_bits_activation)

    def weight_quantizer(self, per_axis: bool) -> quantizers.Quantizer:
        del per_axis  # its own affair
        return quantizers.get(self.named)

    def get_config(self) -> dict:
        return {
            "weight_quantizer": tf_keras.saving.serialize_keras_object(
                quantizers.get(self.named)
            ),
            "num_bits_activation": self.num_bits_activation,
        }


def _ends_in_channels(layer: Layer, path: str) -> bool:
    """Whether the last axis of a weight is the channels that come out of its layer."""
    owner, name = resolve(layer, path)
    return any(
        axes.name == name and axes.channels_out == (-1,)
        for axes in facts_of(owner).kernels
    )


class _NoLayers(QuantizeRegistry):
    """Wraps no layer."""

    def supports(self, layer: Layer) -> bool:
        return False

    def get_quantize_config(self, layer: Layer) -> QuantizeConfig:
        raise _unsupported(
            layer, "is not wrapped by this scheme", "ask `supports(layer)` first"
        )


def _unsupported(layer: Any, why: str, fix: str) -> ArgumentError:
    if not isinstance(layer, Layer):
        call = f"{layer.__name__}(...)" if isinstance(layer, type) else "Dense(...)"
        return ArgumentError(
            f"larqlite.qat: get_quantize_config: {layer!r} is no layer.\n"
            f"  Fix: the layer itself, such as {call}."
        )
    name = layer.name
    return ArgumentError(
        f'larqlite.qat: get_quantize_config: the layer "{name}" of class '
        f"{type(layer).__name__} {why}.\n  Fix: {fix}."
    )


class BinaryScheme(QuantizeScheme):
    """Layers with kernels become larqlite's Quant layers; the rest stays float.

    A ReLU before a binary layer is taken out of its way, since the sign of what is
    never negative is always +1.

    Args:
        kernel_quantizer: quantizer of the kernels, by name or as an object.
        input_quantizer: quantizer of the layers' inputs, likewise.

    Raises:
        UnknownQuantizerError: a name that no quantizer has.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> binary = lq.qat.quantize_model(model, scheme=lq.qat.BinaryScheme("ste_sign"))
        >>> type(binary.layers[-1]).__name__
        'QuantDense'

    References:
        XNOR-Net (kernels with the mean magnitude as scale),
        https://arxiv.org/abs/1603.05279.
    """

    def __init__(
        self,
        kernel_quantizer: Any = "magnitude_aware_sign",
        input_quantizer: Any = "ste_sign",
    ):
        quantizers.get(kernel_quantizer), quantizers.get(input_quantizer)
        self.kernel_quantizer = kernel_quantizer
        self.input_quantizer_of_layers = input_quantizer

    def get_quantize_registry(self) -> QuantizeRegistry:
        return _NoLayers()  # the pass `binary` replaces layers instead

    def input_quantizer(self) -> None:
        return None

    def tensor_quantizer(self) -> None:
        return None


class TernaryScheme(BinaryScheme):
    """As `BinaryScheme`, with the levels -1, 0 and +1.

    Args:
        kernel_quantizer: quantizer of the kernels, by name or as an object; by default
            `lq.quantizers.AbsmeanTernary` with a scale for each output channel.
        input_quantizer: quantizer of the layers' inputs, likewise.

    Raises:
        UnknownQuantizerError: a name that no quantizer has.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> ternary = lq.qat.quantize_model(model, scheme=lq.qat.TernaryScheme())
        >>> ternary.layers[-1].kernel_quantizer.precision
        2

    References:
        BitNet b1.58, https://arxiv.org/abs/2402.17764, eq. 1 to 3 (kernels with the mean
        magnitude as scale).
    """

    def __init__(self, kernel_quantizer: Any = None, input_quantizer: Any = "ste_tern"):
        if kernel_quantizer is None:
            kernel_quantizer = AbsmeanTernary(per_channel=True)
        super().__init__(kernel_quantizer, input_quantizer)
