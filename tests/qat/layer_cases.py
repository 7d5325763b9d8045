"""A small model around each layer class that the schemes know, and data for it."""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
import tf_keras

layers = tf_keras.layers

SEQUENCE, IMAGE, VOLUME = (6, 4), (6, 6, 4), (4, 4, 4, 2)


def one(layer, shape=IMAGE, dtype=None):
    inputs = tf_keras.Input(shape, dtype=dtype)
    return tf_keras.Model(inputs, layer(inputs))


def two(layer, shape=(5,), other=None):
    inputs = [tf_keras.Input(shape), tf_keras.Input(other or shape)]
    return tf_keras.Model(inputs, layer(inputs))


def attention():
    query, value = tf_keras.Input((5, 8)), tf_keras.Input((3, 6))
    layer = layers.MultiHeadAttention(2, 4, name="attention")
    return tf_keras.Model([query, value], layer(query, value))


def normalized(layer):
    """With statistics that are not those it starts with."""
    model = one(layer)
    rng = np.random.default_rng(5)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


RANKS = {1: SEQUENCE, 2: IMAGE, 3: VOLUME}


def ranked(name, *args, ranks=(1, 2, 3), **kwargs):
    """The one-, two- and three-dimensional variants of a layer."""
    return {
        f"{name.format(n)}": functools.partial(
            lambda cls, shape: one(cls(*args, **kwargs), shape),
            getattr(layers, name.format(n)),
            RANKS[n],
        )
        for n in ranks
    }


def same_size(*names):
    return {
        name: functools.partial(lambda cls: two(cls()), getattr(layers, name))
        for name in names
    }


def plain(*names, shape=IMAGE, **kwargs):
    return {
        name: functools.partial(lambda cls: one(cls(**kwargs), shape), layer_class)
        for name in names
        if (layer_class := getattr(layers, name))
    }


CASES = {
    **plain("ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax", "Flatten", "Identity"),
    "ThresholdedReLU": lambda: one(layers.ThresholdedReLU(0.5)),
    "Activation": lambda: one(layers.Activation("swish")),
    **same_size(*("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")),
    **same_size("Concatenate"),
    "Dot": lambda: two(layers.Dot(-1)),
    "Attention": lambda: two(layers.Attention(use_scale=True), (3, 4), (5, 4)),
    "AdditiveAttention": lambda: two(layers.AdditiveAttention(), (3, 4), (5, 4)),
    "MultiHeadAttention": attention,
    **ranked("UpSampling{}D"),
    **ranked("AveragePooling{}D"),
    **ranked("GlobalAveragePooling{}D"),
    **ranked("MaxPooling{}D"),
    **ranked("GlobalMaxPooling{}D"),
    **ranked("Cropping{}D", 1),
    **ranked("ZeroPadding{}D", 1),
    **ranked("SpatialDropout{}D", 0.1),
    "BatchNormalization": lambda: normalized(layers.BatchNormalization()),
    "SyncBatchNormalization": lambda: normalized(
        layers.experimental.SyncBatchNormalization()
    ),
    "LayerNormalization": lambda: normalized(layers.LayerNormalization()),
    "GroupNormalization": lambda: normalized(layers.GroupNormalization(2)),
    "UnitNormalization": lambda: one(layers.UnitNormalization()),
    "Normalization": lambda: one(layers.Normalization(mean=0.3, variance=2.0)),
    "Rescaling": lambda: one(layers.Rescaling(0.5, 0.1)),
    "Resizing": lambda: one(layers.Resizing(4, 4)),
    "Reshape": lambda: one(layers.Reshape((12, 12))),
    "Permute": lambda: one(layers.Permute((2, 3, 1))),
    "RepeatVector": lambda: one(layers.RepeatVector(3), (5,)),
    "Dropout": lambda: one(layers.Dropout(0.1)),
    "GaussianNoise": lambda: one(layers.GaussianNoise(0.1)),
    "GaussianDropout": lambda: one(layers.GaussianDropout(0.1)),
    "AlphaDropout": lambda: one(layers.AlphaDropout(0.1)),
    "Masking": lambda: one(layers.Masking(), SEQUENCE),
    "ActivityRegularization": lambda: one(layers.ActivityRegularization(l2=0.01)),
    "Conv1D": lambda: one(layers.Conv1D(3, 3, activation="relu"), SEQUENCE),
    "Conv2D": lambda: one(layers.Conv2D(3, 3, dilation_rate=2, activation="gelu")),
    "Conv3D": lambda: one(layers.Conv3D(3, 2, groups=1, strides=2), VOLUME),
    "DepthwiseConv1D": lambda: one(layers.DepthwiseConv1D(3), SEQUENCE),
    "DepthwiseConv2D": lambda: one(layers.DepthwiseConv2D(3, depth_multiplier=2)),
    "SeparableConv1D": lambda: one(layers.SeparableConv1D(3, 3), SEQUENCE),
    "SeparableConv2D": lambda: one(layers.SeparableConv2D(3, 3, activation="relu")),
    "Conv1DTranspose": lambda: one(layers.Conv1DTranspose(3, 3), SEQUENCE),
    "Conv2DTranspose": lambda: one(layers.Conv2DTranspose(3, 3, strides=2)),
    "Conv3DTranspose": lambda: one(layers.Conv3DTranspose(2, 2), VOLUME),
    "LocallyConnected1D": lambda: one(layers.LocallyConnected1D(3, 3), SEQUENCE),
    "LocallyConnected2D": lambda: one(layers.LocallyConnected2D(3, 3)),
    "Dense": lambda: one(layers.Dense(4, activation="elu"), (6,)),
    "EinsumDense": lambda: one(
        layers.EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d"),
        SEQUENCE,
    ),
    "Embedding": lambda: one(layers.Embedding(9, 4), (7,), "int32"),
    "SimpleRNN": lambda: one(layers.SimpleRNN(5), SEQUENCE),
    "GRU": lambda: one(layers.GRU(5, return_sequences=True), SEQUENCE),
    "LSTM": lambda: one(layers.LSTM(5), SEQUENCE),
    "Bidirectional": lambda: one(layers.Bidirectional(layers.LSTM(3)), SEQUENCE),
    "TimeDistributed": lambda: one(
        layers.TimeDistributed(layers.Conv1D(3, 2, activation="sigmoid")), (3, 5, 2)
    ),
    **{
        name: functools.partial(
            lambda cls, args: one(cls(*args)), getattr(layers, name), args
        )
        for name, args in {
            "CenterCrop": (4, 4),
            "RandomBrightness": (0.1,),
            "RandomContrast": (0.1,),
            "RandomCrop": (4, 4),
            "RandomFlip": (),
            "RandomHeight": (0.1,),
            "RandomRotation": (0.1,),
            "RandomTranslation": (0.1, 0.1),
            "RandomWidth": (0.1,),
            "RandomZoom": (0.1,),
        }.items()
    },
}


def data_for(model: tf_keras.Model, size: int = 12, seed: int = 3) -> list[np.ndarray]:
    """An array for each input: from -1.5 to 1.5, or whole numbers."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 9, (size, *tensor.shape[1:])).astype("int32")
        if not tensor.dtype.is_floating
        else rng.uniform(-1.5, 1.5, (size, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    ]


def arrays(outputs) -> list[np.ndarray]:
    return [np.asarray(tensor, "float32") for tensor in tf.nest.flatten(outputs)]
