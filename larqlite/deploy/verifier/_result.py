"""What a comparison of a model with its deployed file finds, as data and as a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from larqlite.deploy.verifier import _table
from larqlite.errors import UnsupportedModelError

FLOAT_LAYERS = "(float layers before)"


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


@dataclasses.dataclass(frozen=True, repr=False)
class Verification:
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
    """

    name: str
    engine: str
    samples: int
    layers: tuple[LayerVerification, ...]
    before: Differences | None
    before_flips: Differences | None
    outputs: tuple[OutputVerification, ...]
    stock: Verification | None = None

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
        for ties, of the outputs that are classes."""
        are_same = all(item.ok for item in self.outputs)
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
        }

    def print(self, print_fn: Callable[[str], Any] | None = None) -> None:
        """Prints the table.

        Args:
            print_fn: takes the text instead of the standard output.
        """
        _table.show(self, print_fn)

    def __str__(self) -> str:
        lines: list[str] = []
        self.print(lines.append)
        return "\n".join(lines)

    def __repr__(self) -> str:
        layers = f"wrong: {', '.join(self.wrong)}" if self.wrong else "all exact"
        return (
            f'<Verification "{self.name}": {len(self.layers)} packed layers, {layers}>'
        )
