"""Changes of single fields of a decoded file; many leave it nearly sound."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

from larqlite_runtime.reader.operators import OPERATORS

if TYPE_CHECKING:
    from tests.runtime.mutations import Mutator

FLOATS = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -7.0, 255.0, 1e-30, 1e30, -1e30, 3.4e38),
    *(2.0**24, math.inf, -math.inf, math.nan),
)
TEXTS = ("", "x", "\0", "a" * 2000, "é", "batch", "ai.larqlite", "../../etc/passwd")
OPERATIONS = sorted({name for table in OPERATORS.values() for name in table})


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
    donor = mutator.tree(mutator.rng.choice(mutator.seeds))
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


CHANGES_OF_FIELDS = (
    *(_attribute_number, _attribute_number, _number, _size, _size, _text, _operation),
    *(_edge, _edge, _raw, _refit, _refit, _refit, _layer_input, _element, _node, _node),
    *(_other_part, _field),
)
