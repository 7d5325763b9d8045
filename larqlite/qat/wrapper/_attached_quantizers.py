"""The quantizers of one wrapped layer, each at its place and with its variables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from larqlite.qat import _quantized_views, quantizers
from larqlite.qat.config import QuantizeConfig, asked
from larqlite.qat.lowerings import Weight, has_range, is_exporting
from larqlite.qat.quantizers.internal import of_weights
from larqlite.qat.wrapper._activation import QuantizedActivation
from larqlite.qat.wrapper._call_phase import CallPhase
from larqlite.qat.wrapper._setter import values_set_by

__all__ = ["AttachedQuantizers", "WeightSlot", "flat_shapes"]


class WeightSlot(NamedTuple):
    """A quantized weight.

    Attributes:
        weight: the view that the layer holds.
        quantizer: its quantizer.
        variables: what `quantizer.build` returned.
        hook: what the view reads through.
    """

    weight: Any
    quantizer: Any
    variables: dict
    hook: _quantized_views.ReadHook

    @property
    def is_replaced(self) -> bool:
        """Whether the quantizer trains variables of its own instead of the weight."""
        return getattr(self.quantizer, "replaces_weight", False)


class AttachedQuantizers:
    """What a config quantizes of a layer, once the layer is built.

    Attributes:
        weights: a `WeightSlot` for each quantized weight.
        activations: the `QuantizedActivation`s that took the places of functions.
        inputs: `(quantizer, its variables)` for each input tensor.
        outputs: likewise for each output tensor.
    """

    def __init__(self):
        self.weights: list[WeightSlot] = []
        self.activations: list[QuantizedActivation] = []
        self.inputs: list[tuple[Any, dict]] = []
        self.outputs: list[tuple[Any, dict]] = []

    def fill(
        self,
        config: QuantizeConfig,
        layer,
        owner,
        input_shapes: Sequence[tf.TensorShape],
        output_shapes: Sequence[tf.TensorShape],
    ) -> None:
        """Builds the quantizers.

        Args:
            config: says what is quantized.
            layer: the built layer.
            owner: the wrapper, to which the variables belong.
            input_shapes: one for each input tensor.
            output_shapes: one for each output tensor.
        """
        self._fill_weights(config, layer, owner)
        pairs = asked(config, "get_activations_and_quantizers", layer)
        places = list(config.get_activation_places(layer))
        places += [None] * (len(pairs) - len(places))
        self.activations.extend(
            QuantizedActivation(
                function, quantizers.get(identifier), owner, output_shapes[0], place
            )
            for (function, identifier), place in zip(pairs, places, strict=True)
        )
        if self.activations:
            config.set_quantize_activations(layer, list(self.activations))
        found = asked(config, "get_input_quantizers", layer)
        self.inputs.extend(_built(found, "input", input_shapes, owner))
        found = asked(config, "get_output_quantizers", layer)
        self.outputs.extend(_built(found, "output", output_shapes, owner))

    def _fill_weights(self, config: QuantizeConfig, layer, owner) -> None:
        pairs = asked(config, "get_weights_and_quantizers", layer)
        where = f'{type(layer).__name__} "{layer.name}"'
        _quantized_views.require_views([weight for weight, _ in pairs], where)
        names = _short_names([weight.name for weight, _ in pairs], layer.name)
        for (weight, identifier), name in zip(pairs, names, strict=True):
            quantizer = quantizers.get(identifier)
            with of_weights():
                variables = quantizer.build(weight.shape, name, owner) or {}
            hook = _quantized_views.ReadHook(
                lambda latent, q=quantizer, v=variables: CallPhase().quantize(
                    q, latent, v
                ),
                getattr(quantizer, "precision", None),
            )
            weight.read_through(hook)
            self.weights.append(WeightSlot(weight, quantizer, variables, hook))

    def capture(self) -> None:
        """Lets the quantizers that keep something of the present weights take it."""
        for weight, quantizer, variables, _ in self.weights:
            if hasattr(quantizer, "capture"):
                quantizer.capture(weight.latent_variable, variables)

    def readings(self, config: QuantizeConfig, layer, phase: CallPhase) -> dict:
        """What each quantized weight reads as in one call, by the id of its hook."""
        values = []
        for weight, quantizer, variables, hook in self.weights:
            # Outside of Keras' mixed-precision cast.
            latent = tf.convert_to_tensor(weight.latent_variable)
            if is_exporting() and has_range(quantizer):
                value = Weight(weight, quantizer, variables, hook).stored(layer)
            else:
                with of_weights():
                    value = phase.quantize(quantizer, latent, variables)
            if phase.training is not False and value.shape.rank == 2:
                # Turns the sparse gradient of an embedding into a dense one.
                value = tf.reshape(value, tf.shape(value))
            values.append(value)
        if values and has_own_setter(config):
            held = [slot.weight for slot in self.weights]
            values = values_set_by(config, layer, held, values)
        hooks = [slot.hook for slot in self.weights]
        return {id(hook): value for hook, value in zip(hooks, values, strict=True)}

    def all(self) -> Iterator[Any]:
        """The quantizers."""
        yield from (slot.quantizer for slot in self.weights)
        yield from (activation.quantizer for activation in self.activations)
        yield from (quantizer for quantizer, _ in (*self.inputs, *self.outputs))

    def of_values(self) -> list[tuple[str, Any, dict]]:
        """`(what for, quantizer, its variables)` of all but weights, in order of use."""
        found = [("input", *pair) for pair in self.inputs]
        for activation in self.activations:
            found.extend(activation.quantizers)
        return [*found, *(("output", *pair) for pair in self.outputs)]

    @property
    def output_precision(self) -> int | None:
        """Bits of the values that come out; None if nothing quantizes them."""
        if self.outputs:
            return getattr(self.outputs[0][0], "precision", None)
        for activation in self.activations:
            if activation.fixes_outputs:
                return getattr(activation.quantizer, "precision", None)
        return None


def only_places(config: QuantizeConfig, layer, weights: Sequence[WeightSlot]) -> bool:
    """Whether a config puts the quantized values in their places as they are."""
    if not has_own_setter(config):
        return True
    held = [slot.weight for slot in weights]
    values = [tf.convert_to_tensor(weight.latent_variable) for weight in held]
    found = values_set_by(config, layer, held, values)
    return all(a is b for a, b in zip(found, values, strict=True))


def has_own_setter(config: QuantizeConfig) -> bool:
    """Whether a config puts values of its own in the places of the weights."""
    return type(config).set_quantize_weights is not QuantizeConfig.set_quantize_weights


def quantized(pairs: list, tensors, phase: CallPhase):
    """Each floating-point tensor of a structure through its quantizer."""
    flat = tf.nest.flatten(tensors)
    for index, tensor in enumerate(flat):
        if tensor is not None and tensor.dtype.is_floating and index < len(pairs):
            quantizer, variables = pairs[index]
            flat[index] = phase.quantize(quantizer, tensor, variables)
    return tf.nest.pack_sequence_as(tensors, flat)


def flat_shapes(shapes) -> list[tf.TensorShape]:
    """The shapes of one tensor or of several, as a list."""
    if isinstance(shapes, tf.TensorShape):
        return [shapes]
    if isinstance(shapes, dict):
        return [shape for value in shapes.values() for shape in flat_shapes(value)]
    if isinstance(shapes, (list, tuple)) and not all(
        size is None or isinstance(size, int) for size in shapes
    ):
        return [shape for value in shapes for shape in flat_shapes(value)]
    return [tf.TensorShape(shapes)]


def _built(identifiers, role: str, shapes, owner) -> list[tuple[Any, dict]]:
    """One quantizer with variables for each tensor; the last serves those that follow."""
    found = [quantizers.get(identifier) for identifier in identifiers]
    built = []
    for index, shape in enumerate(shapes if found else ()):
        quantizer = found[min(index, len(found) - 1)]
        name = role if index == 0 else f"{role}_{index}"
        built.append((quantizer, quantizer.build(shape, name, owner) or {}))
    return built


def _short_names(names: list[str], layer_name: str) -> list[str]:
    """The last parts of variable names, or all after the layer's if those are not unique."""
    paths = [name.partition(":")[0].split("/") for name in names]
    last = [path[-1] for path in paths]
    if len(set(last)) == len(last):
        return last
    return ["_".join(p[p.index(layer_name) + 1 :] or p) for p in paths]
