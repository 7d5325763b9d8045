"""`QuantizeWrapperV2`: a layer that computes with quantized weights and activations."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite._copies import carry, config_of, layer_like
from larqlite._registration import deserialize_object, register_object
from larqlite._two_kerases import OfTfKeras
from larqlite.errors import ArgumentError, require_tf_keras
from larqlite.qat import _quantized_views, lowerings
from larqlite.qat.config import QuantizeConfig
from larqlite.qat.wrapper._activation import QuantizedActivation, name_of
from larqlite.qat.wrapper._attached_quantizers import (
    AttachedQuantizers,
    WeightSlot,
    flat_shapes,
    only_places,
    quantized,
)
from larqlite.qat.wrapper._call_phase import (
    CallPhase,
    as_it_is,
    asks_only_for_shapes,
    counted,
    in_phase,
    is_ours,
)
from larqlite.qat.wrapper._fit import fitted, values_of

__all__ = ["QuantizeWrapper", "QuantizeWrapperV2", "layer_from"]

# Layers that make their weights when they are first called, not when they are built.
BUILT_IN_CALL = (tf_keras.layers.MultiHeadAttention,)


@register_object(bare=False)
class QuantizeWrapperV2(OfTfKeras, tf_keras.layers.Wrapper):
    """Fake-quantizes the weights, activations, inputs and outputs of a layer.

    In training, ranges follow the data and kernels; otherwise the stored ranges are
    used. Gradients pass straight through inside of the ranges. The layer's variables
    stay its own, in float; they read as quantized while it is called.

    Args:
        layer: the layer; one that has weights already is copied with them.
        quantize_config: the `QuantizeConfig` that says what is quantized.
        name_prefix: goes before the layer's name.
        **kwargs: those of a Keras layer.

    Attributes:
        layer: the layer inside.
        quantize_config: as given.
        optimizer_step: int32 variable; counts training steps from 0 if a quantizer asks
            for `step`, else stays -1.

    Raises:
        ArgumentError: `layer` is no layer, or `quantize_config` no QuantizeConfig.

    Example:
        >>> wrapped = lq.qat.QuantizeWrapperV2(
        ...     tf_keras.layers.Dense(3, name="fc"),
        ...     lq.qat.LayerQuantizeConfig({"kernel": "ste_sign"}))
        >>> wrapped.name, wrapped(tf.ones((1, 4))).shape.as_list()
        ('quant_fc', [1, 3])
        >>> with lq.context.quantized_scope(True):
        ...     np.unique(abs(wrapped.layer.kernel.numpy())).tolist()
        [1.0]

    References:
        Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference, https://arxiv.org/abs/1712.05877, section 3.
    """

    def __init__(
        self,
        layer: tf_keras.layers.Layer,
        quantize_config: Any,
        name_prefix: str = "quant_",
        **kwargs: Any,
    ) -> None:
        where = type(self).__name__
        require_tf_keras(layer, where)
        if not isinstance(layer, tf_keras.layers.Layer):
            raise ArgumentError(
                f"{where}: `layer` must be a tf_keras layer, got {layer!r}."
            )
        if not isinstance(quantize_config, QuantizeConfig):
            raise ArgumentError(
                f'{where}: quantize_config of "{layer.name}" must be a QuantizeConfig '
                f"instance, got {quantize_config!r}.\n"
                "  Fix: pass an instance (with parentheses), e.g. NoOpQuantizeConfig()."
            )
        self._take_state = None
        if _has_values(layer):
            # A function, since Keras would take a layer for a part of this one.
            self._take_state = functools.partial(carry, layer, where=where)
            quantize_config = fitted(quantize_config, values_of(layer), layer)
            with _quantized_views.viewed_variables():
                layer = layer_like(layer, where)
        kwargs.setdefault("name", f"{name_prefix or ''}{layer.name}")
        kwargs.setdefault("dtype", layer.dtype_policy)
        shape = config_of(layer).get("batch_input_shape")
        if shape is not None:
            kwargs.setdefault("batch_input_shape", shape)
        super().__init__(layer, **kwargs)
        self.quantize_config = quantize_config
        self._attached = AttachedQuantizers()

    # Building.

    def build(self, input_shape):
        if isinstance(self.layer, BUILT_IN_CALL) and not self.layer.weights:
            shapes = remembered_shapes(self.layer)
            if shapes is None:
                return  # the call that follows builds it
            with _quantized_views.viewed_variables():
                self.layer(
                    **{k: tf_keras.Input(batch_shape=s) for k, s in shapes.items()}
                )
        self.optimizer_step = self.add_weight(
            "optimizer_step",
            shape=(),
            initializer=tf_keras.initializers.Constant(-1),
            dtype="int32",
            trainable=False,
        )
        with _quantized_views.viewed_variables(), tf.name_scope(self.layer.name):
            if not self.layer.built:
                self.layer.build(input_shape)
                self.layer.built = True
        self._attached.fill(
            self.quantize_config,
            self.layer,
            self,
            flat_shapes(input_shape),
            self._output_shapes(input_shape),
        )
        if self._take_state is not None:
            self._take_state(self.layer)
            self._take_state = None
            self.capture_weights()
        self.built = True

    def capture_weights(self) -> None:
        """Lets the quantizers that keep something of the present weights take it."""
        self._attached.capture()

    def _output_shapes(self, input_shape) -> list:
        if isinstance(self.layer, BUILT_IN_CALL):
            return [tf.TensorShape(None)]
        try:
            return flat_shapes(self.layer.compute_output_shape(input_shape))
        except NotImplementedError:
            return [tf.TensorShape(None)]

    def build_from_config(self, config):
        """As in Keras, with the names that variables have in a call."""
        with tf.name_scope(self.name):
            super().build_from_config(config)

    # Calls.

    def __call__(self, inputs, *args, **kwargs):
        # Named, since Keras writes arguments without a name into no file.
        names = positional_of(type(self.layer))
        if len(args) <= len(names):
            kwargs.update(zip(names, args, strict=False))
            args = ()
        if isinstance(self.layer, BUILT_IN_CALL) and not self.layer.weights:
            with _quantized_views.viewed_variables():
                self.layer(inputs, *args, **kwargs)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, *args, **kwargs):
        if self._needs_no_autograph():
            return as_it_is(self._call, inputs, args, kwargs)
        return self._call(inputs, args, kwargs)

    def _needs_no_autograph(self) -> bool:
        """Whether all that computes is Keras' or larqlite's, without branches on tensors."""
        parts = (self.layer, *self.layer.submodules)
        return all(map(is_ours, (self.quantize_config, *self._attached.all()))) and all(
            type(part).__module__.startswith(("tf_keras.", "larqlite."))
            for part in parts
        )

    def _call(self, inputs, args: tuple, kwargs: dict):
        training, mask = kwargs.pop("training", None), kwargs.pop("mask", None)
        phase = CallPhase(
            False if training is None else training,
            counted(self.optimizer_step, self._attached.all(), training),
        )
        if self._attached.inputs:
            inputs = quantized(self._attached.inputs, inputs, phase)
        with in_phase(phase):
            outputs = None
            if not args and not kwargs and not asks_only_for_shapes():
                outputs = lowerings.outputs_of(self, training, inputs, mask is not None)
            if outputs is None:
                for name, value in (("training", training), ("mask", mask)):
                    if value is not None and name in parameters_of(type(self.layer)):
                        kwargs[name] = value
                with _quantized_views.reading(self.readings(phase)):
                    outputs = self.layer(inputs, *args, **kwargs)
        if self._attached.outputs:
            outputs = quantized(self._attached.outputs, outputs, phase)
        return outputs

    @property
    def output_precision(self) -> int | None:
        """Bits of the values that come out; None if nothing quantizes them."""
        return self._attached.output_precision

    @property
    def quantizes(self) -> bool:
        """Whether anything of the layer is quantized."""
        return any(True for _ in self._attached.all())

    @property
    def quantized_activations(self) -> dict[str, QuantizedActivation]:
        """The activations with a quantizer, by the names of their functions."""
        return {name_of(a.function): a for a in self._attached.activations}

    @property
    def training_state(self) -> list:
        """Variables that are not deployed: ranges, the count of steps, centroids, and what
        quantizers of weights learn, which is in the values of the weights."""
        deployed = {id(variable) for variable in self.layer.weights}
        stand_ins = {
            id(variable)
            for slot in self._attached.weights
            if hasattr(slot.quantizer, "preserved")
            for variable in slot.variables.values()
        }
        for slot in self._attached.weights:
            named = slot.variables.get("quantizer")
            stand_ins |= {id(variable) for variable in getattr(named, "weights", ())}
        return [
            v
            for v in self.weights
            if id(v) not in deployed and (id(v) in stand_ins or not v.trainable)
        ]

    @property
    def input_quantizer(self):
        """The quantizer of the input, or None."""
        if self._attached.inputs:
            return self._attached.inputs[0][0]
        return getattr(self.layer, "input_quantizer", None)

    @property
    def weight_slots(self) -> list[WeightSlot]:
        """`(weight, quantizer, its variables, read hook)` of each quantized weight."""
        return list(self._attached.weights)

    def readings(self, phase: CallPhase) -> dict:
        """What each quantized weight reads as in a phase, by the id of its hook."""
        return self._attached.readings(self.quantize_config, self.layer, phase)

    @property
    def value_quantizers(self) -> list:
        """`(what for, quantizer, its variables)` of all but weights, in order of use."""
        return self._attached.of_values()

    @property
    def only_places(self) -> bool:
        """Whether the config puts the quantized weights in their places as they are."""
        return only_places(self.quantize_config, self.layer, self.weight_slots)

    @property
    def ends_in_range(self) -> bool:
        """Whether what the layer sums up is quantized here, not by one that follows."""
        return bool(self._attached.activations or self._attached.outputs)

    @property
    def sums_are_rounded(self) -> bool:
        """Whether nothing but a ReLU lies between the sums and their quantization."""
        function = name_of(getattr(self.layer, "activation", None))
        is_joined = function in ("linear", "relu", "relu6")
        rounded = any(a.quantizes_sums for a in self._attached.activations)
        return self.ends_in_range and (is_joined or rounded)

    # What Keras asks of a layer is answered by the layer inside.

    @property
    def trainable(self) -> bool:
        return self.layer.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.layer.trainable = value

    @property
    def trainable_weights(self) -> list:
        replaced = self._replaced()
        return [v for v in super().trainable_weights if id(v) not in replaced]

    @property
    def non_trainable_weights(self) -> list:
        found = super().non_trainable_weights
        known = {id(v) for v in found}
        return [*found, *(v for k, v in self._replaced().items() if k not in known)]

    def _replaced(self) -> dict:
        """The weights that are not read, since their quantizers train others, by id."""
        return {
            id(slot.weight): slot.weight
            for slot in self._attached.weights
            if slot.is_replaced
        }

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    @property
    def supports_masking(self) -> bool:
        return self.layer.supports_masking

    @supports_masking.setter
    def supports_masking(self, value: bool) -> None:
        pass

    def _where(self) -> str:
        return f'{type(self.layer).__name__} "{self.layer.name}"'

    # Copies and files.

    def get_config(self) -> dict:
        layer = tf_keras.saving.serialize_keras_object(self.layer)
        layer.pop("build_config", None)  # it is built by the wrapper
        config = {
            **super().get_config(),
            "layer": layer,
            "quantize_config": tf_keras.saving.serialize_keras_object(
                self.quantize_config
            ),
        }
        config.pop("trainable", None)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        with _quantized_views.viewed_variables():
            layer = layer_from(config.pop("layer"), custom_objects)
        quantize_config = deserialize_object(
            config.pop("quantize_config"), custom_objects=custom_objects
        )
        return cls(layer, quantize_config, **config)


def _has_values(layer) -> bool:
    """Whether a layer has weights, other than those that it has just made as views."""
    return bool(layer.weights) and (layer.built or not all(map(_is_new, layer.weights)))


def _is_new(weight) -> bool:
    # A lookup layer has a handle of its table among its weights.
    is_variable = hasattr(weight, "assign")
    return not is_variable or not weight.dtype.is_floating or _is_view(weight)


def _is_view(weight) -> bool:
    return hasattr(weight, "read_through")


@functools.cache
def parameters_of(cls: type) -> list[str]:
    """Names of the parameters of a layer class' call, `self` first."""
    return list(inspect.signature(cls.call).parameters)


@functools.cache
def positional_of(cls: type) -> list[str]:
    """Names of what a layer class' call takes after its input, as far as it takes names.

    Those that go into `*args` have none.
    """
    parameters = list(inspect.signature(cls.call).parameters.values())[2:]
    if any(each.kind is each.POSITIONAL_ONLY for each in parameters):
        return []
    return [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]


def remembered_shapes(layer) -> dict | None:
    """The input shapes of an attention layer that was read from a file or cloned."""
    config = layer.get_config()
    shapes = {name: config[f"{name}_shape"] for name in ("query", "value", "key")}
    return None if None in shapes.values() else shapes


def layer_from(config: dict, custom_objects: dict | None) -> tf_keras.layers.Layer:
    """The layer of a configuration in the format of `.keras` files or of `.h5` files."""
    return tf_keras.layers.deserialize(
        config,
        custom_objects=custom_objects,
        use_legacy_format="module" not in config,
    )


QuantizeWrapper = QuantizeWrapperV2
