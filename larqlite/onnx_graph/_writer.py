"""The graph that converters write: values with their levels and layouts, and what is done
to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from larqlite.onnx_graph._functions import DOMAIN
from larqlite.onnx_graph._named_graph import NamedGraph
from larqlite.onnx_graph._parts import (
    Normalization,
    OnnxNode,
    Shape,
    StoredWeight,
    Value,
)
from larqlite.onnx_graph._refusal import require_quantizer, table_of
from larqlite_runtime.format import (
    QUANTIZERS,
    TableType,
    ValueType,
    heaviside,
)

__all__ = ["OnnxNode", "Normalization", "Shape", "StoredWeight", "Value", "Writer"]


class Writer(NamedGraph):
    """Collects what an ONNX file will hold, in the words of converters; see `NamedGraph`
    for what it stores."""

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
        return self.scaled(self.with_levels(value, op, **attributes), scale, offset)

    def with_levels(self, value: Value, op: str, **attributes: Any) -> Value:
        """q(value), with q an operation of the format: a value that knows its levels.

        Args:
            value: what is quantized.
            op: the operation, see `quantized`.
            **attributes: of it.
        """
        levels = QUANTIZERS[op].type_of(attributes)
        name = self.node(op, [value.name], name=self.path, domain=DOMAIN, **attributes)
        return self.value(name, value.shape, like=value, levels=levels)

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
            ArgumentError: levels or thresholds that do not rise, or levels that are too many
                or do not fit the thresholds.
        """
        kind = table_of(self.path, thresholds, levels)
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
        turned = self.stated(turned.with_levels(value.levels))
        if not isinstance(value.integers, str):
            return turned
        integers = dataclasses.replace(
            value, name=value.integers, levels=None, integers=None
        )
        moved = self._turned(integers, is_moved, order)
        return dataclasses.replace(turned, integers=moved.name)

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
