"""Questions about the weights of a layer: signs, clips, codes, scales."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite import context
from larqlite.analysis._diagnosis import (
    DEAD,
    EXPLODED,
    NO_CLIP,
    NOT_FINITE,
    SATURATED,
    STARVED,
    ZERO_CODES,
    Histogram,
    Judged,
    judge,
)
from larqlite.graph import facts_of
from larqlite.layers import QuantLayer
from larqlite.layers.internal import may_starve
from larqlite.quantizers import NoOp

__all__ = [
    "Kernel",
    "ask_normalization",
    "ask_quantizer",
    "ask_weights",
    "kernels_of",
    "near_zero",
]

# One sign in all of fewer weights is no rarity.
_FEWEST = 8
# Relative, so that a weight at its clip is not beyond it.
_AT = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """A quantized weight of a layer.

    Attributes:
        path: of the layer.
        code: what leads to the weight, as `layer.kernel`.
        weight: the view; latent outside of a scope, quantized inside.
        quantizer: its quantizer.
        layer: the Quant layer, or that inside of a wrapper.
        name: of the weight.
        role: the argument of a Quant layer that quantizes it; "" for a wrapper's.
    """

    path: str
    code: str
    weight: Any
    quantizer: Any
    layer: tf_keras.layers.Layer
    name: str
    role: str = ""

    @property
    def latent(self) -> np.ndarray:
        """The trained values."""
        with context.quantized_scope(False):
            return tf.convert_to_tensor(self.weight).numpy()

    @property
    def quantized(self) -> np.ndarray:
        """The values that the layer computes with."""
        with context.quantized_scope(True):
            return tf.convert_to_tensor(self.weight).numpy()

    @property
    def precision(self) -> int | None:
        """Bits of a value, or None if not known."""
        return getattr(self.quantizer, "precision", None)

    @property
    def gradient_clip(self) -> float | None:
        """The magnitude beyond which no gradient passes, if there is one."""
        return getattr(self.quantizer, "clip_value", None)

    @property
    def summed(self) -> tuple[int, ...]:
        """The axes of weights that are added up to one output."""
        rank = len(self.weight.shape)
        for axes in facts_of(self.layer).kernels:
            if axes.name == self.name and axes.channels_out:
                return tuple(axis % rank for axis in axes.summed)
        return tuple(range(rank - 1))

    @property
    def constraint(self) -> str:
        """The argument of its layer that constrains it."""
        return self.name.removesuffix("_kernel") + "_constraint"

    @property
    def is_binary(self) -> bool:
        """Whether its values are two, one below and one above zero."""
        return self.precision == 1 and not isinstance(self.quantizer, NoOp)


def kernels_of(path: str, layer: tf_keras.layers.Layer) -> Iterator[Kernel]:
    """The quantized weights of one layer, a wrapper of quantization-aware training too."""
    if isinstance(layer, QuantLayer):
        for name, role in layer.quantized_weights.items():
            if (quantizer := getattr(layer, role)) is not None:
                weight = getattr(layer, name)
                code = f"layer.{name}"
                yield Kernel(path, code, weight, quantizer, layer, name, role)
    for slot in getattr(layer, "weight_slots", ()):
        name = slot.weight.name.partition(":")[0].split("/")[-1]
        quantizer = getattr(slot.quantizer, "quantizer", slot.quantizer)
        code = f"layer.layer.{name}"
        yield Kernel(path, code, slot.weight, quantizer, layer.layer, name)


def ask_weights(judged: list[Judged], kernel: Kernel, keeps_latents: bool) -> None:
    """What its latent and its quantized values say.

    Args:
        judged: takes the answers.
        kernel: the weight.
        keeps_latents: whether there are any; with `Bop`, weights are their signs.
    """
    latent, code = kernel.latent, kernel.code
    bad = float(np.mean(~np.isfinite(latent)))
    spread = Histogram.of(latent, "latent weight", _limits(kernel))
    if judge(judged, kernel.path, NOT_FINITE, bad, _nan_fix(code), spread):
        return
    quantized = kernel.quantized
    if kernel.is_binary:
        _ask_signs(judged, kernel, quantized, spread)
        if keeps_latents:
            _ask_clips(judged, kernel, latent, spread)
    elif kernel.precision is not None and kernel.precision > 1:
        # Weights that are zero before, as pruned ones, stay it at any width.
        kept = latent != 0
        codes = Histogram.of(latent, "weight before rounding")
        share = float(np.mean(quantized[kept] == 0)) if kept.any() else 0.0
        judge(judged, kernel.path, ZERO_CODES, share, _zero_fix(kernel), codes)


def _ask_signs(
    judged: list[Judged], kernel: Kernel, quantized: np.ndarray, spread: Histogram
) -> None:
    axes = kernel.summed
    if np.prod([quantized.shape[axis] for axis in axes]) < _FEWEST:
        return
    share = np.abs(np.mean(np.sign(quantized), axis=axes)) == 1
    judge(
        judged,
        kernel.path,
        DEAD,
        float(share.mean()),
        "let each output channel have weights of both signs, e.g. take out its mean:\n"
        f"    {kernel.code}.assign({kernel.code} - "
        f"tf.reduce_mean({kernel.code}, axis={list(axes)}, keepdims=True))",
        spread,
    )


def _ask_clips(
    judged: list[Judged], kernel: Kernel, latent: np.ndarray, spread: Histogram
) -> None:
    magnitude, layer, code = np.abs(latent), kernel.layer, kernel.code
    beyond = kernel.gradient_clip
    if beyond is not None:
        share = float(np.mean(magnitude > beyond * (1 + _AT)))
        judge(
            judged,
            kernel.path,
            STARVED,
            share,
            f"bring them back to where gradients pass, up to {beyond:g}, and keep them "
            f'there with {kernel.constraint}="weight_clip":\n'
            f"    {code}.assign({code} * {beyond:g} / tf.reduce_max(tf.abs({code})))",
            spread,
        )
    if not isinstance(layer, QuantLayer):
        return
    clip = layer.clip_of(kernel.name)
    if clip is not None:
        at = np.abs(magnitude - clip) <= clip * _AT
        judge(
            judged,
            kernel.path,
            SATURATED,
            float(np.mean(at)),
            "begin again near zero, the signs as they are, and train at a lower rate (a "
            "network of the optimizer Bop is compiled with it, and not asked):\n"
            f"{near_zero(code)}",
            spread,
        )
    missing = may_starve(layer, kernel.role, kernel.quantizer)
    judge(
        judged,
        kernel.path,
        NO_CLIP,
        float(missing),
        f'make the layer with {kernel.constraint}="weight_clip", so that no weight leaves '
        "the range where it gets a gradient.",
        spread,
    )


def ask_quantizer(
    judged: list[Judged], path: str, quantizer: Any, code: str, shape: str
) -> None:
    """Whether scales and thresholds that a quantizer has learned are sane.

    Args:
        judged: takes the answers.
        path: of the layer.
        quantizer: the quantizer.
        code: what leads to it, as `layer.kernel_quantizer`.
        shape: what leads to the shape that it is built for.
    """
    if not isinstance(quantizer, tf_keras.layers.Layer) or not quantizer.weights:
        return
    values = np.concatenate([w.numpy().ravel() for w in quantizer.weights])
    judge(
        judged,
        path,
        EXPLODED,
        float(np.max(np.abs(values))),
        "begin again with what the quantizer begins with, and train at a lower rate, or "
        "with gradients that are clipped:\n"
        f"    fresh = type({code}).from_config({code}.get_config())\n"
        f"    fresh.build({shape})\n"
        f"    {code}.set_weights(fresh.get_weights())",
        Histogram.of(values, "learned scales and thresholds"),
    )


def ask_normalization(
    judged: list[Judged], path: str, layer: tf_keras.layers.Layer
) -> None:
    """What a batch normalization scales its channels by, in inference."""
    variance = layer.moving_variance.numpy()
    gamma = np.ones_like(variance) if layer.gamma is None else layer.gamma.numpy()
    with np.errstate(invalid="ignore"):
        factor = np.abs(gamma) / np.sqrt(variance + layer.epsilon)
    lines = ["layer.moving_variance.assign(tf.ones_like(layer.moving_variance))"]
    if layer.gamma is not None:
        lines.append("layer.gamma.assign(tf.ones_like(layer.gamma))")
    judge(
        judged,
        path,
        EXPLODED,
        float(np.max(factor)),
        "begin again with a factor of 1, and train at a lower rate, or with gradients "
        "that are clipped:\n" + "\n".join(f"    {line}" for line in lines),
        Histogram.of(factor, "factor of a channel, gamma / sqrt(variance + epsilon)"),
    )


def near_zero(code: str) -> str:
    """Code that brings latent weights near zero, with the signs that they have."""
    return (
        f"    {code}.assign(tf.sign({code}) * tf.random.uniform({code}.shape, 0, 0.1))"
    )


def _limits(kernel: Kernel) -> tuple[float, ...]:
    clip = kernel.gradient_clip
    if isinstance(kernel.layer, QuantLayer):
        clip = kernel.layer.clip_of(kernel.name)
    return () if clip is None else (-clip, clip)


def _nan_fix(code: str) -> str:
    return (
        "train again from a file before it happened, at a lower rate; what is there "
        "can only be made zero:\n"
        f"    {code}.assign(tf.where(tf.math.is_finite({code}), {code}, 0))"
    )


def _zero_fix(kernel: Kernel) -> str:
    code = kernel.code
    scaled = " / limit" if hasattr(kernel.quantizer, "threshold_value") else ""
    # Of a quantization-aware layer, what comes out has another range then.
    ranges = "" if kernel.role else "\n    lq.qat.calibrate(model, data)"
    return (
        "bring all weights to the magnitude of most, so that levels other than zero are "
        "reached:\n"
        f"    limit = 3 * tf.reduce_mean(tf.sort(tf.abs(tf.reshape({code}, [-1])))"
        f"[: max(1, {kernel.latent.size} * 9 // 10)])\n"
        f"    {code}.assign(tf.clip_by_value({code}, -limit, limit){scaled})"
        f"{ranges}"
    )
