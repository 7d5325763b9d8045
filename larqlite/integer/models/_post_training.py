"""Learned rounding and corrected biases of a quantized model, layer by layer."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._layer_rounding import (
    NO_BIAS,
    ChannelMeans,
    LayerRounding,
    RoundingReport,
    gathered,
    require_steps,
    say_left,
    slices,
)
from larqlite._progress import bar
from larqlite.errors import ArgumentError, QuantizedTypeError
from larqlite.graph import LayerCall, LayerOfKernel, facts_of, follow, require_model
from larqlite.integer.layers import WeightQuantizer
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.integer.models import _samples
from larqlite.integer.models._model_graph import consumers_of
from larqlite.integer.models.transforms.internal import prepared
from larqlite.integer.tensors import QFloat
from larqlite.primitives import learned_rounding

__all__ = ["adaround", "correct_biases"]

log = logging.getLogger("larqlite.integer")

_BATCH_SIZE = 128


def correct_biases(
    model: tf_keras.Model,
    qmodel: tf_keras.Model,
    samples: Any,
    num_samples: int = 1024,
    batch_size: int | None = None,
) -> None:
    r"""Takes the mean error that rounding makes off the biases, layer by layer.

    In order of computation, for each channel of each layer with a kernel,

    $$ b \leftarrow b - \left( E[\tilde W \tilde x + b] - E[W x + b] \right) $$

    where $\tilde x$ is what comes out of the integer layers before, whose biases are
    corrected, and the means are over the samples and all positions. What a bias is
    rounded to itself is not part of it.

    Args:
        model: the float model.
        qmodel: what `quantize` made of it, calibrated; changed in place.
        samples: as for `calibrate`; they are held in memory.
        num_samples: how many of them are used.
        batch_size: for arrays; 128 by default.

    Raises:
        ArgumentError: (a `ValueError`) wrong samples, models that do not belong
            together, or no layer with a kernel of integers.

    References:
        Nagel et al., https://arxiv.org/abs/1906.04721, section 4.2 and appendix D.
    """
    where = "lq.integer.models.correct_biases"
    sites, left, batches = _prepared(
        model, qmodel, samples, num_samples, batch_size, where
    )
    with bar("correct biases", len(sites), "layers") as shown:
        for site in sites:
            wanted = ChannelMeans()
            for _ in site.targets(batches, wanted):
                pass
            if not site.correct_bias(site.inputs(batches), wanted):
                left[site.layer.name] = NO_BIAS
            shown.advance()
    say_left(log, where, left)


def adaround(
    model: tf_keras.Model,
    qmodel: tf_keras.Model,
    samples: Any,
    num_samples: int = 1024,
    batch_size: int | None = None,
    *,
    steps: int = 1000,
    bias_correction: bool = True,
    learning_rate: float = 3e-2,
    regularizer: float = 1.0,
    seed: int = 0,
) -> RoundingReport:
    r"""Learns which weights are rounded up and which down, layer by layer, without labels.

    Each kernel is fitted so that the layer, with a ReLU that follows it, gives out for
    the inputs $\tilde x$ that it has in the integer model what the float layer gives
    out for those of the float model:

    $$ \min_V \lVert f(W x) - f(\tilde W(V) \tilde x) \rVert^2 $$

    with the soft rounding and the regularizer of `larqlite.primitives.learned_rounding`.
    Kernels keep their scales, and are on their levels afterwards. A layer whose error
    does not become less keeps the nearest levels.

    Args:
        model: the float model.
        qmodel: what `quantize` made of it, calibrated; changed in place.
        samples: as for `calibrate`. Some hundred to some thousand; they, and what goes
            into and comes out of one layer, are held in memory.
        num_samples: how many of them are used.
        batch_size: for arrays; 128 by default.
        steps: of Adam, for each layer.
        bias_correction: whether the mean error that is left goes into the bias.
        learning_rate: of Adam.
        regularizer: the weight of what makes the rounding hard.
        seed: of the order of samples.

    Returns:
        A `lq.qat.RoundingReport` with the errors of the layers; print it.

    Raises:
        ArgumentError: (a `ValueError`) as `correct_biases`, and for `steps` below 1.

    References:
        AdaRound, https://arxiv.org/abs/2004.10568, eq. 21 to 25.
    """
    where = "lq.integer.models.adaround"
    require_steps(steps, where)
    sites, left, batches = _prepared(
        model, qmodel, samples, num_samples, batch_size, where
    )
    found, without_bias = [], []
    count = sum(len(tf.nest.flatten(batch)[0]) for batch in batches)
    with bar("adaround", len(sites) * steps, "steps") as shown:
        for site in sites:
            kernel, codes = site.kernel.numpy(), site.codes()
            wanted = ChannelMeans()
            inputs = gathered(site.inputs(batches), count)
            targets = gathered(site.targets(batches, wanted), count)
            result = learned_rounding(
                kernel,
                codes,
                site.outputs,
                inputs,
                targets,
                steps=steps,
                learning_rate=learning_rate,
                regularizer=regularizer,
                seed=seed,
                on_step=shown.advance,
            )
            site.kernel.assign(result.weights)
            found.append(LayerRounding.of(site.layer.name, kernel, codes[0], result))
            if bias_correction and not site.correct_bias(slices(inputs), wanted):
                without_bias.append(site.layer.name)
    say_left(log, where, left)
    return RoundingReport(tuple(found), left, tuple(without_bias))


@dataclasses.dataclass(frozen=True)
class _Site:
    """An integer layer with a kernel, and the float layer that it stands for.

    Attributes:
        layer: the integer layer.
        kernel: its variable.
        quantizer: of the kernel.
        function: the float layer as a function of the kernel.
        is_before_relu: whether a ReLU, with this largest value, is what reads it.
        largest: of that ReLU; None for none.
        given: from the quantized model's inputs to what goes into the layer.
        wanted: from the float model's inputs to what comes out of the float layer.
    """

    layer: QuantizedLayer
    kernel: tf.Variable
    quantizer: WeightQuantizer
    function: LayerOfKernel
    is_before_relu: bool
    largest: float | None
    given: tf_keras.Model
    wanted: tf_keras.Model

    def codes(self) -> tuple:
        """The step of each weight, and the first and last code."""
        quantized = self.quantizer(self.kernel)
        fixed = getattr(quantized, "fp", quantized)
        step = np.ldexp(1.0, -np.asarray(fixed.frac_bits))
        last = 2.0**self.quantizer.value_bits - 1
        if isinstance(quantized, QFloat):
            return step * np.asarray(quantized.scales), -last, last
        return step, -last - 1, last

    def inputs(self, batches: list) -> Iterator[np.ndarray]:
        """What goes into the integer layer, as floats."""
        for batch in batches:
            value = self.given(batch, training=False)
            yield self.layer.gated(value).to_float().numpy()

    def targets(self, batches: list, means: ChannelMeans) -> Iterator[np.ndarray]:
        """What comes out of the float layer, or of its ReLU; means of its sums as well."""
        for batch in batches:
            sums = self.wanted(batch, training=False)
            means.add(sums)
            yield self._activated(sums).numpy()

    def outputs(self, kernel, inputs) -> tf.Tensor:
        """What comes out of the layer, or of its ReLU, with values of its kernel."""
        return self._activated(self.function(kernel, inputs))

    def _activated(self, sums) -> tf.Tensor:
        if not self.is_before_relu:
            return sums
        sums = tf.nn.relu(sums)
        return sums if self.largest is None else tf.minimum(sums, self.largest)

    def correct_bias(self, inputs: Iterable, wanted: ChannelMeans) -> bool:
        """Takes the mean error off the bias; False if there is none."""
        bias = getattr(self.layer, "bias", None)
        if bias is None:
            return False
        kernel = self.quantizer(self.kernel).to_float()
        given = ChannelMeans().add_all(self.function(kernel, x) for x in inputs)
        bias.assign_sub(tf.cast(given.value - wanted.value, bias.dtype))
        self.function.layer.bias.assign(bias)
        return True


def _prepared(model, qmodel, samples, num_samples, batch_size, where: str) -> tuple:
    for each in (model, qmodel):
        require_model(each, where, refused=QuantizedTypeError)
    if _samples.is_stateful(model):
        raise ArgumentError(
            f'{where}: "{model.name}" keeps a state from one batch to the next.\n'
            "  Fix: only `calibrate` is for such models."
        )
    model = prepared(model)[0]
    size = batch_size or _BATCH_SIZE
    batches = [b for b, _ in _samples.batches(model, samples, num_samples, size)]
    sites, left = _sites(model, qmodel, where)
    if not sites:
        raise ArgumentError(
            f'{where}: no layer of "{qmodel.name}" has a kernel of integers of two bits '
            "or more.\n  Fix: pass what lq.integer.models.quantize made of the model."
        )
    return sites, left, batches


def _sites(model, qmodel, where: str) -> tuple[list[_Site], dict[str, str]]:
    twins = {layer.name: layer for layer in model.layers}
    readers, times, sites, left = consumers_of(model), _times(qmodel), [], {}
    for layer in qmodel.layers:
        twin = twins.get(layer.name)
        slots = getattr(layer, "slots_of_weights", {})
        kernels = facts_of(layer).kernels if slots else ()
        if not kernels or not isinstance(layer, QuantizedLayer):
            continue
        name = kernels[0].name
        quantizer = getattr(layer, slots.get(name, ""), None)
        if type(quantizer) is not WeightQuantizer or not quantizer.signed:
            continue
        if quantizer.bitwidth == 1:
            left[layer.name] = "its kernel has one bit"
        elif twin is None or len(kernels) > 1:
            left[layer.name] = "it is no layer of one kernel in both models"
        elif times[layer.name] > 1:
            left[layer.name] = f"it is called {times[layer.name]} times"
        else:
            sites.append(
                _site(layer, twin, name, quantizer, readers, model, qmodel, where)
            )
    return sites, left


def _times(model) -> Counter:
    """How often each layer of a model is called, by name."""
    times: Counter = Counter()

    def apply(call: LayerCall) -> list:
        times[call.layer.name] += 1
        return [None] * len(call.output_tensors)

    follow(model, [None] * len(model.inputs), apply)
    return times


def _site(layer, twin, name, quantizer, readers, model, qmodel, where) -> _Site:
    function = LayerOfKernel(twin, name, where)
    if getattr(layer, "bias", None) is not None:
        function.layer.bias.assign(layer.bias)
    after = readers.get(layer.name, [])
    is_relu = len(after) == 1 and isinstance(after[0], tf_keras.layers.ReLU)
    return _Site(
        layer,
        getattr(layer, name),
        quantizer,
        function,
        is_relu,
        after[0].max_value if is_relu else None,
        tf_keras.Model(qmodel.inputs, layer.input),
        tf_keras.Model(model.inputs, twin.output),
    )
