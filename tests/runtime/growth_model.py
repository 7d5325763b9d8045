"""A model that grows: a node that is tried stays if the reader takes it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from larqlite_runtime._errors import ModelFileError
from larqlite_runtime._graph import CheckedGraph
from larqlite_runtime.format import DOMAIN as PACKED
from larqlite_runtime.reader import read
from larqlite_runtime.reader._tensors import NUMBERS
from larqlite_runtime.reader._wire import encode

BUDGET = 16 << 20
_TYPES = {int: ("i", 2), float: ("f", 1), str: ("s", 3), list: ("ints", 7)}


class Model:
    """A model as a tree for `encode`."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.numbers = np.random.default_rng(rng.getrandbits(32))
        rank = rng.choice([1, 2, 3, 3, 3, 4])
        sizes = [rng.choice([1, 2, 3, 4, 6, 9]) for _ in range(rank)]
        sizes[-1 if rng.random() < 0.5 else 0] = rng.choice(
            [1, 3, 8, 31, 32, 33, 40, 64]
        )
        self.nodes: list[dict] = []
        self.constants: list[dict] = []
        self.inputs = [_value("x0", sizes)]
        if rng.random() < 0.2:
            self.inputs.append(_value("x1", sizes))
        self.shapes = {item["name"]: (None, *sizes) for item in self.inputs}
        self.dtypes = dict.fromkeys(self.shapes, np.dtype(np.float32))

    def bytes(self, outputs: list[str]) -> bytes:
        graph = {
            "name": "grown",
            "node": self.nodes,
            "initializer": self.constants,
            "input": self.inputs,
            "output": [{"name": name} for name in outputs],
        }
        opsets = [{"domain": "", "version": 18}, {"domain": PACKED, "version": 1}]
        return encode(
            "Model", {"ir_version": 9, "opset_import": opsets, "graph": graph}
        )

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(array)
        self.constants.append(
            {
                "name": name,
                "dims": list(array.shape),
                "data_type": NUMBERS[array.dtype],
                "raw_data": array.tobytes(),
            }
        )
        return name

    def node(self, op: str, inputs: list[str], domain: str = "", **attributes) -> None:
        self.nodes.append(
            {
                "op_type": op,
                "domain": domain,
                "name": f"n{len(self.nodes)}",
                "input": inputs,
                "output": [f"t{len(self.nodes)}"],
                "attribute": [
                    {
                        "name": key,
                        _TYPES[type(value)][0]: value,
                        "type": _TYPES[type(value)][1],
                    }
                    for key, value in attributes.items()
                ],
            }
        )

    def floats(self, *shape: int) -> str:
        values = self.numbers.normal(size=shape).astype(np.float32)
        values[self.numbers.random(shape) < 0.05] = 0
        return self.constant(values)

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def codes(self, count: int, bits: int) -> str:
        values = self.numbers.integers(0, 3 if bits == 2 else 1 << bits, count)
        stream = (values[:, None] >> np.arange(bits)) & 1
        return self.constant(
            np.packbits(stream.ravel().astype(np.uint8), bitorder="little")
        )

    def grow(self, ways: Sequence[Callable[[Model, str, tuple], None]]) -> None:
        """Adds a node in one of several ways, or none if what was tried makes no sense."""
        nodes, constants = len(self.nodes), len(self.constants)
        names = list(self.shapes)
        x = self.rng.choice(names[-4:] if self.rng.random() < 0.7 else names)
        self.rng.choice(ways)(self, x, self.shapes[x])
        try:
            if len(self.nodes) == nodes:
                return
            graph = self.read_inner()
        except ModelFileError:
            del self.nodes[nodes:], self.constants[constants:]
            return
        for node in graph.nodes[nodes:]:
            self.shapes[node.outputs[0]] = graph.shapes[node.outputs[0]]
            self.dtypes[node.outputs[0]] = graph.dtypes[node.outputs[0]]

    def read_inner(self) -> CheckedGraph:
        """The graph so far; an extra node makes its output a float that may come out."""
        self.node("Cast", [self.nodes[-1]["output"][0]], to=1)
        try:
            return read(self.bytes([self.nodes[-1]["output"][0]]), budget=BUDGET)
        finally:
            self.nodes.pop()


def _value(name: str, sizes: list[int]) -> dict:
    dims = [{"dim_param": "batch"}, *({"dim_value": size} for size in sizes)]
    return {
        "name": name,
        "type": {"tensor_type": {"elem_type": 1, "shape": {"dim": dims}}},
    }
