"""The layers of a quantization-aware model whose kernels are rounded, one after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.graph import LayerCall, call_in_inference, facts_of, follow, in_order
from larqlite.qat import _quantized_views
from larqlite.qat.inference import Rounding, rounding_of
from larqlite.qat.quantizers.internal import unrounded
from larqlite.qat.wrapper import CallPhase, QuantizeWrapperV2, name_of, only_sums

__all__ = ["KernelSite", "kernel_sites", "values_at"]

_RELUS = ("relu", "relu6")


@dataclasses.dataclass(frozen=True)
class KernelSite:
    """A wrapped layer with a kernel that is rounded to a range, and what belongs to it.

    Attributes:
        wrapper: around the layer.
        path: its name, with those of the models around it.
        number: of its call in the model, in order of computation.
        end: number of the call whose output its kernel is fitted to: its own, that of the
            normalization behind it, or of the ReLU behind that.
        followers: the layers of the calls from its own to `end`, without its own.
    """

    wrapper: QuantizeWrapperV2
    path: str
    number: int
    end: int
    followers: tuple

    @property
    def slot(self):
        """The kernel with its quantizer."""
        return self.wrapper.weight_slots[0]

    @property
    def kernel(self) -> np.ndarray:
        """The float values of the kernel."""
        return tf.convert_to_tensor(self.slot.weight.latent_variable).numpy()

    @property
    def has_channels_first(self) -> bool:
        """Whether channels are the first axis behind the batch."""
        return getattr(self.wrapper.layer, "data_format", None) == "channels_first"

    @property
    def rounding(self) -> Rounding:
        """How the kernel is rounded at present."""
        return rounding_of(self.slot.quantizer, self.slot.variables)

    @property
    def ends_in_sums(self) -> bool:
        """Whether the layer's own activation function is left out of what is fitted."""
        return name_of(getattr(self.wrapper.layer, "activation", None)) not in _RELUS

    def sums(self, inputs, kernel=None) -> tf.Tensor:
        """What goes into the activation function for inputs as the model has them.

        Args:
            inputs: tensor.
            kernel: values of the kernel; None for its rounded ones.
        """
        with only_sums():
            return self._computed(inputs, kernel)

    def outputs(self, inputs, kernel) -> tf.Tensor:
        """What comes out of the last follower, unrounded, for values of the kernel."""
        if self.ends_in_sums:
            found = self.sums(inputs, kernel)
        else:
            with unrounded():
                found = self._computed(inputs, kernel)
        with unrounded():
            for layer in self.followers:
                found = call_in_inference(layer, (found,))
        return found

    def _computed(self, inputs, kernel):
        phase = CallPhase()
        for role, quantizer, variables in self.wrapper.value_quantizers:
            if role == "input":
                inputs = phase.quantize(quantizer, inputs, variables)
        readings = self.wrapper.readings(phase)
        if kernel is not None:
            readings = {id(self.slot.hook): tf.convert_to_tensor(kernel)}
        with _quantized_views.reading(readings):
            return call_in_inference(self.wrapper.layer, (inputs,))


def kernel_sites(model: tf_keras.Model) -> tuple[list[KernelSite], dict[str, str]]:
    """The layers whose kernels can be worked on one by one, and why others cannot.

    Returns:
        Sites in order of computation; and reasons by path, of wrapped layers with
        weights that are rounded to ranges.
    """
    calls, readers = _calls_of(model)
    times: dict[int, int] = {}
    for call in calls:
        times[id(call.layer)] = times.get(id(call.layer), 0) + 1
    sites, others = [], {}
    for number, call in enumerate(calls):
        wrapper = call.layer
        if not isinstance(wrapper, QuantizeWrapperV2) or not wrapper.weight_slots:
            continue
        reason = _reason(wrapper, times[id(wrapper)], len(call.inputs))
        if reason:
            others[call.path] = reason
        elif reason is None:
            end, followers = _followers(number, calls, readers, times, wrapper)
            sites.append(KernelSite(wrapper, call.path, number, end, followers))
    return sites, others


