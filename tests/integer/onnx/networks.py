"""Small float ONNX models with random weights."""

import numpy as np
import onnx
from onnx import numpy_helper


def model_of(body, weights, x="float[N, 3, 12, 12] x", y="float[N, C] y", opset=18):
    """A model from the text of its nodes and from arrays by name."""
    domain = ', "com.microsoft": 1' if "com.microsoft" in body else ""
    text = f'<ir_version: 9, opset_import: ["": {opset}{domain}]>'
    model = onnx.parser.parse_model(f"{text} net ({x}) => ({y}) {{ {body} }}")
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(array), name)
        for name, array in weights.items()
    )
    return model


def normal(*shape, seed=0, scale=0.5):
    random = np.random.default_rng([seed, *shape])
    return (random.normal(size=shape) * scale).astype(np.float32)


def images(*shape, seed=1):
    """Uneven ranges and means by channel."""
    x = np.random.default_rng(seed).normal(size=shape)
    width = np.arange(1, shape[1] + 1).reshape(1, -1, *[1] * (len(shape) - 2))
    return (x * width + 0.3 * width).astype(np.float32)
