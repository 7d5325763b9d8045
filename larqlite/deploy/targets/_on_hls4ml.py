"""The target hls4ml: its C simulation of the network, compiled by g++ in one piece."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from larqlite.deploy.qonnx import missing_hls4ml, run_hls4ml, to_qonnx
from larqlite.deploy.targets._target import DeployedNetwork, Target, TargetCost
from larqlite.deploy.verifier.internal import Arrays
from larqlite.errors import UnsupportedLayerError, UnsupportedModelError

VARIANTS = {"": "io_parallel", "io_parallel": "io_parallel", "io_stream": "io_stream"}


class Hls4mlTarget:
    """A project of hls4ml. It is made of the Keras model, as QONNX of its own form, and runs
    from end to end; every call compiles it."""

    name = "hls4ml"

    def __init__(self, network: DeployedNetwork, variant: str) -> None:
        self._file, self._io_type = network.file, VARIANTS[variant]
        self.what = f"C simulation, {self._io_type}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "network.onnx")
            try:
                to_qonnx(network.model, path, for_="hls4ml")
            except UnsupportedLayerError as error:
                raise UnsupportedModelError(str(error)) from error
            self._content = path.read_bytes()

    def traced(self, inputs: Arrays) -> tuple[dict[str, np.ndarray], Arrays]:
        """The outputs by name, and the sums of packed layers by their paths."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "network.onnx")
            path.write_bytes(self._content)
            run = run_hls4ml(path, list(inputs.values()), io_type=self._io_type)
        is_dense = {entry.path: entry.is_dense for entry in self._file.entries}
        sums = {
            layer: array if is_dense.get(layer, True) else np.moveaxis(array, -1, 1)
            for layer, array in run.integers.items()
        }
        return dict(zip(self._file.outputs, run.outputs, strict=True)), sums

    def cost(self, inputs: Arrays) -> TargetCost:
        """The size of the file that hls4ml reads; what it takes is said by synthesis."""
        return TargetCost(len(self._content))


TARGETS = (
    Target(
        "hls4ml",
        Hls4mlTarget,
        variants=tuple(filter(None, VARIANTS)),
        missing=lambda variant: missing_hls4ml(),
        is_whole=True,
    ),
)
