"""A Keras model beside its QONNX file, executed by the `qonnx` package."""

from __future__ import annotations

import numpy as np
import tf_keras

import larqlite as lq


def randomized(model: tf_keras.Model) -> tf_keras.Model:
    """Seeded weights and statistics of batches, some scales of them negative."""
    rng = np.random.default_rng(3)
    values = []
    for weight in model.weights:
        drawn = rng.normal(0, 0.5, weight.shape)
        if "variance" in weight.name or "alpha" in weight.name:
            drawn = np.abs(drawn) + 0.5
        values.append(drawn.astype(weight.dtype.as_numpy_dtype))
    model.set_weights(values)
    return model


def batch_for(model: tf_keras.Model, size: int = 2) -> np.ndarray:
    rng = np.random.default_rng(4)
    return rng.normal(0, 1, (size, *model.input_shape[1:])).astype("float32")


def executed(model: tf_keras.Model, path, batch: np.ndarray):
    """The file as `qonnx` reads it, and all that it computes, by name."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    lq.deploy.to_qonnx(model, path, batch_size=len(batch))
    file = ModelWrapper(str(path))
    given = {file.graph.input[0].name: batch}
    return file, execute_onnx(file, given, return_full_exec_context=True)


def assert_same(model: tf_keras.Model, path, tolerance=1e-6, batch=None):
    batch = batch_for(model) if batch is None else batch
    expected = model(batch, training=False).numpy()
    file, tensors = executed(model, path, batch)
    found = tensors[file.graph.output[0].name]
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    domains = {node.domain for node in file.graph.node}
    assert domains <= {"", "qonnx.custom_op.general"}
    return file


def nodes(file, op: str) -> list:
    return [node for node in file.graph.node if node.op_type == op]
