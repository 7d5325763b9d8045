"""What `lq integer` does: `config`, `check`, `insert-rescaling`, `export`; and which."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from larqlite._commands.integer import _files as files
from larqlite._commands.integer._options import (
    Check,
    Config,
    ExportInteger,
    InsertRescaling,
    Quantize,
)
from larqlite._commands.integer._quantize import quantize
from larqlite.command_line import tell
from larqlite.errors import UnsupportedModelError
from larqlite.integer import export as exports, models
from larqlite.integer.models.internal import float_layers_of
from larqlite.outputs import JSON, KERAS, require, write_json, written_whole

_WRITERS = {
    "onnx": ("to_onnx", ".onnx"),
    "qdq": ("to_qdq", ".onnx"),
    "tflite": ("to_tflite", ".tflite"),
}


def run(options: Quantize | Config | Check | InsertRescaling | ExportInteger) -> None:
    """Does what the options of a command ask for."""
    _COMMANDS[type(options)](options)


def config(options: Config) -> None:
    """Prints the configuration, or writes it."""
    tell(lambda: (_config(options), 0), options.json or options.output is None)


def _config(options: Config) -> dict[str, Any]:
    where = "lq integer config"
    if options.output is not None:
        require(options.output, JSON, where, read=(options.model,))
    model = files.integer_model(options, where)
    found = models.dump_config(model)
    if options.output is None:
        return found
    write_json(found, options.output)
    return files.said(options.output)


def check(options: Check) -> None:
    """Prints the issues, and with samples what saturates on them.

    Raises:
        SystemExit: with code 1 if there are issues.
    """
    tell(lambda: _check(options), options.json)


def _check(options: Check) -> tuple[dict[str, Any], int]:
    where = "lq integer check"
    model = files.integer_model(options, where)
    samples = _samples(model, options.data, where)
    issues = models.check_quantization(model)
    found = {"model": str(options.model), "issues": issues, "report": None}
    if samples is not None:
        count = options.samples
        report = models.data_report(model, samples, count, options.batch_size)
        print(report)
        found["report"] = dataclasses.asdict(report)
        issues += [
            f"{row.name}: {row.cut:,} of the samples' numbers are no integers of its "
            "range, and were cut."
            for row in report.layers
            if row.cut
        ]
    for issue in issues:
        print(issue)
    found["float_layers"] = list(float_layers_of(model))
    if issues:
        return found | {"issues": list(issues)}, 1
    ends = ", ".join(float_layers_of(model))
    print(f"no issues; float at the end: {ends}" if ends else "no issues")
    return found, 0


def insert_rescaling(options: InsertRescaling) -> None:
    """Writes the model with the layer in front."""
    tell(lambda: (_insert_rescaling(options), 0), options.json)


def _insert_rescaling(options: InsertRescaling) -> dict[str, Any]:
    where = "lq integer insert-rescaling"
    kept = (options.model,)
    require(options.output, KERAS, where, read=kept)
    model = files.keras_model(options, where)
    if _is_integer(model):
        raise UnsupportedModelError(
            f"{where}: {str(options.model)!r} is an integer model already.\n"
            "  Fix: insert the rescaling into the float model, then quantize it."
        )
    scaled = models.transforms.insert_rescaling(
        model, _one_or_all(options.scale), _one_or_all(options.offset)
    )
    return files.save(scaled, options.output)


def export(options: ExportInteger) -> None:
    """Writes the file, and with samples prints how it compares.

    Raises:
        SystemExit: with code 1 if an ONNX of integer operations gives others.
    """
    tell(lambda: _export(options), options.json)


def _export(options: ExportInteger) -> tuple[dict[str, Any], int]:
    where = "lq integer export"
    writer, suffix = _WRITERS[options.to]
    kept = (options.model, options.data)
    require(options.output, (suffix,), where, read=kept)
    model = files.integer_model(options, where)
    samples = _samples(model, options.data, where)
    if samples is not None:
        samples = _first(samples, options.samples)
    with written_whole(options.output) as temporary:
        # TFLite measures the ranges of what stays wide on samples.
        more = {"samples": samples} if options.to == "tflite" else {}
        getattr(exports, writer)(
            model, temporary, input_dtype=options.input_dtype, **more
        )
    found = files.said(options.output)
    if samples is None:
        return found | {"comparison": None}, 0
    result = exports.compare(model, options.output, samples, options.batch_size)
    print(result)
    more = {"first_diverging": result.first_diverging, "is_exact": result.is_exact}
    found["comparison"] = dataclasses.asdict(result) | more
    return found, int(options.to == "onnx" and not result.is_exact)


def _samples(model, path: Path | None, where: str):
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    return files.samples_of(path, model.input_names, shapes, where, part="test")


def _first(samples, count: int):
    if isinstance(samples, list):
        return [array[:count] for array in samples]
    return samples[:count]


def _is_integer(model) -> bool:
    return any(isinstance(layer, files.QuantizedLayer) for layer in model.layers)


def _one_or_all(numbers: tuple[float, ...]):
    return numbers[0] if len(numbers) == 1 else list(numbers)


_COMMANDS = {
    Quantize: quantize,
    Config: config,
    Check: check,
    InsertRescaling: insert_rescaling,
    ExportInteger: export,
}