def _reason(wrapper, calls: int, inputs: int) -> str | None:
    """Why a wrapped layer is no site; "" if nothing of it is rounded to a range."""
    slots = wrapper.weight_slots
    roundings = [rounding_of(slot.quantizer, slot.variables) for slot in slots]
    if all(rounding is None for rounding in roundings):
        return ""
    if all(rounding is None or rounding.bits == 1 for rounding in roundings):
        return "its kernel has one bit"
    kernels = facts_of(wrapper.layer).kernels
    is_kernel = len(slots) == 1 and len(kernels) == 1 and inputs == 1
    if not is_kernel or slots[0].weight is not getattr(
        wrapper.layer, kernels[0].name, None
    ):
        return f"{type(wrapper.layer).__name__} is no layer of one input and one kernel"
    if hasattr(slots[0].quantizer, "preserved"):
        return "its quantizer keeps zeros or clusters"
    if not wrapper.only_places:
        return "its config puts values of its own in the place of the kernel"
    return f"it is called {calls} times" if calls > 1 else None


def _calls_of(model) -> tuple[list[LayerCall], dict[int, list]]:
    """The calls in order, and the numbers of those that read each call's output."""
    calls: list[LayerCall] = []
    readers: dict[int, list] = {}

    def apply(call: LayerCall) -> list:
        for source in call.inputs:
            readers.setdefault(source, []).append(len(calls))
        calls.append(call)
        return [len(calls) - 1] * len(call.output_tensors)

    for source in follow(model, [-1] * len(model.inputs), apply):
        readers.setdefault(source, []).append(None)
    return calls, readers


def _followers(number: int, calls, readers, times, wrapper) -> tuple[int, tuple]:
    end, followers = number, []
    if name_of(getattr(wrapper.layer, "activation", None)) != "linear":
        return end, ()
    while len(readers.get(end, ())) == 1 and readers[end][0] is not None:
        layer = calls[readers[end][0]].layer
        if times[id(layer)] > 1:
            break
        inner = getattr(layer, "layer", layer)
        facts = facts_of(inner)
        is_relu = isinstance(inner, tf_keras.layers.ReLU) or (
            isinstance(inner, tf_keras.layers.Activation)
            and name_of(inner.activation) in _RELUS
        )
        if not is_relu and not (facts.is_batch_normalization and not followers):
            break
        end = readers[end][0]
        followers.append(layer)
        if is_relu:
            break
    return end, tuple(followers)


class _Reached(Exception):
    """What was asked for is computed."""


def values_at(
    model: tf_keras.Model,
    batches: Sequence,
    number: int,
    of_inputs: bool,
    is_rounded: bool = True,
) -> Iterator[tf.Tensor]:
    """What goes into, or comes out of, a call of a model, batch by batch.

    Args:
        model: the model.
        batches: of its inputs.
        number: of the call.
        of_inputs: whether what goes in is meant.
        is_rounded: False for the model without rounding to ranges.
    """
    for batch in batches:
        reader = _Reader(number, of_inputs)
        _run(model, batch, reader, is_rounded)
        yield reader.found[0]


class _Reader:
    """Calls the layers of a model until a value is there."""

    def __init__(self, number: int, of_inputs: bool):
        self.found: list = []
        self._left, self._of_inputs = number, of_inputs

    def __call__(self, call: LayerCall):
        is_it, self._left = self._left == 0, self._left - 1
        if is_it and self._of_inputs:
            self.found = call.inputs
            raise _Reached
        outputs = call_in_inference(call.layer, call.args, call.kwargs)
        if is_it:
            self.found = tf.nest.flatten(outputs)
            raise _Reached
        return outputs


def _run(model, batch, apply: Callable, is_rounded: bool) -> None:
    tensors: list[Any] = in_order(model, batch)
    tensors = [
        tf.cast(value, tensor.dtype)
        for value, tensor in zip(tensors, model.inputs, strict=True)
    ]
    try:
        if is_rounded:
            follow(model, tensors, apply)
            return
        with unrounded():
            follow(model, tensors, apply)
    except _Reached:
        return
