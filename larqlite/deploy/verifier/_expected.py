"""What each tensor of a file should hold, by Keras, in the layout of the file."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.deploy.verifier._deployed_file import DeployedFile, DeployedLayer
from larqlite.deploy.verifier._floors import TINY, floors_of, largest_magnitude
from larqlite.deploy.verifier._integer_twin import IntegerTwin, has_twin
from larqlite.deploy.verifier._reference import (
    Quantized,
    QuantizedCall,
    run as in_keras,
)
from larqlite.errors import ArgumentError
from larqlite.graph import call_in_inference
from larqlite.onnx_graph import WHERE, StoredRounding

# Relative to the largest value: what a float32 sum of a few thousand terms may lose.
ROUNDING = 1e-6


@dataclasses.dataclass
class Wanted:
    """What a tensor of the file should hold.

    Attributes:
        array: the values of Keras, in the layout of the file.
        is_exact: whether every difference counts; else only those beyond the tolerance.
        low, high: between these a difference is explained: what comes out if the value
            before a quantizer is moved by the tolerance; None if there is none.
        is_tie: where the value before a quantizer lies on a threshold but for rounding;
            None if there is none.
        factor: what makes integers of the values, where they stand for some.
        magnitude: the largest finite one in all of the data.
        limit: the largest difference that is none; of whole numbers there is no such.
    """

    array: np.ndarray
    is_exact: bool = False
    low: np.ndarray | float | None = None
    high: np.ndarray | float | None = None
    is_tie: np.ndarray | None = None
    factor: float = 1.0
    magnitude: float = 0.0
    limit: float = 0.0

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
        known: inputs and outputs of packed layers, by name of the tensor.
        ends: the same, what quantization-aware layers round, and the outputs of the
            model, as they should be.
        layers: for each packed layer, its tensors by role: "quantized", "accumulators",
            "output"; those that Keras does not tell are missing.
    """

    samples: int
    inputs: dict[str, np.ndarray]
    known: dict[str, np.ndarray]
    ends: dict[str, Wanted]
    layers: list[dict[str, Wanted]]


