"""`compare(model, file, samples)`: an integer model against one of its exports."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._io import batches_of
from larqlite._progress import bar
from larqlite.deploy.converters import check_model
from larqlite.errors import ArgumentError
from larqlite.graph import LayerCall, call_in_inference, follow, in_order
from larqlite.integer.export._check import require_integers
from larqlite.integer.export._comparison import Comparison, IntegerLayerComparison
from larqlite.integer.export._input_kinds import require_held
from larqlite.integer.export._run import OnnxFile, TFLiteFile, opened
from larqlite.integer.tensors import QTensor
from larqlite.onnx_graph import WHERE

Tensors = dict[str, list]


def compare(
    model: tf_keras.Model, file: Any, samples: Any, batch_size: int = 64
) -> Comparison:
    """See `larqlite.integer.export.compare`."""
    token = WHERE.set("lq.integer.export.compare")
    try:
        check_model(model)
        require_integers(model)
        differences = _OutputDifferences(model, opened(file, model))
        with bar("compare") as shown:
            for batch in batches_of(model, samples, batch_size, where=WHERE.get()):
                arrays = [np.asarray(array) for array in in_order(model, batch)]
                require_held(model, arrays)
                differences.add(arrays)
                shown.advance(len(arrays[0]))
        return differences.result()
    finally:
        WHERE.reset(token)


class _OutputDifferences:
    """Differences over batches."""

    def __init__(self, model: tf_keras.Model, file: OnnxFile | TFLiteFile):
        self._model, self._file = model, file
        self._layers: dict[str, list[int]] = {}
        self._samples = self._agreeing = self._equal = self._values = 0
        self._largest = self._units = 0.0

    def add(self, arrays: list[np.ndarray]) -> None:
        """Takes a batch into account."""
        wanted, layers = outputs_of(self._model, arrays)
        tensors = self._file(arrays)
        found = self._file.outputs(tensors)
        if len(found) != len(wanted):
            raise _other_model(f"it has {len(found)} outputs, the model {len(wanted)}")
        for i, (expected, array) in enumerate(zip(wanted, found, strict=True)):
            if self._file.form != "onnx" and isinstance(expected, QTensor):
                expected = expected.to_float()
            values = np.asarray(_integers(expected), np.float64)
            self._add_output(values, array, self._file.steps[i])
        self._samples += len(arrays[0])
        for path, rows in self._file.layers.items():
            if path not in layers:
                raise _other_model(f'the model has no layer "{path}"')
            for row, expected in zip(rows, layers[path], strict=False):
                if row["tensor"] in tensors:
                    self._add_layer(path, row, expected, tensors[row["tensor"]])

    def _add_output(
        self, expected: np.ndarray, found: np.ndarray, step: float | None
    ) -> None:
        if expected.shape != found.shape:
            raise _other_model(
                f"an output has the shape {found.shape}, the model's {expected.shape}"
            )
        difference = np.abs(expected - found)
        spacing = np.spacing(np.abs(expected).astype(np.float32)).astype(np.float64)
        units = difference / (step or spacing)
        self._largest = max(self._largest, float(difference.max(initial=0)))
        self._units = max(self._units, float(units.max(initial=0)))
        self._equal += int(np.sum(units < 0.5))
        self._values += units.size
        if expected.shape[-1] == 1:
            same = ((expected > 0.5) == (found > 0.5)).reshape(len(expected), -1)
        else:
            same = np.argmax(expected, -1) == np.argmax(found, -1)
            same = same.reshape(len(expected), -1)
        self._agreeing += float(np.sum(np.mean(same, axis=1)))

    def _add_layer(self, path: str, row: dict, expected, found: np.ndarray) -> None:
        if row["channels_first"]:
            found = np.moveaxis(found, 1, -1)
        values = _integers(expected)
        if values.shape != found.shape:
            raise _other_model(
                f'"{path}" gives out {found.shape}, in the model {values.shape}'
            )
        if not isinstance(expected, QTensor):
            different = int(np.sum(values != found))
            largest = 0 if not different else 1
        else:
            difference = np.abs(values.astype(np.int64) - found.astype(np.int64))
            different = int(np.count_nonzero(difference))
            largest = int(difference.max(initial=0))
        counts = self._layers.setdefault(path, [0, 0, 0])
        counts[0] += values.size
        counts[1] += different
        counts[2] = max(counts[2], largest)

    def result(self) -> Comparison:
        """What was found."""
        if not self._samples:
            raise ArgumentError(
                f"{WHERE.get()}: there are no samples.\n"
                "  Fix: pass at least one; a generator can be read only once."
            )
        outputs = len(self._model.outputs)
        return Comparison(
            name=self._model.name,
            form=self._file.form,
            samples=self._samples,
            label_agreement=self._agreeing / self._samples / outputs,
            largest_difference=self._largest,
            largest_units=self._units,
            equal_share=self._equal / max(self._values, 1),
            layers=tuple(
                IntegerLayerComparison(path, *counts)
                for path, counts in self._layers.items()
            ),
        )


def outputs_of(
    model: tf_keras.Model, arrays: list[np.ndarray]
) -> tuple[list, dict[str, list]]:
    """The outputs of a model, and of its layers by path, computed one by one."""
    layers: dict[str, list] = {}
    values = [
        tf.cast(array, tensor.dtype)
        for array, tensor in zip(arrays, model.inputs, strict=True)
    ]

    def apply(call: LayerCall) -> list:
        outputs = call_in_inference(call.layer, call.args, call.kwargs)
        outputs = tf.nest.flatten(outputs)
        # Of a layer that is called more than once, the first call is compared.
        layers.setdefault(call.path, outputs)
        return outputs

    return follow(model, values, apply), layers


def _integers(tensor: Any) -> np.ndarray:
    """The integers of a quantized tensor, the numbers of another one."""
    return np.asarray(getattr(getattr(tensor, "fp", tensor), "values", tensor))


def _other_model(what: str) -> ArgumentError:
    return ArgumentError(
        f"{WHERE.get()}: the file was written from another model: {what}.\n"
        "  Fix: compare a model with its own export."
    )
