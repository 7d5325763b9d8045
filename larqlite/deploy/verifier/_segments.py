"""What lies between the packed layers of a file, in parts that are run alone."""

from __future__ import annotations

import dataclasses

from larqlite.deploy.verifier._file import Cut, DeployedFile


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
