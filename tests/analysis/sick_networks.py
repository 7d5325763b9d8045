"""Networks that are made ill in one way each, and well again as the fix says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.common.eager import quantize_model

layers = tf_keras.layers
CLIPPED = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
BINARY = {"input_quantizer": "ste_sign", **CLIPPED}
X = np.random.default_rng(0).normal(size=(32, 12)).astype("float32")
IMAGES = np.random.default_rng(1).normal(size=(32, 6, 6, 4)).astype("float32")
Y = np.arange(32) % 3


@dataclasses.dataclass(frozen=True)
class Sick:
    """One of them.

    Attributes:
        make: builds it.
        layer: the layer that is ill.
        illness: its name.
        healed: builds it as the fix says; None if the fix is code.
        said: a part of that fix.
        x: its inputs.
    """

    make: Callable[[], tf_keras.Model]
    layer: str
    illness: str
    healed: Callable[[], tf_keras.Model] | None = None
    said: str = ""
    x: Any = dataclasses.field(default_factory=lambda: X)


def stack(*inner: Any, shape=(12,)) -> tf_keras.Model:
    """Layers between an input and three classes."""
    tf_keras.utils.set_random_seed(3)
    return tf_keras.Sequential(
        [
            tf_keras.Input(shape),
            *(layer for layer in inner if layer is not None),
            layers.Flatten(),
            layers.Dense(3, name="labels"),
        ],
        name="network",
    )


def norm(**kwargs) -> Any:
    return layers.BatchNormalization(momentum=0.0, **kwargs)


def adapted(model: tf_keras.Model, x: Any = X) -> tf_keras.Model:
    """The model, its normalizations with the statistics of the data."""
    for _ in range(2):
        model(x, training=True)
    return model


def dense(change: Callable | None = None, **arguments) -> tf_keras.Model:
    """A binary layer behind a normalized one, its latent weights changed."""
    model = stack(
        layers.Dense(16, name="first"),
        norm(name="norm"),
        lq.layers.QuantDense(8, name="signs", **{**BINARY, **arguments}),
    )
    if change is not None:
        kernel = model.get_layer("signs").kernel
        kernel.assign(change(kernel.numpy()))
    return adapted(model)


def conv(cls: str = "QuantConv2D", change: Callable | None = None) -> tf_keras.Model:
    """The same with images."""
    depthwise = cls == "QuantDepthwiseConv2D"
    role = "depthwise" if depthwise else "kernel"
    arguments = {
        "input_quantizer": "ste_sign",
        f"{role}_quantizer": "ste_sign",
        f"{role}_constraint": "weight_clip",
    }
    size = (3,) if depthwise else (8, 3)
    quantized = getattr(lq.layers, cls)(*size, name="signs", **arguments)
    model = stack(norm(name="norm"), quantized, shape=(6, 6, 4))
    if change is not None:
        kernel = getattr(quantized, "depthwise_kernel" if depthwise else "kernel")
        kernel.assign(change(kernel.numpy()))
    return adapted(model, IMAGES)


def before_sign(*between: Any, bias: float = 0.0, activation=None) -> tf_keras.Model:
    """A float layer, what comes between, and a binary one."""
    first = layers.Dense(
        16,
        activation,
        bias_initializer=tf_keras.initializers.Constant(bias),
        name="first",
    )
    binary = lq.layers.QuantDense(8, name="signs", **BINARY)
    return adapted(stack(first, *between, binary))


def pooled(relu: bool) -> tf_keras.Model:
    """A ReLU, or none, and a pooling before a binary convolution."""
    return adapted(
        stack(
            layers.Conv2D(8, 3, name="first"),
            layers.ReLU(name="relu") if relu else None,
            layers.MaxPooling2D(2),
            lq.layers.QuantConv2D(8, 2, name="signs", **BINARY),
            shape=(6, 6, 4),
        ),
        IMAGES,
    )


def levels(*between: Any, bias: float = 0.0, scale: float = 1.0) -> tf_keras.Model:
    """A layer that reads two bits."""
    first = layers.Dense(
        16,
        bias_initializer=tf_keras.initializers.Constant(bias),
        kernel_initializer=tf_keras.initializers.RandomNormal(0, scale),
        name="first",
    )
    quantizer = lq.quantizers.DoReFa(k_bit=2)
    last = lq.layers.QuantDense(8, input_quantizer=quantizer, name="levels")
    return adapted(stack(first, *between, last))


def ternary(scale: float) -> tf_keras.Model:
    return dense(lambda w: scale * w, kernel_quantizer="ste_tern")


def four_bits(outlier: float = 1.0, of_data: float = 1.0) -> tf_keras.Model:
    """A quantization-aware network, one weight and its ranges as said."""
    model = stack(layers.Dense(16, activation="relu", name="first"))
    kernel = model.get_layer("first").kernel
    values = kernel.numpy()
    values[0, 0] = outlier
    kernel.assign(values)
    scheme = lq.qat.DefaultNBitQuantizeScheme(num_bits_weight=4, num_bits_activation=4)
    return quantize_model(model, scheme=scheme, calibrate=of_data * X)


def exploded_norm() -> tf_keras.Model:
    model = dense()
    model.get_layer("norm").gamma.assign(np.full(16, 1e5))
    return model


def exploded_thresholds() -> tf_keras.Model:
    model = dense(input_quantizer="rsign")
    model.get_layer("signs").input_quantizer.threshold.assign(np.full(16, -2e3))
    return model


def exploded_scales() -> tf_keras.Model:
    model = dense(kernel_quantizer=lq.quantizers.XnorPlus())
    quantizer = model.get_layer("signs").kernel_quantizer
    quantizer.set_weights([5e4 * np.ones_like(w) for w in quantizer.get_weights()])
    return model


def dead_relu(*between: Any, bias: float = -100.0) -> tf_keras.Model:
    first = layers.Dense(
        16, bias_initializer=tf_keras.initializers.Constant(bias), name="first"
    )
    return adapted(
        stack(first, *between, layers.ReLU(), layers.Dense(8, name="second"))
    )


def positive(w: np.ndarray) -> np.ndarray:
    """Most output channels with positive weights only, of different sizes."""
    w = w.copy()
    w[..., 2:] = np.abs(w[..., 2:]) + 0.01
    return w


def positive_depthwise(w: np.ndarray) -> np.ndarray:
    w = w.copy()
    w[:, :, 1:] = np.abs(w[:, :, 1:]) + 0.01
    return w


def far(w: np.ndarray) -> np.ndarray:
    return np.sign(w) * (0.5 + 0.3 * np.abs(w))


def with_nan(w: np.ndarray) -> np.ndarray:
    w = w.copy()
    w[0, 0] = np.nan
    return w


DEPTHWISE = "QuantDepthwiseConv2D"
BATCH_NORM = "BatchNormalization"
SICK: dict[str, Sick] = {
    "dense channels of one sign": Sick(
        lambda: dense(positive), "signs", "dead kernels"
    ),
    "filters of one sign": Sick(
        lambda: conv(change=positive), "signs", "dead kernels", x=IMAGES
    ),
    "depthwise filters of one sign": Sick(
        lambda: conv(DEPTHWISE, positive_depthwise), "signs", "dead kernels", x=IMAGES
    ),
    "weights far from zero": Sick(
        lambda: dense(far), "signs", "weights that never flip"
    ),
    "filters far from zero": Sick(
        lambda: conv(change=far), "signs", "weights that never flip", x=IMAGES
    ),
    "weights at the clip": Sick(lambda: dense(np.sign), "signs", "saturated latents"),
    "filters at the clip": Sick(
        lambda: conv(change=np.sign), "signs", "saturated latents", x=IMAGES
    ),
    "weights beyond the clip": Sick(
        lambda: dense(lambda w: 9 * w, kernel_constraint=None),
        *("signs", "starved latents"),
    ),
    "ternary weights below the threshold": Sick(
        lambda: ternary(0.05), "signs", "zero codes"
    ),
    "one weight much larger than all others": Sick(
        lambda: four_bits(outlier=99.0), "quant_first", "zero codes"
    ),
    "inputs of levels below zero": Sick(
        *(lambda: levels(bias=-9.0), "levels", "zero codes"),
        *(lambda: levels(norm(), bias=-9.0), BATCH_NORM),
    ),
    "inputs of levels above the last": Sick(
        *(lambda: levels(scale=30.0), "levels", "clipped activations"),
        *(lambda: levels(norm(), scale=30.0), BATCH_NORM),
    ),
    "ranges of other data": Sick(
        lambda: four_bits(of_data=0.05), "quantize_layer", "clipped activations"
    ),
    "signs of a large bias": Sick(
        lambda: before_sign(bias=9.0),
        *("signs", "unnormalized inputs of signs"),
        *(lambda: before_sign(norm(), bias=9.0), BATCH_NORM),
    ),
    "signs of pixels": Sick(
        lambda: stack(lq.layers.QuantDense(8, name="signs", **BINARY)),
        *("signs", "unnormalized inputs of signs"),
        lambda: adapted(
            stack(norm(), lq.layers.QuantDense(8, name="signs", **BINARY)), 255 * abs(X)
        ),
        *(BATCH_NORM, 255 * abs(X)),
    ),
    "signs of numbers without a gradient": Sick(
        lambda: stack(lq.layers.QuantDense(8, name="signs", **BINARY)),
        *("signs", "unnormalized inputs of signs"),
        lambda: adapted(
            stack(norm(), lq.layers.QuantDense(8, name="signs", **BINARY)), 99 * X
        ),
        *(BATCH_NORM, 99 * X),
    ),
    "an activation before signs": Sick(
        lambda: before_sign(activation="relu"),
        *("signs", "ReLU before a sign"),
        *(before_sign, "take its function out"),
    ),
    "a ReLU and a pooling before signs": Sick(
        lambda: pooled(True),
        *("signs", "ReLU before a sign"),
        *(lambda: pooled(False), "take its function out", IMAGES),
    ),
    "no constraint": Sick(
        lambda: dense(kernel_constraint=None),
        *("signs", "missing weight_clip"),
        *(dense, 'kernel_constraint="weight_clip"'),
    ),
    "a normalization that blew up": Sick(exploded_norm, "norm", "exploded scales"),
    "thresholds that blew up": Sick(exploded_thresholds, "signs", "exploded scales"),
    "scales of a kernel that blew up": Sick(
        exploded_scales, "signs", "exploded scales"
    ),
    "a ReLU that gives zeros only": Sick(
        lambda: dead_relu(),
        *("first", "gradients that are zero"),
        *(lambda: dead_relu(norm()), BATCH_NORM),
    ),
    "a weight that is no number": Sick(
        lambda: dense(with_nan), "signs", "numbers that are not finite"
    ),
}


def by_code(model: tf_keras.Model, fix: str, path: str, x: Any) -> None:
    """Runs the lines of a fix that are code."""
    lines = [line.strip() for line in fix.split("\n") if line.startswith("    ")]
    assert lines, f"no code in: {fix}"
    layer = model.get_layer(path)
    names = {"model": model, "layer": layer, "tf": tf, "np": np, "data": x}
    exec("\n".join(lines), {**names, "lq": lq, "tf_keras": tf_keras})
