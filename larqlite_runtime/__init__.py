"""Runs packed models on a device: NumPy, ONNX Runtime and native kernels, nothing else.

import larqlite_runtime
model = larqlite_runtime.load("model.onnx")
labels = model(images).argmax(-1)
"""

from larqlite_runtime._errors import (
    InputError,
    InputTypeError,
    MissingModelFileError,
    ModelFileError,
    NativeError,
    RuntimeModelError,
)
from larqlite_runtime._load import load
from larqlite_runtime._model import Model, TensorInfo
from larqlite_runtime._profile import Profile, StepTime

__all__ = [
    "load",
    "Model",
    "TensorInfo",
    "Profile",
    "StepTime",
    "RuntimeModelError",
    "ModelFileError",
    "MissingModelFileError",
    "InputError",
    "InputTypeError",
    "NativeError",
]
