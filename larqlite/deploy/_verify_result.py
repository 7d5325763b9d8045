"""What a comparison of a model with its deployed file finds, as data and as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from larqlite import _tables
from larqlite.errors import UnsupportedModelError


class VerificationError(UnsupportedModelError):
    """A deployed file that does not compute what its model does."""


@dataclasses.dataclass(frozen=True)
class Differences:
    """How many of some values are not those of Keras.

    Attributes:
        values: how many were compared.
        different: how many of them differ; floats by more than the tolerance.
        unexplained: those of them that do not come from a float next to a threshold: one
            that falls on its other side if moved by the tolerance.
        largest: the largest difference that is not explained so.
        relative: the same, relative to the largest magnitude in Keras.
    """

    values: int
    different: int
    unexplained: int
    largest: float
    relative: float


@dataclasses.dataclass(frozen=True)
class LayerVerification:
    """One use of a packed layer.

    The first four counts are of this layer alone, given the input that it has in Keras.

    Attributes:
        layer: its path in the model.
        class_name: its class.
        operation: type of its node, `"BConv2D"`; "float" if the file unpacks its kernel.
        weight_bits: bits of a value of its kernel.
        path: what ran it: "AVX-512", "numpy", "onnxruntime".
        quantized: its quantized input; None if that is not quantized to few levels.
        accumulators: sums of integers; None if it computes on floats.
        output: what it gives out: scale, bias and activation included.
        output_of: "layer", or "normalization" if the file holds its output only together
            with the batch normalization behind it.
        next_values: inputs of the packed layers that follow, or outputs of the model,
            computed from Keras' inputs of the packed layers before; None if none follows.
        next_flips: the same after their input quantizers; None if they have none.
        run_flips: its quantized input when the whole file runs; None if not quantized.
        note: a remark, or "".
    """

    layer: str
    class_name: str
    operation: str
    weight_bits: int
    path: str
    quantized: Differences | None
    accumulators: Differences | None
    output: Differences | None
    output_of: str
    next_values: Differences | None
    next_flips: Differences | None
    run_flips: Differences | None
    note: str = ""

    @property
    def bit_exact(self) -> bool:
        """Whether quantized inputs and sums are those of Keras, given the same input."""
        counts = (self.quantized, self.accumulators)
        return not any(counted and counted.different for counted in counts)

    @property
    def ok(self) -> bool:
        """Whether it is bit-exact, and every difference of floats is explained."""
        counts = [self.output]
        jumps = self.output.different if self.output else 0
        if not jumps:  # else they come in again behind it
            counts += [self.next_values, self.next_flips]
        return self.bit_exact and not any(c and c.unexplained for c in counts)


@dataclasses.dataclass(frozen=True)
class OutputVerification:
    """One output of the model, when the whole file runs.

    Attributes:
        name: of the output.
        values: its differences.
        labels: how many labels (the largest of its last axis) there were; 0 if that has
            one entry only.
        agreeing: how many of them are the same.
    """

    name: str
    values: Differences
    labels: int
    agreeing: int


@dataclasses.dataclass(frozen=True, repr=False)
class Verification:
    """A deployed file against its model; `str()` of it is a table.

    Attributes:
        name: of the model.
        engine: what ran the file: "larqlite_runtime" or "onnxruntime".
        samples: how many there were.
        layers: the packed layers, a `LayerVerification` for each use, in their order.
        outputs: the outputs of the model, when the whole file runs.
        stock: the same on a stock ONNX Runtime; None if that was not asked for.
    """

    name: str
    engine: str
    samples: int
    layers: tuple[LayerVerification, ...]
    outputs: tuple[OutputVerification, ...]
    stock: Verification | None = None

    @property
    def exact(self) -> bool:
        """Whether each packed layer computes what it does in Keras, given its input."""
        return all(row.ok for row in self.layers) and (
            self.stock is None or self.stock.exact
        )

    @property
    def ok(self) -> bool:
        """Whether each layer is exact, and all labels of the whole file are the same."""
        labels_agree = all(item.agreeing == item.labels for item in self.outputs)
        return self.exact and labels_agree and (self.stock is None or self.stock.ok)

    @property
    def first_departing(self) -> str | None:
        """Path of the first packed layer that is wrong, or whose quantized input is not
        that of Keras when the whole file runs; None if there is none."""
        for row in self.layers:
            if not row.ok or (row.run_flips and row.run_flips.different):
                return row.layer
        return None

    def to_dict(self) -> dict[str, Any]:
        """This comparison in types that JSON knows."""
        layers = [
            {**dataclasses.asdict(row), "bit_exact": row.bit_exact, "ok": row.ok}
            for row in self.layers
        ]
        return {
            **dataclasses.asdict(self),
            "layers": layers,
            "stock": self.stock and self.stock.to_dict(),
            "exact": self.exact,
            "ok": self.ok,
            "first_departing": self.first_departing,
        }

    def print(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Prints the table.

        Args:
            print_fn: takes the text instead of the standard output.
        """
        header = _HEADER
        stock = {}
        if self.stock is not None:
            header = (*header, "onnxruntime")
            stock = dict(enumerate(self.stock.layers))
        rows = [
            (*_cells(row), *([_verdict(stock[number])] if stock else ()))
            for number, row in enumerate(self.layers)
        ]
        title = f"{self.name}: Keras against the file ({self.samples} samples)"
        _tables.show(title, header, rows, _notes(self), print_fn)

    def __str__(self) -> str:
        lines: list[str] = []
        self.print(lines.append)
        return "\n".join(lines)

    def __repr__(self) -> str:
        wrong = [row.layer for row in self.layers if not row.ok]
        layers = f"wrong: {', '.join(wrong)}" if wrong else "all exact"
        return (
            f'<Verification "{self.name}": {len(self.layers)} packed layers, {layers}>'
        )


