"""Networks around packed layers: shortcuts, poolings, shared layers, several inputs."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

import larqlite as lq

from ..models import L, Q, graph, images, low_bit, row, settled


def cases() -> dict:
    """Builders by name."""
    return {
        "shortcuts": _shortcuts,
        "pool_between": _pool_between,
        "signs_through_pooling": _signs_through_pooling,
        "float_stem_and_head": _float_stem_and_head,
        "dense_network": _dense_network,
        "reactnet_block": _reactnet_block,
        "gated": _gated,
        "nested_and_shared": _nested_and_shared,
        "several_inputs_and_outputs": _several,
        "two_readers_of_a_quantizer": _two_readers,
        "quantization_aware_8_bit": _quantization_aware,
        "quantization_aware_binary": _binarized,
        "kept_kernel_of_bop": _bop,
        "operators": _operators,
    }


def _conv(filters, size=3, **options):
    return Q.QuantConv2D(filters, size, **(low_bit(padding="same") | options))


def _shortcuts():
    x = inputs = tf_keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(x)
    x = L.BatchNormalization()(x)
    for place in (1, 2):
        y = L.BatchNormalization()(_conv(16, name=f"conv_{place}")(x))
        x = L.Add()([x, y])
    shortcut = L.AveragePooling2D(2, 2)(x)
    shortcut = L.Conv2D(24, 1, use_bias=False, name="down")(shortcut)
    y = L.BatchNormalization()(_conv(24, strides=2, name="conv_3")(x))
    x = L.Add()([shortcut, y])
    x = L.GlobalAveragePooling2D()(x)
    return graph(inputs, L.Dense(5, activation="softmax", name="labels")(x))


def _pool_between():
    return row(
        (12, 12, 8),
        _conv(16, name="first"),
        L.MaxPooling2D(2),
        L.BatchNormalization(),
        _conv(16, name="second"),
        L.AveragePooling2D(3, 2, "same"),
        L.BatchNormalization(scale=False),
        _conv(8, name="third"),
        L.MaxPooling2D(3, 1, "same"),
        L.ReLU(),
    )


def _signs_through_pooling():
    sign = L.Activation("ste_sign")
    return row(
        (9, 9, 34),
        sign,
        L.MaxPooling2D(2),
        Q.QuantConv2D(8, 3, kernel_quantizer="ste_sign", use_bias=False),
        L.BatchNormalization(),
        L.Activation("ste_sign"),
        L.ZeroPadding2D(1),
        L.Flatten(),
        Q.QuantDense(4, kernel_quantizer="ste_tern", use_bias=False),
    )


def _float_stem_and_head():
    return row(
        (16, 16, 3),
        L.Rescaling(1 / 4, 0.5),
        L.Conv2D(8, 5, strides=2, activation="relu", name="stem"),
        L.DepthwiseConv2D(3, padding="same"),
        L.BatchNormalization(),
        _conv(16, groups=2, name="binary"),
        L.BatchNormalization(),
        L.PReLU(shared_axes=[1, 2]),
        L.Conv2D(6, 3, groups=2, name="float"),
        L.GlobalMaxPooling2D(),
        L.Dense(4, name="labels"),
        L.Softmax(),
    )


def _dense_network():
    x = inputs = tf_keras.Input((6, 6, 8), name="x")
    for _ in range(3):
        y = _conv(8, dilation_rate=2)(L.BatchNormalization()(x))
        x = L.Concatenate()([x, y])
    x = L.MaxPooling2D(2)(L.ReLU()(L.BatchNormalization()(x)))
    return graph(inputs, L.Conv2D(4, 1, use_bias=False)(x))


def _reactnet_block():
    x = inputs = tf_keras.Input((6, 6, 32), name="x")
    y = _conv(32, input_quantizer="rsign", kernel_quantizer="magnitude_aware_sign")(x)
    x = L.Add()([x, L.BatchNormalization()(y)])
    x = L.Add()([Q.RPReLU(name="bend")(x), Q.TwoSlopeReLU()(x)])
    return graph(inputs, x)


def _gated():
    x = inputs = tf_keras.Input((6, 6, 16), name="x")
    gate = L.Dense(16, activation="sigmoid")(
        L.Dense(4, activation="relu")(L.GlobalAveragePooling2D()(x))
    )
    y = L.BatchNormalization()(_conv(16)(x))
    x = L.Multiply()([y, L.Reshape((1, 1, 16))(gate)])
    return graph(inputs, L.Activation("hard_tanh")(x))


def _nested_and_shared():
    inner = tf_keras.Sequential(
        [tf_keras.Input((6, 6, 8)), _conv(8, name="conv"), L.BatchNormalization()],
        name="inner",
    )
    x = inputs = tf_keras.Input((6, 6, 8), name="x")
    shared = _conv(8, name="shared")
    x = inner(x)
    x = shared(L.BatchNormalization(name="between")(shared(x)))
    return graph(inputs, inner(x))


def _several():
    first = tf_keras.Input((6, 6, 4), name="first")
    second = tf_keras.Input((6, 6, 4), name="second")
    x = L.Concatenate()([first, second])
    x = _conv(8, name="conv")(x)
    left = L.GlobalAveragePooling2D(name="left")(x)
    right = Q.QuantDense(3, name="right", **low_bit())(L.Flatten()(x))
    return graph([first, second], [left, right])


def _two_readers():
    x = inputs = tf_keras.Input((7, 7, 10), name="x")
    x = L.Activation("ste_sign")(L.BatchNormalization()(_conv(12, name="first")(x)))
    plain = {"kernel_quantizer": "ste_sign", "use_bias": False}
    left = Q.QuantConv2D(4, 3, **plain, name="left")(x)
    right = Q.QuantConv2D(4, 3, dilation_rate=1, **plain, name="right")(x)
    return graph(inputs, L.Subtract()([left, right]))


def _float_cnn():
    return row(
        (8, 8, 3),
        L.Conv2D(6, 3, use_bias=False, name="conv_1"),
        L.BatchNormalization(name="norm_1"),
        L.ReLU(name="relu_1"),
        L.Conv2D(8, 3, padding="same", name="conv_2"),
        L.BatchNormalization(name="norm_2"),
        L.ReLU(name="relu_2"),
        L.Flatten(name="flatten"),
        L.Dense(4, activation="softmax", name="labels"),
    )


def _quantization_aware():
    samples = images((8, 8, 3)) / 64 - 2
    return lq.qat.quantize_model(_float_cnn(), calibrate=samples)


def _binarized():
    return lq.qat.binarize(_float_cnn(), calibrate=images((8, 8, 3)) / 64 - 2)


def _bop():
    kernel = {"kernel_quantizer": lq.quantizers.NoOp(precision=1), "use_bias": False}
    model = row((7, 7, 8), Q.QuantConv2D(8, 3, input_quantizer="ste_sign", **kernel))
    values = model.layers[1].kernel
    values.assign(tf.where(values < 0, -1.0, 1.0))
    return model


def _operators():
    x = inputs = tf_keras.Input((6, 6, 8), name="x")
    y = _conv(8, name="conv")(x * 2 - 0.25)
    y = tf.nn.relu(y) + tf.math.abs(x) / 4
    y = tf.concat([y, tf.nn.relu6(-y)], axis=-1)
    y = tf.clip_by_value(y, 0.5, 3.0)
    y = tf.reduce_mean(y, axis=[1, 2], keepdims=True)
    return settled(tf_keras.Model(inputs, tf.reshape(y, (-1, 16)), name="operators"))
