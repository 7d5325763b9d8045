"""`diagnose`: what is ill in a low-bit network, and what makes it well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.analysis._diagnosis import Diagnosis, Judged
from larqlite.analysis._input_checks import QuantizedInput
from larqlite.analysis._kernel_checks import (
    ask_normalization,
    ask_quantizer,
    ask_weights,
    kernels_of,
)
from larqlite.analysis._samples import Samples
from larqlite.analysis._training_checks import ask_training
from larqlite.errors import ArgumentError
from larqlite.graph import (
    LayerCall,
    call_in_inference,
    facts_of,
    follow,
    in_order,
    require_model,
)
from larqlite.layers import QuantLayer
from larqlite.optimizers import Bop
from larqlite.qat import QuantizeLayer, QuantizeWrapperV2
from larqlite.qat.passes import is_never_negative
from larqlite.quantizers import Quantizer

__all__ = ["diagnose"]

_WHERE = "lq.analysis.diagnose"
Layer = tf_keras.layers.Layer


def diagnose(
    model: tf_keras.Model,
    data: Any,
    *,
    samples: int = 256,
    batch_size: int = 32,
    steps: int = 8,
    learning_rate: float = 0.01,
    seed: int = 0,
) -> Diagnosis:
    r"""What is ill in a low-bit network: each illness with its figure, and the fix.

    The model is looked at, run on the data, and a copy of it is trained for a few steps
    with Adam, to see which weights get gradients and which flip. It is not changed.

    | illness | figure | ill |
    |---|---|---|
    | dead kernels | output channels of a binary kernel with one sign only | > 25 % |
    | weights that never flip | weights whose sign the steps change | 0 % |
    | saturated latents | latent weights at their clip | > 90 % |
    | starved latents | latent weights beyond the clip of their gradient | > 5 % |
    | zero codes | weights, or activations, of several levels that become 0 | > 98 % |
    | clipped activations | activations at the largest of three or more levels | > 40 % |
    | unnormalized inputs of signs | channels with one sign (or 95 % without gradient) | > 50 % |
    | ReLU before a sign | negative numbers among the inputs of a sign | 0 % |
    | missing weight_clip | a binary kernel without constraint, whose gradient ends | yes |
    | exploded scales | factor of a batch normalization, or a learned scale | > 1000 |
    | gradients that are zero | weights whose gradient is 0 in every step | > 95 % |
    | numbers that are not finite | weights or activations | > 0 % |

    Args:
        model: a built Sequential or functional tf_keras model: of larqlite's layers,
            quantization-aware, or float.
        data: inputs, or `(inputs, labels)`, as arrays; or batches of these. Without labels
            random signs of the outputs stand for the gradient of the loss.
        samples: how many of the data to look at.
        batch_size: how many are computed at once, and are in a training step.
        steps: training steps of the copy.
        learning_rate: of Adam in these steps.
        seed: of the signs.

    Returns:
        A `Diagnosis`; `print` of it shows what is ill.

    Raises:
        ArgumentError: data that do not fit the model or are not finite, or a number that
            cannot be.
        UnbuiltModelError, UnsupportedModelError: a model without weights yet, or that
            cannot be followed.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.Input((8,)),
        ...     tf_keras.layers.Dense(16, activation="relu", name="first"),
        ...     lq.layers.QuantDense(4, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="signs")])
        >>> x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
        >>> report = lq.analysis.diagnose(model, x, steps=0)
        >>> [(found.layer, found.illness) for found in report.findings]
        [('signs', 'ReLU before a sign')]

    References:
        Larq's guide to training, https://docs.larq.dev/larq/guides/bnn-optimization/;
        XNOR-Net, https://arxiv.org/abs/1603.05279, section 3.2 (normalization before signs).
    """
    require_model(model, _WHERE)
    _require(samples, batch_size, steps, learning_rate)
    given = Samples.of(model, data, samples, batch_size, _WHERE)
    judged: list[Judged] = []
    optimizer = getattr(model, "optimizer", None)
    members = getattr(optimizer, "optimizers", [optimizer])
    keeps_latents = not any(isinstance(member, Bop) for member in members)
    layers = list(_layers_of(model))
    for path, layer in layers:
        for kernel in kernels_of(path, layer):
            ask_weights(judged, kernel, keeps_latents)
            code = f"layer.{kernel.role}"
            shape = f"{kernel.code}.shape"
            ask_quantizer(judged, path, kernel.quantizer, code, shape)
        if facts_of(layer).is_batch_normalization:
            ask_normalization(judged, path, layer)
    for watched in _inputs(model, given):
        watched.ask(judged)
        ask_quantizer(
            *(judged, watched.path, watched.quantizer),
            *(watched.code, "layer.input_shape"),
        )
    if steps and _is_finite(judged):
        ask_training(
            *(judged, model, _layers_of, given, steps, learning_rate, seed, _WHERE),
            keeps_latents=keeps_latents,
        )
    order = {path: number for number, (path, _) in enumerate(layers)}
    judged.sort(key=lambda item: order.get(item.layer, len(order)))
    return Diagnosis(model.name, given.count, steps, tuple(judged))


def _layers_of(model: tf_keras.Model) -> Iterator[tuple[str, Layer]]:
    """Each layer once, with its path, those of models inside too, as they compute."""
    found: dict[int, tuple[str, Layer]] = {}

    def apply(call: LayerCall) -> list:
        if isinstance(call.layer, Layer):
            found.setdefault(id(call.layer), (call.path, call.layer))
        return [None] * len(call.output_tensors)

    follow(model, [None] * len(model.inputs), apply)
    yield from found.values()


def _inputs(model: tf_keras.Model, samples: Samples) -> list[QuantizedInput]:
    """What is quantized as the model runs, counted over all samples."""
    found: dict[Any, QuantizedInput] = {}
    # By `id` of a value: the layer that its numbers were computed in.
    sources: dict[int, tuple[str | None, bool]] = {}

    def note(call: LayerCall, quantizer: Any, given: Any, out: Any) -> None:
        key = (id(call.layer), quantizer is None)
        if key not in found:
            source, is_rectified = sources.get(id(given), (None, False))
            code = _code_of(call.layer, quantizer)
            found[key] = QuantizedInput(
                call.path, quantizer, source, code, is_rectified
            )
        found[key].add(given.numpy(), out.numpy())

    def apply(call: LayerCall) -> Any:
        layer = call.layer
        result = call_in_inference(layer, call.args, call.kwargs)
        outputs = tf.nest.flatten(result)
        read = call.inputs[0] if call.inputs else None
        quantizer = _quantizer_of(layer)
        if quantizer is not None and _is_floating(read):
            out = outputs[0] if layer is quantizer else quantizer(read)
            note(call, quantizer, read, out)
        elif _has_output_range(layer) and _is_floating(outputs[0]):
            note(call, None, outputs[0], outputs[0])
        keeps = isinstance(layer, Layer) and facts_of(layer).keeps_signs
        source = call.path, isinstance(layer, Layer) and is_never_negative(layer)
        if keeps:
            source = sources.get(id(read), source)
        kept.extend(outputs)  # so that no `id` is given to another value
        sources.update({id(value): source for value in outputs})
        return result

    for batch in samples.batches():
        kept: list = []
        sources.clear()
        values = in_order(model, batch)
        sources.update({id(value): (None, False) for value in values})
        follow(model, values, apply)
    return list(found.values())


def _quantizer_of(layer: Any) -> Any:
    """What quantizes the input of a layer, or is the layer; None for others."""
    if isinstance(layer, Quantizer):
        return layer
    if isinstance(layer, QuantLayer):
        return layer.input_quantizer
    activation = getattr(layer, "activation", None)
    if type(layer) is tf_keras.layers.Activation and isinstance(activation, Quantizer):
        return activation
    return None


def _code_of(layer: Any, quantizer: Any) -> str:
    """What leads to the quantizer from its layer."""
    if layer is quantizer:
        return "layer"
    return (
        "layer.input_quantizer" if isinstance(layer, QuantLayer) else "layer.activation"
    )


def _has_output_range(layer: Any) -> bool:
    """Whether a layer of quantization-aware training rounds what it gives out."""
    if not isinstance(layer, QuantizeWrapperV2):
        return isinstance(layer, QuantizeLayer)
    names = [weight.name for weight in layer.weights]
    return any("post_activation" in name or "output" in name for name in names)


def _is_floating(value: Any) -> bool:
    return tf.is_tensor(value) and value.dtype.is_floating


def _is_finite(judged: list[Judged]) -> bool:
    return all(np.isfinite(item.figure) for item in judged)


def _require(samples: Any, batch_size: Any, steps: Any, learning_rate: Any) -> None:
    least = {
        "samples": (samples, 1),
        "batch_size": (batch_size, 1),
        "steps": (steps, 0),
    }
    for name, (number, low) in least.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < low:
            raise ArgumentError(
                f"{_WHERE}: {name}={number!r}.\n  Fix: a whole number from {low}, such as 32."
            )
    if not isinstance(learning_rate, (int, float)) or not learning_rate > 0:
        raise ArgumentError(
            f"{_WHERE}: learning_rate={learning_rate!r}.\n  Fix: a number above 0, e.g. 0.01."
        )
