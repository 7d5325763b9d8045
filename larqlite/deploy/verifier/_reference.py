"""Runs a model layer by layer in Keras, and keeps what goes into its quantized layers."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.deploy.converters import in_inference
from larqlite.graph import LayerCall, call_in_inference, facts_of, follow
from larqlite.layers import QuantLayer
from larqlite.models.internal import leaves
from larqlite.qat import inference
from larqlite.quantizers import Quantizer

K = tf_keras.layers


@dataclasses.dataclass
class QuantizedCall:
    """One call of a quantized layer.

    Attributes:
        layer: the layer.
        path: where it is in the model.
        input, output: tensors.
        normalized: the output after the batch normalization that reads it, or None.
        quantizer: what made few levels of its input: its own quantizer, or layers before
            it; None if neither.
        unquantized: what that quantizer was given.
    """

    layer: QuantLayer
    path: str
    input: tf.Tensor
    output: tf.Tensor
    normalized: tf.Tensor | None = None
    quantizer: Callable | None = None
    unquantized: tf.Tensor | None = None

    def without_activation(self) -> tf.Tensor:
        """The output before the activation of the layer."""
        attributes = vars(self.layer)
        activation = attributes["activation"]
        # Around Keras' bookkeeping of attributes, as the layer is not to change.
        attributes["activation"] = tf_keras.activations.linear
        try:
            return call_in_inference(self.layer, [self.input])
        finally:
            attributes["activation"] = activation


@dataclasses.dataclass
class Quantized:
    """A tensor that a quantization-aware layer quantizes.

    Attributes:
        path: of the layer in the model.
        role: what for, `"output"`.
        quantizer: a function of a tensor.
        before, after: tensors.
    """

    path: str
    role: str
    quantizer: Callable
    before: tf.Tensor
    after: tf.Tensor


def run(
    model: tf_keras.Model, inputs: list[Any], packed: Collection[str] = ()
) -> tuple[list[QuantizedCall], list[Quantized], list[np.ndarray]]:
    """Every use of a quantized layer and what quantization-aware layers quantize in
    inference, in the order of the file, and the outputs.

    Args:
        model: a built Sequential or functional model.
        inputs: an array for each of its inputs.
        packed: paths of the layers that are packed in the file.
    """
    walk = _Walk(model, packed)  # keeps all tensors, so that they have different ids
    tensors = [tf.convert_to_tensor(x) for x in inputs]
    outputs = follow(model, tensors, walk.apply, walk.enter)
    outputs = [_as_stored(np.asarray(output)) for output in outputs]
    return walk.uses, walk.quantized, outputs


def _as_stored(output: np.ndarray) -> np.ndarray:
    """An output as a file has it: booleans and whole numbers are float32 there."""
    return output if output.dtype.kind == "f" else output.astype(np.float32)


class _Walk:
    def __init__(self, model: tf_keras.Model, packed: Collection[str]) -> None:
        self._packed = packed
        self.uses: list[QuantizedCall] = []
        self.quantized: list[Quantized] = []
        self._by_output: dict[int, QuantizedCall] = {}
        self._quantized: dict[int, tuple[Callable, tf.Tensor]] = {}
        self._paths: dict[int, str] = {}
        for layer, path in leaves(model):
            self._paths.setdefault(id(layer), path)

    def enter(self, call: LayerCall, inside: Callable[[], list]) -> list:
        """Follows a model inside, unless a file cannot hold the call."""
        in_inference(call.layer, self._path_of(call), call.args, call.kwargs)
        return inside()

    def _path_of(self, call: LayerCall) -> str:
        return self._paths.get(id(call.layer), call.path)

    def apply(self, call: LayerCall) -> list[tf.Tensor]:
        """Computes a layer, and keeps what it quantizes."""
        layer, path = call.layer, self._path_of(call)
        args, kwargs = in_inference(layer, path, call.args, call.kwargs)
        outputs, quantized = inference.observed(
            layer, lambda: call_in_inference(layer, args, kwargs)
        )
        results = tf.nest.flatten(outputs)
        found = [Quantized(path, *one) for one in quantized]
        source, result = args[0], results[0]
        twin = inference.quant_twin(layer, path in self._packed)
        if twin is not None:
            layer = twin.layer
            for one in found:
                if one.role == "input":
                    source = one.before if twin.takes_input else one.after
                elif one.role == "output":
                    result = one.before
            if twin.takes_input:
                found = [one for one in found if one.role != "input"]
        self.quantized += found
        for one in found:
            self._quantized[id(one.after)] = one.quantizer, one.before
        layer = inference.layer_inside(layer)
        if isinstance(layer, QuantLayer):
            use = QuantizedCall(layer, path, source, result)
            use.quantizer, use.unquantized = layer.input_quantizer, source
            if use.quantizer is None:
                behind = self._quantized.get(id(source), (None, None))
                use.quantizer, use.unquantized = behind
            self.uses.append(use)
            self._by_output[id(result)] = use
        elif isinstance(layer, (Quantizer, tf_keras.layers.Activation)):
            self._quantized[id(results[0])] = layer, args[0]
        elif id(args[0]) in self._quantized and _keeps_levels(layer):
            quantizer, source = self._quantized[id(args[0])]
            further = functools.partial(call_in_inference, layer, kwargs=kwargs)
            behind = _behind(quantizer, further, args[1:])
            self._quantized[id(results[0])] = behind, source
        elif facts_of(_unwrapped(layer)).is_batch_normalization:
            use = self._by_output.get(id(args[0]))
            if use is not None:
                # The file has it before a quantization-aware one rounds it.
                before = [one.before for one in found if one.role == "output"]
                use.normalized = before[0] if before else results[0]
        return results


def _unwrapped(layer: K.Layer) -> K.Layer:
    return layer.layer if isinstance(layer, K.Wrapper) else layer


def _keeps_levels(layer: K.Layer) -> bool:
    """Whether what comes out are values that went in, and zeros at most."""
    facts = facts_of(layer)
    return facts.keeps_values or facts.pads_zeros


def _behind(quantizer: Callable, further: Callable, others: tuple) -> Callable:
    return lambda x: further((call_in_inference(quantizer, [x]), *others))
