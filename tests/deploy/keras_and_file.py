"""A Keras model beside its exported file, on the runtime and on a stock ONNX Runtime."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_runtime
from tests.deploy.inside_a_file import folded_as_some_runtimes_do

TOLERANCE = 1e-6
# Operations of which some forms, or all, have no step of the kernels.
WITHOUT_STEP = frozenset(
    (
        # Some forms of them: backwards, of two tensors, of some axes, of other borders than 0...
        *("MatMul", "Max", "Min", "Pad", "Pow", "ReduceMax", "ReduceMean", "ReduceSum"),
        *("Resize", "Slice"),
        *(
            "Cast",
            "Ceil",
            "Erf",
            "Floor",
            "Gather",
            "Greater",
            "GreaterOrEqual",
            "Less",
        ),
        *(
            "LessOrEqual",
            "Log",
            "LogSoftmax",
            "ReduceMin",
            "ReduceProd",
            "Round",
            "Sin",
        ),
        *("Softplus", "Where"),
    )
)


def assert_same(
    model: tf_keras.Model,
    inputs: Sequence[np.ndarray] | None = None,
    expected: Sequence[np.ndarray] | None = None,
    tolerance: float = TOLERANCE,
    path: Path | None = None,
) -> list[str]:
    """The operations of a file, in their order, after all checks of `checked`."""
    return checked(model, inputs, expected, tolerance, path)[0]


def checked(
    model: tf_keras.Model,
    inputs: Sequence[np.ndarray] | None = None,
    expected: Sequence[np.ndarray] | None = None,
    tolerance: float = TOLERANCE,
    path: Path | None = None,
) -> tuple[list[str], lq.deploy.Report]:
    """Asserts that a file computes what Keras does, and holds what the summary counts.

    The way of a user: exported with the check of `export` itself, then run by
    larqlite_runtime and by a stock ONNX Runtime, beside Keras in inference mode; and by the
    kernels alone, if they have a step for all of it.

    Args:
        model: a tf_keras model.
        inputs: one array for each input; random ones for two samples by default.
        expected: the outputs; those of the model by default.
        tolerance: of the largest difference, relative to the largest output.
        path: where the file is left; nowhere by default.

    Returns:
        The operations in the file, in their order, and the report of the export.
    """
    inputs = random_inputs(model) if inputs is None else inputs
    if expected is None:
        given = inputs if len(inputs) > 1 else inputs[0]
        expected = tf.nest.flatten(model(given, training=False))
    content, report = exported(model, path)
    for found in (on_stock(content, inputs), on_runtime(content, inputs)):
        for output, keras in zip(found, expected, strict=True):
            keras = np.asarray(keras)
            assert output.shape == keras.shape
            assert output.dtype == np.float32
            largest = max(np.abs(keras).max(initial=0), 1e-30)
            assert np.abs(output - keras).max(initial=0) / largest <= tolerance
    found = on_kernels(content, inputs)
    for output, keras in zip(found, expected, strict=True) if found else ():
        keras = np.asarray(keras)
        assert output.shape == keras.shape
        largest = max(np.abs(keras).max(initial=0), 1e-30)
        assert np.abs(output - keras).max(initial=0) / largest <= max(tolerance, 1e-5)
    assert report.weight_bytes == lq.models.profile(model).deployed_bytes
    file = onnx.load_model_from_string(content)
    assert not folded_as_some_runtimes_do(file)
    return [node.op_type for node in file.graph.node], report


def exported(
    model: tf_keras.Model, path: Path | None = None
) -> tuple[bytes, lq.deploy.Report]:
    """The bytes of a model's file, written with all defaults, and the report."""
    if path is not None:
        report = export(model, path)
        return path.read_bytes(), report
    with tempfile.TemporaryDirectory() as folder:
        report = export(model, Path(folder) / "model.onnx")
        return report.path.read_bytes(), report


def export(model: tf_keras.Model, path="unused.onnx") -> lq.deploy.Report:
    """Exports with all defaults, so with the check that `export` itself runs."""
    return lq.deploy.export(model, path)


def on_stock(content: bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a file on a stock ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    names = [node.name for node in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))


def on_runtime(content: bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a file on larqlite_runtime."""
    model = larqlite_runtime.load(content, threads=1)
    names = [item.name for item in model.inputs]
    return list(model.run(dict(zip(names, inputs, strict=True))).values())


def on_kernels(content: bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """The outputs of a file where the kernels run all of it; None if they have no step for
    some of `WITHOUT_STEP`."""
    try:
        model = larqlite_runtime.load(content, threads=1, engine="native")
    except larqlite_runtime.NoNativeStepError as error:
        named = set(re.findall(r'" \((\w+)', str(error).partition("\n")[0]))
        if named <= WITHOUT_STEP:
            return None
        raise
    names = [item.name for item in model.inputs]
    return list(model.run(dict(zip(names, inputs, strict=True))).values())


def random_inputs(model: tf_keras.Model, samples: int = 2) -> list[np.ndarray]:
    """Normally distributed inputs, with some numbers that are exactly zero."""
    rng = np.random.default_rng(7)
    inputs = []
    for tensor in model.inputs:
        x = 2 * rng.normal(size=(samples, *tensor.shape[1:]))
        x[rng.random(x.shape) < 0.05] = 0
        inputs.append(x.astype(np.float32))
    return inputs


def with_random_weights(model: tf_keras.Model) -> tf_keras.Model:
    """The model, its weights random; variances are positive."""
    rng = np.random.default_rng(8)
    for variable in model.weights:
        values = 0.5 * rng.normal(size=variable.shape)
        if "variance" in variable.name:
            values = np.abs(values) + 0.1
        variable.assign(values.astype(variable.dtype.as_numpy_dtype))
    return model


def sequential(shape: Sequence[int], *layers) -> tf_keras.Model:
    """The layers on an input of this shape, with random weights."""
    return with_random_weights(tf_keras.Sequential([tf_keras.Input(shape), *layers]))


def stored_channels_first(shape: Sequence[int]) -> list[tf_keras.layers.Layer]:
    """A layer that changes nothing, but after which images lie channels first."""
    pooling = {
        2: tf_keras.layers.MaxPooling1D,
        3: tf_keras.layers.MaxPooling2D,
        4: tf_keras.layers.MaxPooling3D,
    }
    return [pooling[len(shape)](1)] if len(shape) in pooling else []
