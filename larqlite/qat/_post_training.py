"""What is done to a quantized model with data but without training: biases, rounding."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._copies import copy_of
from larqlite._io import batches_of
from larqlite._progress import bar
from larqlite.errors import ArgumentError
from larqlite.graph import facts_of, require_model
from larqlite.primitives import learned_rounding
from larqlite.qat._kernel_sites import KernelSite, kernel_sites, values_at

__all__ = ["LayerRounding", "RoundingReport", "adaround", "correct_biases"]

log = logging.getLogger("larqlite.qat")


def correct_biases(
    model: tf_keras.Model, data: Any, batch_size: int = 32, steps: int | None = None
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
    sites, batches = _prepared(model, data, batch_size, steps, where)
    reference = copy_of(model, where)
    passed_over = {}
    with bar("correct biases", len(sites), "layers") as shown:
        for site, twin in zip(sites, kernel_sites(reference)[0], strict=True):
            if not _correct(site, twin, model, reference, batches):
                passed_over[site.path] = "it has no bias, and no normalization follows"
            shown.advance()
    _say_left(where, passed_over)
    return model


def adaround(
    model: tf_keras.Model,
    data: Any,
    batch_size: int = 32,
    steps: int = 1000,
    *,
    bias_correction: bool = True,
    learning_rate: float = 3e-2,
    regularizer: float = 1.0,
    seed: int = 0,
    progress: bool = True,
) -> RoundingReport:
    where = "lq.qat.adaround"
    sites, batches = _prepared(model, data, batch_size, None, where)
    reference = copy_of(model, where)
    twins, left = kernel_sites(reference)
    found, passed_over = [], {}
    with bar("adaround", len(sites) * steps, "steps") as shown:
        for site, twin in zip(sites, twins, strict=True):
            rounding = site.rounding
            zero = np.rint(rounding.lowest / rounding.step)
            last = np.rint(rounding.highest / rounding.step)
            inputs = _gathered(values_at(model, batches, site.number, True))
            targets = _gathered(
                twin.outputs(x, twin.kernel)
                for x in values_at(reference, batches, twin.number, True, False)
            )
            result = learned_rounding(
                site.kernel,
                (rounding.step, zero, last),
                lambda kernel, x, site=site: site.outputs(x, kernel),
                inputs,
                targets,
                steps=steps,
                learning_rate=learning_rate,
                regularizer=regularizer,
                seed=seed,
                on_step=shown.advance,
            )
            nearest = site.slot.quantizer
            before = np.asarray(
                tf.convert_to_tensor(
                    nearest(tf.constant(site.kernel), False, site.slot.variables)
                )
            )
            site.slot.weight.assign(result.weights)
            changed = ~np.isclose(
                before, result.weights, atol=float(np.max(rounding.step)) / 4
            )
            found.append(
                LayerRounding(
                    site.path, result.nearest_loss, result.loss, float(changed.mean())
                )
            )
            if bias_correction and not _correct(site, twin, model, reference, batches):
                passed_over[site.path] = "it has no bias, and no normalization follows"
    return RoundingReport(found, left)


def _gathered(parts) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts])


@dataclasses.dataclass(frozen=True)
class LayerRounding:
    """How the kernel of a layer was rounded.

    Attributes:
        name: of the layer, with those of the models around it.
        nearest_loss: mean squared error of its outputs with weights rounded to nearest.
        loss: that with the weights as they are now.
        changed: share of the weights that are not at the nearest level.
    """

    name: str
    nearest_loss: float
    loss: float
    changed: float


@dataclasses.dataclass(frozen=True)
class RoundingReport:
    layers: list
    left: dict


def _correct(site: KernelSite, twin: KernelSite, model, reference, batches) -> bool:
    layer = site.wrapper.layer
    normalization = next(
        (f for f in site.followers if facts_of(_inner(f)).is_batch_normalization), None
    )
    has_bias = getattr(layer, "bias", None) is not None
    if not has_bias and normalization is None:
        return False
    given = _means(layer, map(site.sums, values_at(model, batches, site.number, True)))
    wanted = _means(
        layer,
        (
            twin.sums(x, twin.kernel)
            for x in values_at(reference, batches, twin.number, True, False)
        ),
    )
    if has_bias:
        layer.bias.assign_sub(tf.cast(given - wanted, layer.bias.dtype))
    else:
        mean = _inner(normalization).moving_mean
        mean.assign_add(tf.cast(given - wanted, mean.dtype))
    return True


def _inner(layer):
    return getattr(layer, "layer", layer)


def _means(layer, outputs) -> np.ndarray:
    """The mean of each channel over batches of outputs, in float64."""
    is_first = getattr(layer, "data_format", None) == "channels_first"
    total, count = 0.0, 0
    for batch in outputs:
        values = np.asarray(batch, np.float64)
        values = np.moveaxis(values, 1, -1) if is_first else values
        rows = values.reshape(-1, values.shape[-1])
        total, count = total + rows.sum(0), count + len(rows)
    return total / count


def _prepared(model, data, batch_size, steps, where: str):
    require_model(model, where)
    sites, left = kernel_sites(model)
    if not sites:
        raise ArgumentError(
            f'{where}: no layer of "{model.name}" has a kernel that is rounded to a '
            "range.\n  Fix: make it so first, with lq.qat.quantize_model(model)."
        )
    _say_left(where, left)
    batches = list(batches_of(model, data, batch_size, steps, where))
    return sites, batches


def _say_left(where: str, left: dict) -> None:
    for path, reason in left.items():
        log.warning('%s: "%s" is left as it is: %s.', where, path, reason)
