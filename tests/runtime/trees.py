"""Decoded files as trees that can be copied, walked and changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from larqlite_runtime.reader._schema import SCHEMA, Field
from larqlite_runtime.reader._wire import decode


class Place(NamedTuple):
    """Where a value is: `holder[key]`, a value of `field` in a message."""

    holder: dict | list
    key: object
    field: Field
    message: str

    @property
    def value(self):
        return self.holder[self.key]


def tree_of(data: bytes) -> dict:
    """A decoded file that can be copied and changed."""
    return _plain(decode("Model", data))


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value if item is not None]
    return bytes(value) if isinstance(value, memoryview) else value


def places(tree: dict, message: str = "Model") -> Iterator[Place]:
    """Every value in a tree, and every element of its lists."""
    fields = {field.name: field for field in SCHEMA[message].values()}
    for name, value in tree.items():
        field = fields[name]
        items = enumerate(value) if field.is_repeated else [(name, value)]
        holder = value if field.is_repeated else tree
        for key, item in items:
            yield Place(holder, key, field, message)
            if isinstance(item, dict):
                yield from places(item, field.kind)
