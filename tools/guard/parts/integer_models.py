"""Float models that become integer models, and the bits that they get."""

from __future__ import annotations

import tf_keras

import larqlite as lq

from ..models import L, Q, graph, low_bit, row

SAME = {"padding": "same"}


def cases() -> dict:
    """Names with a builder and bits."""
    tensor = {"per_tensor_activations": True}
    four = {"activation_bits": 4, "weight_bits": 4}
    return {
        "8_8": (cnn, {}),
        "8_8_per_tensor": (cnn, tensor),
        "4_4": (cnn, four | tensor),
        "4_4_per_axis": (cnn, four),
        "3_bit_activations": (cnn, {"activation_bits": 3, "weight_bits": 3}),
        "1_bit": (cnn, {"weight_bits": 1} | tensor),
        "2_bit": (cnn, {"weight_bits": 2}),
        "16_bit_buffers": (cnn, {"buffer_bits": 16}),
        "12_bits": (cnn, {"weight_bits": 12, "activation_bits": 12}),
        "own_config": (cnn, {"config": CONFIG}),
        "branches": (branches, {}),
        "branches_per_tensor": (branches, tensor),
        "pooled": (pooled, tensor),
        "depthwise": (depthwise, {}),
        "depthwise_per_tensor": (depthwise, tensor),
        "separable": (separable, {}),
        "separable_per_tensor": (separable, tensor),
        "transposed": (transposed, tensor),
        "one_dimensional": (one_dimensional, tensor),
        "padded_and_resized": (padded, tensor),
        "attention": (attention, {}),
        "tokens": (tokens, {}),
        "normalized": (normalized, {}),
        "binary": (binary, {}),
        "ternary_heaviside": (ternary, {}),
        "nested": (nested, {}),
        "products": (products, {}),
        "softmax_at_the_end": (softmax, tensor),
    }


CONFIG = {
    "conv_2": {
        "weight_quantizer": {"bitwidth": 4},
        "output_quantizer": {"bitwidth": 6, "axis": "per-tensor"},
    }
}


def _scaled(shape):
    inputs = tf_keras.Input(shape, name="image")
    return inputs, L.Rescaling(1 / 255, name="scale")(inputs)


def cnn():
    """Convolutions with normalizations, a dense layer."""
    return row(
        (8, 8, 3),
        L.Rescaling(1 / 128, -1, name="scale"),
        L.Conv2D(6, 3, use_bias=False, name="conv_1"),
        L.BatchNormalization(name="norm_1"),
        L.ReLU(name="relu_1"),
        L.Conv2D(8, 3, name="conv_2", **SAME),
        L.ReLU(6.0, name="relu_2"),
        L.MaxPooling2D(name="pool"),
        L.Flatten(name="flatten"),
        L.Dense(4, name="labels"),
    )


def branches():
    """A sum and a concatenation."""
    inputs, x = _scaled((8, 8, 3))
    x = first = L.Conv2D(5, 3, name="first", **SAME)(x)
    x = L.Conv2D(5, 3, name="second", **SAME)(L.ReLU(name="relu_first")(x))
    x = added = L.Add(name="add")([x, first])
    x = L.ReLU(name="relu_added")(x)
    left = L.Conv2D(3, 3, name="left", **SAME)(x)
    right = L.Conv2D(4, 1, name="right")(added)
    x = L.ReLU(name="relu_joined")(L.Concatenate(name="joined")([left, right]))
    x = L.GlobalAveragePooling2D(name="mean")(x)
    return graph(inputs, L.Dense(4, name="logits")(x), "branches")


def pooled():
    """Poolings of each kind, before and after activations."""
    inputs, x = _scaled((12, 12, 3))
    x = L.ReLU()(L.MaxPooling2D(name="pool_max")(L.Conv2D(6, 3, name="conv_1")(x)))
    x = L.AveragePooling2D(2, name="pool_mean")(L.Conv2D(6, 1, name="conv_2")(x))
    x = L.BatchNormalization(name="norm")(x)
    x = L.GlobalAveragePooling2D(name="mean")(L.ReLU()(x))
    return graph(inputs, L.Dense(4, name="logits")(x), "pooled")


def depthwise():
    """A depthwise and a pointwise convolution."""
    inputs, x = _scaled((8, 8, 3))
    x = L.ReLU()(L.DepthwiseConv2D(3, name="depthwise", **SAME)(x))
    x = L.ReLU()(L.Conv2D(8, 1, name="point")(x))
    return graph(inputs, L.Dense(4, name="logits")(L.Flatten()(x)), "depthwise")


def separable():
    """A separable convolution."""
    inputs, x = _scaled((8, 8, 3))
    x = L.ReLU()(L.Conv2D(4, 3, name="conv", **SAME)(x))
    x = L.BatchNormalization(name="norm")(L.SeparableConv2D(6, 3, name="separable")(x))
    return graph(
        inputs, L.Dense(4, name="logits")(L.Flatten()(L.ReLU()(x))), "separable"
    )


