"""Small float networks: the family of what sanitize rearranges, and random graphs."""

from __future__ import annotations

import itertools

import numpy as np
import tf_keras

L = tf_keras.layers

RESCALING = {
    "plain": list,
    "offset": lambda: [L.Rescaling(1 / 127.5, -1.0)],
    "per_channel": lambda: [
        L.Rescaling([0.01, 0.02, 0.03, 0.005], [0.1, -0.2, 0, 0.3])
    ],
}
PADDING = {"same_size": list, "zeros": lambda: [L.ZeroPadding2D(1)]}
CONVOLUTION = {
    "conv": lambda **k: L.Conv2D(4, 3, **k),
    "wide": lambda **k: L.Conv2D(7, 3, **k),
    "depthwise": lambda **k: L.DepthwiseConv2D(3, **k),
    "grouped": lambda **k: L.Conv2D(4, 3, groups=4, **k),
    "separable": lambda **k: L.SeparableConv2D(5, 3, **k),
}
BIAS = {"bias": True, "no_bias": False}
RELU = {"linear": None, "relu": "relu"}
NORMALIZATION = {"raw": list, "bn": lambda: [L.BatchNormalization()]}
POOLING = {
    "no_pool": list,
    "max": lambda: [L.MaxPooling2D()],
    "mean": lambda: [L.GlobalAveragePooling2D()],
}

FAMILY = list(
    itertools.product(
        RESCALING, PADDING, CONVOLUTION, BIAS, RELU, NORMALIZATION, POOLING
    )
)
NOT_TAKING_OFFSETS = ("depthwise", "grouped", "separable")


def refused(case: tuple) -> bool:
    """Whether sanitize refuses it by name: an offset that no kernel can take over."""
    return case[0] != "plain" and case[2] in NOT_TAKING_OFFSETS


def family_member(case: tuple) -> tf_keras.Model:
    """One network of the family, for images (8, 8, 4), with weights that all differ."""
    scale, padding, kind, bias, relu, norm, pooling = case
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 4)),
            *RESCALING[scale](),
            *PADDING[padding](),
            CONVOLUTION[kind](use_bias=BIAS[bias]),
            *NORMALIZATION[norm](),
            *([L.ReLU()] if RELU[relu] else []),
            *POOLING[pooling](),
        ]
    )
    return with_weights(model, FAMILY.index(case))


def with_weights(model: tf_keras.Model, seed: int) -> tf_keras.Model:
    """The model with weights as after training: no ones and zeros."""
    rng = np.random.default_rng(seed)
    values = []
    for weight in model.weights:
        value = rng.normal(0, 0.4, weight.shape)
        if "variance" in weight.name or "gamma" in weight.name:
            value = np.abs(value) + 0.5
        values.append(value)
    model.set_weights(values)
    return model


# Layers for a tensor (batch, 8, 8, 4) that give one of the same shape.
SAME = {
    "conv": lambda: L.Conv2D(4, 3, padding="same"),
    "conv_relu": lambda: L.Conv2D(4, 1, activation="relu"),
    "conv_no_bias": lambda: L.Conv2D(4, 3, padding="same", use_bias=False),
    "half_groups": lambda: L.Conv2D(4, 3, groups=2, padding="same", use_bias=False),
    "grouped": lambda: L.Conv2D(4, 3, groups=4, padding="same", use_bias=False),
    "grouped_relu": lambda: L.Conv2D(4, 3, groups=4, padding="same", activation="relu"),
    "depthwise": lambda: L.DepthwiseConv2D(3, padding="same", use_bias=False),
    "separable": lambda: L.SeparableConv2D(4, 3, padding="same", activation="relu6"),
    "transposed": lambda: L.Conv2DTranspose(4, 3, padding="same"),
    "dense": lambda: L.Dense(4, activation="tanh"),
    "bn": lambda: L.BatchNormalization(),
    "bn_again": lambda: L.BatchNormalization(center=False),
    "relu": lambda: L.ReLU(),
    "act": lambda: L.Activation("relu"),
    "act_linear": lambda: L.Activation("linear"),
    "swish": lambda: L.Activation("swish"),
    "max": lambda: L.MaxPooling2D(2, 1, "same"),
    "mean": lambda: L.AveragePooling2D(2, 1, "same"),
    "dropout": lambda: L.Dropout(0.3),
    "pad_conv": lambda: tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 4)),
            L.ZeroPadding2D(1),
            L.Conv2D(4, 3, groups=4, use_bias=False),
            L.BatchNormalization(),
        ]
    ),
    "nested": lambda: _nested(),
    "reshapes": lambda: tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 4)),
            L.Flatten(),
            L.Reshape((4, 64)),
            L.Reshape((8, 8, 4)),
        ]
    ),
}


def _nested() -> tf_keras.Model:
    inner = tf_keras.Sequential(
        [tf_keras.Input((8, 8, 4)), L.Conv2D(4, 1, use_bias=False), L.ReLU()]
    )
    x = tf_keras.Input((8, 8, 4))
    y = L.BatchNormalization()(inner(x))
    return tf_keras.Model(x, inner(L.Add()([y, x])))


def random_network(seed: int) -> tf_keras.Model:
    """A graph with branches, shared layers, nested models and what joins them again."""
    rng = np.random.default_rng(seed)
    inputs = tf_keras.Input((8, 8, 4))
    tensors, made = [inputs], []
    for _ in range(rng.integers(3, 8)):
        x = tensors[-1 - rng.integers(min(2, len(tensors)))]
        choice = rng.integers(10)
        if choice == 0 and made:
            tensors.append(made[rng.integers(len(made))](x))  # shared
        elif choice == 1:
            other = tensors[rng.integers(len(tensors))]
            tensors.append(L.Conv2D(4, 1)(L.Concatenate()([x, other])))
        elif choice == 2:
            other = tensors[rng.integers(len(tensors))]
            is_layer = rng.integers(2)
            tensors.append(L.Add()([x, other]) if is_layer else x + other)
        elif choice == 3:
            y = L.ZeroPadding2D(1)(x)
            conv = CONVOLUTION[[*CONVOLUTION][rng.choice([0, 2, 3])]]
            tensors.append(conv(use_bias=bool(rng.integers(2)))(y))
        else:
            layer = SAME[[*SAME][rng.integers(len(SAME))]]()
            made.append(layer)
            tensors.append(layer(x))
    outputs = tensors[-1] if rng.integers(3) else [tensors[-1], tensors[-2]]
    if rng.integers(2) and not isinstance(outputs, list):
        outputs = L.Dense(3)(L.GlobalAveragePooling2D()(outputs))
    return with_weights(tf_keras.Model(inputs, outputs), seed)


def images(count: int = 4) -> np.ndarray:
    """Whole numbers 0 to 255."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 8, 8, 4)).astype("float32")
