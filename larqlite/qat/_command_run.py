"""What `lq qat` does: read, quantize, calibrate, train, convert, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from rich.console import Console
from rich.progress import track

from larqlite import _command, models, qat
from larqlite._commands.qat import Options, scheme_of
from larqlite.errors import ArgumentError
from larqlite.outputs import KERAS, TFLITE, renamed, require, written_whole
from larqlite.qat._command_data import Data, read


def run(options: Options) -> None:
    """Does it, and prints the report and the comparison."""
    _command.tell(lambda: (_run(options), 0), options.json)


def _run(options: Options) -> dict[str, Any]:
    tf_keras.utils.set_random_seed(options.seed)
    output = _outputs(options)
    float_model = models.load(options.model, safe_mode=not options.unsafe)
    data = read(options.data, float_model)
    if options.epochs and data.y is None:
        raise ArgumentError(
            f"lq qat: --epochs {options.epochs} needs labels, but --data {options.data} "
            'has none.\n  Fix: a .npz file with "x" and "y".'
        )
    model = qat.quantize_apply(
        qat.quantize_annotate_model(float_model),
        scheme_of(options.scheme),
        calibrate=_calibration_batches(options, data),
    )
    if options.epochs:
        _train(model, float_model, data, options)
    report = qat.report(model)
    if options.save is not None:
        with written_whole(options.save) as temporary:
            is_h5 = options.save.suffix == ".h5"
            model.save(temporary, save_format="h5" if is_h5 else None)
        print(f"wrote {options.save}")
    accuracies = _accuracies(float_model, model, data)
    content = qat.to_tflite(model, output, inputs=options.inputs)
    print(f"wrote {output} ({Path(output).stat().st_size:,} bytes)")
    comparison = qat.compare_tflite(model, content, data.x_test)
    comparison.print()
    return {
        "wrote": str(output),
        "bytes": len(content),
        "saved": None if options.save is None else str(options.save),
        **accuracies,
        "float_layers": list(content.float_layers),
        "notes": list(content.notes),
        "report": report.to_dict(),
        "comparison": comparison.to_dict(),
    }


def _outputs(options: Options) -> Path:
    """Where the TFLite file goes; it and the saved model are refused before the work."""
    where, read = "lq qat", (options.model, options.data)
    if options.save is not None:
        require(options.save, KERAS, f"{where}: --save", read=read)
    output = options.output or renamed(options.model, ".tflite")
    default_of = None if options.output else "--output"
    return require(output, TFLITE, where, read=read, default_of=default_of)


def _calibration_batches(options: Options, data: Data):
    chosen = data.x[: options.calibration]
    batches = [
        chosen[start : start + options.batch_size]
        for start in range(0, len(chosen), options.batch_size)
    ]
    return track(batches, "calibrating", console=Console(stderr=True), transient=True)


def _train(model, float_model, data: Data, options: Options) -> None:
    steps = options.epochs * -(-len(data.x) // options.batch_size)
    schedule = tf_keras.optimizers.schedules.CosineDecay(options.learning_rate, steps)
    loss = getattr(float_model, "loss", None) or _loss(float_model, data.y)
    model.compile(tf_keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    model.fit(
        data.x, data.y, batch_size=options.batch_size, epochs=options.epochs, verbose=1
    )


def _loss(model: tf_keras.Model, y: np.ndarray):
    """Cross entropy for whole numbers as labels, squared error for others."""
    if not np.issubdtype(y.dtype, np.integer):
        return "mean_squared_error"
    last = getattr(model.layers[-1], "activation", None)
    probabilities = last is tf_keras.activations.softmax or isinstance(
        model.layers[-1], tf_keras.layers.Softmax
    )
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities)


def _accuracies(float_model, model, data: Data) -> dict[str, float]:
    """Prints how well both name the labels, if there are labels of classes."""
    found: dict[str, float] = {}
    if data.y_test is None or not np.issubdtype(data.y_test.dtype, np.integer):
        return found
    for name, network in (("float", float_model), ("quantized", model)):
        labels = network.predict(data.x_test, verbose=0).argmax(axis=-1)
        rate = np.mean(labels.ravel() == data.y_test.ravel())
        print(f"{name} accuracy: {100 * rate:.2f} % of {len(labels):,}")
        found[f"{name}_accuracy"] = float(rate)
    return found
