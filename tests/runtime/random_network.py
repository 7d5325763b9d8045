"""Random networks whose floats are exact, so that any two right runs agree to the bit.

All numbers are multiples of a power of two and small enough for the 24 bits of float32:
no operation rounds, in whatever order sums are made, and no sign hangs on a last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.runtime import files

BITS = 22  # of float32 that values may take


@dataclass
class Tensor:
    """A tensor of the network: multiples of 2^-places up to `bound`."""

    name: str
    shape: tuple[int, ...]  # channels first, without the batch
    places: int
    bound: float

    def fits(self) -> bool:
        return self.bound * 2.0**self.places < 2.0**BITS


@dataclass
class Network:
    """A random network: its nodes so far and the tensors that the next one may read."""

    rng: np.random.Generator
    rank: int
    nodes: list = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    accumulators: list[str] = field(default_factory=list)
    count: int = 0

    def one_of(self, *values):
        return values[self.rng.integers(len(values))]

    def fresh(self, word: str = "t") -> str:
        self.count += 1
        return f"{word}{self.count}"

    def constant(self, array, dtype=np.float32) -> str:
        name = self.fresh("c")
        self.constants[name] = np.asarray(array, dtype)
        return name

    def multiples(self, *shape: int, of: float = 0.25, most: int = 6) -> np.ndarray:
        """Random multiples of a number, zero and negative ones among them."""
        return (self.rng.integers(-most, most + 1, shape) * of).astype(np.float32)

    def add(self, op: str, inputs: list[str], domain: str = "", **attributes) -> str:
        name = self.fresh()
        words = " ".join(item or "-" for item in inputs)
        self.nodes.append(files.node(op, words, name, domain, **attributes))
        return name

    def packed(self, op: str, inputs: list[str], **attributes) -> str:
        return self.add(op, inputs, files.PACKED, **attributes)

    def keep(self, name: str, shape, places: int, bound: float) -> Tensor | None:
        """A tensor for later nodes, unless its values are no longer exact."""
        tensor = Tensor(name, tuple(shape), places, float(bound))
        if not tensor.fits():
            return None
        self.tensors.append(tensor)
        return tensor

    def pick(self) -> Tensor:
        """A tensor; mostly the last one."""
        if self.rng.random() < 0.6:
            return self.tensors[-1]
        return self.tensors[self.rng.integers(len(self.tensors))]

    def channel_shape(self, channels: int) -> tuple[int, ...]:
        return (channels, *[1] * self.rank)
