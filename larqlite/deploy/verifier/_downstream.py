"""Runs what lies behind the packed layers of a file, up to the next ones and the outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from larqlite.deploy.verifier._engine import RuntimeEngine, StockEngine
from larqlite.deploy.verifier._expected import Expected, Wanted
from larqlite.deploy.verifier._file import DeployedFile
from larqlite.deploy.verifier._parts import Parts
from larqlite.deploy.verifier._segments import DownstreamSegment, segments_of

Arrays = dict[str, np.ndarray]
# Number of a packed layer, or None for what comes before all; what is counted there, and
# the two sides of it.
Comparison = tuple[int | None, str, Wanted, np.ndarray]


class DownstreamCheck:
    """The segments of a file on one engine.

    Each is run from the outputs of packed layers in Keras, which should give what Keras
    does. It is also run from the inputs of these layers, in one piece with them, as a
    runtime does that fuses what follows a sum into it; that should give what comes out in
    two pieces.

    Args:
        file: the file.
        engine: what runs it.
    """

    def __init__(self, file: DeployedFile, engine: RuntimeEngine | StockEngine) -> None:
        self._file = file
        self._segments = segments_of(file)
        self._between = Parts(file, engine, [s.between for s in self._segments])
        self._through = Parts(file, engine, [s.through for s in self._segments])
        # What a packed layer gives out is the input of the next one as it is.
        self._joints = {
            s.tensor: Parts(file, engine, [s.between])
            for s in self._segments
            if s.is_joint
        }

    def __call__(
        self, expected: Expected, alone: Sequence[Arrays]
    ) -> Iterator[Comparison]:
        """What to compare for one batch.

        Args:
            expected: by Keras.
            alone: what comes out of each packed layer alone.
        """
        entries = self._file.entries
        known = {**expected.inputs, **expected.known}
        made = {
            entry.output: found[entry.output]
            for entry, found in zip(entries, alone, strict=True)
            if entry.output in found
        }
        fed = {entry.input for entry in entries}
        own = known | {name: made[name] for name in made.keys() - fed}
        runs = zip(
            self._segments,
            self._between(known),
            self._between(own),
            self._through(own),
            strict=True,
        )
        for segment, from_keras, in_two, in_one in runs:
            if segment.is_joint:
                given = own | {segment.tensor: made[segment.tensor]}
                (in_two,) = self._joints[segment.tensor](given)
            in_two = made | in_two
            wanted = self._wanted(segment, expected, alone)
            for name, (role, tensor) in wanted.items():
                if role is not None and name in from_keras:
                    for number in segment.entries or segment.sources or (None,):
                        yield number, role, tensor, from_keras[name]
                if name in in_one:
                    for number in segment.entries:
                        two = tensor.moved_to(in_two[name])
                        yield number, "fused", two, in_one[name]

    def _wanted(
        self, segment: DownstreamSegment, expected: Expected, alone: Sequence[Arrays]
    ) -> dict[str, tuple[str | None, Wanted]]:
        """What the tensors at the end of a segment should hold, and as what they count."""
        wanted = {segment.tensor: ("values", expected.ends[segment.tensor])}
        for number in segment.readers:
            entry, tensors = self._file.entries[number], expected.layers[number]
            if "quantized" in tensors:
                quantized = tensors["quantized"].lenient()
                # A wrong quantizer is a fault of its own layer, not of one before.
                array = alone[number].get(entry.quantized, quantized.array)
                quantized = dataclasses.replace(quantized, array=array)
                wanted[entry.quantized] = "flips", quantized
            if "accumulators" in tensors:
                wanted[entry.accumulator] = None, tensors["accumulators"]
        return wanted
