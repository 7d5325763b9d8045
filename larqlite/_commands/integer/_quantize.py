"""What `lq integer quantize` does: read, quantize, calibrate, write, show."""

from __future__ import annotations

import dataclasses
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from larqlite._commands.integer import _files as files
from larqlite._commands.integer._options import Quantize
from larqlite._tables import show
from larqlite.command_line import tell
from larqlite.errors import ArgumentError, MissingFileError
from larqlite.integer import models
from larqlite.integer.models.internal import float_layers_of
from larqlite.outputs import KERAS, ONNX, require, written_whole

COMMAND = "lq integer quantize"
# Of the samples that are looked at, layer by layer, for what saturates.
_SHOWN = 256


def quantize(options: Quantize) -> None:
    """Writes the integer model, and prints what becomes of the layers."""
    tell(lambda: (_quantize(options), 0), options.json)


def _quantize(options: Quantize) -> dict[str, Any]:
    files.require_input(options.model, (*KERAS, *ONNX), COMMAND)
    is_onnx = options.model.suffix == ".onnx"
    output = options.output or _default_output(options)
    kept = (options.model, options.config, options.data)
    suffixes, default_of = (
        ONNX if is_onnx else KERAS,
        None if options.output else "--output",
    )
    require(output, suffixes, COMMAND, read=kept, default_of=default_of)
    params = models.QuantizationParams(
        options.activation_bits,
        options.per_tensor_activations,
        options.weight_bits,
        options.output_bits,
        options.input_weight_bits,
        options.buffer_bits,
    )
    arguments = {
        "q_config": _config(options.config),
        "qparams": params,
        "num_samples": options.samples,
        "batch_size": options.batch_size,
        "epochs": options.epochs,
    }
    do = _quantize_onnx if is_onnx else _quantize_keras
    return do(options, output, arguments)


def _quantize_keras(options: Quantize, output: Path, arguments: dict) -> dict[str, Any]:
    model = files.keras_model(options, COMMAND)
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    samples = files.samples_of(options.data, model.input_names, shapes, COMMAND)
    with _warnings_as_lines():
        quantized = _after_training(model, samples, options, arguments)
    count = min(options.samples, _SHOWN)
    report = models.data_report(quantized, samples, count, options.batch_size)
    print(report)
    floats = list(float_layers_of(quantized))
    print(f"float layers: {', '.join(floats) or 'none'}")
    wrote = files.save(quantized, output)
    return wrote | {"float_layers": floats, "report": dataclasses.asdict(report)}


def _after_training(model, samples, options: Quantize, arguments: dict):
    """The integer model, and what is done to it with samples and without labels."""
    if samples is None and (options.bias_correction or options.adaround):
        flag = "--adaround" if options.adaround else "--bias-correction"
        raise ArgumentError(
            f"{COMMAND}: {flag} needs real samples, and there is no --data.\n"
            "  Fix: --data FILE, a .npy or .npz file of some hundred inputs."
        )
    if options.equalize:
        model = models.transforms.equalize(model)
    quantized = models.quantize(
        model, samples=samples, calibration=options.ranges, **arguments
    )
    given = (model, quantized, samples, options.samples, options.batch_size)
    if options.adaround:
        print(models.adaround(*given, steps=options.adaround))
    elif options.bias_correction:
        models.correct_biases(*given)
    return quantized


