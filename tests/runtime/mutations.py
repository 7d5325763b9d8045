"""Damage to model files: to their bytes, and to the fields that the bytes stand for."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

from larqlite_runtime.reader._wire import encode
from tests.runtime.mutations_bytes import CHANGES_OF_BYTES
from tests.runtime.mutations_fields import CHANGES_OF_FIELDS
from tests.runtime.trees import Place, places, tree_of

INTEGERS = (
    *(0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 1000),
    *(-1, -2, -128, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32, 2**40, 2**62),
    *(2**63 - 1, -(2**31), -(2**63)),
)


class Mutator:
    """Makes damaged files of good ones; the same ones for the same seed."""

    def __init__(self, seeds: list[bytes], rng: random.Random):
        self.seeds = seeds
        self.rng = rng
        self.trees: dict[bytes, dict] = {}

    def file(self, data: bytes | None = None) -> bytes:
        """A damaged file; a seed is damaged unless another sound file is given."""
        rng = self.rng
        data = rng.choice(self.seeds) if data is None else data
        if rng.random() < 0.25:
            for _ in range(rng.randint(1, 4)):
                data = rng.choice(CHANGES_OF_BYTES)(self, bytearray(data))
            return bytes(data)
        tree = copy.deepcopy(self.tree(data))
        if rng.random() < 0.7:
            _forget_shapes(tree)
        for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
            rng.choice(CHANGES_OF_FIELDS)(self, tree)
        data = encode("Model", tree)
        if rng.random() < 0.05:
            data = bytes(rng.choice(CHANGES_OF_BYTES)(self, bytearray(data)))
        return data

    def tree(self, data: bytes) -> dict:
        """A decoded file, which must not be changed."""
        if data not in self.trees:
            self.trees[data] = tree_of(data)
        return self.trees[data]

    def place(self, tree: dict, matches: Callable[[Place], bool]) -> Place | None:
        """A random place of those that match."""
        found = [place for place in places(tree) if matches(place)]
        return self.rng.choice(found) if found else None

    def integer(self, near: int = 0) -> int:
        rng = self.rng
        if rng.random() < 0.5:
            return max(-(2**63), min(near + rng.choice([-2, -1, 1, 2]), 2**63 - 1))
        return rng.choice(INTEGERS)


def _forget_shapes(tree: dict) -> None:
    """So that a change of one size is not just a contradiction."""
    graph = tree.get("graph", {})
    graph.pop("value_info", None)
    for item in graph.get("output", ()):
        item.pop("type", None)
