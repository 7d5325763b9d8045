"""What each tensor of a file should hold, by Keras, in the layout of the file."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite import layers
from larqlite.deploy._verify_file import WHERE, Entry, File
from larqlite.deploy._verify_reference import Use, run
from larqlite.deploy._verify_sums import IntegerTwin, has_twin
from larqlite.errors import ArgumentError


@dataclasses.dataclass
class Wanted:
    """What a tensor of the file should hold.

    Attributes:
        array: the values of Keras, in the layout of the file.
        is_exact: whether every difference counts; else only those beyond the tolerance.
        low, high: between these a difference is explained: what comes out if the value
            before a quantizer is moved by the tolerance; None if there is none.
        factor: what makes integers of the values, where they stand for some.
    """

    array: np.ndarray
    is_exact: bool = False
    low: np.ndarray | float | None = None
    high: np.ndarray | float | None = None
    factor: float = 1.0

    def without_band(self, role: str) -> Wanted:
        """As a packed layer alone should give it: the band is for its output only."""
        if role == "output":
            return self
        return dataclasses.replace(self, low=None, high=None)

    def moved_to(self, array: np.ndarray) -> Wanted:
        """Other values, as far from the ends of the band as these are."""
        if self.low is None:
            return dataclasses.replace(self, array=array)
        low, high = (end - self.array + array for end in (self.low, self.high))
        return dataclasses.replace(self, array=array, low=low, high=high)

    def lenient(self) -> Wanted:
        """The same; if there is no band, every difference is explained."""
        if self.low is not None:
            return self
        return dataclasses.replace(self, low=-np.inf, high=np.inf)


@dataclasses.dataclass
class Expected:
    """One batch.

    Attributes:
        samples: how many there are.
        inputs: those of the model, by name.
        outputs: those of the model, by name.
        known: inputs and outputs of packed layers, by name of the tensor.
        layers: for each packed layer, its tensors by role: "quantized", "accumulators",
            "output"; those that Keras does not tell are missing.
    """

    samples: int
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    known: dict[str, np.ndarray]
    layers: list[dict[str, Wanted]]


class Reference:
    """Computes what is expected, batch by batch.

    Args:
        model: the Keras model.
        file: what was made of it.
        tolerance: the relative difference up to which floats count as equal.

    Raises:
        ArgumentError: the file was made of another model.
    """

    def __init__(self, model: tf_keras.Model, file: File, tolerance: float) -> None:
        self._model = model
        self._file = file
        self._tolerance = tolerance
        self._twins: dict[int, IntegerTwin] = {}
        counts = (len(model.inputs), len(model.outputs))
        if counts != (len(file.inputs), len(file.outputs)):
            raise _other_model(
                f"the model has {counts[0]} inputs and {counts[1]} outputs, the file "
                f"{len(file.inputs)} and {len(file.outputs)}"
            )

    def __call__(self, inputs: list[np.ndarray]) -> Expected:
        """What is expected for one batch, an array for each input."""
        uses, outputs = run(self._model, inputs)
        known: dict[str, np.ndarray] = {}
        tensors = []
        for entry, use in zip(self._file.entries, self._matched(uses), strict=True):
            stored = _Stored(use, entry, self._file)
            found = self._of_layer(entry, use, stored)
            known.setdefault(entry.input, stored(use.input))
            if "output" in found:
                known.setdefault(entry.output, found["output"].array)
            tensors.append(found)
        return Expected(
            len(inputs[0]),
            dict(zip(self._file.inputs, inputs, strict=True)),
            dict(zip(self._file.outputs, outputs, strict=True)),
            known,
            tensors,
        )

    def _matched(self, uses: list[Use]) -> list[Use]:
        """The use that each packed layer of the file stands for."""
        by_path: dict[str, list[Use]] = defaultdict(list)
        for use in uses:
            by_path[use.path].append(use)
        matched = []
        for entry in self._file.entries:
            if not by_path[entry.path]:
                raise _other_model(
                    f'the file holds the packed layer "{entry.path}", which '
                    f'"{self._model.name}" has not, or not as often'
                )
            matched.append(by_path[entry.path].pop(0))
        return matched

    def _of_layer(self, entry: Entry, use: Use, stored) -> dict[str, Wanted]:
        found = {}
        quantizer = use.layer.input_quantizer
        quantized = use.input if quantizer is None else quantizer(use.input)
        ends = self._ends(use.quantizer, use.unquantized)
        is_exact = entry.accumulator is not None
        if is_exact or use.quantizer is not None:
            band = map(stored, ends or ())
            found["quantized"] = Wanted(
                stored(quantized), is_exact, *band, factor=entry.steps
            )
        if is_exact and has_twin(use.layer):
            twin = self._twin(entry, use)
            sums = twin(np.asarray(quantized))
            slack = np.inf if ends is None else twin.largest_change(*ends)
            found["accumulators"] = Wanted(
                stored(sums), True, stored(sums - slack), stored(sums + slack)
            )
        output = use.normalized if entry.is_folded else use.output
        if entry.output is not None and output is not None:
            activation = use.layer.activation
            linear = activation in (None, tf_keras.activations.linear)
            source = None if linear else use.without_activation()
            band = map(stored, self._ends(activation, source) or ())
            found["output"] = Wanted(stored(output), False, *band)
        return found

    def _ends(self, function, source) -> tuple[np.ndarray, np.ndarray] | None:
        """The least and the largest that a function makes of values that are moved by
        the tolerance."""
        if function is None or source is None:
            return None
        by = self._tolerance * tf.reduce_max(tf.abs(source))
        ends = [np.asarray(function(moved)) for moved in (source - by, source + by)]
        return np.minimum(*ends), np.maximum(*ends)

    def _twin(self, entry: Entry, use: Use) -> IntegerTwin:
        key = id(use.layer)
        if key not in self._twins:
            self._twins[key] = IntegerTwin(use.layer, entry.path, entry.steps)
        return self._twins[key]


class _Stored:
    """Puts tensors of a layer into the order that the file has them in."""

    def __init__(self, use: Use, entry: Entry, file: File) -> None:
        data_format = getattr(use.layer, "data_format", "channels_last")
        is_dense = isinstance(use.layer, layers.QuantDense)
        self._is_moved = data_format == "channels_last" and not is_dense

    def __call__(self, tensor: Any) -> np.ndarray:
        array = np.asarray(tensor)
        if not self._is_moved or array.ndim < 3:
            return array
        return np.ascontiguousarray(np.moveaxis(array, -1, 1))


def _other_model(what: str) -> ArgumentError:
    return ArgumentError(
        f"{WHERE}: {what}.\n  Fix: verify a file with the model that it was made of."
    )
