"""Small networks for the tests of TFLite export, and TFLite's own interpreter on them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter, OpResolverType

L = tf_keras.layers
SAME = {"padding": "same"}


def net(shape, *layers) -> tf_keras.Model:
    """The layers in a row, with biases and statistics that are not zero."""
    inputs = outputs = tf_keras.Input(shape)
    for layer in layers:
        outputs = layer(outputs)
    return randomized(tf_keras.Model(inputs, outputs))


def randomized(model: tf_keras.Model) -> tf_keras.Model:
    rng = np.random.default_rng(1)
    draws = {
        "bias": lambda n: rng.normal(0, 0.2, n),
        "gamma": lambda n: rng.uniform(0.5, 1.5, n),
        "beta": lambda n: rng.normal(0, 0.5, n),
        "moving_mean": lambda n: rng.normal(0, 0.3, n),
        "moving_variance": lambda n: rng.uniform(0.5, 2, n),
        "alpha": lambda n: rng.uniform(0.1, 0.4, n),
    }
    for variable in model.weights:
        name = variable.name.split("/")[-1].partition(":")[0]
        if name in draws:
            variable.assign(draws[name](variable.shape))
    return model


def add_relu() -> tf_keras.Model:
    inputs = tf_keras.Input((8, 8, 3))
    sides = [L.Conv2D(4, 3, **SAME)(inputs), L.Conv2D(4, 1)(inputs)]
    return randomized(tf_keras.Model(inputs, L.ReLU()(L.Add()(sides))))


def concatenated() -> tf_keras.Model:
    inputs = tf_keras.Input((8, 8, 3))
    sides = [
        L.Conv2D(4, 3, **SAME)(inputs),
        L.Conv2D(4, 1, activation="relu")(inputs),
    ]
    return randomized(tf_keras.Model(inputs, L.Conv2D(2, 1)(L.Concatenate()(sides))))


# What the reference quantizes by default, each on its own, and in patterns.
ALONE = {
    "Dense": lambda: net((16,), L.Dense(12)),
    "Dense relu": lambda: net((16,), L.Dense(12, activation="relu")),
    "Dense softmax": lambda: net((16,), L.Dense(12, activation="softmax")),
    "Dense on a sequence": lambda: net((5, 16), L.Dense(12)),
    "Conv2D": lambda: net((8, 8, 3), L.Conv2D(6, 3)),
    "Conv2D sigmoid": lambda: net((8, 8, 3), L.Conv2D(4, 3, activation="sigmoid")),
    "Conv2D dilated": lambda: net((8, 8, 3), L.Conv2D(6, 3, dilation_rate=2, **SAME)),
    "DepthwiseConv2D": lambda: net(
        (8, 8, 3), L.DepthwiseConv2D(3, depth_multiplier=2, **SAME)
    ),
    "Conv2DTranspose": lambda: net(
        (8, 8, 3), L.Conv2DTranspose(4, 3, strides=2, **SAME)
    ),
    "Conv1D": lambda: net((9, 3), L.Conv1D(4, 3, dilation_rate=2, padding="causal")),
    "DepthwiseConv1D": lambda: net((9, 3), L.DepthwiseConv1D(3)),
    "SeparableConv1D": lambda: net((9, 3), L.SeparableConv1D(4, 3)),
    "SeparableConv2D": lambda: net((8, 8, 3), L.SeparableConv2D(4, 3)),
    "ReLU": lambda: net((8, 8, 3), L.ReLU()),
    "LeakyReLU": lambda: net((8, 8, 3), L.LeakyReLU()),
    "UpSampling2D": lambda: net((4, 4, 3), L.UpSampling2D()),
    "UpSampling2D bilinear": lambda: net(
        (4, 4, 3), L.UpSampling2D(interpolation="bilinear")
    ),
    "AveragePooling1D": lambda: net((8, 3), L.AveragePooling1D()),
    "AveragePooling1D same": lambda: net((8, 3), L.AveragePooling1D(3, 2, "same")),
    "AveragePooling2D": lambda: net((8, 8, 3), L.AveragePooling2D()),
    "GlobalAveragePooling1D": lambda: net((8, 3), L.GlobalAveragePooling1D()),
    "GlobalAveragePooling2D": lambda: net((8, 8, 3), L.GlobalAveragePooling2D()),
    "GlobalAveragePooling3D": lambda: net((4, 4, 4, 3), L.GlobalAveragePooling3D()),
    "relu6": lambda: net((8, 8, 3), L.Activation("relu6")),
    "swish": lambda: net((8, 8, 3), L.Activation("swish")),
    "gelu": lambda: net((8, 8, 3), L.Activation("gelu")),
    "Softmax": lambda: net((16,), L.Dense(5), L.Softmax()),
    "PReLU": lambda: net((8, 8, 3), L.Conv2D(4, 3), L.PReLU()),
    "what only moves values": lambda: net(
        (8, 8, 3),
        L.ZeroPadding2D(),
        L.Cropping2D(1),
        L.MaxPooling2D(),
        L.Permute((2, 1, 3)),
        L.Dropout(0.5),
        L.SpatialDropout2D(0.5),
        L.Reshape((16, 3)),
        L.Flatten(),
        L.Dense(4),
    ),
    "GlobalMaxPooling2D": lambda: net((8, 8, 3), L.GlobalMaxPooling2D(), L.Dense(4)),
}
PATTERNS = {
    "Dense, normalization, ReLU": lambda: net(
        (16,), L.Dense(12), L.BatchNormalization(), L.ReLU(), L.Dense(5)
    ),
    "sequence Dense, normalization, ReLU": lambda: net(
        (5, 16), L.Dense(12), L.BatchNormalization(), L.ReLU()
    ),
    "Conv2D, normalization, ReLU": lambda: net(
        (8, 8, 3), L.Conv2D(6, 3), L.BatchNormalization(), L.ReLU()
    ),
    "dilated, normalization, relu": lambda: net(
        (8, 8, 3),
        L.Conv2D(6, 3, dilation_rate=2),
        L.BatchNormalization(),
        L.Activation("relu"),
    ),
    "depthwise, normalization, ReLU6": lambda: net(
        (8, 8, 3), L.DepthwiseConv2D(3, **SAME), L.BatchNormalization(), L.ReLU(6.0)
    ),
    "transposed, normalization, ReLU": lambda: net(
        (8, 8, 3),
        L.Conv2DTranspose(4, 3, strides=2, **SAME),
        L.BatchNormalization(),
        L.ReLU(),
    ),
    "Conv1D, normalization, ReLU": lambda: net(
        (9, 3), L.Conv1D(4, 3, padding="causal"), L.BatchNormalization(), L.ReLU()
    ),
    "separable 1D, normalization, ReLU": lambda: net(
        (9, 3), L.SeparableConv1D(4, 3), L.BatchNormalization(), L.ReLU()
    ),
    "separable 2D, normalization, ReLU": lambda: net(
        (8, 8, 3), L.SeparableConv2D(4, 3), L.BatchNormalization(), L.ReLU()
    ),
    "Add, ReLU": add_relu,
    "Concatenate": concatenated,
    "Conv2D, ReLU, pooling, Dense": lambda: net(
        (8, 8, 3),
        L.Conv2D(4, 3),
        L.ReLU(),
        L.MaxPooling2D(),
        L.Flatten(),
        L.Dense(3),
    ),
}


def data_for(model: tf_keras.Model, count: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, *model.input_shape[1:])).astype("float32")


def plainly_converted(model: tf_keras.Model, dtype=None) -> bytes:
    """As the guide does it."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if dtype is not None:
        converter.inference_input_type = converter.inference_output_type = dtype
    return converter.convert()


