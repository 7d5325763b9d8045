"""Windows of convolutions: which inputs each output reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Triple = tuple[int, int, int]  # depth, height, width


@dataclass(frozen=True)
class Window:
    """Which inputs each output of a convolution reads; depth, height, width.

    Attributes:
        size: of the input.
        out: of the output.
        spacing: from one input to the next where zeros are put between them
            (transposed convolutions), else 1.
        before: borders before the first input; negative where inputs are cut off.
    """

    size: Triple
    out: Triple
    kernel: Triple = (1, 1, 1)
    stride: Triple = (1, 1, 1)
    dilation: Triple = (1, 1, 1)
    before: Triple = (0, 0, 0)
    spacing: Triple = (1, 1, 1)

    @property
    def stretched(self) -> Triple:
        """Sizes of the input with what is put between."""
        return tuple(
            (size - 1) * gap + 1
            for size, gap in zip(self.size, self.spacing, strict=True)
        )

    @property
    def after(self) -> Triple:
        """Borders that the last output needs behind the last input."""
        return tuple(
            max(
                0,
                (self.out[axis] - 1) * self.stride[axis]
                + (self.kernel[axis] - 1) * self.dilation[axis]
                + 1
                - self.before[axis]
                - self.stretched[axis],
            )
            for axis in range(3)
        )

    def by_class(
        self, weights: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums of the weights whose taps meet an input, by the class of the position.

        Args:
            weights: `(out, depth, height, width)`.

        Returns:
            `(row classes, column classes, out)` sums; int32 classes of each row (depth by
            height) and of each column.
        """
        (depths, of_depth), (rows, of_row), (columns, of_column) = (
            np.unique(self.reads(axis), axis=0, return_inverse=True)
            for axis in range(3)
        )
        met = np.einsum(
            "oabc,ra,sb,tc->rsto",
            weights,
            *(taps.astype(weights.dtype) for taps in (depths, rows, columns)),
        )
        of_line = of_depth.reshape(-1)[:, None] * len(rows) + of_row.reshape(-1)
        return (
            met.reshape(-1, len(columns), len(weights)),
            of_line.reshape(-1).astype(np.int32),
            of_column.reshape(-1).astype(np.int32),
        )

    def reads(self, axis: int) -> np.ndarray:
        """(out, kernel) booleans: which taps of which outputs meet an input."""
        tap = (
            np.arange(self.out[axis])[:, None] * self.stride[axis]
            + np.arange(self.kernel[axis]) * self.dilation[axis]
            - self.before[axis]
        )
        inside = (tap >= 0) & (tap < self.stretched[axis])
        return inside & (tap % self.spacing[axis] == 0)
