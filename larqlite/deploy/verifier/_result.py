"""What a comparison of a model with its deployed file finds, as data and as a table."""

from __future__ import annotations

import dataclasses
from typing import Any

from larqlite._tables import as_text, print_tables
from larqlite.errors import UnsupportedModelError
from larqlite_runtime.notebook import ShownTable, ShowsTables

FLOAT_LAYERS = "(float layers before)"
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
        undefined: how many of the values are NaN in Keras; these are not compared.
        ties: of quantized values, how many of those that differ come from a number that
            lies on a threshold but for the rounding of float32, which then decides.
    """

    values: int
    different: int
    unexplained: int
    largest: float
    relative: float
    undefined: int = 0
    ties: int = 0


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
            computed from the output that it has in Keras; None if none follows.
        next_flips: the same after their input quantizers; None if they have none.
        fused: sums of the packed layers that follow, or outputs of the model, computed in
            one piece with this layer, compared with what comes out of the file in two.
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
    fused: Differences | None
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
        counts = (self.output, self.next_values, self.next_flips, self.fused)
        return self.bit_exact and not any(c and c.unexplained for c in counts)


@dataclasses.dataclass(frozen=True)
class OutputVerification:
    """One output of the model, when the whole file runs.

    Attributes:
        name: of the output.
        values: its differences.
        labels: how many labels (the largest of the classes) there were; 0 if the output
            is no classes: an image, sigmoids, a regression. See `lq.deploy.verify`.
        agreeing: how many of them are the same.
        ties: how many of the others are a tie in Keras, up to the tolerance.
    """

    name: str
    values: Differences
    labels: int
    agreeing: int
    ties: int = 0

    @property
    def ok(self) -> bool:
        """Whether all labels are the same, ties aside, and Keras gives any number."""
        is_defined = self.values.undefined < self.values.values
        return is_defined and self.agreeing + self.ties == self.labels


@dataclasses.dataclass(frozen=True)
class PrecisionVerification:
    """A file whose float layers run in a precision that was asked for, against Keras.

    Attributes:
        precision: that was asked for.
        ran: what this CPU made of it: the same, or "float32".
        outputs: of the model.
        flips: by the path of each packed layer its quantized inputs: how many are not those
            of Keras when the whole file runs.
    """

    precision: str
    ran: str
    outputs: tuple[OutputVerification, ...]
    flips: dict[str, Differences]

    @property
    def ok(self) -> bool:
        """Whether all labels are those of Keras, ties aside."""
        return all(item.ok for item in self.outputs)


@dataclasses.dataclass(frozen=True, repr=False)
class Verification(ShowsTables):
    """A deployed file against its model; `str()` of it is a table.

    Attributes:
        name: of the model.
        engine: what ran the file: "larqlite_runtime" or "onnxruntime".
        samples: how many there were.
        layers: the packed layers, a `LayerVerification` for each use, in their order.
        before: inputs of packed layers, and outputs, that no packed layer comes before;
            None if there are none.
        before_flips: the same after their input quantizers; None if they have none.
        outputs: the outputs of the model, when the whole file runs.
        stock: the same on a stock ONNX Runtime; None if that was not asked for.
        reduced: the whole file with its float layers in another precision; None if that
            was not asked for.
    """

    name: str
    engine: str
    samples: int
    layers: tuple[LayerVerification, ...]
    before: Differences | None
    before_flips: Differences | None
    outputs: tuple[OutputVerification, ...]
    stock: Verification | None = None
    reduced: PrecisionVerification | None = None

    @property
    def wrong(self) -> tuple[str, ...]:
        """Paths of the packed layers that do not compute what they do in Keras, given
        their inputs; FLOAT_LAYERS for what comes before them."""
        before = (self.before, self.before_flips)
        is_wrong = any(counted and counted.unexplained for counted in before)
        rows = [row.layer for row in self.layers if not row.ok]
        return (*[FLOAT_LAYERS] * is_wrong, *rows)

    @property
    def exact(self) -> bool:
        """Whether nothing is wrong, on either engine."""
        return not self.wrong and (self.stock is None or self.stock.exact)

    @property
    def ok(self) -> bool:
        """Whether each layer is exact, and all labels of the whole file are the same but
        for ties, of the outputs that are classes; in the precision that was asked for
        too."""
        are_same = all(item.ok for item in self.outputs)
        if self.reduced is not None and not self.reduced.ok:
            return False
        return self.exact and are_same and (self.stock is None or self.stock.ok)

    @property
    def first_departing(self) -> str | None:
        """What is wrong first, or the path of the first packed layer whose quantized input
        is not that of Keras when the whole file runs; None if there is none."""
        if self.wrong[:1] == (FLOAT_LAYERS,):
            return FLOAT_LAYERS
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
            "stock": None if self.stock is None else self.stock.to_dict(),
            "wrong": list(self.wrong),
            "exact": self.exact,
            "ok": self.ok,
            "first_departing": self.first_departing,
            "reduced": None
            if self.reduced is None
            else {**dataclasses.asdict(self.reduced), "ok": self.reduced.ok},
        }

    print = print_tables

    def __str__(self) -> str:
        return as_text(self._shown())

    def _shown(self) -> list[ShownTable]:
        return [_table(self)]

    def __repr__(self) -> str:
        layers = f"wrong: {', '.join(self.wrong)}" if self.wrong else "all exact"
        return (
            f'<Verification "{self.name}": {len(self.layers)} packed layers, {layers}>'
        )


def _table(result: Verification) -> ShownTable:
    header = _HEADER
    stock = ()
    if result.stock is not None:
        header = (*header, result.stock.engine)
        stock = result.stock.layers
    rows = [
        (*_cells(row), *map(_verdict, stock[number : number + 1]))
        for number, row in enumerate(result.layers)
    ]
    if not rows:
        header, rows = ("layer",), [("no packed layers",)]
    title = f"{result.name}: Keras against the file ({result.samples} samples)"
    return ShownTable(title, header, rows, _notes(result))


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
    text = "equal"
    if counted.largest:
        text = f"{counted.largest:.1e} ({counted.relative:.0e})"
    explained = counted.different - counted.unexplained
    return f"{text}, {explained:,} at a threshold" if explained else text


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
    lines = [_judged(result)]
    if result.stock is not None and result.stock.wrong != result.wrong:
        lines.append(f"On {result.stock.engine}: {_judged(result.stock)}")
    for item in (result, result.stock):
        if item is not None:
            lines += [f"The whole file on {item.engine}:", *_whole(item)]
    if result.reduced is not None:
        lines += _reduced(result.reduced)
    return lines


def _reduced(result: PrecisionVerification) -> list[str]:
    is_there = result.ran == result.precision
    runs = "" if is_there else f', not to be had here: "{result.ran}" ran'
    lines = [f'The whole file with precision="{result.precision}"{runs}:']
    lines += map(_output, result.outputs)
    lines += _flipped(list(result.flips.values()))
    most = max(result.flips.items(), key=lambda item: item[1].different, default=None)
    if most is not None and most[1].different:
        lines.append(f"  most of them before {most[0]}: {_flips(most[1])}")
    return lines


def _judged(result: Verification) -> str:
    count = len(result.layers)
    if result.wrong:
        rows = sum(not row.ok for row in result.layers)
        return f"WRONG: {', '.join(result.wrong)} ({rows} of {count} layers)"
    each = "layers, each" if count != 1 else "layer,"
    return f"{count} packed {each} given its input in Keras: as in Keras"


def _whole(result: Verification) -> list[str]:
    lines = list(map(_output, result.outputs))
    lines += _flipped([row.run_flips for row in result.layers if row.run_flips])
    first = result.first_departing
    if first is not None:
        lines.append(f"  first layer that departs from Keras: {first}")
        lines += _ties(next((r for r in result.layers if r.layer == first), None))
    return lines


def _output(output: OutputVerification) -> str:
    text = f"  {output.name}: equal"
    if output.values.largest:
        text = (
            f"  {output.name}: off by {output.values.largest:.1e} "
            f"({output.values.relative:.0e} of the largest)"
        )
    if output.labels:
        share = output.agreeing / output.labels
        text += f", {output.agreeing:,} of {output.labels:,} labels agree ({share:.2%})"
    if output.ties:
        text += f", {output.ties:,} are ties in Keras"
    if output.values.undefined:
        text += (
            f"; {output.values.undefined:,} of {output.values.values:,} values are "
            "NaN in Keras"
        )
    return text


def _flipped(flipped: list[Differences]) -> list[str]:
    different = sum(counted.different for counted in flipped)
    values = sum(counted.values for counted in flipped)
    if not values:
        return []
    return [
        f"  {different:,} of {values:,} quantized inputs of packed layers flip "
        f"({different / values:.1e})"
    ]


def _ties(row: LayerVerification | None) -> list[str]:
    """Why a layer departs whose input lies on a threshold."""
    counted = row and row.run_flips
    if not counted or not counted.ties:
        return []
    return [
        f"    {counted.ties:,} of its {counted.different:,} flips are ties: the number "
        "that is quantized lies on a threshold, but for the rounding of float32, which "
        "decides in Keras",
    ]
