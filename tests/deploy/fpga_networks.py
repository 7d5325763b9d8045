"""Small networks as they go to FPGAs: signs, ternary, k bits, all kinds of borders."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tf_keras

import larqlite as lq

L, Q = tf_keras.layers, lq.layers
# Channels of negative and of zero scale too, and sums near thresholds.
SEED = 3


def randomized(model: tf_keras.Model) -> tf_keras.Model:
    """Seeded weights and statistics."""
    rng = np.random.default_rng(SEED)
    values = []
    for weight in model.weights:
        drawn = rng.normal(0, 0.5, weight.shape)
        if "variance" in weight.name:
            drawn = np.abs(drawn) * 8 + 2
        if "gamma" in weight.name:
            drawn[0] = 0
        values.append(drawn.astype(weight.dtype.as_numpy_dtype))
    model.set_weights(values)
    return model


def bits(count: int, mode: str) -> lq.quantizers.DoReFa:
    return lq.quantizers.DoReFa(k_bit=count, mode=mode)


def pair(activations, kernel) -> dict:
    """Arguments of a quantized layer."""
    clip = "weight_clip" if isinstance(kernel, str) else None
    return {
        "input_quantizer": activations,
        "kernel_quantizer": kernel,
        "kernel_constraint": clip,
    }


def _dense(x, name: str, activations, kernel, units: int = 12, **options):
    x = Q.QuantDense(units, name=name, **pair(activations, kernel), **options)(x)
    return L.BatchNormalization(name=f"{name}_norm")(x)


def dense(activations, kernel, **options) -> tf_keras.Model:
    """Three layers, the first of which has inputs of floats."""
    x = inputs = L.Input((10,), name="x")
    for number, quantizer in enumerate((None, activations, activations)):
        x = _dense(x, f"dense_{number}", quantizer, kernel, **options)
    return randomized(tf_keras.Model(inputs, x))


def branches() -> tf_keras.Model:
    """All kinds of dense layers side by side, on one input: compiled once."""
    inputs = L.Input((10,), name="x")
    outputs = []
    for name, (activations, kernel, options) in DENSE.items():
        x = _dense(inputs, f"{name}_0", None, kernel, 9, **options)
        x = _dense(x, f"{name}_1", activations, kernel, 7, **options)
        outputs.append(_dense(x, f"{name}_2", activations, kernel, 5, **options))
    return randomized(tf_keras.Model(inputs, outputs))


DENSE = {
    "sign": ("ste_sign", "ste_sign", {}),
    "ternary": ("ste_tern", "ste_tern", {}),
    "heaviside": ("ste_heaviside", "ste_sign", {"use_bias": False}),
    "bits": (bits(3, "activations"), bits(2, "weights"), {}),
    "one_bit": (bits(1, "activations"), "ste_sign", {}),
    "scaled": ("ste_sign", "magnitude_aware_sign", {}),
}


def _conv(x, name: str, filters: int, size: int, activations, kernel, **options):
    return Q.QuantConv2D(
        filters, size, name=name, use_bias=False, **pair(activations, kernel), **options
    )(x)


def images(activations, kernel, **options) -> tf_keras.Model:
    """Convolutions with borders, a pooling, a dense layer behind them."""
    x = inputs = L.Input((6, 6, 3), name="x")
    x = _conv(x, "conv_0", 4, 3, None, kernel, padding="same")
    x = L.BatchNormalization(name="norm_0")(x)
    x = _conv(x, "conv_1", 4, 3, activations, kernel, **options)
    x = L.MaxPooling2D(2, name="pool")(x)
    x = L.BatchNormalization(name="norm_1")(x)
    x = L.Flatten(name="flat")(x)
    return randomized(
        tf_keras.Model(inputs, _dense(x, "dense", activations, kernel, 5))
    )


def everything() -> tf_keras.Model:
    """Borders of both signs, a shortcut, means, a depthwise layer, strides, a softmax."""
    x = inputs = L.Input((8, 8, 3), name="x")
    x = L.Conv2D(4, 3, padding="same", name="float")(x)
    x = L.BatchNormalization(name="norm_0")(x)
    sign = ("ste_sign", "ste_sign")
    same = {"padding": "same"}
    y = _conv(x, "plus", 4, 3, *sign, pad_values=1.0, **same)
    y = L.BatchNormalization(name="norm_1")(y)
    y = _conv(y, "minus", 4, 3, *sign, pad_values=-1.0, **same)
    x = L.Add(name="shortcut")([x, L.BatchNormalization(name="norm_2")(y)])
    x = L.AveragePooling2D(2, name="mean")(x)
    x = Q.QuantDepthwiseConv2D(
        3,
        name="depthwise",
        padding="same",
        use_bias=False,
        input_quantizer="ste_sign",
        depthwise_quantizer="ste_sign",
        depthwise_constraint="weight_clip",
    )(x)
    x = L.BatchNormalization(name="norm_3")(x)
    x = _conv(x, "strided", 6, 1, bits(2, "activations"), "ste_tern", strides=2)
    x = L.ReLU(name="relu")(L.BatchNormalization(name="norm_4")(x))
    x = L.GlobalAveragePooling2D(name="all")(x)
    x = L.Softmax(name="softmax")(L.Dense(5, name="labels")(x))
    return randomized(tf_keras.Model(inputs, x))


def sequences() -> tf_keras.Model:
    """Convolutions over one axis."""
    x = inputs = L.Input((12, 4), name="x")
    for number, strides in enumerate((1, 2)):
        x = L.BatchNormalization(name=f"norm_{number}")(x)
        x = Q.QuantConv1D(
            6,
            3,
            strides=strides,
            padding="same",
            name=f"conv_{number}",
            use_bias=False,
            **pair("ste_sign", "ste_sign"),
        )(x)
    x = L.Flatten(name="flat")(L.BatchNormalization(name="norm_2")(x))
    return randomized(
        tf_keras.Model(inputs, _dense(x, "dense", "ste_sign", "ste_sign"))
    )


NETWORKS: dict[str, Callable[[], tf_keras.Model]] = {
    "branches": branches,
    "zeros": lambda: images("ste_sign", "ste_sign", padding="same"),
    "ones": lambda: images("ste_sign", "ste_tern", padding="same", pad_values=1.0),
    "bits": lambda: images(bits(2, "activations"), "magnitude_aware_sign"),
    "everything": everything,
    "sequences": sequences,
}


def inputs_of(model: tf_keras.Model, samples: int) -> np.ndarray:
    """Inputs that are multiples of 1/64, as a fixed-point input holds them."""
    rng = np.random.default_rng(1)
    drawn = rng.normal(0, 64, (samples, *model.input_shape[1:]))
    return (np.rint(drawn) / 64).astype(np.float32)


def integers_of(model: tf_keras.Model, x: np.ndarray) -> dict[str, np.ndarray]:
    """The sums of the packed layers whose inputs are quantized: those of the levels of input
    and kernel as whole numbers, in NumPy."""
    packed = [
        layer
        for layer in model.layers
        if isinstance(layer, lq.layers.QuantLayer) and layer.input_quantizer is not None
    ]
    inputs = tf_keras.Model(model.input, [layer.input for layer in packed])
    given = inputs.predict(x, verbose=0)
    given = given if isinstance(given, list) else [given]
    return {
        layer.name: _sums(layer, np.asarray(layer.input_quantizer(array)))
        for layer, array in zip(packed, given, strict=True)
    }


def _sums(layer, values: np.ndarray) -> np.ndarray:
    name, *_ = type(layer).quantized_weights
    kernel = layer.quantized_weight(name).numpy().astype(np.float64)
    steps = 1.0
    quantizer = layer.input_quantizer
    if isinstance(quantizer, lq.quantizers.DoReFa):
        steps = 2.0**quantizer.k_bit - 1
    whole = np.rint(values * steps)
    kernel = np.rint(kernel / _unit(layer, kernel))
    if isinstance(layer, lq.layers.QuantDense):
        return whole @ kernel
    rank = values.ndim - 2
    pads = [(0, 0)] * values.ndim
    if layer.padding == "same":
        for axis in range(rank):
            size, window = values.shape[1 + axis], kernel.shape[axis]
            stride = layer.strides[axis]
            total = max((-(-size // stride) - 1) * stride + window - size, 0)
            pads[1 + axis] = (total // 2, total - total // 2)
    whole = np.pad(whole, pads, constant_values=layer.pad_values * steps)
    axes = tuple(range(1, 1 + rank))
    windows = np.lib.stride_tricks.sliding_window_view(whole, kernel.shape[:rank], axes)
    windows = windows[(slice(None), *(slice(None, None, s) for s in layer.strides))]
    if name == "depthwise_kernel":
        return np.einsum("nxycab,abcm->nxyc", windows, kernel)
    return np.tensordot(
        windows,
        np.moveaxis(kernel, -2, 0),
        ([*range(1 + rank, 2 + 2 * rank)], [*range(1 + rank)]),
    )


def _unit(layer, kernel: np.ndarray) -> np.ndarray | float:
    """What a kernel is a whole multiple of: its smallest magnitude but 0, by channel."""
    largest = np.where(kernel == 0, np.inf, np.abs(kernel))
    return largest.min(axis=tuple(range(kernel.ndim - 1)))