def transposed():
    """Transposed convolutions."""
    inputs, x = _scaled((5, 5, 3))
    x = L.ReLU()(L.Conv2DTranspose(4, 3, strides=2, name="transposed", **SAME)(x))
    x = lq.integer.layers.DepthwiseConv2DTranspose(3, strides=2, name="depth", **SAME)(
        x
    )
    return graph(inputs, L.ReLU()(x), "transposed")


def one_dimensional():
    """A convolution of sequences."""
    inputs, x = _scaled((12, 4))
    x = L.ReLU()(L.Conv1D(6, 3, padding="causal", name="causal")(x))
    x = L.ReLU()(L.Conv1D(6, 3, strides=2, name="strided")(x))
    return graph(inputs, L.Dense(4, name="logits")(L.Flatten()(x)), "one_dimensional")


def padded():
    """Paddings, upsampling, moves."""
    inputs, x = _scaled((6, 6, 3))
    x = L.ZeroPadding2D(1, name="pad")(x)
    x = L.ReLU()(L.Conv2D(4, 3, name="conv")(x))
    x = L.UpSampling2D(2, name="up")(x)
    x = L.ReLU()(L.Conv2D(4, 3, groups=2, name="grouped")(x))
    x = L.Permute((3, 1, 2), name="moved")(x)
    return graph(inputs, L.Reshape((100, 4), name="shaped")(x), "padded")


def attention():
    """Attention with shiftmax between dense layers."""
    own = lq.integer.layers
    inputs = tf_keras.Input((6, 8), name="x")
    x = L.Rescaling(1 / 128, -1)(inputs)
    x = own.LayerMadNormalization(name="mad")(L.Dense(8, name="stem")(x))
    query, key, value = (L.Dense(8, name=name)(x) for name in ("q", "k", "v"))
    mixed, _ = own.Attention(2, softmax="shiftmax", name="mix")([query, key, value])
    x = own.Add(name="add")([x, L.Dense(8, name="out")(mixed)])
    return graph(inputs, L.Dense(3, name="logits")(x), "attention")


def tokens():
    """Class tokens and positions."""
    own = lq.integer.layers
    inputs, x = _scaled((8, 8, 3))
    x = L.Conv2D(8, 4, strides=4, name="patches")(x)
    x = own.ClassToken(name="cls")(L.Reshape((4, 8), name="rows")(x))
    x = own.AddPositionEmbs(name="positions")(x)
    x = L.ReLU()(L.Dense(8, name="hidden")(x))
    x = own.ExtractToken(0, name="first")(x)
    return graph(inputs, L.Dense(3, name="logits")(x), "tokens")


def normalized():
    """Normalizations that stay layers."""
    inputs, x = _scaled((6, 8))
    x = L.BatchNormalization(name="norm")(L.ReLU()(L.Dense(8, name="first")(x)))
    x = L.LayerNormalization(name="layer_norm")(L.Dense(8, name="second")(x))
    return graph(inputs, L.Dense(3, name="logits")(x), "normalized")


def binary():
    """Binary layers behind a float one."""
    inputs, x = _scaled((8, 8, 3))
    x = L.BatchNormalization(name="norm_1")(L.Conv2D(8, 3, name="stem")(x))
    x = Q.QuantConv2D(8, 3, name="binary", padding="same", pad_values=1, **low_bit())(x)
    x = L.BatchNormalization(name="norm_2")(L.MaxPooling2D(name="pool")(x))
    x = Q.QuantDense(4, name="labels", **low_bit())(L.Flatten()(x))
    return graph(inputs, x, "binary")


def ternary():
    """Ternary kernels behind zeros and ones."""
    inputs, x = _scaled((8, 8, 3))
    x = L.Conv2D(8, 3, name="stem")(x)
    x = Q.QuantConv2D(8, 3, name="low", **low_bit("ste_tern", "ste_sign"))(x)
    x = Q.QuantDense(4, name="labels", **low_bit("ste_sign", "ste_tern"))(
        L.Flatten()(x)
    )
    return graph(inputs, x, "ternary")


def nested():
    """A model inside."""
    inner = tf_keras.Sequential(
        [tf_keras.Input((8, 8, 3)), L.Conv2D(4, 3, name="conv"), L.ReLU(name="relu")],
        name="inner",
    )
    inputs, x = _scaled((8, 8, 3))
    return graph(inputs, L.Dense(3, name="logits")(L.Flatten()(inner(x))), "nested")


def products():
    """Two inputs, a product, and a sum."""
    left, right = tf_keras.Input((8,), name="left"), tf_keras.Input((8,), name="right")
    x = L.Dense(6, name="of_left")(L.Rescaling(1 / 255)(left))
    y = L.Dense(6, name="of_right")(L.Rescaling(1 / 255)(right))
    z = L.Add(name="sum")([L.Multiply(name="product")([x, y]), x])
    return graph([left, right], L.Dense(3, name="logits")(z), "products")


def softmax():
    """A softmax that stays float."""
    inputs, x = _scaled((8, 8, 3))
    x = L.Flatten()(L.ReLU()(L.Conv2D(4, 3, strides=2, name="conv")(x)))
    x = L.Dense(4, activation="softmax", name="labels")(L.Dropout(0.5)(x))
    return graph(inputs, x, "softmax")
