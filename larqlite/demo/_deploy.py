"""The second half of the demo: the trained network as a file, verified and measured."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from larqlite import deploy
from larqlite.errors import UnsupportedLayerError, UnsupportedModelError
from larqlite.outputs import written_whole

if TYPE_CHECKING:
    import tf_keras

    from larqlite.deploy import Report, Verification
    from larqlite_runtime.benchmark_result import Benchmark

# Images that the file and Keras are compared on.
IMAGES = 200


@dataclass(frozen=True)
class Deployed:
    """The network as a file.

    Attributes:
        report: what the file holds.
        verification: how it compares with Keras on test images.
        benchmark: how fast it is on one thread, beside float arithmetic.
        files: what was written.
    """

    report: Report
    verification: Verification
    benchmark: Benchmark
    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, Any]:
        """The three reports in types that JSON has."""
        return {
            "report": self.report.to_dict(),
            "verification": self.verification.to_dict(),
            "benchmark": self.benchmark.to_dict(),
        }


def deploy_and_measure(
    model: tf_keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    folder: Path,
    seconds: float,
    console: Console,
) -> Deployed | None:
    """Exports a network, verifies the file, and measures it.

    Args:
        model: the trained network.
        images, labels: of the test.
        folder: where to write.
        seconds: how long to measure each engine.
        console: where to print the tables.

    Returns:
        What was measured; None if the network has a quantizer that cannot be exported,
        which is printed.
    """
    from larqlite.deploy.benchmark_engines import of_model
    from larqlite_runtime.benchmark import benchmark

    paths = [folder / n for n in ("model.onnx", "images.npz", "benchmark.png")]
    file, data, chart = paths
    try:
        report = deploy.export(model, file, verify=False)
    except (UnsupportedLayerError, UnsupportedModelError) as error:
        console.out(f"\nNot deployed: {error}", highlight=False)
        return None
    images, labels = images[:IMAGES], labels[:IMAGES]
    with written_whole(data) as temporary:
        np.savez_compressed(temporary, x=images, y=labels)
    console.out(f"\n{report}", highlight=False)
    verification = deploy.verify(model, file, images, batch_size=100)
    console.out(f"\n{verification}", highlight=False)
    against = ("onnxruntime", "tensorflow")
    engines = of_model(model, against)
    measured = benchmark(file, engines, threads=1, seconds=seconds)
    measured.plot(chart)
    console.out(f"\n{measured}", highlight=False)
    return Deployed(report, verification, measured, tuple(paths))


def paragraph(deployed: Deployed) -> str:
    """What was measured, in a few sentences."""
    report, whole = deployed.report, deployed.verification.outputs[0]
    rows = report.packed
    packed = sum(row.weight_bytes for row in rows)
    floats = sum(math.ceil(8 * row.weight_bytes / row.weight_bits) * 4 for row in rows)
    wrong = [row.layer for row in deployed.verification.layers if not row.ok]
    exact = "equal Keras bit for bit"
    if wrong:
        exact = f"do not all equal Keras ({', '.join(wrong)})"
    widths = sorted({row.weight_bits for row in rows})
    bits = f"{' or '.join(map(str, widths))} bit{'s' * (widths != [1])}"
    text = (
        f"{report.path.name} takes {report.bytes:,} bytes. The kernels of its {len(rows)} "
        f"packed layers take {packed:,} of them, at {bits} a weight, instead of "
        f"{floats:,} in float32. Given their inputs, these layers {exact}; of the whole "
        f"file, {whole.agreeing} of {whole.labels} labels are those of Keras. "
        f"{deployed.benchmark.verdict()} (One image at a time, one thread; TensorFlow "
        "has the threads that it was trained with.)"
    )
    return textwrap.fill(text, 88)
