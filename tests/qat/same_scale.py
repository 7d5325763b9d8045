"""Graphs drawn at random of operations that TFLite has with one scale only."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite import qat
from larqlite.primitives import nudged
from tests.common.eager import quantize_apply

L = tf_keras.layers
SHAPE = (4, 4, 4)
PATTERN = np.random.default_rng(0).random(SHAPE) < 0.7


def _conv(size: int, activation=None):
    return lambda x: L.Conv2D(4, size, padding="same", activation=activation)(x)


def _joined(join):
    """Two tensors put together along the channels, and four of the eight kept."""
    return lambda x, y: join(x, y)[..., 2:6]


# Tensors (batch, 4, 4, 4) go in, and one comes out.
MAKES = {
    "conv": _conv(3),
    "conv relu": _conv(1, "relu"),
    "float conv": lambda x: L.Conv2D(4, 1, name=f"float_{_next()}")(x),
    "sigmoid": lambda x: L.Conv2D(4, 1, activation="sigmoid")(x),
    "add": lambda x, y: L.Add()([x, y]),
}
MOVES = {
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 0], [0, 1], [0, 0]])[:, :4, 1:],
    "pad with -1": lambda x: tf.pad(
        x, [[0, 0], [1, 0], [0, 1], [0, 0]], constant_values=-1.0
    )[:, :4, 1:],
    "reflect": lambda x: tf.pad(x, [[0, 0], [1, 0], [0, 1], [0, 0]], "REFLECT")[
        :, :4, 1:
    ],
    "zero padding": lambda x: L.Cropping2D(1)(L.ZeroPadding2D(1)(x)),
    "reshape": lambda x: L.Permute((2, 3, 1))(L.Reshape((4, 4, 4))(L.Flatten()(x))),
    "transpose": lambda x: tf.transpose(x, [0, 2, 3, 1]),
    "gather": lambda x: tf.gather(x, [3, 0, 0, 2], axis=2),
    "tile": lambda x: tf.tile(x, [1, 2, 1, 1])[:, 2:6],
    "split": lambda x: tf.concat(tf.split(x, 2, axis=3)[::-1], 3),
    "unstack": lambda x: tf.stack(tf.unstack(x, axis=1)[::-1], 1),
    "max pooling": lambda x: L.MaxPooling2D(2, 1, "same")(x),
    "mean pooling": lambda x: L.AveragePooling2D(2, 1, "same")(x),
    "nearest": lambda x: L.UpSampling2D(2)(x)[:, 1:5, ::2],
    "resize": lambda x: tf.image.resize(x, (7, 7))[:, :4, 3:],
    "blocks": lambda x: tf.nn.depth_to_space(tf.nn.space_to_depth(x, 2), 2),
    "relu": lambda x: L.ReLU()(x),
    "clip": lambda x: tf.clip_by_value(x, -0.3, 0.6),
    "largest": lambda x: x * 0.5 + tf.reduce_max(x, axis=3, keepdims=True) * 0.25,
    "concatenate": _joined(lambda x, y: L.Concatenate()([x, y])),
    "concat": _joined(lambda x, y: tf.concat([x, y], 3)),
    "concatenated twice": lambda x, y: L.Concatenate()(
        [L.Concatenate()([x, y]), x, L.Concatenate()([y, y])]
    )[..., 4:16:3],
    "stack": lambda x, y: tf.reduce_max(tf.stack([x, y, x], 1), axis=1),
    "maximum": lambda x, y: L.Maximum()([x, y]),
    "minimum": lambda x, y: tf.minimum(x, y),
    "select": lambda x, y: tf.where(x > y, x, y),
    # No condition of their values: one step of difference would turn it.
    "select some": lambda x, y: tf.where(PATTERN, x, y),
    "select 0": lambda x: tf.where(PATTERN, x, 0.0),
}
_count = [0]


def _next() -> int:
    _count[0] += 1
    return _count[0]


def graph(seed: int) -> tf_keras.Model:
    """A model of 4 to 8 operations, more than half of them of one scale."""
    rng = np.random.default_rng(seed)
    source = tf_keras.Input(SHAPE)
    tensors = [source, _conv(1)(source), _conv(1, "relu")(source)]
    for _ in range(rng.integers(4, 9)):
        table = MAKES if rng.random() < 0.3 else MOVES
        function = table[rng.choice([*table])]
        places = rng.integers(max(0, len(tensors) - 4), len(tensors), 2)
        wanted = function.__code__.co_argcount
        tensors.append(function(*(tensors[place] for place in places[:wanted])))
    last = tensors[-1], tensors[int(rng.integers(1, len(tensors) - 1))]
    outputs = L.Concatenate()(last) if rng.random() < 0.5 else list(last)
    return _tamed(tf_keras.Model(source, outputs), rng)


def _tamed(model: tf_keras.Model, rng) -> tf_keras.Model:
    """Kernels that make no difference larger, with outputs of unlike ranges."""
    for layer in model.layers:
        if isinstance(layer, L.Conv2D):
            kernel, bias = layer.get_weights()
            kernel /= np.abs(kernel).sum((0, 1, 2)) * rng.choice([1, 4])
            layer.set_weights([kernel, rng.normal(0, rng.choice([0.1, 2]), bias.shape)])
    return model


def largest_difference(seed: int) -> float:
    """Of the outputs of Keras and of the file, in the widest steps of the model."""
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(seed)
    model = graph(seed)
    data = np.random.default_rng(seed).normal(size=(16, *SHAPE)).astype("float32")
    schemes = {"*": "int8"}
    if any(layer.name.startswith("float_") for layer in model.layers):
        schemes = {"float_*": "float", **schemes}
    quantized = quantize_apply(model, schemes, calibrate=data)
    found = qat.compare_tflite(quantized, qat.to_tflite(quantized), data, batch_size=16)
    return found.largest_difference / widest_step(quantized)


def widest_step(model: tf_keras.Model) -> float:
    """The widest step of the ranges of tensors that a model has."""
    steps = [1 / 128]  # sigmoid and tanh
    for layer in model.layers:
        quantizers = getattr(layer, "value_quantizers", [])
        if isinstance(layer, qat.QuantizeLayer):
            quantizers = [("", layer.quantizer, layer.quantizer_vars)]
        for _, quantizer, variables in quantizers:
            ends = (
                tf.convert_to_tensor(variables[f"{end}_var"]) for end in ("min", "max")
            )
            steps.append(float(nudged(*ends, quantizer.num_bits, False).step))
    return max(steps)
