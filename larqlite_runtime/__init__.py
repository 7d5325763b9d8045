"""Runs packed models on a device: NumPy, ONNX Runtime and native kernels, nothing else.

import larqlite_runtime
model = larqlite_runtime.load("model.onnx")
labels = model(images).argmax(-1)

NumPy and the reader of files are imported when they are used first, so that a command says
`--help` at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from larqlite_runtime import start

start.begin()

from larqlite_runtime._errors import (  # noqa: E402
    ArgumentError,
    InputError,
    InputTypeError,
    MissingModelFileError,
    MissingOnnxRuntimeError,
    ModelFileError,
    NativeError,
    NoNativeStepError,
    RuntimeModelError,
)
from larqlite_runtime._version import __version__  # noqa: E402

__all__ = [
    "__version__",
    "float_layers",
    "load",
    "Model",
    "TensorInfo",
    "Profile",
    "StepTime",
    "Explanation",
    "ExplainedStep",
    "ExplainedBuffer",
    "RuntimeModelError",
    "ModelFileError",
    "MissingModelFileError",
    "ArgumentError",
    "InputError",
    "InputTypeError",
    "NativeError",
    "NoNativeStepError",
    "MissingOnnxRuntimeError",
]

_IMPORTED_WHEN_USED = {
    "float_layers": "_float_layers",
    "load": "_load",
    "Model": "_model",
    "TensorInfo": "_model",
    "Profile": "_profile",
    "StepTime": "_profile",
    "Explanation": "_explain",
    "ExplainedStep": "_explain",
    "ExplainedBuffer": "_explain",
}


def __getattr__(name: str):
    if name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_IMPORTED_WHEN_USED[name]}")
    globals()[name] = found = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from larqlite_runtime._explain import ExplainedBuffer, ExplainedStep, Explanation
    from larqlite_runtime._float_layers import float_layers
    from larqlite_runtime._load import load
    from larqlite_runtime._model import Model, TensorInfo
    from larqlite_runtime._profile import Profile, StepTime