_HEADER = (
    "layer",
    "class",
    "operation",
    "path",
    "input bits",
    "accumulators",
    "output",
    "flips behind it",
)


def _cells(row: LayerVerification) -> tuple[str, ...]:
    return (
        row.layer,
        row.class_name,
        row.operation,
        row.path,
        _exact(row.quantized, "float" if row.accumulators is None else "as they come"),
        row.note or _exact(row.accumulators, "float"),
        _difference(row.output),
        _flips(row.next_flips),
    )


def _exact(counted: Differences | None, otherwise: str) -> str:
    if counted is None:
        return otherwise
    if not counted.different:
        return "bit-exact"
    return (
        f"{counted.different:,} of {counted.values:,} differ, by up to "
        f"{counted.largest:g}"
    )


def _difference(counted: Differences | None) -> str:
    if counted is None:
        return "-"
    if not counted.largest:
        return "equal"
    return f"off by {counted.largest:.1e} ({counted.relative:.0e} of the largest)"


def _flips(counted: Differences | None) -> str:
    return "-" if counted is None else f"{counted.different:,} of {counted.values:,}"


def _verdict(row: LayerVerification) -> str:
    if row.ok:
        return "exact" if row.accumulators is not None else "equal"
    if not row.bit_exact:
        counts = [row.quantized, row.accumulators]
        return f"{sum(c.different for c in counts if c):,} differ"
    return _difference(row.output)


def _notes(result: Verification) -> list[str]:
    notes = []
    wrong = [row.layer for row in result.layers if not row.ok]
    count = len(result.layers)
    if wrong:
        notes.append(f"WRONG: {', '.join(wrong)} ({len(wrong)} of {count} layers)")
    else:
        each = "layers, each" if count != 1 else "layer,"
        notes.append(f"{count} packed {each} given its input in Keras: as in Keras")
    for item in (result, result.stock):
        if item is not None:
            notes += [f"The whole file on {item.engine}:", *_whole(item)]
    return notes


def _whole(result: Verification) -> list[str]:
    lines = []
    for output in result.outputs:
        text = f"  {output.name}: {_difference(output.values)}"
        if output.labels:
            share = output.agreeing / output.labels
            text += (
                f", {output.agreeing:,} of {output.labels:,} labels agree ({share:.2%})"
            )
        lines.append(text)
    flipped = [row for row in result.layers if row.run_flips]
    different = sum(row.run_flips.different for row in flipped)
    values = sum(row.run_flips.values for row in flipped)
    if values:
        lines.append(
            f"  {different:,} of {values:,} quantized inputs of packed layers flip "
            f"({different / values:.1e})"
        )
    first = result.first_departing
    if first is not None:
        lines.append(f"  first layer that departs from Keras: {first}")
    return lines
