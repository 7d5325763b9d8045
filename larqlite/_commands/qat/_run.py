"""What `lq qat` does: read, quantize, calibrate, train, convert, compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite import deploy, models, qat
from larqlite._commands.qat._data import Data, read
from larqlite._commands.qat._options import QatOptions, scheme_of
from larqlite._io import Lesson, class_numbers, gives_probabilities, lesson
from larqlite.command_line import tell
from larqlite.errors import ArgumentError
from larqlite.layers import QuantLayer
from larqlite.outputs import KERAS, ONNX, TFLITE, renamed, require, save_model
from larqlite_runtime.progress import is_terminal

# Inputs that a packed file is verified on, layer by layer.
VERIFIED = 200


def run(options: QatOptions) -> None:
    """Does it, and prints the report and the comparison."""
    tell(lambda: (_run(options), 0), options.json)


def _run(options: QatOptions) -> dict[str, Any]:
    tf_keras.utils.set_random_seed(options.seed)
    scheme, output = scheme_of(options.scheme), _outputs(options)
    float_model = models.load(options.model, safe_mode=not options.unsafe)
    data = read(options.data, float_model)
    if options.epochs and data.y is None:
        raise ArgumentError(
            f"lq qat: --epochs {options.epochs} needs labels, but --data {options.data} "
            'has none.\n  Fix: a .npz file with "x" and "y".'
        )
    found = _lesson(float_model, data, options) if options.epochs else None
    model = _quantized(float_model, scheme, options, data)
    if found is not None:
        _train(model, found, data, options)
    report = qat.report(model)
    if options.save is not None:
        save_model(model, options.save)
        print(f"wrote {options.save}")
    accuracies = _accuracies(float_model, model, data, is_trained=found is not None)
    if output.suffix.lower() in ONNX:
        written = _write_packed(model, output, data)
    else:
        written = _write_tflite(model, output, data, options)
    return {
        "wrote": str(output),
        "saved": None if options.save is None else str(options.save),
        **accuracies,
        "report": report.to_dict(),
        **written,
    }


def _quantized(float_model, scheme, options: QatOptions, data: Data) -> tf_keras.Model:
    how = {
        "calibrate": _calibration_batches(options, data),
        "calibration": options.ranges,
    }
    if options.equalize:
        float_model = qat.equalize(float_model)
    if scheme == "binary":
        model = qat.binarize(float_model, **how)
    else:
        annotated = qat.quantize_annotate_model(float_model)
        model = qat.quantize_apply(annotated, scheme, **how)
    batches = how["calibrate"]
    if options.adaround:
        print(qat.adaround(model, batches, steps=options.adaround, seed=options.seed))
    elif options.bias_correction:
        qat.correct_biases(model, batches)
    return model


def _write_packed(model, output: Path, data: Data) -> dict[str, Any]:
    report = deploy.export(model, output, data=data.x_test[:VERIFIED])
    print(report)
    found = deploy.verify(model, output, data.x_test[:VERIFIED])
    found.print()
    return {
        "bytes": report.bytes,
        "float_layers": list(report.float_layers),
        "notes": list(report.notes),
        "comparison": found.to_dict(),
    }


def _write_tflite(
    model, output: Path, data: Data, options: QatOptions
) -> dict[str, Any]:
    content = qat.to_tflite(model, output, inputs=options.inputs)
    print(f"wrote {output} ({Path(output).stat().st_size:,} bytes)")
    for note in content.notes:
        print(f"  {note}")
    if any(isinstance(layer, QuantLayer) for layer in model.submodules):
        print(
            "  TFLite has no binary layers: these compute in float32 there, and take 4 "
            "bytes a weight. The packed file is small: "
            f"--output {renamed(output, '.onnx')}"
        )
    comparison = qat.compare_tflite(model, content, data.x_test)
    comparison.print()
    return {
        "bytes": len(content),
        "float_layers": list(content.float_layers),
        "notes": list(content.notes),
        "comparison": comparison.to_dict(),
    }


def _outputs(options: QatOptions) -> Path:
    """Where the file goes; it and the saved model are refused before the work."""
    where, read = "lq qat", (options.model, options.data)
    if options.save is not None:
        require(options.save, KERAS, f"{where}: --save", read=read)
    is_binary = any(word.rpartition("=")[2] == "binary" for word in options.scheme)
    ending = ".onnx" if is_binary and options.inputs == "float32" else ".tflite"
    output = options.output or renamed(options.model, ending)
    default_of = None if options.output else "--output"
    output = require(output, (*TFLITE, *ONNX), where, read=read, default_of=default_of)
    if is_binary and options.inputs != "float32":
        raise ArgumentError(
            f"lq qat: --inputs {options.inputs} asks for a file of integers, but binary "
            "layers compute in float32 in TFLite.\n"
            "  Fix: without --inputs, or a scheme without binary."
        )
    if output.suffix.lower() in ONNX and options.inputs != "float32":
        raise ArgumentError(
            f"lq qat: --inputs {options.inputs} is for TFLite files, but --output is "
            f"{output}, a packed file, which takes float32.\n"
            f"  Fix: --output {output.with_suffix('.tflite')}, or without --inputs."
        )
    return output


def _calibration_batches(options: QatOptions, data: Data):
    chosen = data.x[: options.samples]
    return [
        chosen[start : start + options.batch_size]
        for start in range(0, len(chosen), options.batch_size)
    ]


def _lesson(model, data: Data, options: QatOptions) -> Lesson:
    """What to train with; prints it if that is not as the file has it."""
    where = f"lq qat: --epochs {options.epochs}, --data {options.data}"
    found = lesson(model, getattr(model, "loss", None), data.y, where)
    if found.remark:
        print(f"loss: {found.remark}")
    return found


def _train(model, found: Lesson, data: Data, options: QatOptions) -> None:
    steps = options.epochs * -(-len(data.x) // options.batch_size)
    schedule = tf_keras.optimizers.schedules.CosineDecay(options.learning_rate, steps)
    metrics = None if found.is_one_hot is None else ["accuracy"]
    model.compile(tf_keras.optimizers.Adam(schedule), found.loss, metrics=metrics)
    sizes = {"batch_size": options.batch_size, "epochs": options.epochs}
    held_out = None
    if data.has_test_part and data.y_test is not None:
        held_out = data.x_test, found.labels(model, data.y_test)
    y = found.labels(model, data.y)
    try:
        # A bar on a terminal, a line for each epoch elsewhere.
        verbose = 1 if is_terminal(sys.stdout) else 2
        model.fit(data.x, y, validation_data=held_out, verbose=verbose, **sizes)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        reason = str(getattr(error, "message", error)).strip().partition("\n")[0]
        raise ArgumentError(
            f"lq qat: --epochs {options.epochs}: Keras cannot train on these labels with "
            f"the loss {found.loss!r}: {reason}\n"
            "  Fix: labels that fit the loss of the file, or train it in Python: "
            "lq.qat.quantize_model(model, calibrate=x), compile, fit."
        ) from error


def _accuracies(float_model, model, data: Data, is_trained: bool) -> dict[str, float]:
    """Prints how well both name the labels, or why that is not known."""
    if data.y_test is None:
        return {}
    wanted, of = class_numbers(model, data.y_test), ""
    is_yes_or_no = (
        model.output_shape[-1] == 1
        and data.y_test.size == len(data.y_test)
        and set(np.unique(data.y_test)) <= {0, 1}
    )
    if wanted is None and not is_yes_or_no:
        print(
            f"no accuracy: y of the shape {data.y_test.shape} and dtype "
            f"{data.y_test.dtype} names no classes of the output {model.output_shape}"
        )
        return {}
    if is_trained and not data.has_test_part:
        of = " inputs that it was trained on (x_test and y_test in --data are others)"
    middle = 0.5 if gives_probabilities(float_model) else 0.0
    found: dict[str, float] = {}
    for name, network in (("float", float_model), ("quantized", model)):
        outputs = network.predict(data.x_test, verbose=0)
        if is_yes_or_no:
            same = (outputs.ravel() > middle) == data.y_test.ravel()
        else:
            same = outputs.argmax(axis=-1) == wanted
        print(f"{name} accuracy: {100 * np.mean(same):.2f} % of {same.size:,}{of}")
        found[f"{name}_accuracy"] = float(np.mean(same))
    return found