class Reference:
    """Computes what is expected, batch by batch.

    How large the values of each tensor are in all of the data is measured first, so that
    what counts as equal does not depend on which samples are in a batch.

    Args:
        model: the Keras model.
        file: what was made of it.
        tolerance: of floats, relative to the largest value of a tensor.
        absolute: of what a function that saturates gives out.

    Attributes:
        is_defined: whether any of the measured outputs is a number.

    Raises:
        ArgumentError: the file was made of another model.
    """

    def __init__(
        self,
        model: tf_keras.Model,
        file: DeployedFile,
        tolerance: float,
        absolute: float,
    ) -> None:
        self._model = model
        self._file = file
        self._tolerance = tolerance
        begins = [entry.input for entry in file.entries]
        begins += [rounding.tensor for rounding in file.roundings]
        self._floors = floors_of(file.model, absolute, begins)
        self.is_defined = False
        self._largest: dict[Any, float] = {}
        self._last: tuple[list[np.ndarray], Any] | None = None
        self._twins: dict[tuple[int, float, bool], IntegerTwin] = {}
        counts = (len(model.inputs), len(model.outputs))
        if counts != (len(file.inputs), len(file.outputs)):
            raise _other_model(
                f"the model has {counts[0]} inputs and {counts[1]} outputs, the file "
                f"{len(file.inputs)} and {len(file.outputs)}"
            )

    def measure(self, inputs: list[np.ndarray]) -> None:
        """Takes a batch into account for how large values are."""
        uses, quantized, outputs = self._run(inputs)
        for key, _, one in self._places(quantized):
            self._magnitude((*key, "before"), one.before)
            self._magnitude((*key, "after"), one.after)
        for number, use in enumerate(self._matched(uses)):
            for role, tensor in (
                ("input", use.input),
                ("quantizer", use.unquantized),
                ("quantized", _quantized(use)),
                ("activation", _activated(use)),
                ("output", use.output),
                ("normalized", use.normalized),
            ):
                if tensor is not None:
                    self._magnitude((number, role), tensor)
        for name, output in zip(self._file.outputs, outputs, strict=True):
            self._magnitude(name, output)
            self.is_defined |= not np.isnan(output).all()

    def __call__(self, inputs: list[np.ndarray]) -> Expected:
        """What is expected for one batch, an array for each input."""
        uses, quantized, outputs = self._run(inputs)
        self._last = None
        ends = self._rounded(quantized)
        tensors = []
        pairs = zip(self._file.entries, self._matched(uses), strict=True)
        for number, (entry, use) in enumerate(pairs):
            stored = _Stored(use, entry, self._file)
            found = self._of_layer(number, entry, use, stored)
            given = np.asarray(use.input)
            if entry.input == entry.quantized:
                given = entry.in_file(given)
            source = self._wanted((number, "input"), entry.input, stored(given))
            ends.setdefault(entry.input, source)
            if "output" in found:
                plain = dataclasses.replace(found["output"], low=None, high=None)
                ends.setdefault(entry.output, plain)
            tensors.append(found)
        known = {name: wanted.array for name, wanted in ends.items()}
        for name, array in zip(self._file.outputs, outputs, strict=True):
            # Where the model ends in a rounding, that says what comes out.
            ends.setdefault(name, self._wanted(name, name, array))
        given = dict(zip(self._file.inputs, inputs, strict=True))
        return Expected(len(inputs[0]), given, known, ends, tensors)

    def run(
        self, inputs: list[np.ndarray]
    ) -> tuple[list[QuantizedCall], list[np.ndarray]]:
        """The uses of packed layers and the outputs."""
        uses, _, outputs = self._run(inputs)
        return uses, outputs

    def _run(self, inputs: list[np.ndarray]) -> tuple[list, list, list]:
        """The model on a batch; data of one batch are run once."""
        if self._last is None or self._last[0] is not inputs:
            packed = {entry.path for entry in self._file.entries}
            self._last = inputs, in_keras(self._model, inputs, packed)
        return self._last[1]

    def _magnitude(self, key: Any, tensor: Any) -> float:
        """The largest finite magnitude of a tensor so far."""
        found = largest_magnitude(np.asarray(tensor))
        self._largest[key] = max(self._largest.get(key, 0.0), found)
        return self._largest[key]

    def _slack(self, share: float, key: Any, name: str, source: Any) -> float:
        """How far a value may be off: a share of the largest one, or the floor of the
        tensor `name`, which it is or which comes of it."""
        return max(share * self._magnitude(key, source), self._floors.get(name, TINY))

    def _wanted(self, key: Any, name: str, array: np.ndarray, **more: Any) -> Wanted:
        """A tensor of the file that holds floats."""
        magnitude = self._magnitude(key, array)
        limit = max(self._tolerance * magnitude, self._floors.get(name, TINY))
        return Wanted(array, magnitude=magnitude, limit=limit, **more)

    def _rounded(self, quantized: list[Quantized]) -> dict[str, Wanted]:
        """What the tensors hold that quantization-aware layers round; a value next to
        the middle between two levels may go to either."""
        found = {}
        for key, rounding, one in self._places(quantized):
            name = rounding.tensor
            ends = self._ends((*key, "before"), name, one.quantizer, one.before)
            stored = channels_second if rounding.is_moved else np.asarray
            band = dict(zip(("low", "high"), map(stored, ends), strict=True))
            after = stored(one.after)
            found[name] = self._wanted((*key, "after"), name, after, **band)
        return found

    def _places(
        self, quantized: list[Quantized]
    ) -> list[tuple[tuple, StoredRounding, Quantized]]:
        """A key for each rounding of the file, the rounding, and what Keras has there."""
        by_place: dict[tuple, list[Quantized]] = defaultdict(list)
        for one in quantized:
            by_place[one.path, one.role].append(one)
        places = []
        for number, rounding in enumerate(self._file.roundings):
            at = by_place[rounding.layer, rounding.role]
            if not at:
                raise _other_model(
                    f'the file rounds the {rounding.role} of "{rounding.layer}", which '
                    f'"{self._model.name}" does not, or not as often'
                )
            places.append((("rounding", number), rounding, at.pop(0)))
        return places

    def _matched(self, uses: list[QuantizedCall]) -> list[QuantizedCall]:
        """The use that each packed layer of the file stands for."""
        by_path: dict[str, list[QuantizedCall]] = defaultdict(list)
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

    def _of_layer(
        self, number: int, entry: DeployedLayer, use: QuantizedCall, stored: _Stored
    ) -> dict[str, Wanted]:
        found = {}
        quantized = _quantized(use)
        key = (number, "quantizer")
        ends = self._ends(key, entry.input, use.quantizer, use.unquantized)
        is_exact = entry.accumulator is not None
        integers = entry.in_file(np.asarray(quantized))
        ends = ends and tuple(map(entry.in_file, ends))
        band = dict(zip(("low", "high"), map(stored, ends or ()), strict=False))
        if ends is not None:
            by = self._slack(ROUNDING, key, entry.input, use.unquantized)
            moved = _moved(use.quantizer, use.unquantized, by)
            low, high = map(entry.in_file, moved)
            band["is_tie"] = stored(low != high)
        if is_exact:
            found["quantized"] = _exact(
                stored(integers), factor=entry.steps, **_in_order(band)
            )
        elif use.quantizer is not None:
            found["quantized"] = self._wanted(
                (number, "quantized"),
                entry.quantized,
                stored(integers),
                **_in_order(band),
            )
        if is_exact and has_twin(use.layer):
            twin = self._twin(entry, use)
            sums = twin(integers)
            slack = np.inf if ends is None else twin.largest_change(*ends)
            found["accumulators"] = _exact(
                stored(sums), low=stored(sums - slack), high=stored(sums + slack)
            )
        role = "normalized" if entry.is_folded else "output"
        output = use.normalized if entry.is_folded else use.output
        if entry.output is not None and output is not None:
            ends = self._ends(
                (number, "activation"),
                entry.output,
                use.layer.activation,
                _activated(use),
            )
            band = dict(zip(("low", "high"), map(stored, ends or ()), strict=False))
            found["output"] = self._wanted(
                (number, role), entry.output, stored(output), **band
            )
        return found

    def _ends(
        self, key: Any, name: str, function: Callable | None, source: Any
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The least and the largest that a function makes of values that are moved by
        the tolerance."""
        if function is None or source is None:
            return None
        by = self._slack(self._tolerance, key, name, source)
        return _moved(function, source, by)

    def _twin(self, entry: DeployedLayer, use: QuantizedCall) -> IntegerTwin:
        # A shared layer may sum other levels, or scaled ones.
        key = id(use.layer), entry.steps, entry.is_scaled
        if key not in self._twins:
            self._twins[key] = IntegerTwin(
                use.layer, entry.path, entry.steps, has_borders=not entry.is_scaled
            )
        return self._twins[key]


def _quantized(use: QuantizedCall) -> tf.Tensor:
    """The input of a layer behind its input quantizer."""
    quantizer = use.layer.input_quantizer
    return use.input if quantizer is None else call_in_inference(quantizer, [use.input])


def _in_order(band: dict) -> dict:
    """The band, its lower end first: a negative scale turns it round."""
    if "low" not in band:
        return band
    low, high = band["low"], band["high"]
    return band | {"low": np.minimum(low, high), "high": np.maximum(low, high)}


def _activated(use: QuantizedCall) -> tf.Tensor | None:
    """What the activation of a layer is given; None if it has none."""
    if use.layer.activation in (None, tf_keras.activations.linear):
        return None
    return use.without_activation()


def _moved(
    function: Callable, source: tf.Tensor, by: float
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest that a function makes of moved values."""
    ends = [
        np.asarray(call_in_inference(function, [moved]))
        for moved in (source - by, source + by)
    ]
    return np.minimum(*ends), np.maximum(*ends)


def _exact(array: np.ndarray, factor: float = 1.0, **band: np.ndarray) -> Wanted:
    """Whole numbers."""
    magnitude = factor * largest_magnitude(array)
    return Wanted(array, True, factor=factor, magnitude=magnitude, **band)


class _Stored:
    """Puts tensors of a layer into the order that the file has them in."""

    def __init__(
        self, use: QuantizedCall, entry: DeployedLayer, file: DeployedFile
    ) -> None:
        data_format = getattr(use.layer, "data_format", "channels_last")
        self._is_moved = data_format == "channels_last" and not entry.is_dense

    def __call__(self, tensor: Any) -> np.ndarray:
        array = np.asarray(tensor)
        if not self._is_moved or array.ndim < 3:
            return array
        return channels_second(array)


def channels_second(tensor: Any) -> np.ndarray:
    """A tensor with its last axis behind the batch."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(tensor), -1, 1))


def _other_model(what: str) -> ArgumentError:
    return ArgumentError(
        f"{WHERE.get()}: {what}.\n  Fix: verify a file with the model that it was made of."
    )
