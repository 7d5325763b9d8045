"""Runs a TFLite file: by ai-edge-litert if it is installed, else by TensorFlow."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np

from larqlite.errors import ArgumentError
from larqlite.qat.tflite._quiet import quiet

__all__ = ["TFLiteInterpreter", "interpreter_classes", "real_values"]


class TFLiteInterpreter:
    """An interpreter that takes and gives float arrays in the order of the file.

    Args:
        content: the file.
        keeps_all: whether every tensor can be read afterwards; computes without the
            faster kernels then.
    """

    def __init__(self, content: bytes, keeps_all: bool = False):
        arguments = {"model_content": bytes(content)}
        interpreter, resolvers = interpreter_classes()
        if keeps_all:
            arguments["experimental_preserve_all_tensors"] = True
            arguments["experimental_op_resolver_type"] = (
                resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            )
        with quiet(), warnings.catch_warnings():
            # tf.lite says that it moves to ai-edge-litert, which is taken if it is there.
            warnings.filterwarnings(
                "ignore", message=r"(?s).*tf\.lite\.Interpreter is d"
            )
            self._interpreter = interpreter(**arguments)
        self._rows = None

    def __call__(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs for one batch, as real values."""
        details = self._interpreter.get_input_details()
        if self._rows != len(arrays[0]):
            for detail, array in zip(details, arrays, strict=True):
                self._resize(detail, array)
            with quiet():
                self._interpreter.allocate_tensors()
            self._rows = len(arrays[0])
        details = self._interpreter.get_input_details()
        for detail, array in zip(details, arrays, strict=True):
            self._interpreter.set_tensor(detail["index"], _codes(array, detail))
        self._interpreter.invoke()
        return [
            _values(self._interpreter.get_tensor(detail["index"]), detail)
            for detail in self._interpreter.get_output_details()
        ]

    def tensor(self, index: int) -> np.ndarray:
        """A tensor after a call, as it is stored."""
        return self._interpreter.get_tensor(index)

    def _resize(self, detail, array) -> None:
        self._interpreter.resize_tensor_input(detail["index"], array.shape, strict=True)

    @property
    def input_names(self) -> list[str]:
        """The Keras names of the inputs, in the order of the file."""
        return self._names("inputs", self._interpreter.get_input_details())

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs in the signature, in the order of the file."""
        return self._names("outputs", self._interpreter.get_output_details())

    def _names(self, role: str, details) -> list[str]:
        signatures = self._interpreter.get_signature_list()
        if not signatures:
            return [detail["name"] for detail in details]
        runner = self._interpreter.get_signature_runner(next(iter(signatures)))
        by_index = {
            detail["index"]: name
            for name, detail in getattr(runner, f"get_{role[:-1]}_details")().items()
        }
        return [by_index.get(detail["index"], detail["name"]) for detail in details]


def interpreter_classes() -> tuple:
    """The classes of the interpreter and of its resolvers of operations."""
    if importlib.util.find_spec("ai_edge_litert"):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        return Interpreter, OpResolverType
    import tensorflow as tf

    if not hasattr(tf, "lite"):
        raise ArgumentError(
            "larqlite: no interpreter of TFLite files is installed.\n"
            "  Fix: pip install larqlite[tflite], which brings ai-edge-litert."
        )
    return tf.lite.Interpreter, tf.lite.experimental.OpResolverType


def _codes(array, detail):
    dtype = np.dtype(detail["dtype"])
    scale, zero_point = detail["quantization"]
    if dtype.kind != "i" or not scale:
        return np.asarray(array).astype(dtype)
    limits = np.iinfo(dtype)
    codes = np.round(np.asarray(array, "float32") / np.float32(scale)) + zero_point
    return np.clip(codes, limits.min, limits.max).astype(dtype)


def _values(array, detail):
    scale, zero_point = detail["quantization"]
    if array.dtype.kind not in "iu" or not scale:
        return array
    return real_values(array, scale, zero_point)


def real_values(codes: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """The float32 numbers that the codes of a file stand for."""
    return ((codes.astype("int32") - zero_point) * np.float32(scale)).astype("float32")
