"""What a comparison of an integer model with its export finds, as data and as a table."""

from __future__ import annotations

import dataclasses

from larqlite._tables import as_text
from larqlite_runtime.notebook import ShownTable, ShowsTables

__all__ = ["Comparison", "IntegerLayerComparison", "LayerComparison"]


@dataclasses.dataclass(frozen=True)
class IntegerLayerComparison:
    """One layer whose integers the file has too.

    Attributes:
        layer: its path in the model.
        values: how many there were.
        different: how many of them are not equal.
        largest_difference: of two integers.
    """

    layer: str
    values: int
    different: int
    largest_difference: int

    @property
    def is_equal(self) -> bool:
        """Whether all integers are equal."""
        return not self.different


# What it was called first.
LayerComparison = IntegerLayerComparison


@dataclasses.dataclass(frozen=True)
class Comparison(ShowsTables):
    """An integer model against its export; `str` is a table.

    Attributes:
        name: of the model.
        form: "onnx" (integers), "qdq" or "tflite".
        samples: how many there were.
        label_agreement: the share of them with the same largest output; with outputs of
            one value, on the same side of 0.5. It means something for outputs that are
            classes, and nothing is judged by it.
        largest_difference: of an output.
        largest_units: the largest difference, in units of the last place of the output:
            its quantization step in the file, or else that of its float32.
        equal_share: the share of outputs that are less than half a unit apart.
        layers: those whose integers could be compared, in order; of "onnx" only.
        first_diverging: the first of them that is not equal, or None.
    """

    name: str
    form: str
    samples: int
    label_agreement: float
    largest_difference: float
    largest_units: float
    equal_share: float
    layers: tuple[IntegerLayerComparison, ...] = ()

    @property
    def first_diverging(self) -> str | None:
        """The first layer whose integers differ, or None."""
        return next((row.layer for row in self.layers if not row.is_equal), None)

    @property
    def is_exact(self) -> bool:
        """Whether all integers of all layers were compared, and are equal."""
        return bool(self.layers) and self.first_diverging is None

    def __str__(self) -> str:
        return as_text(self._shown())

    def _shown(self) -> list[ShownTable]:
        notes = [
            f"Labels that agree: {self.label_agreement:.2%} of {self.samples}",
            f"Largest difference of an output: {self.largest_difference:.3g}, "
            f"{self.largest_units:.3g} units of its last place",
            f"Equal outputs: {self.equal_share:.2%}",
        ]
        if self.layers:
            notes.append(f"First layer that differs: {self.first_diverging or 'none'}")
        rows = [
            (
                row.layer,
                f"{row.values:,}",
                f"{row.different:,}",
                f"{row.largest_difference:,}",
            )
            for row in self.layers
        ]
        return [
            ShownTable(
                f"{self.name}: the integer model against {self.form}",
                ("Layer", "Integers", "Different", "Largest difference"),
                rows,
                notes,
            )
        ]
