"""`run_hls4ml(model, x)`: what hls4ml's C simulation of a network computes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.deploy._run_program import how_it_ended, run_program
from larqlite.deploy.qonnx._to_qonnx import KEY, to_qonnx
from larqlite.errors import (
    ArgumentError,
    MissingFileError,
    UnsupportedModelError,
)

if TYPE_CHECKING:
    import tf_keras

_NAME = "lq.deploy.run_hls4ml"
_FOLDER = ".venv-hls4ml"
_VARIABLE = "LARQLITE_HLS4ML"
_PROGRAM = Path(__file__).with_name("_hls4ml_program.py")
_IO_TYPES = ("io_parallel", "io_stream")
SETUP = "make hls4ml-setup"
# Seconds: g++ takes long over layers whose multiplications all stand beside one another.
_PATIENCE = 3600
_SMALLER = 'io_type="io_stream", or a smaller network.'


@dataclasses.dataclass(frozen=True)
class Hls4mlRun:
    """What hls4ml's C simulation gave.

    Attributes:
        outputs: of the network, in Keras' order and layout, float32.
        integers: the sums of each packed layer, by its path in the Keras model.
        layers: what each layer of hls4ml gives, by the name that it has there.
        seconds: for converting, compiling and running.
    """

    outputs: tuple[np.ndarray, ...]
    integers: dict[str, np.ndarray]
    layers: dict[str, np.ndarray]
    seconds: float


def run_hls4ml(
    model: tf_keras.Model | str | os.PathLike,
    x: Any,
    *,
    backend: str = "Vitis",
    io_type: str = "io_parallel",
    precision: str | None = None,
    folder: str | os.PathLike | None = None,
) -> Hls4mlRun:
    """Converts a network with hls4ml, compiles its C simulation with g++, and runs that.

    hls4ml has an environment of its own (`make hls4ml-setup` makes `.venv-hls4ml`), whose
    Python does the work: the one that the variable LARQLITE_HLS4ML names, or that of
    `.venv-hls4ml` in the working directory or beside larqlite.

    Args:
        model: a Keras model, or what `to_qonnx(..., for_="hls4ml")` wrote of one.
        x: inputs, one array, or one for each input of the model.
        backend: of hls4ml: "Vitis", "Vivado".
        io_type: "io_parallel" or "io_stream".
        precision: of what the file gives no type, such as float weights and inputs;
            "fixed<40,16>" by default.
        folder: where the project of hls4ml is left; nowhere by default.

    Returns:
        An `Hls4mlRun`.

    Raises:
        ArgumentError: no such `io_type`, or inputs that are not those of the model.
        MissingFileError: there is no hls4ml, no g++, or no such file; what LARQLITE_HLS4ML
            names is no file, or does not start.
        UnsupportedModelError: hls4ml did not convert or compile it, with what it said, or
            took more than an hour.
        UnsupportedLayerError: a layer that hls4ml does not take.
    """
    python = _require_installed()
    if io_type not in _IO_TYPES:
        raise ArgumentError(
            f"{_NAME}: io_type={io_type!r}.\n  Fix: one of {', '.join(_IO_TYPES)}."
        )
    with tempfile.TemporaryDirectory() as work:
        file = Path(work, "network.onnx")
        given = os.fsdecode(model) if isinstance(model, (str, os.PathLike)) else None
        if given is not None:
            if not Path(model).is_file():
                raise MissingFileError(
                    f"{_NAME}: there is no file {model}.\n"
                    '  Fix: lq.deploy.to_qonnx(model, path, for_="hls4ml") writes one.'
                )
            shutil.copyfile(model, file)
        else:
            to_qonnx(model, file, for_="hls4ml")
        names, told = _said_by(file, given or "the file")
        inputs = _named(x, names)
        np.savez(Path(work, "inputs.npz"), **inputs)
        request = {
            "file": str(file),
            "inputs": str(Path(work, "inputs.npz")),
            "outputs": str(Path(work, "outputs.npz")),
            "folder": str(Path(folder).absolute() if folder else Path(work, "project")),
            "backend": backend,
            "io_type": io_type,
            "default_precision": precision,
        }
        Path(work, "request.json").write_text(json.dumps(request), encoding="utf-8")
        begin = time.perf_counter()
        command = [python, _PROGRAM, Path(work, "request.json")]
        done = run_program(
            command, _NAME, _SMALLER, folder=Path(work), patience=_PATIENCE
        )
        seconds = time.perf_counter() - begin
        if done.returncode or not Path(request["outputs"]).is_file():
            raise UnsupportedModelError(
                f"{_NAME}: hls4ml {how_it_ended(done)}:\n"
                f"{_tail(done.stderr or done.stdout)}\n"
                f"  Fix: what it says; folder= keeps its project to look into."
            )
        found = dict(np.load(request["outputs"]))
    return _result(found, told, len(next(iter(inputs.values()))), seconds)


def missing_hls4ml() -> str:
    """What is not installed of all that `run_hls4ml` needs, and how to get it; "" if it is
    all there."""
    if shutil.which("g++") is None:
        return "no g++: install a C++ compiler"
    python = hls4ml_python()
    fix = f"{SETUP}, or {_VARIABLE}=PYTHON of an environment with it"
    if python is None:
        return f"no hls4ml: {fix}"
    if not python.is_file():
        return f"no Python {python}, which {_VARIABLE} names: {fix}"
    return ""


def hls4ml_python() -> Path | None:
    """The Python of an environment with hls4ml, or what LARQLITE_HLS4ML names, whether it is
    there or not; None if there is none."""
    named = os.environ.get(_VARIABLE)
    if named:
        # It runs in a folder of its own. A link stays: it is what makes the environment.
        return Path(named).absolute()
    if find_spec("hls4ml") is not None:
        return Path(sys.executable)
    for folder in (Path.cwd(), Path(__file__).parents[3]):
        python = folder / _FOLDER / "bin" / "python"
        if python.is_file():
            return python
    return None


def _require_installed() -> Path:
    why = missing_hls4ml()
    if why:
        what, _, fix = why.rpartition(": ")
        raise MissingFileError(f"{_NAME}: there is {what}.\n  Fix: {fix}.")
    return hls4ml_python()


def _said_by(file: Path, name: str) -> tuple[list[str], dict[str, Any]]:
    """The inputs of a file, and what it tells hls4ml."""
    from larqlite.onnx_graph import read_model

    fix = 'lq.deploy.to_qonnx(model, path, for_="hls4ml").'
    model = read_model(file, _NAME, fix, name)
    told = {entry.key: entry.value for entry in model.metadata_props}
    if KEY not in told:
        raise ArgumentError(
            f"{_NAME}: {name} was not written for hls4ml.\n  Fix: {fix}"
        )
    return [item.name for item in model.graph.input], json.loads(told[KEY])


def _named(x: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
    arrays = list(x) if isinstance(x, (list, tuple)) else [x]
    if isinstance(x, Mapping):
        arrays = [x[name] for name in names if name in x]
    if len(arrays) != len(names):
        raise ArgumentError(
            f"{_NAME}: {len(arrays)} arrays for the inputs {', '.join(names)}.\n"
            "  Fix: one for each."
        )
    return {
        name: np.asarray(array, np.float32)
        for name, array in zip(names, arrays, strict=True)
    }


def _result(
    found: dict[str, np.ndarray], told: dict[str, Any], samples: int, seconds: float
) -> Hls4mlRun:
    layers = {
        name.removeprefix("layer/"): array
        for name, array in found.items()
        if name.startswith("layer/")
    }
    integers = {}
    for name, (path, *shape) in told["sums"].items():
        for layer, array in layers.items():
            # "Dense_conv" of the node "conv".
            if layer == name or layer.partition("_")[2] == name:
                integers[path] = array.reshape(samples, *shape)
    outputs = [
        found[f"output/{number}"].reshape(samples, *shape)
        for number, shape in enumerate(told["outputs"])
    ]
    for number in told["softmax"]:
        powers = np.exp(outputs[number] - outputs[number].max(-1, keepdims=True))
        outputs[number] = powers / powers.sum(-1, keepdims=True)
    return Hls4mlRun(tuple(outputs), integers, layers, seconds)


def _tail(text: str, lines: int = 12) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])
