"""What is done to a quantized model with data but without training: biases, rounding."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._copies import copy_of, is_table
from larqlite._io import batches_of
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
from larqlite.errors import ArgumentError
from larqlite.graph import facts_of, require_model
from larqlite.primitives import learned_rounding
from larqlite.qat._kernel_sites import KernelSite, kernel_sites, values_at

__all__ = ["adaround", "correct_biases"]

log = logging.getLogger("larqlite.qat")


def correct_biases(
    model: tf_keras.Model, data: Any, batch_size: int = 128, steps: int | None = None
) -> tf_keras.Model:
    r"""Takes the mean error that rounding makes off the biases, layer by layer.

    In order of computation, for each channel of each layer with a kernel,

    $$ b \leftarrow b - \left( E[\tilde W \tilde x + b] - E[W x + b] \right) $$

    where $\tilde x$ comes out of the layers before, rounded and corrected, and the means
    are over the data and all positions. A layer without a bias that a batch
    normalization follows has it in the moving mean of that.

    Args:
        model: a model made by `quantize_model` or `quantize_apply`, with ranges; changed
            in place.
        data: inputs as for `lq.qat.calibrate`; labels are not used. Some hundred
            samples do. All batches are held in memory.
        batch_size: for arrays.
        steps: stop after this many batches; all by default.

    Returns:
        The model.

    Raises:
        ArgumentError: no data, or a model without a layer that this is for.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(2, input_shape=(3,), kernel_initializer="ones")])
        >>> x = np.random.default_rng(0).random((64, 3)).astype("float32")
        >>> quantized = lq.qat.quantize_model(model, scheme="int2", calibrate=x)
        >>> _ = lq.qat.correct_biases(quantized, x)
        >>> error = quantized.layers[-1].layer.bias - tf.reduce_mean(model(x), 0)
        >>> bool(np.any(error != 0))
        True

    References:
        Nagel et al., https://arxiv.org/abs/1906.04721, section 4.2 and appendix D.
    """
    where = "lq.qat.correct_biases"
    sites, left, batches = _prepared(model, data, batch_size, steps, where)
    reference = copy_of(model, where)
    with (
        _restored_if_it_fails(model),
        bar("correct biases", len(sites), "layers") as shown,
    ):
        for site, twin in zip(sites, kernel_sites(reference)[0], strict=True):
            if not _correct(site, twin, model, reference, batches):
                left[site.path] = NO_BIAS
            shown.advance()
    say_left(log, where, left)
    return model


def adaround(
    model: tf_keras.Model,
    data: Any,
    batch_size: int = 128,
    *,
    steps: int = 1000,
    bias_correction: bool = True,
    learning_rate: float = 3e-2,
    regularizer: float = 1.0,
    seed: int = 0,
) -> RoundingReport:
    r"""Learns which weights are rounded up and which down, layer by layer, without labels.

    Each kernel is fitted so that the layer, with the normalization and the ReLU that
    follow it, gives out for the inputs $\tilde x$ that it has in the quantized model what
    it gives out in float for those of the float model:

    $$ \min_V \lVert f(W x) - f(\tilde W(V) \tilde x) \rVert^2 $$

    with the soft rounding and the regularizer of `larqlite.primitives.learned_rounding`.
    Ranges stay, and the kernels are on their levels afterwards: so the float model is
    not in there any more, and calibrating comes first. A layer whose error does not
    become less keeps the nearest levels.

    Args:
        model: a model made by `quantize_model` or `quantize_apply`, with ranges; changed
            in place.
        data: inputs as for `lq.qat.calibrate`; labels are not used. Some hundred to some
            thousand samples; they, and what goes into and comes out of one layer, are
            held in memory.
        batch_size: for arrays.
        steps: of Adam, for each layer.
        bias_correction: whether the mean error that is left goes into the bias, as by
            `correct_biases`.
        learning_rate: of Adam.
        regularizer: the weight of what makes the rounding hard.
        seed: of the order of samples.

    Returns:
        The errors of the layers; print it.

    Raises:
        ArgumentError: no data, or a model without a layer that this is for, or `steps`
            below 1. After an interruption the model is as it was.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> x = np.random.default_rng(0).random((64, 3)).astype("float32")
        >>> quantized = lq.qat.quantize_model(model, scheme="int3", calibrate=x)
        >>> (layer,) = lq.qat.adaround(quantized, x, steps=50).layers
        >>> layer.loss <= layer.nearest_loss
        True

    References:
        AdaRound, https://arxiv.org/abs/2004.10568, eq. 21 to 25.
    """
    where = "lq.qat.adaround"
    require_steps(steps, where)
    sites, left, batches = _prepared(model, data, batch_size, None, where)
    reference = copy_of(model, where)
    settings = {
        "steps": steps,
        "learning_rate": learning_rate,
        "regularizer": regularizer,
        "seed": seed,
    }
    found, without_bias = [], []
    count = sum(len(tf.nest.flatten(batch)[0]) for batch in batches)
    with (
        _restored_if_it_fails(model),
        bar("adaround", len(sites) * steps, "steps") as shown,
    ):
        for site, twin in zip(sites, kernel_sites(reference)[0], strict=True):
            wanted = ChannelMeans(site.has_channels_first)
            inputs = gathered(values_at(model, batches, site.number, True), count)
            targets = gathered(_targets(twin, reference, batches, wanted), count)
            found.append(_learned(site, inputs, targets, settings, shown.advance))
            if bias_correction:
                given = ChannelMeans(site.has_channels_first).add_all(
                    map(site.sums, map(tf.constant, slices(inputs)))
                )
                if not _moved(site, given.value - wanted.value):
                    without_bias.append(site.path)
    say_left(log, where, left)
    return RoundingReport(tuple(found), left, tuple(without_bias))


def _targets(twin, reference, batches, means: ChannelMeans) -> Iterator[tf.Tensor]:
    """What a layer gives out in float, batch by batch; means of its sums come along."""
    kernel = twin.kernel
    for inputs in values_at(reference, batches, twin.number, True, False):
        means.add(twin.sums(inputs, kernel))
        yield twin.outputs(inputs, kernel)


def _learned(site, inputs, targets, settings, on_step) -> LayerRounding:
    kernel, rounding = site.kernel, site.rounding
    step = np.where(rounding.step > 0, rounding.step, 1)
    result = learned_rounding(
        kernel,
        (step, *(np.rint(end / step) for end in (rounding.lowest, rounding.highest))),
        lambda kernel, inputs: site.outputs(inputs, kernel),
        inputs,
        targets,
        **settings,
        on_step=on_step,
    )
    site.slot.weight.assign(result.weights)
    return LayerRounding.of(site.path, kernel, step, result)


@contextlib.contextmanager
def _restored_if_it_fails(model: tf_keras.Model) -> Iterator[None]:
    kept = [(v, v.numpy()) for v in model.variables if not is_table(v)]
    try:
        yield
    except BaseException:  # Ctrl-C leaves no half-rounded model either
        for variable, value in kept:
            variable.assign(value)
        raise


def _correct(site: KernelSite, twin: KernelSite, model, reference, batches) -> bool:
    given, wanted = (ChannelMeans(site.has_channels_first) for _ in range(2))
    given.add_all(map(site.sums, values_at(model, batches, site.number, True)))
    wanted.add_all(
        twin.sums(inputs, twin.kernel)
        for inputs in values_at(reference, batches, twin.number, True, False)
    )
    return _moved(site, given.value - wanted.value)


def _moved(site: KernelSite, error: np.ndarray) -> bool:
    """Takes an error off what is added to a layer's sums; False if nothing is."""
    layer = site.wrapper.layer
    if getattr(layer, "bias", None) is not None:
        layer.bias.assign_sub(tf.cast(error, layer.bias.dtype))
        return True
    for follower in map(_inner, site.followers):
        if facts_of(follower).is_batch_normalization:
            mean = follower.moving_mean
            mean.assign_add(tf.cast(error, mean.dtype))
            return True
    return False


def _inner(layer):
    return getattr(layer, "layer", layer)


def _prepared(model, data, batch_size, steps, where: str):
    require_model(model, where)
    sites, left = kernel_sites(model)
    if not sites:
        raise ArgumentError(
            f'{where}: no layer of "{model.name}" has a kernel that is rounded to a '
            "range.\n  Fix: make it so first, with lq.qat.quantize_model(model)."
        )
    batches = list(batches_of(model, data, batch_size, steps, where))
    if not batches:
        raise ArgumentError(
            f"{where}: the data has no batch.\n"
            "  Fix: pass at least one batch of inputs; a generator can be read only once."
        )
    return sites, left, batches
