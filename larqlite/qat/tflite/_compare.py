"""`compare_tflite`: what a model and its TFLite file make of the same data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._io import batches_of
from larqlite._progress import bar
from larqlite.errors import ArgumentError, MissingFileError
from larqlite.graph import in_order, require_model
from larqlite.qat.tflite._comparison import LayerComparison, TFLiteComparison
from larqlite.qat.tflite._file_graph import TFLiteGraph, read_file
from larqlite.qat.tflite._interpreter import TFLiteInterpreter, real_values
from larqlite.qat.tflite._tensor_match import Candidates, Match, candidates_of, matched

__all__ = ["compare_tflite", "positions_of", "step_of_output"]


def compare_tflite(
    model: tf_keras.Model,
    tflite: bytes | str | os.PathLike,
    data: Any,
    batch_size: int = 32,
    threshold: float = 2.0,
) -> TFLiteComparison:
    """Runs a model and its TFLite file on the same data.

    Args:
        model: the quantization-aware model.
        tflite: the content of the file, as `to_tflite` returns it, or its path.
        data: as for `lq.qat.calibrate`.
        batch_size: for arrays.
        threshold: steps of difference from which on a layer counts as departing.

    Returns:
        The comparison; its `print()` shows a table, `to_dict()` is for JSON.

    Raises:
        ArgumentError: no data, no TFLite file, or one with other inputs.
        MissingFileError: there is no such file.
        UnsupportedModelError: a subclassed model.

    Example:
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> data = np.linspace(0, 1, 24, dtype="float32").reshape(8, 3)
        >>> quantized = lq.qat.quantize_model(model, calibrate=data)
        >>> content = lq.qat.to_tflite(quantized)
        >>> lq.qat.compare_tflite(quantized, content, data).largest_steps < 2.01
        True

    References:
        https://arxiv.org/abs/1712.05877, section 2.
    """
    where = "lq.qat.compare_tflite"
    require_model(model, where, unbuilt=True)
    content = _content(tflite, where)
    file = read_file(content, where)
    candidates, unmatched = candidates_of(model, file)
    differences = _Differences(model, file, content, candidates, where)
    with bar("compare") as shown:
        for inputs in batches_of(model, data, batch_size, None, where):
            differences.add(inputs)
            shown.advance(len(tf.nest.flatten(inputs)[0]))
    if not differences.examples:
        raise ArgumentError(
            f"{where}: the data has no batch.\n"
            "  Fix: pass at least one batch of inputs; a generator can be read only once."
        )
    return differences.result(threshold, unmatched)


def _content(tflite, where: str) -> bytes:
    if isinstance(tflite, (bytes, bytearray)):
        return bytes(tflite)
    path = Path(tflite)
    if not path.is_file():
        raise MissingFileError(
            f"{where}: there is no file {str(path)!r}.\n"
            "  Fix: write it with lq.qat.to_tflite(model, path)."
        )
    return path.read_bytes()


class _Differences:
    """Largest differences and counts over batches."""

    def __init__(
        self, model, file, content: bytes, candidates: list[Candidates], where: str
    ):
        self._model, self._candidates = model, candidates
        self._found: list[Match | None] = []
        self._plain, self._whole = (
            TFLiteInterpreter(content),
            TFLiteInterpreter(content, keeps_all=True),
        )
        self._order_in = positions_of(
            self._plain.input_names, model.input_names, "inputs", where
        )
        self._order_out = positions_of(
            self._plain.output_names, model.output_names, "outputs", where
        )
        self._probe = tf_keras.Model(
            model.inputs, [*model.outputs, *(layer.tensor for layer in candidates)]
        )
        self._steps = [step_of_output(file, file.outputs[i]) for i in self._order_out]
        self._layers = [_Difference() for _ in candidates]
        self._outputs = [_Difference() for _ in self._order_out]
        self._agreeing: list[float] = []
        self.examples = 0

    def add(self, inputs) -> None:
        """Takes a batch into account."""
        flat = [np.asarray(value) for value in in_order(self._model, inputs)]
        arrays = [flat[i] for i in self._order_in]
        kept = tf.nest.flatten(
            self._probe(flat if len(flat) > 1 else flat[0], training=False)
        )
        values = [np.asarray(value, "float32") for value in kept]
        count = len(self._order_out)
        stored = self._plain(arrays)
        for i, position in enumerate(self._order_out):
            self._outputs[i].add(values[i], stored[position], self._steps[i])
            self._agreeing.append(
                float(
                    np.sum(_same_label(values[i], stored[position]))
                    / _labels(values[i])
                )
                * len(flat[0])
            )
        self._whole(arrays)
        if not self._found:
            self._found = matched(self._candidates, values[count:], self._whole.tensor)
        for difference, match, value in zip(
            self._layers, self._found, values[count:], strict=True
        ):
            if match is None:
                continue
            codes = self._whole.tensor(match.index)
            found = real_values(codes, match.scale, match.zero_point)
            difference.add(value, found, match.step)
        self.examples += len(flat[0])

    def result(self, threshold: float, unmatched) -> TFLiteComparison:
        """What was found."""
        rows = tuple(
            LayerComparison(
                m.layer, m.index, m.step, d.largest / m.step, d.off / max(d.count, 1)
            )
            for m, d in zip(self._found, self._layers, strict=True)
            if m is not None
        )
        unmatched = (
            *unmatched,
            *(
                layer.layer
                for layer, m in zip(self._candidates, self._found, strict=True)
                if m is None
            ),
        )
        worst = max(
            range(len(self._outputs)),
            key=lambda i: self._outputs[i].largest / (self._steps[i] or 1.0),
        )
        step, output = self._steps[worst], self._outputs[worst]
        # Whole steps differ by what float32 rounds.
        departing = (r.layer for r in rows if r.largest_steps > threshold + 0.01)
        return TFLiteComparison(
            name=self._model.name,
            examples=self.examples,
            label_agreement=sum(self._agreeing) / self.examples / len(self._order_out),
            largest_difference=output.largest,
            step=step,
            largest_steps=output.largest / step if step else None,
            share_off=output.off / output.count if step else None,
            threshold=threshold,
            first_departing=next(departing, None),
            layers=rows,
            unmatched=unmatched,
        )


class _Difference:
    """The largest difference, and how many values are off by more than half a step."""

    def __init__(self):
        self.largest, self.off, self.count = 0.0, 0, 0

    def add(self, expected, found, step: float | None) -> None:
        difference = np.abs(expected.ravel() - np.asarray(found, "float32").ravel())
        self.largest = max(self.largest, float(difference.max(initial=0.0)))
        self.off += int(np.sum(difference > step / 2 * 1.01)) if step else 0
        self.count += difference.size


def positions_of(
    names: list[str], known: list[str], role: str, where: str
) -> list[int]:
    """For each entry of the other side, its position on this one."""
    if len(names) != len(known):
        raise ArgumentError(
            f"{where}: the file has {len(names)} {role}, the model {len(known)} "
            f"({', '.join(known)}).\n  Fix: compare a model with its own file."
        )
    if role == "inputs":
        return [known.index(n) if n in known else i for i, n in enumerate(names)]
    return [names.index(n) if n in names else i for i, n in enumerate(known)]


def step_of_output(file: TFLiteGraph, index: int) -> float | None:
    """The step of an output: its own, or that of the integers it is made of."""
    tensor = file.tensors[index]
    if tensor.scales:
        return tensor.scales[0]
    for operation in file.operations:
        if index in operation.outputs and operation.name == "DEQUANTIZE":
            return file.tensors[operation.inputs[0]].scales[0]
    return None


def _labels(values) -> int:
    return max(int(np.prod(values.shape[:-1])), 1)


def _same_label(expected, found):
    if expected.shape[-1] == 1:
        return (expected > 0.5) == (found > 0.5)
    return np.argmax(expected, -1) == np.argmax(found, -1)