def _quantize_onnx(options: Quantize, output: Path, arguments: dict) -> dict[str, Any]:
    from larqlite.onnx_graph import read_model

    defaults = {"ranges": "auto", "equalize": False}
    defaults |= {"bias_correction": False, "adaround": 0}
    for name, value in defaults.items():
        if getattr(options, name) != value:
            raise ArgumentError(
                f"{COMMAND}: --{name.replace('_', '-')} is for Keras models, and "
                f"{options.model} is an ONNX model.\n"
                f"  Fix: without it, or quantize the Keras model."
            )
    model = read_model(options.model, COMMAND, "write it again.")
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in constants]
    if not inputs:
        raise ArgumentError(
            f"{COMMAND}: {options.model} has no inputs, so there is nothing to quantize.\n"
            "  Fix: an export of a float model, which has one."
        )
    shapes = [
        tuple(d.dim_value or None for d in item.type.tensor_type.shape.dim)[1:]
        for item in inputs
    ]
    names = [item.name for item in inputs]
    samples = files.samples_of(options.data, names, shapes, COMMAND)
    if isinstance(samples, list):
        samples = dict(zip(names, samples, strict=True))
    with _warnings_as_lines():
        quantized = models.quantize(model, samples=samples, **arguments)
    shown = _show_onnx(quantized)
    with written_whole(output) as temporary:
        temporary.write_bytes(quantized.SerializeToString(deterministic=True))
    return files.said(output) | shown


def _show_onnx(model) -> dict[str, Any]:
    """Prints the integer operations, how many convolutions they are, and the float rest.

    Returns:
        The same as data: types of the float operations, with their reasons, and counts.
    """
    from onnx import numpy_helper

    constants = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer
    }
    rows, remaining, made = [], [], []
    for node in model.graph.node:
        if node.domain != "ai.larqlite":
            remaining.append(node)
            continue
        made += node.doc_string.split(", ")
        kernel = constants.get(f"{node.name}_Wi")
        shifts = constants.get(f"{node.name}_S_out")
        bits = "-" if kernel is None else str(8 * kernel.dtype.itemsize)
        rows.append((node.name, node.op_type, bits, _range_of(shifts)))
    header = ("node", "operation", "weight bits", "shift")
    show("Integers, node by node", header, rows)
    types = [node.op_type for node in remaining]
    integer = sum(made.count(name) for name in _CONVOLUTIONS)
    total = integer + sum(types.count(name) for name in _CONVOLUTIONS)
    if total:
        print(f"convolutions: {integer} of {total} are integer")
    print(f"float operations: {', '.join(types) or 'none'}")
    reasons = [
        (node.name or node.output[0], node.op_type, node.doc_string)
        for node in remaining
        if node.doc_string
    ]
    if reasons:
        show("Float, and why", ("node", "operation", "reason"), reasons)
    keys = ("node", "operation", "reason")
    return {
        "float_operations": types,
        "float_reasons": [dict(zip(keys, row, strict=True)) for row in reasons],
        "convolutions": {"integer": integer, "float": total - integer},
    }


_CONVOLUTIONS = ("Conv", "ConvTranspose")


def _range_of(shifts: np.ndarray | None) -> str:
    if shifts is None:
        return "-"
    low, high = -int(np.max(shifts)), -int(np.min(shifts))
    return str(low) if low == high else f"{low}..{high}"


def _default_output(options: Quantize) -> Path:
    model = options.model
    if options.config is not None:
        return model.with_name(f"{model.stem}_{options.config.stem}{model.suffix}")
    bits = f"i{options.input_weight_bits}_w{options.weight_bits}_a{options.activation_bits}"
    return model.with_name(f"{model.stem}_{bits}{model.suffix}")


def _config(path: Path | None) -> dict | None:
    if path is None:
        return None
    if not path.is_file():
        raise MissingFileError(
            f"{COMMAND}: --config {path}: there is no such file.\n"
            "  Fix: write one with lq integer config --model MODEL --output FILE."
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArgumentError(
            f"{COMMAND}: --config {path} is not JSON: {error}.\n"
            "  Fix: an object with a configuration for each layer, as lq integer config "
            "writes it."
        ) from error
    if not isinstance(config, dict) or not all(
        isinstance(value, dict) for value in config.values()
    ):
        raise ArgumentError(
            f"{COMMAND}: --config {path} is no object of objects.\n"
            '  Fix: {"conv": {"weight_quantizer": {"bitwidth": 4}}}, for example.'
        )
    return config


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Within the block, what larqlite warns of is a line on the error stream."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        text = str(warning.message)
        if text.startswith(("lq.", "larqlite.")):
            print(f"lq: {text}", file=sys.stderr)
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
