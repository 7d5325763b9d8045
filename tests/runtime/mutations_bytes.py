"""Changes of the bytes of a file, whatever they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.runtime.mutations import Mutator


def _flip(mutator: Mutator, data: bytearray) -> bytearray:
    for _ in range(mutator.rng.choice([1, 1, 2, 8])):
        if data:
            data[mutator.rng.randrange(len(data))] ^= 1 << mutator.rng.randrange(8)
    return data


def _byte(mutator: Mutator, data: bytearray) -> bytearray:
    if data:
        data[mutator.rng.randrange(len(data))] = mutator.rng.choice(
            [0, 1, 127, 128, 255]
        )
    return data


def _cut(mutator: Mutator, data: bytearray) -> bytearray:
    del data[mutator.rng.randint(0, len(data)) :]
    return data


def _remove(mutator: Mutator, data: bytearray) -> bytearray:
    at = mutator.rng.randint(0, len(data))
    del data[at : at + mutator.rng.choice([1, 2, 8, 100])]
    return data


def _insert(mutator: Mutator, data: bytearray) -> bytearray:
    at = mutator.rng.randint(0, len(data))
    data[at:at] = mutator.rng.choice(
        [b"\0", b"\xff" * 9, b"\x0a\x00", b"\x80" * 11, bytes(100), data[at : at + 50]]
    )
    return data


def _splice(mutator: Mutator, data: bytearray) -> bytearray:
    other = mutator.rng.choice(mutator.seeds)
    at, begin = mutator.rng.randint(0, len(data)), mutator.rng.randint(0, len(other))
    return data[:at] + other[begin:]


CHANGES_OF_BYTES = (_flip, _flip, _byte, _cut, _remove, _insert, _splice)