def tensors(content: bytes) -> list[dict]:
    """All tensors of a file, as the interpreter tells of them."""
    return Interpreter(model_content=content, num_threads=1).get_tensor_details()


def float_count(content: bytes) -> int:
    return sum(tensor["dtype"] == np.float32 for tensor in tensors(content))


def run(content: bytes, inputs) -> tuple[np.ndarray, float | None]:
    """The outputs as real values, and the step between them if they are integers."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    (source,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(source["index"], inputs.shape)
    interpreter.allocate_tensors()
    if source["dtype"] == np.int8:
        scale, zero = source["quantization"]
        inputs = np.clip(np.round(inputs / scale) + zero, -128, 127).astype(np.int8)
    interpreter.set_tensor(source["index"], inputs)
    interpreter.invoke()
    (target,) = interpreter.get_output_details()
    outputs = interpreter.get_tensor(target["index"])
    if target["dtype"] != np.int8:
        return outputs, None
    scale, zero = target["quantization"]
    return (outputs.astype("float32") - zero) * scale, scale


def all_tensors(content: bytes, inputs, *indices: int) -> list[np.ndarray]:
    """Quantized tensors of one run, by their numbers, as real values."""
    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    (source,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(source["index"], inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], inputs)
    interpreter.invoke()
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    found = []
    for index in indices:
        scale, zero = details[index]["quantization"]
        codes = interpreter.get_tensor(index).astype("float32")
        found.append((codes - zero) * np.float32(scale))
    return found


def step_of(content: bytes) -> float:
    """The step of the integers that the outputs are made of."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    (target,) = interpreter.get_output_details()
    details = interpreter.get_tensor_details()
    # The last int8 tensor that is computed goes into the last conversion.
    codes = [
        t
        for t in details
        if t["dtype"] == np.int8
        and len(t["quantization_parameters"]["scales"]) == 1
        and np.prod(t["shape"][1:]) == np.prod(target["shape"][1:])
    ]
    return codes[-1]["quantization"][0]
