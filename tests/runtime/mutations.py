"""Damage to model files: to their bytes, and to the fields that the bytes stand for."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from larqlite_runtime._operators import OPERATORS
from larqlite_runtime._schema import SCHEMA, Field
from larqlite_runtime._wire import decode, encode

INTEGERS = (
    *(0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 1000),
    *(-1, -2, -128, 2**15, 2**16, 2**24, 2**31 - 1, 2**31, 2**32, 2**40, 2**62),
    *(2**63 - 1, -(2**31), -(2**63)),
)
FLOATS = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -7.0, 255.0, 1e-30, 1e30, -1e30, 3.4e38),
    *(2.0**24, math.inf, -math.inf, math.nan),
)
TEXTS = ("", "x", "\0", "a" * 2000, "é", "batch", "ai.larqlite", "../../etc/passwd")
OPERATIONS = sorted({name for table in OPERATORS.values() for name in table})


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


class Mutator:
    """Makes damaged files of good ones; the same ones for the same seed."""

    def __init__(self, seeds: list[bytes], rng: random.Random):
        self.seeds = seeds
        self.rng = rng

    def file(self, data: bytes | None = None) -> bytes:
        """A damaged file; a seed is damaged unless another sound file is given."""
        rng = self.rng
        data = rng.choice(self.seeds) if data is None else data
        if rng.random() < 0.25:
            for _ in range(rng.randint(1, 4)):
                data = rng.choice(BYTES)(self, bytearray(data))
            return bytes(data)
        is_seed = data in self.seeds
        tree = copy.deepcopy(_cached_tree(data)) if is_seed else tree_of(data)
        if rng.random() < 0.7:
            _forget_shapes(tree)
        for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
            rng.choice(FIELDS)(self, tree)
        data = encode("Model", tree)
        if rng.random() < 0.05:
            data = bytes(rng.choice(BYTES)(self, bytearray(data)))
        return data

    def place(self, tree: dict, matches: Callable[[Place], bool]) -> Place | None:
        """A random place of those that match."""
        found = [place for place in places(tree) if matches(place)]
        return self.rng.choice(found) if found else None

    def integer(self, near: int = 0) -> int:
        rng = self.rng
        if rng.random() < 0.5:
            return max(-(2**63), min(near + rng.choice([-2, -1, 1, 2]), 2**63 - 1))
        return rng.choice(INTEGERS)


_trees: dict[bytes, dict] = {}


def _cached_tree(data: bytes) -> dict:
    if data not in _trees:
        _trees[data] = tree_of(data)
    return _trees[data]


def _forget_shapes(tree: dict) -> None:
    """So that a change of one size is not just a contradiction."""
    graph = tree.get("graph", {})
    graph.pop("value_info", None)
    for item in graph.get("output", ()):
        item.pop("type", None)


# Changes of fields.


def _number(mutator: Mutator, tree: dict) -> None:
    place = mutator.place(tree, lambda p: p.field.kind == "int")
    if place:
        place.holder[place.key] = mutator.integer(place.value)


def _attribute_number(mutator: Mutator, tree: dict) -> None:
    names = ("i", "ints", "f", "floats")
    place = mutator.place(
        tree, lambda p: p.message == "Attribute" and p.field.name in names
    )
    if place and place.field.kind == "int":
        place.holder[place.key] = mutator.integer(place.value)
    elif place:
        place.holder[place.key] = mutator.rng.choice(FLOATS)


def _size(mutator: Mutator, tree: dict) -> None:
    """Sizes of an input or of a constant, near the right ones."""
    place = mutator.place(tree, lambda p: p.field.name in ("dims", "dim_value"))
    if place:
        near = place.value + mutator.rng.choice([-1, 1, 2, 8])
        place.holder[place.key] = max(near, 0)


def _text(mutator: Mutator, tree: dict) -> None:
    place = mutator.place(tree, lambda p: p.field.kind == "text")
    other = mutator.place(tree, lambda p: p.field.kind == "text")
    if place:
        chosen = [other.value, mutator.rng.choice(TEXTS)]
        place.holder[place.key] = mutator.rng.choice(chosen)


def _operation(mutator: Mutator, tree: dict) -> None:
    place = mutator.place(tree, lambda p: p.field.name == "op_type")
    if place:
        place.holder[place.key] = mutator.rng.choice(OPERATIONS)


def _edge(mutator: Mutator, tree: dict) -> None:
    """A node reads or makes another tensor."""
    ends = ("input", "output")
    matches = lambda p: p.message == "Node" and p.field.name in ends  # noqa: E731
    place, other = mutator.place(tree, matches), mutator.place(tree, matches)
    if place and other:
        place.holder[place.key] = other.value


def _raw(mutator: Mutator, tree: dict) -> None:
    """Other bytes of a constant, as many, fewer or more."""
    rng = mutator.rng
    place = mutator.place(tree, lambda p: p.field.kind == "bytes")
    if not place:
        return
    value = bytearray(place.value)
    if rng.random() < 0.6 and value:
        for _ in range(rng.randint(1, 8)):
            value[rng.randrange(len(value))] = rng.choice(
                [0, 127, 128, 255, rng.getrandbits(8)]
            )
    elif rng.random() < 0.5:
        value += bytes(rng.randint(1, 9))
    else:
        del value[rng.randint(0, len(value)) :]
    place.holder[place.key] = bytes(value)


def _refit(mutator: Mutator, tree: dict) -> None:
    """Weights of another shape with as many bytes as it needs: a sound layer, maybe."""
    rng = mutator.rng
    graph = tree.get("graph", {})
    layers = [
        (node, attribute)
        for node in graph.get("node", ())
        for attribute in node.get("attribute", ())
        if attribute.get("name") == "weight_shape" and attribute.get("ints")
    ]
    if not layers:
        return
    node, attribute = rng.choice(layers)
    inputs = node.get("input", ())
    shape = attribute["ints"]
    shape[rng.choice([0, 0, -1, rng.randrange(len(shape))])] = rng.choice(
        [1, 2, 3, 5, 8, 31, 32, 33, 40, 64, 65, 100]
    )
    bits = {"B": 1, "T": 2}.get(node.get("op_type", "")[:1], 0)
    for other in node["attribute"]:
        if other.get("name") == "bits":
            bits = other.get("i", 1)
    count = math.prod(shape) * bits
    if not 0 < count < 10_000_000:
        return
    for tensor in graph.get("initializer", ()):
        if tensor.get("name") in inputs[-1:]:
            size = -(-count // 8)
            pattern = rng.choice([0x00, 0x55, 0x99, 0xAA])  # holds no ternary code 3
            tensor["dims"], tensor["raw_data"] = [size], bytes([pattern]) * size


def _layer_input(mutator: Mutator, tree: dict) -> None:
    words = ["sign", "heaviside", "ternary", "steps", "integer"]
    place = mutator.place(tree, lambda p: p.field.name == "s" and p.value in words)
    if place:
        place.holder[place.key] = mutator.rng.choice(words)


def _element(mutator: Mutator, tree: dict) -> None:
    """An element of a list is removed, doubled, or exchanged with another."""
    rng = mutator.rng
    place = mutator.place(tree, lambda p: isinstance(p.holder, list))
    if not place:
        return
    action = rng.randrange(4)
    if action == 0:
        del place.holder[place.key]
    elif action == 1:
        place.holder.insert(
            rng.randint(0, len(place.holder)), copy.deepcopy(place.value)
        )
    elif action == 2:
        other = rng.randrange(len(place.holder))
        mine, theirs = place.value, place.holder[other]
        place.holder[place.key], place.holder[other] = theirs, mine
    else:
        place.holder.extend([copy.deepcopy(place.value)] * rng.choice([1, 20, 300]))


def _node(mutator: Mutator, tree: dict) -> None:
    """A node is removed, doubled, or bridged."""
    rng, nodes = mutator.rng, tree.get("graph", {}).get("node")
    if not nodes:
        return
    number = rng.randrange(len(nodes))
    if rng.random() < 0.3:
        extra = copy.deepcopy(nodes[number])
        extra["name"] = f"extra {rng.random()}"
        extra["output"] = [f"extra {rng.random()}" for _ in extra.get("output", ())]
        nodes.append(extra)
        return
    gone = nodes.pop(number)
    if rng.random() < 0.8 and gone.get("input") and gone.get("output"):
        for node in nodes:
            node["input"] = [
                gone["input"][0] if name == gone["output"][0] else name
                for name in node.get("input", ())
            ]


def _other_part(mutator: Mutator, tree: dict) -> None:
    """A message is exchanged for one of its kind from another file."""
    donor = _cached_tree(mutator.rng.choice(mutator.seeds))
    place = mutator.place(tree, lambda p: isinstance(p.value, dict))
    if not place:
        return
    other = mutator.place(
        donor, lambda p: isinstance(p.value, dict) and p.field.kind == place.field.kind
    )
    if other:
        place.holder[place.key] = copy.deepcopy(other.value)


def _field(mutator: Mutator, tree: dict) -> None:
    """A field is left out."""
    place = mutator.place(tree, lambda p: isinstance(p.holder, dict))
    if place:
        del place.holder[place.key]


FIELDS = (
    *(_attribute_number, _attribute_number, _number, _size, _size, _text, _operation),
    *(_edge, _edge, _raw, _refit, _refit, _refit, _layer_input, _element, _node, _node),
    *(_other_part, _field),
)


# Changes of bytes.


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


BYTES = (_flip, _flip, _byte, _cut, _remove, _insert, _splice)
