"""What a comparison of a model with its TFLite file finds, as data and as a table."""

from __future__ import annotations

import dataclasses
from typing import Any

from larqlite._tables import print_tables
from larqlite_runtime.notebook import ShownTable, ShowsTables

__all__ = ["LayerComparison", "TFLiteComparison"]


@dataclasses.dataclass(frozen=True)
class LayerComparison:
    """One layer whose output both have as integers.

    Attributes:
        layer: its name in the model.
        tensor: the number of the tensor in the file.
        step: the difference between two neighbouring levels.
        largest_steps: the largest difference, in steps.
        share_off: the share of values that differ by more than half a step.
    """

    layer: str
    tensor: int
    step: float
    largest_steps: float
    share_off: float


@dataclasses.dataclass(frozen=True, repr=False)
class TFLiteComparison(ShowsTables):
    """A model against its TFLite file.

    Attributes:
        name: of the model.
        examples: how many there were.
        label_agreement: the share of them with the same largest output; with outputs of
            one value, on the same side of 0.5. It means something for outputs that are
            classes, and nothing is judged by it.
        largest_difference: the largest difference of an output.
        step: that of the outputs, or None where they are not quantized.
        largest_steps: the largest difference in steps of its output, or None.
        share_off: the share of outputs that differ by more than half a step, or None.
        threshold: the steps from which on a layer departs.
        first_departing: the first layer with a difference above `threshold`, or None.
        layers: those whose outputs could be found in the file, in order.
        unmatched: the quantized layers whose outputs could not.
    """

    name: str
    examples: int
    label_agreement: float
    largest_difference: float
    step: float | None
    largest_steps: float | None
    share_off: float | None
    threshold: float
    first_departing: str | None
    layers: tuple[LayerComparison, ...]
    unmatched: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """This comparison in types that JSON knows."""
        return dataclasses.asdict(self)

    print = print_tables

    def _shown(self) -> list[ShownTable]:
        notes = [
            f"Labels that agree: {self.label_agreement:.2%} of {self.examples}",
            f"Largest difference of an output: {_steps(self)}",
            f"First layer more than {self.threshold:g} steps off: "
            f"{self.first_departing or 'none'}",
        ]
        if self.unmatched:
            notes.append(f"Not found in the file: {', '.join(self.unmatched)}")
        header = ("Layer", "Step", "Largest difference (steps)", "Off by a step")
        rows = [
            (
                row.layer,
                f"{row.step:.3g}",
                f"{row.largest_steps:.2f}",
                f"{row.share_off:.2%}",
            )
            for row in self.layers
        ]
        return [ShownTable(f"{self.name}: Keras against TFLite", header, rows, notes)]

    def __repr__(self) -> str:
        return (
            f'<TFLiteComparison "{self.name}": {self.label_agreement:.2%} of labels '
            f"agree, largest difference {_steps(self)}>"
        )


def _steps(comparison: TFLiteComparison) -> str:
    if comparison.largest_steps is None:
        return f"{comparison.largest_difference:.3g}"
    return f"{comparison.largest_steps:.2f} steps of {comparison.step:.3g}"
