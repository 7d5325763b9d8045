"""What else runs a deployed network: the same file, or the Keras model it was made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from larqlite.errors import ArgumentError, UnsupportedModelError

Arrays = Sequence[np.ndarray]
Call = Callable[[], Any]


@dataclass(frozen=True)
class Contestant:
    """A way to run the network.

    Attributes:
        name: of the engine.
        what: what it runs, and how.
        prepare: gives a function that runs the network once on these inputs.
    """

    name: str
    what: str
    prepare: Callable[[Arrays], Call]


def onnxruntime_on_file(content: bytes, model: Any, threads: int) -> Contestant:
    """A stock ONNX Runtime on the same file, with its own settings."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )
    names = [item.name for item in session.get_inputs()]

    def prepare(inputs: Arrays) -> Call:
        given = dict(zip(names, inputs, strict=True))
        return lambda: session.run(None, given)

    what = f"the same file in float32, ONNX Runtime {onnxruntime.__version__}"
    return Contestant("onnxruntime", what, prepare)


def tensorflow_on_model(content: bytes, model: Any, threads: int) -> Contestant:
    """TensorFlow on a graph of the model, its kernels quantized beforehand."""
    import tensorflow as tf

    limit_tensorflow(threads)
    frozen = _frozen(model)
    function = tf.function(lambda *x: frozen(_packed(frozen, x), training=False))

    def prepare(inputs: Arrays) -> Call:
        tensors = [tf.constant(x) for x in inputs]
        return lambda: [np.asarray(y) for y in tf.nest.flatten(function(*tensors))]

    threads_used = tf.config.threading.get_intra_op_parallelism_threads()
    what = f"the Keras model in float32, TensorFlow {tf.__version__}"
    if (threads_used or os.cpu_count()) != threads:
        what += f" on {threads_used or 'all'} threads"
    return Contestant("tensorflow", what, prepare)


def tflite_on_model(content: bytes, model: Any, threads: int) -> Contestant:
    """TFLite on the model, its kernels quantized beforehand, in float32."""
    import tensorflow as tf

    from larqlite.qat.tflite._interpreter import _classes

    converter = tf.lite.TFLiteConverter.from_keras_model(_frozen(model))
    try:
        file = converter.convert()
    except Exception as error:  # its ConverterError has no public name
        first_line = str(error).strip().partition("\n")[0]
        raise UnsupportedModelError(
            f'TFLite has no form for "{model.name}": {first_line}\n'
            "  Fix: compare with onnxruntime and tensorflow only."
        ) from error
    interpreter_class, _ = _classes()
    interpreter = interpreter_class(model_content=file, num_threads=threads)

    def prepare(inputs: Arrays) -> Call:
        given = _by_keras_name(interpreter.get_input_details(), model.input_names)
        for detail, x in zip(given, inputs, strict=True):
            interpreter.resize_tensor_input(detail["index"], x.shape)
        interpreter.allocate_tensors()
        made = sorted(interpreter.get_output_details(), key=_output_number)

        def call() -> list[np.ndarray]:
            for detail, x in zip(given, inputs, strict=True):
                interpreter.set_tensor(detail["index"], x)
            interpreter.invoke()
            return [interpreter.get_tensor(detail["index"]) for detail in made]

        return call

    what = f"the Keras model in float32, TFLite ({len(file):,} bytes)"
    return Contestant("tflite", what, prepare)


# Those of the first kind need no Keras model.
ON_FILE: dict[str, Callable[..., Contestant]] = {"onnxruntime": onnxruntime_on_file}
ON_MODEL: dict[str, Callable[..., Contestant]] = {
    "tensorflow": tensorflow_on_model,
    "tflite": tflite_on_model,
}


def limit_tensorflow(threads: int) -> None:
    """Lets TensorFlow use so many threads, if it has not begun to compute yet."""
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return


def require_engines(names: Sequence[str], has_model: bool, where: str) -> None:
    """Refuses names of engines that are unknown, or need a model that is not there."""
    for name in names:
        if name not in (*ON_FILE, *ON_MODEL):
            raise ArgumentError(
                f'{where}: there is no engine "{name}" to compare with.\n'
                f"  Fix: some of {', '.join((*ON_FILE, *ON_MODEL))}."
            )
        if name in ON_MODEL and not has_model:
            raise ArgumentError(
                f"{where}: {name} runs the Keras model, not the file.\n"
                "  Fix: name the model that the file was made of with --model."
            )


def _frozen(model: Any) -> Any:
    """The model with quantized kernels, where Keras can copy it."""
    from larqlite import models

    try:
        return models.freeze(model)
    except UnsupportedModelError:
        return model


def _packed(model: Any, inputs: Sequence[Any]) -> Any:
    return list(inputs) if len(model.inputs) > 1 else inputs[0]


def _by_keras_name(details: list[dict], names: list[str]) -> list[dict]:
    """Descriptions of inputs in the order of the Keras model."""
    if len(names) == 1:
        return details
    by_name = {
        detail["name"].removeprefix("serving_default_").rpartition(":")[0]: detail
        for detail in details
    }
    return [by_name[name] for name in names]


def _output_number(detail: dict) -> int:
    """The place of an output in the Keras model, by its name "StatefulPartitionedCall:1"."""
    number = detail["name"].rpartition(":")[2]
    return int(number) if number.isdecimal() else 0
