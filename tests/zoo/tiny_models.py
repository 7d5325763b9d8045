"""Networks of a few hundred weights, registered for the tests of training."""

from __future__ import annotations

import tf_keras

import larqlite as lq
from larqlite_zoo import _registered_models
from larqlite_zoo._card import Paper

PAPER = Paper("None", "https://example.org", 2026)
_layers = tf_keras.layers
_registered: list[str] = []


def _tiny(name: str, *, normalized: bool, dropout: float, kernel_quantizer):
    """Registers two convolutions and a classifier under `name`."""

    def build(*, input_shape=None, weights=None, num_classes=10):
        x = image = tf_keras.Input(input_shape or (28, 28, 1))
        for filters, input_quantizer in ((4, None), (8, "ste_sign")):
            x = lq.layers.QuantConv2D(
                filters,
                3,
                strides=3,
                input_quantizer=input_quantizer,
                kernel_quantizer=kernel_quantizer(),
                kernel_constraint="weight_clip",
                use_bias=not normalized,
                name=f"conv_{filters}",
            )(x)
            if normalized:
                x = _layers.BatchNormalization(momentum=0.9)(x)
        if dropout:
            x = _layers.Dropout(dropout)(x)
        x = _layers.Flatten()(x)
        x = _layers.Dense(num_classes, name="dense")(x)
        x = _layers.Activation("softmax", dtype="float32")(x)
        return tf_keras.Model(image, x, name=name)

    build.__name__ = name
    _registered.append(name)
    _registered_models.register_model(
        name, summary="For tests.", paper=PAPER, input_shape=(28, 28, 1)
    )(build)


def _latent():
    return "ste_sign"


def _binary():
    return lq.quantizers.NoOp(precision=1)


def register() -> None:
    """Registers all of them; once for each process."""
    _tiny("tiny_dropout", normalized=True, dropout=0.3, kernel_quantizer=_latent)
    _tiny("tiny_normalized", normalized=True, dropout=0.0, kernel_quantizer=_latent)
    _tiny("tiny_plain", normalized=False, dropout=0.0, kernel_quantizer=_latent)
    _tiny("tiny_bop", normalized=False, dropout=0.0, kernel_quantizer=_binary)
    _tiny("tiny_bop_dropout", normalized=True, dropout=0.3, kernel_quantizer=_binary)


def forget() -> None:
    """Takes them from the registry again."""
    while _registered:
        _registered_models._entries.pop(_registered.pop())
