"""Float models, and the ways in which they are made quantization-aware."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

import larqlite as lq

from ..models import L, graph, row

SAME = {"padding": "same"}


def cases() -> dict:
    """Names with a builder, a way to quantize, and whether it is trained."""
    scheme, patterns = _scheme, _patterns
    return {
        "default": (cnn, scheme(), True),
        "int4": (cnn, scheme(scheme="int4"), False),
        "int2": (cnn, scheme(scheme="int2"), False),
        "int16": (cnn, scheme(scheme="int16"), False),
        "n_bit": (cnn, _n_bit, True),
        "binarize": (cnn, _binarize, True),
        "binary_by_patterns": (cnn, patterns({"conv_2": "binary", "*": "int8"}), False),
        "ternary_by_patterns": (cnn, _ternary, False),
        "mixed_by_patterns": (
            cnn,
            patterns({"labels": "float", L.Dense: "int8", "conv_2": "int4"}),
            False,
        ),
        "annotated_layers": (cnn, _annotated, False),
        "config_of_ones_own": (dense, _config, True),
        "config_without_quantization": (dense, _no_op, False),
        "scheme_of_ones_own": (cnn, _own_scheme, False),
        "same_scale": (_same_scale, scheme(), False),
        "shortcut": (_shortcut, scheme(), True),
        "concatenated": (_concatenated, scheme(), False),
        "depthwise_relu6": (_depthwise, scheme(), False),
        "separable": (_separable, scheme(), True),
        "transposed": (_transposed, scheme(), False),
        "one_dimensional": (_one_dimensional, scheme(), False),
        "recurrent": (_recurrent, scheme(), False),
        "bidirectional": (_bidirectional, scheme(), False),
        "attention": (_attention, scheme(), False),
        "operators": (_operators, scheme(), False),
        "activations": (_activations, scheme(), False),
        "nested": (_nested, scheme(), False),
        "shared": (_shared, scheme(), False),
        "dense_normalized": (_dense_normalized, scheme(), True),
    }


def _scheme(**options):
    return lambda model, x: lq.qat.quantize_model(model, calibrate=x, **options)


def _patterns(found):
    return lambda model, x: lq.qat.quantize_apply(model, found, calibrate=x)


def _n_bit(model, x):
    scheme = lq.qat.DefaultNBitQuantizeScheme(num_bits_weight=4, num_bits_activation=8)
    return lq.qat.quantize_model(model, scheme=scheme, calibrate=x)


def _binarize(model, x):
    return lq.qat.binarize(model, calibrate=x)


def _ternary(model, x):
    ternary = lq.qat.BinaryScheme(
        kernel_quantizer="ste_tern", input_quantizer="ste_sign"
    )
    found = {"conv_2": ternary, "hidden": "binary", "*": "int8"}
    return lq.qat.quantize_apply(model, found, calibrate=x)


def _annotated(model, x):
    def annotate(layer):
        wanted = isinstance(layer, L.Dense) or layer.name == "conv_2"
        return lq.qat.quantize_annotate_layer(layer) if wanted else layer

    marked = tf_keras.models.clone_model(model, clone_function=annotate)
    marked.set_weights(model.get_weights())
    return lq.qat.quantize_apply(marked, calibrate=x)


def _with_config(config, model, x):
    def annotate(layer):
        if layer.name == "first":
            return lq.qat.quantize_annotate_layer(layer, config)
        return lq.qat.quantize_annotate_layer(layer)

    marked = tf_keras.models.clone_model(model, clone_function=annotate)
    marked.set_weights(model.get_weights())
    return lq.qat.quantize_apply(marked, calibrate=x)


def _config(model, x):
    moving = lq.qat.quantizers.MovingAverageQuantizer(num_bits=4)
    config = lq.qat.LayerQuantizeConfig(
        weights={"kernel": "ste_tern"},
        activations={"activation": moving},
        inputs=lq.quantizers.DoReFa(k_bit=2, mode="activations"),
    )
    return _with_config(config, model, x)


def _no_op(model, x):
    return _with_config(lq.qat.NoOpQuantizeConfig("decides too much"), model, x)


def _own_scheme(model, x):
    class Signed(lq.qat.Default8BitQuantizeScheme):
        def input_quantizer(self):
            return lq.qat.quantizers.FixedQuantizer(8, -1.0, 1.0, narrow_range=True)

        def config_of(self, layer):
            if layer.name == "hidden":
                return lq.qat.NoOpQuantizeConfig("critical")
            return super().config_of(layer)

    return lq.qat.quantize_model(model, scheme=Signed(), calibrate=x)


def cnn() -> tf_keras.Model:
    """Two convolutions with normalization, two dense layers."""
    return row(
        (8, 8, 3),
        L.Conv2D(6, 3, use_bias=False, name="conv_1"),
        L.BatchNormalization(name="norm_1"),
        L.ReLU(name="relu_1"),
        L.Conv2D(8, 3, name="conv_2", **SAME),
        L.BatchNormalization(name="norm_2"),
        L.ReLU(name="relu_2"),
        L.MaxPooling2D(name="pool"),
        L.Flatten(name="flatten"),
        L.Dense(8, activation="relu", name="hidden"),
        L.Dense(4, activation="softmax", name="labels"),
    )


def dense() -> tf_keras.Model:
    """Two dense layers."""
    return row((8,), L.Dense(16, "relu", name="first"), L.Dense(2, name="labels"))


def _same_scale():
    x = inputs = tf_keras.Input((8, 8, 3), name="x")
    x = L.Conv2D(4, 3, name="conv", **SAME)(x)
    left = L.MaxPooling2D()(L.ReLU()(x))
    right = L.ZeroPadding2D(1)(L.AveragePooling2D(2)(x))[:, 1:-1, 1:-1]
    x = L.Maximum()([left, right])
    return graph(inputs, tf.concat([L.Reshape((64,))(x), L.Flatten()(left)], -1))


def _shortcut():
    x = inputs = tf_keras.Input((8, 8, 3), name="x")
    sides = [L.Conv2D(4, 3, **SAME)(x), L.Conv2D(4, 1)(x)]
    x = L.ReLU()(L.Add()(sides))
    return graph(inputs, L.GlobalAveragePooling2D()(x))


def _concatenated():
    x = inputs = tf_keras.Input((8, 8, 3), name="x")
    sides = [L.Conv2D(4, 3, **SAME)(x), L.Conv2D(4, 1, activation="relu")(x)]
    return graph(inputs, L.Conv2D(2, 1)(L.Concatenate()(sides)))


def _depthwise():
    return row(
        (8, 8, 3),
        L.DepthwiseConv2D(3, depth_multiplier=2, **SAME),
        L.BatchNormalization(),
        L.ReLU(6.0),
        L.Conv2D(4, 3, dilation_rate=2),
        L.Activation("relu6"),
    )


def _separable():
    return row(
        (8, 8, 3),
        L.SeparableConv2D(4, 3),
        L.BatchNormalization(),
        L.ReLU(),
        L.Flatten(),
    )


def _transposed():
    return row(
        (8, 8, 3),
        L.Conv2DTranspose(4, 3, strides=2, **SAME),
        L.BatchNormalization(),
        L.ReLU(),
        L.UpSampling2D(interpolation="bilinear"),
    )


def _one_dimensional():
    return row(
        (9, 3),
        L.Conv1D(4, 3, dilation_rate=2, padding="causal", activation="relu"),
        L.DepthwiseConv1D(3),
        L.SeparableConv1D(4, 3),
        L.AveragePooling1D(),
        L.GlobalMaxPooling1D(),
    )


def _recurrent():
    return row((6, 4), L.LSTM(5, return_sequences=True), L.GRU(3), L.Dense(2))


def _bidirectional():
    return row((6, 4), L.Bidirectional(L.SimpleRNN(3)), L.Dense(2, activation="tanh"))


def _attention():
    query, value = tf_keras.Input((5, 8), name="a"), tf_keras.Input((3, 6), name="b")
    x = L.MultiHeadAttention(2, 4, name="attention")(query, value)
    return graph([query, value], L.LayerNormalization()(x))


def _operators():
    x = inputs = tf_keras.Input((8, 8, 3), name="x")
    x = L.Conv2D(4, 3, name="conv")(x)
    x = tf.nn.relu(x) * 0.5 + tf.reduce_mean(x, [1, 2], keepdims=True)
    return graph(inputs, L.Dense(3)(tf.reshape(x, (-1, 144))))


def _activations():
    names = ("sigmoid", "tanh", "swish", "gelu", "elu", "hard_sigmoid", "softmax")
    x = inputs = tf_keras.Input((8,), name="x")
    found = [L.Dense(4, activation=name, name=f"of_{name}")(x) for name in names]
    found += [L.LeakyReLU()(x), L.PReLU()(x)]
    return graph(inputs, L.Dense(3)(L.Concatenate()(found)))


def _nested():
    inner = tf_keras.Sequential(
        [tf_keras.Input((8, 8, 3)), L.Conv2D(4, 3, name="conv"), L.ReLU(name="relu")],
        name="inner",
    )
    return row((8, 8, 3), inner, L.Flatten(), L.Dense(3, name="labels"))


def _shared():
    x = inputs = tf_keras.Input((8,), name="x")
    layer = L.Dense(8, activation="relu", name="shared")
    return graph(inputs, L.Add()([layer(layer(x)), x]))


def _dense_normalized():
    return row(
        (16,), L.Dense(12), L.BatchNormalization(), L.ReLU(), L.Dense(5, name="labels")
    )
