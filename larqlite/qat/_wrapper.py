"""`QuantizeWrapperV2`: a layer that computes with quantized weights and activations."""

from __future__ import annotations

import functools
import inspect

import tensorflow as tf
import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError, require_tf_keras
from larqlite.qat import _slots, forms, quantizers
from larqlite.qat._activation import QuantizedActivation, name_of
from larqlite.qat._config import QuantizeConfig
from larqlite.qat._fit import fitted, values_of
from larqlite.qat._moment import Moment, as_it_is, asks_only_for_shapes, at, is_ours
from larqlite.qat._setter import values_set_by
from larqlite.qat._steps import counted

__all__ = ["QuantizeWrapper", "QuantizeWrapperV2"]

# Layers that make their weights when they are first called, not when they are built.
_BUILT_IN_CALL = (tf_keras.layers.MultiHeadAttention,)


class _Plain(list):
    """A list in which Keras does not look for weights: these have another owner."""


@register_object()
class QuantizeWrapperV2(tf_keras.layers.Wrapper):
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

    def __init__(self, layer, quantize_config, name_prefix="quant_", **kwargs):
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
        self._kept_weights = None
        if layer.weights:
            self._kept_weights = layer.get_weights()
            quantize_config = fitted(quantize_config, values_of(layer), layer)
            with _slots.viewed_variables():
                layer = type(layer).from_config(layer.get_config())
        kwargs.setdefault("name", f"{name_prefix or ''}{layer.name}")
        kwargs.setdefault("dtype", layer.dtype_policy)
        shape = layer.get_config().get("batch_input_shape")
        if shape is not None:
            kwargs.setdefault("batch_input_shape", shape)
        super().__init__(layer, **kwargs)
        self.quantize_config = quantize_config
        self._weight_slots = _Plain()
        self._activations = _Plain()
        self._outputs = _Plain()
        self._inputs = _Plain()

    # Building.

    def build(self, input_shape):
        if isinstance(self.layer, _BUILT_IN_CALL) and not self.layer.weights:
            shapes = _remembered_shapes(self.layer)
            if shapes is None:
                return  # the call that follows builds it
            with _slots.viewed_variables():
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
        with _slots.viewed_variables(), tf.name_scope(self.layer.name):
            if not self.layer.built:
                self.layer.build(input_shape)
                self.layer.built = True
        self._build_quantizers(input_shape)
        if self._kept_weights is not None:
            self.layer.set_weights(self._kept_weights)
            self._kept_weights = None
            self.capture_weights()
        self.built = True

    def capture_weights(self) -> None:
        """Lets the quantizers that keep something of the present weights take it."""
        for weight, quantizer, variables, _ in self._weight_slots:
            if hasattr(quantizer, "capture"):
                quantizer.capture(_latent(weight), variables)

    def _build_quantizers(self, input_shape) -> None:
        config, layer = self.quantize_config, self.layer
        pairs = config.get_weights_and_quantizers(layer)
        _slots.require_views([weight for weight, _ in pairs], self._where())
        names = _short_names([weight.name for weight, _ in pairs], layer.name)
        for (weight, identifier), name in zip(pairs, names, strict=True):
            quantizer = quantizers.get(identifier)
            variables = quantizer.build(weight.shape, name, self) or {}
            slot = _slots.Slot(
                lambda latent, q=quantizer, v=variables: Moment().quantize(
                    q, latent, v
                ),
                getattr(quantizer, "precision", None),
            )
            weight.read_through(slot)
            self._weight_slots.append((weight, quantizer, variables, slot))
        output_shapes = self._output_shapes(input_shape)
        pairs = config.get_activations_and_quantizers(layer)
        self._activations.extend(
            QuantizedActivation(
                function, quantizers.get(identifier), self, output_shapes[0]
            )
            for function, identifier in pairs
        )
        if self._activations:
            config.set_quantize_activations(layer, list(self._activations))
        inputs = config.get_input_quantizers(layer)
        self._inputs.extend(self._built(inputs, "input", _flat_shapes(input_shape)))
        outputs = config.get_output_quantizers(layer)
        self._outputs.extend(self._built(outputs, "output", output_shapes))

    def _built(self, identifiers, role: str, shapes) -> list:
        """One quantizer with variables for each tensor; the last serves those that follow."""
        found = [quantizers.get(identifier) for identifier in identifiers]
        built = []
        for index, shape in enumerate(shapes if found else ()):
            quantizer = found[min(index, len(found) - 1)]
            name = role if index == 0 else f"{role}_{index}"
            built.append((quantizer, quantizer.build(shape, name, self) or {}))
        return built

    def _output_shapes(self, input_shape) -> list:
        if isinstance(self.layer, _BUILT_IN_CALL):
            return [tf.TensorShape(None)]
        try:
            return _flat_shapes(self.layer.compute_output_shape(input_shape))
        except NotImplementedError:
            return [tf.TensorShape(None)]

    def build_from_config(self, config):
        """As in Keras, with the names that variables have in a call."""
        with tf.name_scope(self.name):
            super().build_from_config(config)

    # Calls.

    def __call__(self, inputs, *args, **kwargs):
        # Named, since Keras writes arguments without a name into no file.
        names = _parameters(type(self.layer))[2:]
        kwargs.update(zip(names, args, strict=False))
        if isinstance(self.layer, _BUILT_IN_CALL) and not self.layer.weights:
            with _slots.viewed_variables():
                self.layer(inputs, **kwargs)
        return super().__call__(inputs, **kwargs)

    def call(self, inputs, **kwargs):
        if self._needs_no_autograph():
            return as_it_is(self._call, inputs, kwargs)
        return self._call(inputs, kwargs)

    def _needs_no_autograph(self) -> bool:
        """Whether all that computes is Keras' or larqlite's, without branches on tensors."""
        parts = (self.layer, *self.layer.submodules)
        return all(map(is_ours, (self.quantize_config, *self._quantizers()))) and all(
            type(part).__module__.startswith(("tf_keras.", "larqlite."))
            for part in parts
        )

    def _call(self, inputs, kwargs: dict):
        training, mask = kwargs.pop("training", None), kwargs.pop("mask", None)
        moment = Moment(
            False if training is None else training,
            counted(self.optimizer_step, self._quantizers(), training),
        )
        if self._inputs:
            inputs = _quantized(self._inputs, inputs, moment)
        with at(moment):
            outputs = None
            if not kwargs and not asks_only_for_shapes():
                outputs = forms.outputs_of(self, training, inputs)
            if outputs is None:
                for name, value in (("training", training), ("mask", mask)):
                    if value is not None and name in _parameters(type(self.layer)):
                        kwargs[name] = value
                with _slots.reading(self._readings(moment)):
                    outputs = self.layer(inputs, **kwargs)
        if self._outputs:
            outputs = _quantized(self._outputs, outputs, moment)
        return outputs

    def _readings(self, moment: Moment) -> dict:
        """What each quantized weight reads as in this call, by the id of its slot."""
        values = []
        for weight, quantizer, variables, _ in self._weight_slots:
            latent = tf.convert_to_tensor(_latent(weight))
            value = moment.quantize(quantizer, latent, variables)
            if moment.training is not False and value.shape.rank == 2:
                # Turns the sparse gradient of an embedding into a dense one.
                value = tf.reshape(value, tf.shape(value))
            values.append(value)
        config = self.quantize_config
        if values and self.has_own_setter:
            values = values_set_by(
                config, self.layer, [s[0] for s in self._weight_slots], values
            )
        slots = [entry[3] for entry in self._weight_slots]
        return {id(slot): v for slot, v in zip(slots, values, strict=True)}

    def _quantizers(self) -> list:
        return [
            *(entry[1] for entry in self._weight_slots),
            *(activation.quantizer for activation in self._activations),
            *(quantizer for quantizer, _ in (*self._inputs, *self._outputs)),
        ]

    @property
    def output_precision(self) -> int | None:
        """Bits of the values that come out; None if nothing quantizes them."""
        if self._outputs:
            return getattr(self._outputs[0][0], "precision", None)
        for activation in self._activations:
            if activation.fixes_outputs:
                return getattr(activation.quantizer, "precision", None)
        return None

    @property
    def quantizes(self) -> bool:
        """Whether anything of the layer is quantized."""
        return bool(self._quantizers())

    @property
    def quantized_activations(self) -> dict[str, QuantizedActivation]:
        """The activations with a quantizer, by the names of their functions."""
        return {name_of(a.function): a for a in self._activations}

    @property
    def training_state(self) -> list:
        """Variables that are not deployed: ranges, the count of steps, centroids."""
        deployed = {id(variable) for variable in self.layer.weights}
        stand_ins = {
            id(variable)
            for _, quantizer, variables, _ in self._weight_slots
            if hasattr(quantizer, "preserved")
            for variable in variables.values()
        }
        return [
            v
            for v in self.weights
            if id(v) not in deployed and (id(v) in stand_ins or not v.trainable)
        ]

    @property
    def input_quantizer(self):
        """The quantizer of the input, or None."""
        if self._inputs:
            return self._inputs[0][0]
        return getattr(self.layer, "input_quantizer", None)

    @property
    def weight_slots(self) -> list:
        """`(weight, quantizer, its variables, slot)` of each quantized weight."""
        return list(self._weight_slots)

    @property
    def value_quantizers(self) -> list:
        """`(what for, quantizer, its variables)` of all but weights, in order of use."""
        found = [("input", *pair) for pair in self._inputs]
        for activation in self._activations:
            found.extend(activation.quantizers)
        return [*found, *(("output", *pair) for pair in self._outputs)]

    @property
    def has_own_setter(self) -> bool:
        """Whether the config puts values of its own in the places of the weights."""
        own = type(self.quantize_config).set_quantize_weights
        return own is not QuantizeConfig.set_quantize_weights

    @property
    def ends_in_range(self) -> bool:
        """Whether what the layer sums up is quantized here, not by one that follows."""
        return bool(self._activations or self._outputs)

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
            id(weight): weight
            for weight, quantizer, *_ in self._weight_slots
            if getattr(quantizer, "replaces_weight", False)
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
        with _slots.viewed_variables():
            layer = layer_from(config.pop("layer"), custom_objects)
        quantize_config = tf_keras.saving.deserialize_keras_object(
            config.pop("quantize_config"), custom_objects=custom_objects
        )
        return cls(layer, quantize_config, **config)


