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
    ModelFileError,
    NativeError,
    RuntimeModelError,
)
from larqlite_runtime._explain import (  # noqa: E402
    ExplainedBuffer,
    ExplainedStep,
    Explanation,
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
]
