"""Runs what lies between the packed layers of a file, up to the next ones and the outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from larqlite.deploy.verifier._deployed_file import Cut, DeployedFile
from larqlite.deploy.verifier._engine import FileEngine, Parts
from larqlite.deploy.verifier._expected import Expected, Wanted


@dataclasses.dataclass(frozen=True)
class DownstreamSegment:
    """The way to the input of packed layers, or to an output of the model.

    Attributes:
        tensor: that input or output, or where a quantization-aware layer rounds.
        entries: numbers of the packed layers that it leads away from; those of which
            an earlier segment did not.
        sources: numbers of those whose outputs it begins with.
        readers: numbers of the packed layers that it leads to.
        between: from the outputs of packed layers to the tensor, and to the quantized
            inputs and sums of the readers.
        through: from the inputs of those packed layers to the sums of the readers, or to
            the tensor if there are none, with nothing asked for in between.
        is_joint: whether the tensor is just what a packed layer gives out.
    """

    tensor: str
    entries: tuple[int, ...]
    sources: tuple[int, ...]
    readers: tuple[int, ...]
    between: Cut
    through: Cut
    is_joint: bool


def segments_of(file: DeployedFile) -> list[DownstreamSegment]:
    """The segments of a file, in the order of its packed layers."""
    readers: dict[str, list[int]] = {}
    for number, entry in enumerate(file.entries):
        readers.setdefault(entry.input, []).append(number)
    roundings = [rounding.tensor for rounding in file.roundings]
    begins = {*readers, *roundings, *file.inputs}
    outputs = {entry.output for entry in file.entries if entry.output is not None}
    left: set[str] = set()
    segments = []
    for tensor in dict.fromkeys((*readers, *roundings, *file.outputs)):
        if tensor in file.inputs:
            continue
        own = readers.get(tensor, [])
        behind = [file.entries[number] for number in own]
        ends = [entry.accumulator or entry.quantized for entry in behind] or [tensor]
        through = file.cut(ends, (begins | left) - {tensor})
        inside = [
            number
            for number, entry in enumerate(file.entries)
            if entry.sums in through.made and number not in own
        ]
        wanted = [tensor, *(entry.quantized for entry in behind), *ends]
        known = outputs - {entry.output for entry in behind}
        between = file.cut(wanted, (begins - {tensor}) | known)
        is_joint = tensor in outputs and bool(own)
        sources = [
            number
            for number, entry in enumerate(file.entries)
            if entry.output in between.inputs
        ]
        numbers = map(tuple, (inside, sources, own))
        segments.append(DownstreamSegment(tensor, *numbers, between, through, is_joint))
        left.update(outputs & {file.entries[number].output for number in inside})
    return segments


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

    def __init__(self, file: DeployedFile, engine: FileEngine) -> None:
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
