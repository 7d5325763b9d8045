"""Models that Larq 0.14 can hold, for `test_for_larq.py`."""

from __future__ import annotations

import tf_keras

import larqlite as lq

L, Q = tf_keras.layers, lq.layers
BINARY = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
KERNELS = (
    "ste_sign",
    "approx_sign",
    "swish_sign",
    "magnitude_aware_sign",
    "ste_tern",
    lq.quantizers.SteTern(threshold_value=0.2, ternary_weight_networks=True),
    lq.quantizers.SwishSign(beta=3.0),
    lq.quantizers.NoOp(precision=4),
    lq.quantizers.DoReFa(k_bit=3, mode="weights"),
    lq.quantizers.SteSign(clip_value=None, metrics=["flip_ratio"]),
)
INPUTS = ("ste_sign", "ste_heaviside", "approx_sign", "swish_sign", "dorefa")


def images():
    x = inputs = tf_keras.Input((9, 9, 2))
    x = Q.QuantConv2D(4, 3, padding="same", pad_values=1.0, groups=2, **BINARY)(x)
    x = L.BatchNormalization()(x)
    x = Q.QuantDepthwiseConv2D(
        3, depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip"
    )(x)
    x = Q.QuantSeparableConv2D(
        4,
        3,
        padding="same",
        pad_values=-1.0,
        depthwise_quantizer="ste_tern",
        pointwise_quantizer="magnitude_aware_sign",
        pointwise_constraint=lq.constraints.WeightClip(0.5),
    )(x)
    x = Q.QuantConv2DTranspose(2, 3, strides=2, **BINARY)(L.Activation("hard_tanh")(x))
    x = Q.QuantLocallyConnected2D(2, 3, **BINARY)(x)
    return tf_keras.Model(inputs, Q.QuantDense(3, **BINARY)(L.Flatten()(x)))


def sequences():
    x = inputs = tf_keras.Input((8, 3))
    x = Q.QuantConv1D(4, 3, padding="causal", dilation_rate=2, **BINARY)(x)
    x = Q.QuantSeparableConv1D(4, 3, pointwise_quantizer="ste_tern")(x)
    x = L.TimeDistributed(Q.QuantDense(4, input_quantizer="ste_sign", **BINARY))(x)
    x = Q.QuantLocallyConnected1D(2, 2, **BINARY)(x)
    return tf_keras.Model(inputs, L.LSTM(3)(x))


def volumes():
    x = inputs = tf_keras.Input((5, 5, 5, 2))
    x = Q.QuantConv3D(2, 3, padding="same", pad_values=1.0, **BINARY)(x)
    return tf_keras.Model(inputs, Q.QuantConv3DTranspose(2, 2, **BINARY)(x))


def quantizers():
    x = inputs = tf_keras.Input((6,))
    for number, kernel in enumerate(KERNELS):
        x = Q.QuantDense(
            6,
            input_quantizer=INPUTS[number % len(INPUTS)],
            kernel_quantizer=kernel,
            kernel_constraint="weight_clip",
        )(x)
        x = L.BatchNormalization()(x)
    return tf_keras.Model(inputs, L.Dense(3, activation="ste_sign")(x))


def nested():
    inner = tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            Q.QuantDense(5, input_quantizer="ste_sign", **BINARY),
            lq.quantizers.SteSign(),
            L.Dense(4, activation="leaky_tanh"),
        ],
        name="inner",
    )
    one, two = tf_keras.Input((6,)), tf_keras.Input((6,))
    return tf_keras.Model([one, two], inner(one) - inner(two))


MODELS = (images, sequences, volumes, quantizers, nested)
