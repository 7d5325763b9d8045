"""Small networks of random layers, quantized and float, in random order."""

from __future__ import annotations

import tf_keras
from hypothesis import strategies as st

import larqlite as lq

K, L, Q = tf_keras.layers, lq.layers, lq.quantizers

INPUTS = ["ste_sign", "approx_sign", "ste_heaviside", "ste_tern", "rsign", None]
KERNELS = ["ste_sign", "ste_tern", "magnitude_aware_sign", None]


@st.composite
def quantizers(draw, *roles: str, exact: bool = False):
    """Arguments of a quantized layer."""
    steps = [Q.DoReFa(draw(st.integers(1, 3)))]
    kernels = [] if exact else [Q.DoReFa(draw(st.integers(1, 4)), mode="weights")]
    arguments = {"input_quantizer": draw(st.sampled_from(INPUTS + steps))}
    for role in roles or ("kernel_quantizer",):
        arguments[role] = draw(st.sampled_from(KERNELS[: 2 if exact else 4] + kernels))
    return arguments


def _convolution(draw, x):
    activation = draw(st.sampled_from([None, None, "relu", "ste_sign"]))
    # A sum of scaled kernels that should be 0 is not quite in Keras: no sign of that.
    arguments = draw(quantizers(exact=activation == "ste_sign"))
    if activation == "ste_sign" and isinstance(arguments["input_quantizer"], Q.DoReFa):
        arguments["input_quantizer"] = "ste_sign"
    return L.QuantConv2D(
        draw(st.sampled_from([2, 3, 8])),
        draw(st.integers(1, 3)),
        strides=draw(st.sampled_from([1, 1, 2])),
        use_bias=draw(st.booleans()),
        activation=activation,
        **_same(draw),
        **arguments,
    )(x)


def _same(draw) -> dict:
    return {
        "padding": "same",
        "pad_values": draw(st.sampled_from([0.0, 1.0, -1.0])),
    }


def _depthwise(draw, x):
    arguments = draw(quantizers("depthwise_quantizer"))
    return L.QuantDepthwiseConv2D(3, **_same(draw), **arguments)(x)


def _separable(draw, x):
    arguments = draw(quantizers("depthwise_quantizer", "pointwise_quantizer"))
    return L.QuantSeparableConv2D(4, 3, **_same(draw), **arguments)(x)


def _transposed(draw, x):
    strides = draw(st.integers(1, 2)) if x.shape[1] < 10 else 1
    return L.QuantConv2DTranspose(3, 2, strides=strides, **draw(quantizers()))(x)


def _dense(draw, x):
    return L.QuantDense(5, **draw(quantizers()))(x)


def _residual(draw, x):
    layer = L.QuantConv2D(x.shape[-1], 3, padding="same", **draw(quantizers()))
    return x + K.BatchNormalization()(layer(x))


def _concatenation(draw, x):
    return K.concatenate([x, K.BatchNormalization()(x)])


def _activation(draw, x):
    make = draw(
        st.sampled_from(
            [
                lambda: K.PReLU(shared_axes=[1, 2]),
                lambda: K.Activation("hard_tanh"),
                lambda: K.Activation("ste_sign"),
                lambda: Q.SteTern(),
                lambda: L.RPReLU(),
            ]
        )
    )
    return make()(x)


def _plain(make):
    return lambda draw, x: make()(x)


LAYERS = [
    *[_convolution] * 4,
    *(_depthwise, _separable, _transposed, _dense, _residual, _concatenation),
    *(_activation, _activation),
    _plain(K.BatchNormalization),
    _plain(lambda: K.MaxPooling2D(2, 1, padding="same")),
    _plain(lambda: K.AveragePooling2D(2, 1, padding="same")),
    _plain(lambda: K.ZeroPadding2D(1)),
]


@st.composite
def networks(draw) -> tf_keras.Model:
    """A functional model on a small image, with one or two outputs."""
    size = draw(st.integers(3, 7)), draw(st.integers(3, 7))
    x = inputs = tf_keras.Input((*size, draw(st.sampled_from([1, 3, 4]))))
    for layer in draw(st.lists(st.sampled_from(LAYERS), min_size=2, max_size=7)):
        x = layer(draw, x)
    outputs = [x]
    if draw(st.booleans()):
        head = L.QuantDense(3, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
        outputs.append(head(K.Flatten()(x)))
    return tf_keras.Model(inputs, outputs)
