"""Tiny networks and images for tests of training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite_zoo import _registered_models
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.datasets import ArraySource, Dataset

layers = tf_keras.layers
SHAPE = (8, 8, 1)


def toy(name: str, filters: int = 4, decay: float = 0.0, final: str = "logits") -> None:
    """Registers a network whose layers are called `<name>_conv`, `<name>_logits`..."""

    @register_model(name, summary="A toy.", paper=Paper("-", "-", 2026))
    def build(*, input_shape=None, weights=None, num_classes=3, **_):
        image = tf_keras.Input(input_shape)
        penalty = tf_keras.regularizers.L2(decay) if decay else None
        x = layers.Conv2D(
            filters, 3, padding="same", kernel_regularizer=penalty, name=f"{name}_conv"
        )(image)
        x = layers.BatchNormalization(momentum=0.5, name=f"{name}_norm")(x)
        x = layers.ReLU(name=f"{name}_block_out")(x)
        x = layers.GlobalAveragePooling2D()(x)
        x = layers.Dropout(0.5)(x)
        x = layers.Dense(num_classes, name=f"{name}_{final}")(x)
        model = tf_keras.Model(image, layers.Softmax(dtype="float32")(x), name=name)
        if weights:
            model.load_weights(weights)
        return model

    # Another name than the function's, which `register_model` compares.
    build.__name__ = build.__qualname__ = name


@contextlib.contextmanager
def registered(*names: str, **more: dict) -> Iterator[None]:
    """The toys of these names within the block; `name=dict(filters=6)` for others."""
    before = dict(_registered_models._entries)
    try:
        for name in names:
            toy(name)
        for name, arguments in more.items():
            toy(name, **arguments)
        yield
    finally:
        _registered_models._entries.clear()
        _registered_models._entries.update(before)


@contextlib.contextmanager
def zero_kernels() -> Iterator[None]:
    """Kernels of layers that are built here are not drawn, but zeros."""

    def zeros(self, shape, dtype=None, **kwargs):
        return tf.zeros(shape, dtype or "float32")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf_keras.initializers.VarianceScaling, "__call__", zeros)
        yield


def images(count: int) -> np.ndarray:
    return np.random.RandomState(1).randn(count, *SHAPE).astype("float32")


def labels(count: int) -> np.ndarray:
    return np.arange(count) % 3


def data(count: int = 6) -> Dataset:
    pixels = np.random.RandomState(2).randint(0, 256, (count, *SHAPE), np.uint8)
    source = ArraySource(pixels, labels(count))
    return Dataset("toy", source, source, "abc", SHAPE, "small")
