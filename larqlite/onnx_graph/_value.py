"""A tensor between two layers, as Keras and as the file see it."""

from __future__ import annotations

import dataclasses

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class Value:
    """A tensor between two layers.

    Attributes:
        name: of the tensor in the file.
        shape: sizes as in Keras, None for the batch, which comes first.
        is_moved: whether the file holds it channels first where Keras has the channels
            last.
        levels: which values it holds, if these are few: "sign" (-1, +1), "heaviside"
            (0, 1), "ternary" (-1, 0, 1), "steps:k" (0, 1/n, ..., 1 with n = 2^k - 1);
            else None.
    """

    name: str
    shape: Shape
    is_moved: bool = False
    levels: str | None = None

    @property
    def rank(self) -> int:
        """The number of axes, the batch included."""
        return len(self.shape)

    @property
    def stored_shape(self) -> Shape:
        """Sizes in the order of the file."""
        return channels_moved(self.shape) if self.is_moved else self.shape

    def stored_axis(self, axis: int) -> int:
        """The axis of the file that is `axis` (of either sign) in Keras."""
        axis %= self.rank
        if not self.is_moved or axis == 0:
            return axis
        return 1 if axis == self.rank - 1 else axis + 1

    def with_levels(self, levels: str | None) -> Value:
        """The same tensor, known to hold these levels."""
        return dataclasses.replace(self, levels=levels)


def channels_moved(shape: Shape) -> Shape:
    """`(batch, ..., channels)` as `(batch, channels, ...)`."""
    return (shape[0], shape[-1], *shape[1:-1])
