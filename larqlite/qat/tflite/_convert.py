"""`to_tflite`: a quantization-aware model as a TFLite file."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import tensorflow as tf
import tf_keras

from larqlite._progress import bar
from larqlite.errors import ArgumentError, LarqliteError, UnsupportedModelError
from larqlite.graph import LayerGraph, require_model
from larqlite.outputs import TFLITE, require, written_whole
from larqlite.qat.lowerings import exporting
from larqlite.qat.tflite._convertible import require_convertible
from larqlite.qat.tflite._file_graph import read_file
from larqlite.qat.tflite._layer_names import float_layers_of
from larqlite.qat.tflite._notes import notes_on
from larqlite.qat.tflite._one_scale import with_one_scale
from larqlite.qat.tflite._prepare import prepared
from larqlite.qat.tflite._quiet import quiet
from larqlite.qat.tflite._refusal import refusal
from larqlite.qat.tflite._trial import require_runs

__all__ = ["TFLiteModel", "to_tflite"]

log = logging.getLogger("larqlite.qat")
INPUTS = ("float32", "int8")


class TFLiteModel(bytes):
    """The content of a TFLite file, and what to know of it.

    Attributes:
        notes: sentences on what the file has in another way than the model.
        float_layers: names of the layers that compute in float32.
    """

    notes: tuple[str, ...] = ()
    float_layers: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<TFLiteModel: {len(self)} bytes, {len(self.float_layers)} float layers>"
        )

    __str__ = __repr__  # the content as text is of no use to anyone


def to_tflite(
    model: tf_keras.Model,
    path: str | os.PathLike | None = None,
    inputs: str = "float32",
) -> TFLiteModel:
    """Converts a quantization-aware model to TFLite, with the ranges it was trained with.

    Weights of 8 bits and fewer are stored in 8 bits with the same values; activations
    are computed in int8. What cannot stay the same is an error, or named in `notes`.

    Args:
        model: a model of `quantize_model`, `quantize_apply` or `binarize`, trained or
            calibrated. It is not changed.
        path: where to write the file too, `*.tflite`; it is there as a whole or not at
            all.
        inputs: "float32", or "int8" for inputs and outputs without float tensors.

    Returns:
        The content of the file: `bytes` with the attributes `notes` and `float_layers`.

    Raises:
        ArgumentError: `inputs` is unknown, weights are not finite, ranges are not set,
            or are wider than 8 bits; or `path` must not be written.
        MissingFileError: there is no folder for it.
        UnsupportedModelError: the model is not quantization-aware, or cannot be
            converted, or has float layers where `inputs` is "int8".
        UnsupportedLayerError: a recurrent layer that reads any number of steps.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> data = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
        >>> quantized = lq.qat.quantize_model(model, calibrate=data)
        >>> content = lq.qat.to_tflite(quantized, inputs="int8")
        >>> content[4:8], content.float_layers
        (b'TFL3', ())

    References:
        https://arxiv.org/abs/1712.05877, section 2.
    """
    where = "lq.qat.to_tflite"
    require_model(model, where, unbuilt=True)
    if inputs not in INPUTS:
        raise ArgumentError(
            f"{where}: inputs={inputs!r} is not known.\n"
            f"  Fix: {' or '.join(map(repr, INPUTS))}."
        )
    if path is not None:
        path = require(path, TFLITE, where)
    layers = list(_layers(model))
    require_convertible(model, layers, where)
    ready = prepared(model, where)
    with bar("convert to TFLite"):
        content = _converted(ready.model, ready.alone, inputs, where)
    made = TFLiteModel(content)
    file = read_file(content, where)
    parts, ends = list(_layers(ready.model)), _ends(ready.model)
    require_runs(content, model, [part.name for part in parts], ends, where)
    made.float_layers = float_layers_of(file, parts, ends)
    if inputs == "int8":
        _require_integers(model, file, made.float_layers, where)
    made.notes = (*ready.notes, *notes_on(layers, made.float_layers))
    for note in made.notes:
        log.info("%s: %s.", where, note)
    if path is not None:
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
    return made


def _layers(model: tf_keras.Model) -> Iterator[tf_keras.layers.Layer]:
    """The layers of a model, those of nested models among them, each once."""
    for part in LayerGraph.of(model).graphs():
        for entry in part.entries():
            if entry.graph is None:
                yield entry.layer


def _ends(model: tf_keras.Model) -> list[str]:
    """The layers that the outputs come from, in the order of the traced function."""
    by_name = dict(zip(model.output_names, model.outputs, strict=True))
    return [tensor.node.layer.name for _, tensor in sorted(by_name.items())]


def _converted(model, alone, inputs: str, where: str) -> bytes:
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for tensor, name in zip(model.inputs, model.input_names, strict=True)
    ]
    heard: list[str] = []
    try:
        with quiet() as heard:
            function = with_one_scale(_traced(model, alone, specs), specs)
            return _converter(model, function, inputs).convert()
    except Exception as error:  # its ConverterError has no public name
        if isinstance(error, LarqliteError):
            raise
        log.debug("%s: %s", where, error)  # pages of it, with all of the graph
        layers = list(_layers(model))
        names = [layer.name for layer in layers]
        quantized = [layer.name for layer in layers if getattr(layer, "quantizes", 0)]
        said = "".join(heard)
        raise refusal(model.name, error, said, names, quantized, where) from None


def _converter(model, function, inputs: str) -> tf.lite.TFLiteConverter:
    # Holds the variables it reads, without all that Keras would save with a model.
    holder = tf.Module()
    holder.variables_of_function = list(function.graph.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
    # Without any range, this would round kernels that stand for float values.
    if any(getattr(layer, "output_precision", None) for layer in _layers(model)):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if inputs == "int8":
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
    return converter


def _traced(model, alone, specs):
    """The function that the model computes in inference, its inputs named as in Keras."""

    def compute(*flat):
        with exporting(alone):
            outputs = model(flat[0] if len(flat) == 1 else list(flat), training=False)
        return dict(zip(model.output_names, tf.nest.flatten(outputs), strict=True))

    return tf.function(compute, autograph=False).get_concrete_function(*specs)


def _require_integers(model, file, float_layers, where: str) -> None:
    floats = [t.name for t in file.tensors if t.dtype.startswith("float")]
    if not floats:
        return
    named = ", ".join(f'"{name}"' for name in float_layers) or ", ".join(floats[:5])
    raise UnsupportedModelError(
        f'{where}: inputs="int8" asks for a file without float tensors, but in '
        f'"{model.name}" {named} compute in float32.\n'
        '  Fix: inputs="float32", or quantize these layers (lq.qat.report(model) says '
        "what of them is not)."
    )
