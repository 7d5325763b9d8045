"""Runs a model on every target that is asked for and installed, and compares each with Keras."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite.deploy.targets._result import TargetRow, TargetsReport
from larqlite.deploy.targets._target import (
    PIXELS,
    DeployedNetwork,
    Target,
    TargetCost,
    chosen,
)
from larqlite.deploy.verifier import ABSOLUTE, BATCH_SIZE, TOLERANCE
from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.from_keras import as_tf_keras

if TYPE_CHECKING:
    import numpy as np
    import tf_keras

    from larqlite.deploy.targets._target import TargetEngine
    from larqlite.deploy.verifier.internal import DeployedFile, Expected

WHERE = "lq.deploy.verify_on"
HERE = ("keras", "onnxruntime", "native")


def verify_on(
    model: tf_keras.Model | str | os.PathLike,
    targets: str | Iterable[str] = HERE,
    data: Any = None,
    *,
    file: str | os.PathLike | bytes | None = None,
    pixels: tuple[Any, Any] | None = None,
    samples: int = 4,
    batch_size: int = BATCH_SIZE,
    tolerance: float = TOLERANCE,
    absolute_tolerance: float = ABSOLUTE,
) -> TargetsReport:
    """Builds and runs a network on several targets, and compares each of them with Keras.

    On each target that is installed happens what `lq.deploy.verify` does: each packed layer
    is given the input that it has in Keras, and its quantized input and its sums have to be
    those of Keras bit for bit; then the whole network runs on the same samples. All
    targets are given the same data. What is not installed is named, with what to install.

    Args:
        model: a tf_keras model, or the path of a saved one.
        targets: names: "keras" (the reference: what it costs), "onnxruntime", "native" and
            what else `lq.deploy.targets.known()` lists; a variant stands behind a colon:
            "native:portable". "all" is each of them.
        data, samples, batch_size, tolerance, absolute_tolerance: as of `lq.deploy.verify`.
        file: what `lq.deploy.export` wrote of the model; the model is exported by default.
        pixels: `(scale, offset)`, each a number or one for each channel, if the model is fed
            with `scale * p + offset` of bytes p, as of `lq.deploy.to_c`. Targets that take
            bytes, such as "c:pixels", are then given p; without it, the model scales bytes
            itself. The data are as the model is fed.

    Returns:
        A `TargetsReport`: `print()` shows a table, `ok` says whether every target that ran
        computes what Keras does.

    Raises:
        ArgumentError: no such target; none of the targets is installed; `pixels` that are no
            two numbers, or are given where no target takes bytes; or as of
            `lq.deploy.verify`.
        MissingFileError: there is no such file.
        UnsupportedModelError: a model that cannot be exported.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.Input((6, 6, 32)),
        ...     lq.layers.QuantConv2D(32, 3, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", kernel_constraint="weight_clip"),
        ...     tf_keras.layers.GlobalAveragePooling2D()])
        >>> report = lq.deploy.verify_on(model, "native, native:portable", samples=2)
        >>> report.ok, report["native:portable"].integers
        (True, (3328, 3328))
    """
    from larqlite import models
    from larqlite.deploy.exporter import export
    from larqlite.deploy.verifier.internal import random_pixels, run_reports

    table = chosen(targets, WHERE)
    missing = {
        word: why
        for word, (target, variant) in table.items()
        if (why := target.missing(variant))
    }
    _require_one(table, missing)
    if pixels is not None:
        pixels = _required_pixels(pixels, table)
    if isinstance(model, (str, os.PathLike)):
        model = models.load(model, compile=False)
    model = as_tf_keras(model, WHERE)
    if file is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            export(model, path, None, False)
            file = path.read_bytes()
    if pixels is not None and data is None:
        scale, offset = pixels

        def data() -> list[list[np.ndarray]]:
            images = random_pixels(model, samples)
            return [[(x * scale + offset).astype("float32") for x in images]]

    runs: list[_TargetRun] = []

    def make(parsed: DeployedFile, axes: Sequence[int | None]) -> list[_TargetRun]:
        network = DeployedNetwork(model, parsed, True if pixels is None else pixels)
        for word, (target, variant) in table.items():
            if word not in missing:
                runs.append(_TargetRun(word, target, variant, network, axes))
        return runs

    tolerances = (tolerance, absolute_tolerance)
    run_reports(model, file, make, data, samples, batch_size, *tolerances, WHERE)
    rows = tuple(run.row() for run in runs)
    return TargetsReport(model.name, runs[0].samples, rows, missing)


def _required_pixels(pixels: Any, table: dict[str, Any]) -> tuple[Any, Any]:
    """Scale and offset in float64."""
    import numpy as np

    try:
        scale, offset = (np.asarray(each, np.float64) for each in pixels)
        is_right = bool(np.isfinite(scale).all() and np.isfinite(offset).all())
        is_right = is_right and bool(scale.all()) and max(scale.ndim, offset.ndim) < 2
    except (TypeError, ValueError):
        is_right = False
    if not is_right:
        raise ArgumentError(
            f"{WHERE}: pixels={pixels!r} is no scale and offset.\n"
            "  Fix: two numbers, or two lists with one for each channel, for example "
            "pixels=(1 / 127.5, -1); the scale is not 0."
        )
    if not any(variant.endswith(PIXELS) for _, variant in table.values()):
        raise ArgumentError(
            f"{WHERE}: pixels= is for targets that take bytes, and none of "
            f"{', '.join(table)} does.\n  Fix: a target such as c:{PIXELS}, or leave it out."
        )
    return scale, offset


def _require_one(table: dict[str, Any], missing: dict[str, str]) -> None:
    if len(missing) == len(table):
        listed = "; ".join(f"{word}: {why}" for word, why in missing.items())
        raise ArgumentError(
            f"{WHERE}: none of the targets is installed: {listed}.\n"
            f"  Fix: install one, or name others: {', '.join(HERE)}."
        )


class _TargetRun:
    """A network on one target, batch by batch.

    Args:
        word: the name of the target, with the variant.
        target: it.
        variant: of it.
        network: what runs there.
        axes: of the classes of each output; None if it has none.
    """

    def __init__(
        self,
        word: str,
        target: Target,
        variant: str,
        network: DeployedNetwork,
        axes: Sequence[int | None],
    ) -> None:
        from larqlite.deploy.verifier.internal import EngineReport, WholeReport

        self._word, self._target, self._network = word, target, network
        self.samples = 0
        self._first: dict[str, np.ndarray] = {}
        self._engine: TargetEngine | None = None
        self._report: EngineReport | WholeReport | None = None
        self._refused = ""
        try:
            self._engine = target.open(network, variant)
            if target.is_whole:
                self._report = WholeReport(network.file, self._engine, axes)
            elif not target.is_reference:
                self._report = EngineReport(network.file, self._engine, axes)
        except _refusals() as error:
            self._refused = str(error)

    def add(self, expected: Expected) -> None:
        """Takes a batch into account, with what Keras gives there."""
        self.samples += expected.samples
        if not self._first:
            self._first = {name: x[:1] for name, x in expected.inputs.items()}
        if self._report is None or self._refused:
            return
        try:
            self._report.add(expected)
        except _refusals() as error:
            self._refused = str(error)

    def row(self) -> TargetRow:
        """What was found, and what a sample takes."""
        if self._refused:
            return TargetRow(self._word, refused=self._refused)
        found = self._report and self._report.result(self._network.model.name)
        what = self._engine.what
        try:
            cost = self._engine.cost(self._first)
        except _refusals() as error:
            # What was compared stays; what it takes is not known.
            cost = TargetCost()
            what += f"; what a sample takes is not known: {error}"
        is_reference = self._target.is_reference
        return TargetRow(self._word, what, found, cost, is_reference=is_reference)


def _refusals() -> tuple[type[Exception], ...]:
    """Errors that say that a network does not run on a target, or cannot be brought there."""
    from larqlite_runtime import RuntimeModelError

    return UnsupportedModelError, RuntimeModelError, OSError
