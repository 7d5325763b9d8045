"""One small instance of every quantizer and layer; a new one gets a line here.

The suites in this folder run every case through the same checks, and
`test_every_other_object.py`, which has optimizers, metrics and constraints itself, fails when a
registered object has no case.
"""

from __future__ import annotations

import json

import numpy as np
import tf_keras

import larqlite as lq

QUANTIZERS = {
    "SteSign": {"clip_value": 1.25},
    "ApproxSign": {},
    "SteHeaviside": {"clip_value": 0.5},
    "SwishSign": {"beta": 4.0},
    "MagnitudeAwareSign": {"clip_value": None},
    "SteTern": {"ternary_weight_networks": True},
    "DoReFa": {"k_bit": 3, "mode": "weights"},
    "NoOp": {"precision": 1},
    "RSign": {},
    "AdaBinActivations": {},
    "AdaBinWeights": {},
    "AbsmeanTernary": {"per_channel": True},
    "XnorPlus": {"clip_value": 0.75},
    "LSQ": {"bits": 3},
    "XnorScale": {"clip_value": 0.75},
    "EDESign": {},
    "Libra": {},
    "ReCU": {},
    "Seq": {"bits": 1.58},
    "TTQ": {"threshold": 0.2},
    "StochasticSign": {"seed": 3},
    "StochasticTernary": {"clip_value": None, "seed": 3},
    "Uniform": {"learned_scale": False},
    "PACT": {"bits": 3, "signed": True, "alpha": 1.25},
    "LSQPlus": {"bits": 3},
    "IntSymmetric": {"bits": 3},
    "AbsmaxInt8": {},
    "LQLevels": {"bits": 2},
}
ACTIVATION_LAYERS = ("RPReLU", "TwoSlopeReLU")

_CLIP = {"kernel_constraint": "weight_clip"}
_KERNEL = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", **_CLIP}
_DEPTHWISE = {
    "input_quantizer": "approx_sign",
    "depthwise_quantizer": "ste_tern",
    "depthwise_constraint": "weight_clip",
}
_SEPARABLE = {
    **_DEPTHWISE,
    "pointwise_quantizer": "magnitude_aware_sign",
    "pointwise_constraint": "weight_clip",
}
_PADDED = {"padding": "same", "pad_values": 1.0}
_SCALED = {**_KERNEL, "kernel_quantizer": "magnitude_aware_sign"}

# Layer name -> (arguments, shape of one input).
LAYERS = {
    "QuantDense": ({"units": 3, **_SCALED}, (5,)),
    "QuantConv1D": ({"filters": 3, "kernel_size": 3, **_PADDED, **_KERNEL}, (6, 2)),
    "QuantConv2D": (
        {"filters": 3, "kernel_size": 3, "strides": 2, **_PADDED, **_KERNEL},
        (5, 6, 2),
    ),
    "QuantConv3D": (
        {"filters": 2, "kernel_size": 2, **_PADDED, **_SCALED},
        (4, 3, 4, 2),
    ),
    "QuantDepthwiseConv1D": ({"kernel_size": 3, **_PADDED, **_DEPTHWISE}, (6, 3)),
    "QuantDepthwiseConv2D": (
        {"kernel_size": 3, "depth_multiplier": 2, **_PADDED, **_DEPTHWISE},
        (5, 5, 3),
    ),
    "QuantSeparableConv1D": (
        {"filters": 3, "kernel_size": 3, **_PADDED, **_SEPARABLE},
        (6, 2),
    ),
    "QuantSeparableConv2D": (
        {"filters": 3, "kernel_size": 3, **_PADDED, **_SEPARABLE},
        (5, 5, 2),
    ),
    "QuantConv1DTranspose": (
        {"filters": 3, "kernel_size": 3, "strides": 2, **_KERNEL},
        (4, 2),
    ),
    "QuantConv2DTranspose": (
        {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same", **_KERNEL},
        (3, 4, 2),
    ),
    "QuantConv3DTranspose": (
        {"filters": 2, "kernel_size": 2, **_KERNEL},
        (3, 3, 2, 2),
    ),
    "QuantLocallyConnected1D": ({"filters": 3, "kernel_size": 3, **_KERNEL}, (5, 2)),
    "QuantLocallyConnected2D": (
        {"filters": 2, "kernel_size": 2, "implementation": 2, **_KERNEL},
        (4, 4, 2),
    ),
}


def quantizer(name: str) -> lq.quantizers.Quantizer:
    return getattr(lq.quantizers, name)(**QUANTIZERS[name])


def layer(name: str, **changes) -> tf_keras.layers.Layer:
    arguments, _ = LAYERS[name]
    return getattr(lq.layers, name)(**{**arguments, **changes})


def keras_counterpart(name: str) -> type[tf_keras.layers.Layer]:
    return getattr(tf_keras.layers, name.removeprefix("Quant"))


def inputs(name: str, batch: int = 4, dtype: str = "float32") -> np.ndarray:
    rng = np.random.default_rng(sum(map(ord, name)))
    return rng.uniform(-1.5, 1.5, (batch, *LAYERS[name][1])).astype(dtype)


def model(name: str, **changes) -> tf_keras.Model:
    """The layer between its input and two outputs of a Dense, quantizers as activation."""
    return tf_keras.Sequential(
        [
            tf_keras.Input(LAYERS[name][1]),
            layer(name, **changes),
            tf_keras.layers.BatchNormalization(),
            tf_keras.layers.Activation("ste_sign"),
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(2),
        ]
    )


def quantizer_model(name: str) -> tf_keras.Model:
    """The quantizer in all the places where one can stand."""
    q = QUANTIZERS[name]
    make = getattr(lq.quantizers, name)
    return tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            lq.layers.QuantDense(
                4, kernel_quantizer=make(**q), kernel_constraint="weight_clip"
            ),
            make(**q),
            tf_keras.layers.Activation(make(**q)),
            lq.layers.QuantDense(2, input_quantizer=make(**q), activation=make(**q)),
        ]
    )


def activation_model(name: str) -> tf_keras.Model:
    """The activation layer by itself, and as the activation of other layers."""
    make = getattr(lq.layers, name)
    return tf_keras.Sequential(
        [
            tf_keras.Input((6,)),
            lq.layers.QuantDense(4, input_quantizer="ste_sign", activation=make()),
            make(),
            tf_keras.layers.Activation(make()),
            tf_keras.layers.Dense(2),
        ]
    )


def all_models() -> dict[str, tf_keras.Model]:
    """A model for every layer, every quantizer and every activation layer."""
    return {
        name: any_model(name) for name in (*LAYERS, *QUANTIZERS, *ACTIVATION_LAYERS)
    }


def any_model(name: str) -> tf_keras.Model:
    """The model for one of them."""
    if name in LAYERS:
        return model(name)
    return quantizer_model(name) if name in QUANTIZERS else activation_model(name)


def model_inputs(name: str, batch: int = 4) -> np.ndarray:
    if name in LAYERS:
        return inputs(name, batch)
    return np.random.default_rng(7).uniform(-1.5, 1.5, (batch, 6)).astype("float32")


def same_config(a: dict, b: dict) -> bool:
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
