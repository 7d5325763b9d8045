"""The nodes, constants and weights of a graph that is written, each under a name of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from larqlite.onnx_graph._functions import DOMAIN
from larqlite.onnx_graph._graph import OnnxGraph
from larqlite.onnx_graph._packing import PackedKernel, codes_of, shaped_along
from larqlite.onnx_graph._parts import (
    Normalization,
    OnnxNode,
    ScaledRows,
    StoredRounding,
    StoredWeight,
)

__all__ = ["NamedGraph"]

# Operations that move values, or take some of them.
_MOVING = frozenset(
    (
        "Reshape",
        "Transpose",
        "Identity",
        "Flatten",
        "Pad",
        "Slice",
        "MaxPool",
        "Squeeze",
    )
)


class NamedGraph(OnnxGraph):
    """Collects what an ONNX file will hold.

    Attributes:
        path: of the layer that is being converted, `"block/conv"`.
        wrapper: path of the quantization-aware layer around it, or "".
        weights: those of the constants that the summary counts.
        tables: of kernels with a table, which are a weight for each bit: the bytes that
            codes of all bits in one stream would take, by the beginning of their names.
        rows: of tensors that are integers times a scale of each row, these.
        uneven: of tensors of few levels of which no sums are integers, the reason.
        scales: names of those that were derived from weights and are not counted.
        normalizations: batch normalizations, for the passes over the finished graph.
        packed: packed layers, likewise.
        roundings: where quantization-aware layers round.
        notes: remarks for the report.
        without_levels: names of the quantizers that made tensors of unknown levels.
    """

    def __init__(self):
        super().__init__()
        self.path = self.wrapper = ""
        self.weights: dict[str, StoredWeight] = {}
        self.tables: dict[str, int] = {}
        self.rows: dict[str, ScaledRows] = {}
        self.uneven: dict[str, str] = {}
        self.scales: list[str] = []
        self.normalizations: list[Normalization] = []
        self.packed: list[Any] = []
        self.roundings: list[StoredRounding] = []
        self.notes: list[str] = []
        self.without_levels: dict[str, str] = {}
        self._tensor_names: set[str] = set()
        self._node_names: set[str] = set()
        self._constant_of: dict[tuple, str] = {}
        self._weight_of: dict[Any, str] = {}
        # Names of tensors, by that of another and whether channels were moved in it.
        self._transposed: dict[tuple[str, bool], str] = {}
        self._codes: Mapping[int, tuple] = {}

    # Nodes and constants.

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        *,
        name: str | None = None,
        domain: str = "",
        outputs: int = 1,
        **attributes,
    ) -> str | list[str]:
        """Adds an operation.

        Args:
            op: its type, e.g. `"Conv"`.
            inputs: names of tensors, "" for one that is left out.
            name: of the node; that of the layer and the type by default.
            domain: "" for the standard operations.
            outputs: how many there are.
            **attributes: those of the operation; None leaves one out.

        Returns:
            The name of its output, or a list of names if there are several.
        """
        wanted = name or f"{self.path}/{op}"
        name = _unique(wanted, self._node_names)
        names = [self.tensor_name(f"{name}:{i}") for i in range(outputs)]
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.insert(OnnxNode(op, tuple(inputs), tuple(names), name, domain, kept))
        return names[0] if outputs == 1 else names

    def quantizer_of(self, tensor: str) -> str | None:
        """The quantizer that made a tensor whose levels are unknown, also where values
        were moved or pooled since; None if there is none."""
        known = (self.without_levels.get(t) for t in self.upstream(tensor, _MOVING))
        return next(filter(None, known), None)

    def tensor_name(self, wanted: str) -> str:
        """A name that no tensor has yet: `wanted`, or with a number added to it."""
        return _unique(wanted, self._tensor_names)

    def constant(self, array: Any, name: str | None = None) -> str:
        """An initializer that is no weight: a shape, axes, a bound.

        Args:
            array: its values; Python integers become int64, floats float32.
            name: what it is, for readers of the file.

        Returns:
            Its name. Equal constants are stored once.
        """
        array = _as_array(array)
        text = name or "x".join(map(str, array.ravel()[:6])) or "empty"
        return self.stored_once(array, f"constants/{text}")

    def stored_once(self, array: np.ndarray, wanted: str) -> str:
        """An initializer as it is; an equal one that is no weight is the same."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constant_of:
            stored = self.tensor_name(wanted)
            self.constants[stored] = array
            self._constant_of[key] = stored
        return self._constant_of[key]

    def drop_constants(self, names: Iterable[str]) -> None:
        """Removes initializers that are no weights, scales among them."""
        gone = set(names)
        for name in gone:
            self.constants.pop(name, None)
        self.scales = [name for name in self.scales if name not in gone]
        for stored in (self._constant_of, self._weight_of):
            for key in [key for key, name in stored.items() if name in gone]:
                del stored[key]

    def weight(
        self,
        layer_path: str,
        name: str,
        array: Any,
        bits: int = 32,
        count: int | None = None,
        variable: Any = None,
    ) -> str:
        """An initializer that the summary counts.

        Args:
            layer_path: path of the layer that holds it.
            name: of the weight in it, `"kernel"`.
            array: float32 values, or packed bytes.
            bits: of one value, as the summary has it.
            count: number of values, if they are packed.
            variable: the Keras variable, if other layers may hold it too.

        Returns:
            Its name; the same one if it was stored before.
        """
        array = _as_array(array)
        if id(variable) in self._codes:
            code = self._codes[id(variable)]
            found = codes_of(array, *code)
            if found is not None:
                return self._unpacked(layer_path, name, found, code[0])
            self.notes.append(
                f"{layer_path}: its {code[0]}-bit {name} is stored in float32, since its "
                "levels are not up to 256 whole multiples of a step"
            )
        content = (array.dtype.str, array.shape, array.tobytes())
        keys = [(layer_path, name, *content)]
        if variable is not None:
            keys.append((id(variable), *content))
        stored = next((self._weight_of[k] for k in keys if k in self._weight_of), None)
        if stored is None:
            stored = self.tensor_name(f"{layer_path}/{name}")
            self.constants[stored] = array
            count = array.size if count is None else count
            self.weights[stored] = StoredWeight(layer_path, bits, count)
        self._weight_of.update(dict.fromkeys(keys, stored))
        return stored

    def _unpacked(
        self, layer_path: str, name: str, found: PackedKernel, bits: int
    ) -> str:
        """The tensor that nodes make of a weight's codes, which the summary counts as of
        `bits`."""
        shape, count = found.codes.shape, found.codes.size
        stored = self.weight(layer_path, name, found.packed(), bits=bits, count=count)
        prefix = f"{layer_path}/{name}"
        tensor = self.node(
            "Unpack",
            [stored],
            name=f"{prefix}/unpacked",
            domain=DOMAIN,
            weight_shape=list(shape),
            bits=found.bits,
            step=float(found.step),
            offset=float(found.offset),
        )
        self.shapes[tensor] = shape
        for op, part, values in (
            ("Mul", "scale", found.scale),
            ("Add", "center", found.center),
        ):
            if values is not None:
                beside = shaped_along(values, found.scale_axis, len(shape))
                scale = self.scale(layer_path, f"{name}/{part}", beside)
                tensor = self.node(op, [tensor, scale], name=f"{prefix}/{op.lower()}")
                self.shapes[tensor] = shape
        return tensor

    @contextlib.contextmanager
    def wrapping(self, path: str, codes: Mapping[int, tuple]) -> Iterator[None]:
        """Within the block, a quantization-aware layer is converted.

        Args:
            path: of the layer; its `wrapper` is this path as long.
            codes: `(bits, step between levels or None)` by the id of the Keras variable.
        """
        outer = self.wrapper, self._codes
        self.wrapper, self._codes = path, codes
        try:
            yield
        finally:
            self.wrapper, self._codes = outer

    def scale(self, layer_path: str, name: str, array: Any) -> str:
        """An initializer derived from weights, which the summary does not count.

        Args:
            layer_path: path of the layer.
            name: what it is, `"kernel_scale"`.
            array: its values.

        Returns:
            Its name; the same one if it was stored before.
        """
        array = _as_array(array)
        key = (layer_path, name, array.dtype.str, array.shape, array.tobytes())
        if key not in self._weight_of:
            stored = self.tensor_name(f"{layer_path}/{name}")
            self.constants[stored] = array
            self.scales.append(stored)
            self._weight_of[key] = stored
        return self._weight_of[key]


def _as_array(array: Any) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype == np.float64:
        return array.astype(np.float32)
    if array.dtype.kind == "i" and array.dtype != np.int32:
        return array.astype(np.int64)
    return np.ascontiguousarray(array) if array.ndim else array


def _unique(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        stem, colon, index = wanted.rpartition(":")
        name = f"{stem}_{number}:{index}" if colon else f"{wanted}_{number}"
    taken.add(name)
    return name
