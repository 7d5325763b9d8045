"""Small networks written once for Larq and larqlite, to compare their summaries.

Each function takes the library and its Keras and returns a built model; every
feature is one that both count in the same way.
"""

from __future__ import annotations


def _binary(**more):
    return {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "use_bias": False,
        **more,
    }


def vgg(lq, keras):
    """A small VGG: float input, binary convolutions, pooling, a ternary classifier."""
    layers = keras.layers
    return keras.Sequential(
        [
            lq.layers.QuantConv2D(
                8,
                3,
                padding="same",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                use_bias=False,
                input_shape=(32, 32, 3),
            ),
            layers.BatchNormalization(momentum=0.9, scale=False),
            lq.layers.QuantConv2D(16, 3, padding="same", pad_values=1.0, **_binary()),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(scale=False),
            lq.layers.QuantConv2D(24, 3, strides=2, **_binary(use_bias=True)),
            layers.BatchNormalization(),
            layers.Flatten(),
            lq.layers.QuantDense(
                10, input_quantizer="ste_sign", kernel_quantizer="ste_tern"
            ),
            layers.Activation("softmax"),
        ],
        name="vgg",
    )


def residual(lq, keras):
    """Two binary residual blocks with average pooling and a float classifier."""
    layers = keras.layers
    inputs = keras.Input((28, 20, 3))
    x = layers.Conv2D(16, 5, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    for _ in range(2):
        y = lq.layers.QuantConv2D(
            16,
            3,
            padding="same",
            input_quantizer="approx_sign",
            kernel_quantizer="magnitude_aware_sign",
            kernel_constraint="weight_clip",
            use_bias=False,
        )(x)
        y = layers.BatchNormalization(momentum=0.8)(y)
        x = layers.add([x, y])
    x = layers.AveragePooling2D(2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(7)(x), name="residual")


def mobile(lq, keras):
    """Depthwise, separable, grouped and dilated convolutions."""
    layers = keras.layers
    depthwise = {
        "depthwise_quantizer": "ste_sign",
        "depthwise_constraint": "weight_clip",
    }
    pointwise = {
        "pointwise_quantizer": "ste_tern",
        "pointwise_constraint": "weight_clip",
    }
    return keras.Sequential(
        [
            layers.Conv2D(8, 3, dilation_rate=2, input_shape=(21, 18, 3)),
            lq.layers.QuantDepthwiseConv2D(
                3, depth_multiplier=2, input_quantizer="ste_sign", **depthwise
            ),
            lq.layers.QuantSeparableConv2D(12, 3, **depthwise, **pointwise),
            layers.BatchNormalization(),
            lq.layers.QuantConv2D(16, 3, groups=4, **_binary()),
            lq.layers.QuantConv2D(16, (1, 3), dilation_rate=(1, 2), **_binary()),
            layers.SeparableConv2D(6, 2),
            layers.DepthwiseConv2D(2, strides=2, use_bias=False),
            layers.Flatten(),
            layers.Dense(3),
        ],
        name="mobile",
    )


def sequence(lq, keras):
    """One-dimensional convolutions, causal and strided, with DoReFa quantizers."""
    layers = keras.layers
    activations = lq.quantizers.DoReFa(k_bit=3, mode="activations")
    weights = lq.quantizers.DoReFa(k_bit=4, mode="weights")
    return keras.Sequential(
        [
            lq.layers.QuantConv1D(
                8, 5, padding="causal", kernel_quantizer=weights, input_shape=(40, 4)
            ),
            layers.MaxPooling1D(2),
            lq.layers.QuantConv1D(
                6,
                3,
                strides=2,
                input_quantizer=activations,
                kernel_quantizer="ste_tern",
            ),
            layers.AveragePooling1D(3),
            lq.layers.QuantSeparableConv1D(
                5, 2, depthwise_quantizer="ste_tern", pointwise_quantizer=weights
            ),
            layers.Flatten(),
            lq.layers.QuantDense(
                2, input_quantizer=activations, kernel_quantizer=weights
            ),
        ],
        name="sequence",
    )


def two_heads(lq, keras):
    """Two inputs, two outputs, a frozen layer, a marked but unquantized kernel."""
    layers = keras.layers
    image, vector = keras.Input((9, 9, 2)), keras.Input((6,))
    x = lq.layers.QuantConv2D(4, 3, kernel_quantizer=lq.quantizers.NoOp(precision=1))(
        image
    )
    x = layers.Flatten()(x)
    v = layers.Dense(5, activation="relu", trainable=False)(vector)
    joined = layers.concatenate([x, v])
    first = lq.layers.QuantDense(3, **_binary())(joined)
    second = layers.Dense(2, use_bias=False)(joined)
    return keras.Model([image, vector], [first, second], name="two_heads")


def without_weights(lq, keras):
    """Nothing to train: pooling and flattening only."""
    layers = keras.layers
    return keras.Sequential(
        [layers.MaxPooling2D(2, input_shape=(8, 8, 1)), layers.Flatten()],
        name="without_weights",
    )


NETWORKS = (vgg, residual, mobile, sequence, two_heads, without_weights)
