"""The graph that converters write: nodes, constants, weights, and the values between."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from larqlite.onnx_graph._functions import DOMAIN
from larqlite.onnx_graph._graph import OnnxGraph
from larqlite.onnx_graph._packing import PackedKernel, codes_of, shaped_along
from larqlite.onnx_graph._parts import (
    Normalization,
    OnnxNode,
    Shape,
    StoredRounding,
    StoredWeight,
    Value,
)
from larqlite.onnx_graph._refusal import require_quantizer
from larqlite_runtime.format import (
    QUANTIZERS,
    TableType,
    ValueType,
    heaviside,
    table,
)

__all__ = ["OnnxNode", "Normalization", "Shape", "StoredWeight", "Value", "Writer"]

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


class Writer(OnnxGraph):
    """Collects what an ONNX file will hold.

    Attributes:
        path: of the layer that is being converted, `"block/conv"`.
        wrapper: path of the quantization-aware layer around it, or "".
        weights: those of the constants that the summary counts.
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
        """Removes initializers that are no weights."""
        gone = set(names)
        for name in gone:
            self.constants.pop(name, None)
        self._constant_of = {
            key: name for key, name in self._constant_of.items() if name not in gone
        }

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

    # Values.

    def value(
        self,
        name: str,
        shape: Shape,
        like: Value | None = None,
        is_moved: bool | None = None,
        levels: ValueType | TableType | str | None = None,
    ) -> Value:
        """A tensor with its sizes, which the file will state.

        Args:
            name: of the tensor.
            shape: as in Keras, batch first.
            like: a value stored in the same order, instead of `is_moved`.
            is_moved: whether it is stored channels first where Keras has them last.
            levels: see `Value`.
        """
        if is_moved is None:
            is_moved = like is not None and like.is_moved
        return self.stated(Value(name, tuple(shape), bool(is_moved), levels))

    def stated(self, value: Value) -> Value:
        """The same value, whose sizes the file will state."""
        self.shapes[value.name] = value.stored_shape
        return value

    def quantized(
        self,
        value: Value,
        op: str,
        scale: float = 1.0,
        offset: float = 0.0,
        **attributes: Any,
    ) -> Value:
        """`scale * q((value - offset) / scale) + offset`, with q an operation of the format.

        Packed layers read the integers, and do scale and offset behind their sums.

        Args:
            value: what is quantized.
            op: "Sign", "Heaviside", "Ternary", "Steps" or "Integers".
            scale, offset: of the whole tensor; the scale is not 0.
            **attributes: of the operation.

        Returns:
            A value that knows its few levels.

        Raises:
            ArgumentError: an operation, an attribute or a scale that there is not.
        """
        require_quantizer(self.path, op, scale, offset, attributes)
        steps = [("Sub", offset, 0.0), ("Div", scale, 1.0)]
        for number, (name, operand, nothing) in enumerate(steps):
            if operand != nothing:
                operand = np.float32(operand)
                stored = self.scale(self.path, ("offset", "scale")[number], operand)
                made = self.node(name, [value.name, stored])
                value = self.value(made, value.shape, like=value)
        levels = QUANTIZERS[op].type_of(attributes)
        name = self.node(op, [value.name], name=self.path, domain=DOMAIN, **attributes)
        return self.scaled(
            self.value(name, value.shape, like=value, levels=levels), scale, offset
        )

    def table(
        self, value: Value, thresholds: Sequence[float], levels: Sequence[float]
    ) -> Value:
        """The level of a table whose number is how many thresholds lie below a value.

        Args:
            value: what is quantized.
            thresholds: rising; a value on one has the level below it.
            levels: rising, one more than thresholds, at most 16.

        Returns:
            A value that knows its levels: packed layers sum each step by itself.

        Raises:
            ValueError: levels that do not rise, are too many, or do not fit the thresholds.
        """
        kind = table(levels)
        if len(thresholds) != len(kind.table) - 1:
            raise ValueError(
                f"{len(thresholds)} thresholds do not divide {len(kind.table)} levels.\n"
                "  Fix: one threshold less than levels."
            )
        above = self.above(value, thresholds)
        total = None
        for number, (step, height) in enumerate(zip(above, kind.steps_up, strict=True)):
            stored = self.scale(self.path, f"step_{number}", np.float32(height))
            name = self.node("Mul", [step, stored])
            self.value(name, value.shape, like=value)
            total = name if total is None else self.node("Add", [total, name])
            self.value(total, value.shape, like=value)
        stored = self.scale(self.path, "lowest", np.float32(kind.offset))
        total = self.node("Add", [total, stored])
        made = self.value(total, value.shape, like=value, levels=kind)
        return dataclasses.replace(made, integers=tuple(above))

    def above(self, value: Value, thresholds: Sequence[float]) -> list[str]:
        """For each threshold a tensor that is 1 where a value is larger, else 0."""
        names = []
        for number, threshold in enumerate(thresholds):
            stored = self.scale(self.path, f"threshold_{number}", np.float32(threshold))
            name = self.node("Sub", [value.name, stored])
            self.value(name, value.shape, like=value)
            name = self.node(
                "Heaviside", [name], name=f"{self.path}/above_{number}", domain=DOMAIN
            )
            self.value(name, value.shape, like=value, levels=heaviside())
            names.append(name)
        return names

    def scaled(
        self,
        value: Value,
        scale: float,
        offset: float,
        stored: tuple[str, str] | None = None,
    ) -> Value:
        """Integers of few levels times a scale, plus an offset.

        Args:
            value: knows its levels.
            scale, offset: numbers.
            stored: names of both in the file, if they are there.
        """
        if stored is None:
            stored = tuple(
                self.scale(self.path, name, np.float32(number))
                for name, number in (("scale", scale), ("offset", offset))
            )
        made = value
        for op, operand, name in zip(
            ("Mul", "Add"), (scale, offset), stored, strict=True
        ):
            if (op, operand) not in (("Mul", 1.0), ("Add", 0.0)):
                output = self.node(op, [made.name, name])
                made = self.value(output, value.shape, like=value)
        if made is value or not scale:
            return made
        levels = dataclasses.replace(
            value.levels, scale=float(scale), offset=float(offset)
        )
        return dataclasses.replace(made, levels=levels, integers=value.name)

    def channels_first(self, value: Value) -> Value:
        """A value that is channels last in Keras, stored channels first.

        Values of fewer than three axes stay as they are.
        """
        if value.is_moved or value.rank < 3:
            return value
        last = value.rank - 1
        return self._turned(value, True, (0, last, *range(1, last)))

    def channels_last(self, value: Value) -> Value:
        """A value stored in the order that Keras has it in."""
        if not value.is_moved:
            return value
        return self._turned(value, False, (0, *range(2, value.rank), 1))

    def image(self, value: Value, data_format: str) -> Value:
        """A value stored channels first, for a layer of a data format."""
        if data_format == "channels_last":
            return self.channels_first(value)
        return self.channels_last(value)

    def _turned(self, value: Value, is_moved: bool, order: tuple[int, ...]) -> Value:
        turns = self._transposed
        if (value.name, is_moved) not in turns:
            name = self.node("Transpose", [value.name], perm=list(order))
            turns[value.name, is_moved], turns[name, not is_moved] = name, value.name
        name = turns[value.name, is_moved]
        turned = dataclasses.replace(value, name=name, is_moved=is_moved)
        return self.stated(turned.with_levels(value.levels))

    def normalize(
        self, value: Value, layer: Any, scale: Any, offset: Any, axis: int = -1
    ) -> Value:
        """`value * scale + offset`, in place of a batch normalization.

        Later passes may fold the scale of a packed kernel into `scale`, and move
        `offset` by a few units in the last place so that a sign that follows is the
        one of Keras for every accumulator.

        Args:
            value: what is normalized.
            layer: the Keras layer; it is evaluated by those passes.
            scale: `(channels,)`, float32.
            offset: likewise.
            axis: of the channels in Keras' shape.
        """
        names = [
            self.weight(self.path, name, value.per_channel(array, axis))
            for name, array in (("scale", scale), ("offset", offset))
        ]
        product = self.node("Mul", [value.name, names[0]], name=f"{self.path}/scaled")
        self.value(product, value.shape, like=value)
        total = self.node("Add", [product, names[1]], name=self.path)
        self.normalizations.append(
            Normalization(
                layer, value.name, *names, total, value.rank, axis % value.rank
            )
        )
        return self.value(total, value.shape, like=value)


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