QuantizeWrapper = QuantizeWrapperV2


def layer_from(config: dict, custom_objects: dict | None) -> tf_keras.layers.Layer:
    """The layer of a configuration in the format of `.keras` files or of `.h5` files."""
    return tf_keras.layers.deserialize(
        config,
        custom_objects=custom_objects,
        use_legacy_format="module" not in config,
    )


def _quantized(built: list, tensors, moment: Moment):
    """Each floating-point tensor of a structure through its quantizer."""
    flat = tf.nest.flatten(tensors)
    for index, tensor in enumerate(flat):
        if tensor is not None and tensor.dtype.is_floating and index < len(built):
            quantizer, variables = built[index]
            flat[index] = moment.quantize(quantizer, tensor, variables)
    return tf.nest.pack_sequence_as(tensors, flat)


def _short_names(names: list[str], layer_name: str) -> list[str]:
    """The last parts of variable names, or all after the layer's if those are not unique."""
    paths = [name.partition(":")[0].split("/") for name in names]
    last = [path[-1] for path in paths]
    if len(set(last)) == len(last):
        return last
    return ["_".join(p[p.index(layer_name) + 1 :] or p) for p in paths]


def _remembered_shapes(layer) -> dict | None:
    """The input shapes of an attention layer that was read from a file or cloned."""
    config = layer.get_config()
    shapes = {name: config[f"{name}_shape"] for name in ("query", "value", "key")}
    return None if None in shapes.values() else shapes


def _latent(weight):
    """The latent variable of a view, outside of Keras' mixed-precision cast."""
    return weight.latent_variable


def _flat_shapes(shapes) -> list[tf.TensorShape]:
    """The shapes of one tensor or of several, as a list."""
    if isinstance(shapes, tf.TensorShape):
        return [shapes]
    if isinstance(shapes, dict):
        return [shape for value in shapes.values() for shape in _flat_shapes(value)]
    if isinstance(shapes, (list, tuple)) and not all(
        size is None or isinstance(size, int) for size in shapes
    ):
        return [shape for value in shapes for shape in _flat_shapes(value)]
    return [tf.TensorShape(shapes)]


@functools.cache
def _parameters(cls: type) -> list[str]:
    """Names of the parameters of a layer class' call, `self` first."""
    return list(inspect.signature(cls.call).parameters)
