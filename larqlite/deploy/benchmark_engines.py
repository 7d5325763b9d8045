"""Engines that run the Keras model of a deployed file, for `lq benchmark`."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from larqlite.errors import UnsupportedModelError
from larqlite_runtime.benchmark import ON_FILE, Arrays, Call, Contestant, Engine


def loaded(
    path: Path,
    names: Sequence[str],
    threads: int,
    modules: Sequence[str],
    unsafe: bool,
) -> list[Engine]:
    """Engines by their names, those of the Keras model with a saved one.

    Args:
        path: of the model.
        names: of engines.
        threads: of each.
        modules: to import before.
        unsafe: whether the file may run Python that it carries.
    """
    from larqlite import models
    from larqlite.command_line import import_modules

    limit_tensorflow(threads)
    import_modules("lq", modules)
    model = models.load(path, compile=False, safe_mode=not unsafe)
    return of_model(model, names)


def of_model(model: Any, names: Sequence[str]) -> list[Engine]:
    """Engines by their names."""
    return [
        ON_FILE[name] if name in ON_FILE else functools.partial(ON_MODEL[name], model)
        for name in dict.fromkeys(names)
    ]


def tensorflow_on_model(model: Any, content: bytes, threads: int) -> Contestant:
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


def tflite_on_model(model: Any, content: bytes, threads: int) -> Contestant:
    """TFLite on the model, its kernels quantized beforehand, in float32."""
    import tensorflow as tf

    from larqlite.qat.tflite.internal import interpreter_classes

    converter = tf.lite.TFLiteConverter.from_keras_model(_frozen(model))
    try:
        file = converter.convert()
    except Exception as error:  # its ConverterError has no public name
        first_line = str(error).strip().partition("\n")[0]
        raise UnsupportedModelError(
            f'TFLite has no form for "{model.name}": {first_line}\n'
            "  Fix: compare with onnxruntime and tensorflow only."
        ) from error
    interpreter_class, _ = interpreter_classes()
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
