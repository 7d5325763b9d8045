"""Runs packed models on a device: NumPy, ONNX Runtime and native kernels, nothing else.

import larqlite_runtime
model = larqlite_runtime.load("model.onnx")
labels = model(images).argmax(-1)
"""

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
    RuntimeModelError,
)
from larqlite_runtime._float_layers import float_layers  # noqa: E402
from larqlite_runtime._load import load  # noqa: E402
from larqlite_runtime._model import Model, TensorInfo  # noqa: E402
from larqlite_runtime._profile import Profile, StepTime  # noqa: E402
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
    "MissingOnnxRuntimeError",
]

# What `Model.explain` returns; a device that only runs models does not load it.
_EXPLAINED = ("ExplainedBuffer", "ExplainedStep", "Explanation")


def __getattr__(name: str):
    if name in _EXPLAINED:
        from larqlite_runtime import _explain

        return getattr(_explain, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
