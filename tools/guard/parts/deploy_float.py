"""Float layers in packed files: each kind in a row that ends in a packed layer."""

from __future__ import annotations

import tf_keras

import larqlite as lq

from ..models import L, Q, graph, low_bit, row


def cases() -> dict:
    """Builders by name."""
    return {
        "float_activations": _activations,
        "float_normalizations": _normalizations,
        "float_poolings": _poolings,
        "float_poolings_1d_3d": _poolings_of_other_ranks,
        "float_resizing": _resizing,
        "float_moves": _moves,
        "float_merges": _merges,
        "float_convolutions": _convolutions,
        "float_convolutions_1d_3d": _convolutions_of_other_ranks,
        "float_that_do_nothing": _nothing,
        "float_embedding": _embedding,
    }


def _activations():
    x = inputs = tf_keras.Input((6,), name="x")
    names = ("relu", "relu6", "elu", "selu", "sigmoid", "tanh", "softplus", "softsign")
    names += (
        "swish",
        "gelu",
        "hard_sigmoid",
        "exponential",
        "softmax",
        "mish",
        "linear",
    )
    found = [L.Activation(name)(x) for name in (*names, "hard_tanh")]
    found += [L.LeakyReLU(0.2)(x), L.ThresholdedReLU(0.5)(x), L.ELU(0.5)(x)]
    found += [L.PReLU()(x), L.Softmax()(x), L.ReLU(1.0, 0.1, 0.25)(x)]
    found += [L.Activation(name)(x) for name in ("ste_sign", "ste_heaviside")]
    found += [L.Activation(lq.quantizers.DoReFa(3))(x), L.Activation("ste_tern")(x)]
    return graph(inputs, Q.QuantDense(3, **low_bit())(L.Concatenate()(found)))


def _normalizations():
    return row(
        (5, 5, 8),
        L.Normalization(mean=0.25, variance=2.0),
        L.LayerNormalization(),
        L.GroupNormalization(2),
        L.UnitNormalization(),
        L.BatchNormalization(center=False, scale=False),
        Q.QuantConv2D(4, 3, **low_bit()),
    )


def _poolings():
    x = inputs = tf_keras.Input((9, 8, 6), name="x")
    found = [
        L.GlobalAveragePooling2D()(L.MaxPooling2D(2, 1, "same")(x)),
        L.GlobalMaxPooling2D()(L.AveragePooling2D(3, 2)(x)),
        L.Flatten()(L.GlobalAveragePooling2D(keepdims=True)(x)),
        L.GlobalMaxPooling2D()(L.AveragePooling2D((3, 2), (2, 1), "same")(x)),
    ]
    return graph(inputs, Q.QuantDense(3, **low_bit())(L.Concatenate()(found)))


def _poolings_of_other_ranks():
    sequence = tf_keras.Input((8, 4), name="sequence")
    volume = tf_keras.Input((6, 4, 4, 4), name="volume")
    found = [
        L.GlobalAveragePooling1D()(L.MaxPooling1D(2)(sequence)),
        L.GlobalMaxPooling1D()(L.AveragePooling1D(3, 2, "same")(sequence)),
        L.GlobalAveragePooling3D()(L.MaxPooling3D(2)(volume)),
        L.GlobalMaxPooling3D()(L.AveragePooling3D(2, 1, "same")(volume)),
    ]
    x = L.Concatenate()(found)
    return graph([sequence, volume], Q.QuantDense(3, **low_bit())(x))


def _resizing():
    return row(
        (5, 6, 4),
        L.UpSampling2D(2),
        L.UpSampling2D((2, 1), interpolation="bilinear"),
        L.Resizing(9, 11),
        L.CenterCrop(7, 8),
        L.ZeroPadding2D(((1, 0), (2, 1))),
        L.Cropping2D(((0, 1), (1, 0))),
        Q.QuantConv2D(4, 3, **low_bit()),
    )


def _moves():
    return row(
        (6, 4),
        L.ZeroPadding1D(1),
        L.Cropping1D((1, 0)),
        L.UpSampling1D(2),
        L.Permute((2, 1)),
        L.Reshape((7, 2, 4)),
        L.Flatten(),
        L.RepeatVector(3),
        Q.QuantDense(3, **low_bit()),
    )


def _merges():
    left = tf_keras.Input((5, 6), name="left")
    right = tf_keras.Input((5, 6), name="right")
    kinds = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)
    found = [kind()([left, right]) for kind in kinds]
    found += [L.Dot(-1)([left, right]), L.Dot(1, normalize=True)([left, right])[:, :5]]
    x = L.Concatenate(axis=-1)(found)
    return graph([left, right], Q.QuantDense(3, **low_bit())(x))


def _convolutions():
    return row(
        (9, 9, 4),
        L.Conv2D(8, 3, padding="same", groups=2, activation="relu"),
        L.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same"),
        L.SeparableConv2D(6, 3, padding="same"),
        L.Conv2DTranspose(5, 3, strides=2, padding="same"),
        L.Conv2D(4, 3, dilation_rate=2),
        Q.QuantConv2D(4, 3, **low_bit()),
        L.Dense(3, activation="tanh"),
    )


def _convolutions_of_other_ranks():
    sequence = tf_keras.Input((10, 4), name="sequence")
    volume = tf_keras.Input((4, 4, 4, 2), name="volume")
    x = L.Conv1D(6, 3, padding="causal", dilation_rate=2)(sequence)
    x = L.DepthwiseConv1D(3)(L.SeparableConv1D(4, 3, padding="same")(x))
    x = L.Conv1DTranspose(5, 3, strides=2)(x)
    y = L.Conv3DTranspose(2, 2)(L.Conv3D(3, 2, strides=2)(volume))
    x = L.Concatenate()([L.Flatten()(x), L.Flatten()(y)])
    return graph([sequence, volume], Q.QuantDense(3, **low_bit())(x))


def _nothing():
    return row(
        (6, 6, 3),
        L.RandomFlip(),
        L.GaussianNoise(0.1),
        Q.QuantConv2D(4, 3, **low_bit()),
        L.SpatialDropout2D(0.2),
        L.ActivityRegularization(l2=0.01),
        L.Dropout(0.5),
        L.Identity() if hasattr(L, "Identity") else L.Activation("linear"),
        L.Flatten(),
        Q.QuantDense(3, **low_bit()),
    )


def _embedding():
    return row((7,), L.Embedding(9, 6), L.Flatten(), Q.QuantDense(3, **low_bit()))


_embedding.whole = True
