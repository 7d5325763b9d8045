"""Targets that need no other machine: Keras, a stock ONNX Runtime, and larqlite_runtime."""

from __future__ import annotations

from importlib.util import find_spec

import larqlite_runtime
from larqlite.deploy.benchmark_engines import tensorflow_on_model
from larqlite.deploy.targets._target import (
    DeployedNetwork,
    Target,
    TargetCost,
    milliseconds_of,
)
from larqlite.deploy.verifier.internal import Arrays, RuntimeEngine, StockEngine
from larqlite.models import profile
from larqlite_runtime.benchmark import onnxruntime_on_file
from larqlite_runtime.internal import supports

ISAS = ("portable", "avx2", "avx512", "amx", "neon", "numpy")


class KerasTarget:
    """The model in TensorFlow, in float32; all others are compared with it."""

    name = "keras"

    def __init__(self, network: DeployedNetwork, variant: str) -> None:
        self._model = network.model
        content = network.file.content
        self._contestant = tensorflow_on_model(network.model, content, threads=1)
        self.what = self._contestant.what

    def cost(self, inputs: Arrays) -> TargetCost:
        """What one sample takes."""
        taken = milliseconds_of(self._contestant.prepare(list(inputs.values())))
        bits = profile(self._model).memory_bits_float32
        return TargetCost(bits // 8, "weights", milliseconds=taken)


class OnnxRuntimeTarget(StockEngine):
    """ONNX Runtime, which computes packed layers by the functions in the file."""

    def __init__(self, network: DeployedNetwork, variant: str) -> None:
        super().__init__(network.file)
        self._contestant = onnxruntime_on_file(network.file.content, threads=1)
        self.what = self._contestant.what

    def cost(self, inputs: Arrays) -> TargetCost:
        """What one sample takes, on one thread."""
        taken = milliseconds_of(self._contestant.prepare(list(inputs.values())))
        return TargetCost(len(self._file.content), milliseconds=taken)


class NativeTarget(RuntimeEngine):
    """larqlite_runtime with the kernels of an instruction set, on one thread."""

    def __init__(self, network: DeployedNetwork, isa: str) -> None:
        content = network.file.content
        model = larqlite_runtime.load(content, threads=1, isa=isa or None)
        super().__init__(network.file, model)
        self.what = f"the file with packed kernels, {model.isa}"

    def cost(self, inputs: Arrays) -> TargetCost:
        """What one sample takes."""
        taken = milliseconds_of(lambda: self._model.run(inputs))
        return TargetCost(len(self._file.content), milliseconds=taken)


def _missing_package(variant: str) -> str:
    if find_spec("onnxruntime") is None:
        return "no package onnxruntime: pip install onnxruntime"
    return ""


def _missing_kernels(isa: str) -> str:
    if isa in ("", "numpy") or supports(isa):
        return ""
    if not supports("portable"):
        return "no compiled kernels: install larqlite-runtime from its wheel"
    return f"this CPU has no {isa}"


TARGETS = (
    Target("keras", KerasTarget, is_reference=True),
    Target("onnxruntime", OnnxRuntimeTarget, missing=_missing_package),
    Target("native", NativeTarget, variants=ISAS, missing=_missing_kernels),
)
