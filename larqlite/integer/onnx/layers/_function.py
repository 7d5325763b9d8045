"""Any function of one number in quantized ONNX models: a table of what it gives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers import _bodies
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._scales import (
    along_channels,
    highest_of,
    output_scale,
    requantization,
)

__all__ = ["QuantizedFunction"]

# Between two entries of the table of an int16 input; so there are 1025 of them.
_STEP = 64
_TABLE_LIMIT = 2.0**22


class QuantizedFunction(OnnxLayer):
    """A function of each number alone, as a table: hard-swish, sigmoid, PRelu and others.

    Of an int8 input, the table has the 256 integers that the function gives:
    `Y = table[x + 128]`. Of an int16 one it has 1025 points, with straight lines between
    them: `floor((64 * T[i] + (T[i+1] - T[i]) * f) * M / 2^S_out + 1/2)` with
    `i = (x + 32768) // 64` and `f` the rest, `T` int32. Channels whose function or scale
    differs have tables of their own, one after the other, the first at `rows`.

    Args:
        function: float64 numbers `(1 or channels, points)` to numbers of that shape.
        channels: how many have a function of their own; None if all have the same.
        axis: of the channels, if they have.
        name: of the node.

    Raises:
        UnsupportedModelError: from `quantize`, if it gives no finite number.

    >>> import numpy as np
    >>> from larqlite.integer.onnx.layers import QuantizedFunction
    >>> QuantizedFunction(np.tanh).op_type
    'QuantizedFunction'
    """

    can_widen = True

    def __init__(
        self,
        function: Callable[[np.ndarray], np.ndarray],
        channels: int | None = None,
        axis: int = 1,
        name: str = "",
    ):
        super().__init__("QuantizedFunction", name=name)
        self.function = function
        self.channels = channels
        self.axis = axis
        self._has_rows = channels is not None

    @property
    def op_type(self) -> str:
        return (
            self.base_name
            + ("PerChannel" if self._has_rows else "")
            + ("From16" if self._is_wide else "")
            + ("To16" if self.output and self.output.dtype == np.int16 else "")
        )

    @property
    def _is_wide(self) -> bool:
        return bool(self.input) and self.input[0].dtype == np.int16

    @property
    def needs_one_scale(self) -> bool:
        return self._is_wide or (self.channels is not None and self.axis != 1)

    def __build__(self, input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        if input_ts.dtype not in ("int8", "int16"):
            raise UnsupportedModelError(
                f"{self._where}: its input is {input_ts.dtype}, and it takes int8 or int16.\n"
                "  Fix: quantize the layer before it to one of them."
            )
        bits = self.output_bits if downscale else 16
        return TensorShape(input_ts.shape, np.dtype(f"int{bits}"))

    def __quantize__(
        self, qinput: OnnxLayer, out_tensor_range: TensorRange, force_fp: bool = False
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        bits = 8 * self.output.dtype.itemsize
        wanted = output_scale(out_tensor_range, force_fp, bits)
        given = np.asarray(qinput.output_scale, np.float64)
        if self._is_wide:
            return self._lines(given, wanted, force_fp)
        codes = np.arange(-128, 128)
        self._has_rows = bool(self.channels is not None or given.ndim or wanted.ndim)
        values = self._values(codes / given.reshape(-1, 1))
        table = np.floor(values * wanted.reshape(-1, 1) + 0.5)
        highest = highest_of(bits)
        table = np.clip(table, -highest - 1, highest).astype(self.output.dtype)
        return self._with_rows({"table": table}), wanted

    def _lines(
        self, given: np.ndarray, wanted: np.ndarray, force_fp: bool
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """The table of an int16 input, and how what is between its points is scaled."""
        codes = np.arange(-(2**15), 2**15 + 1, _STEP)
        values = self._values(codes / given.reshape(1, 1))
        scale = _TABLE_LIMIT / max(np.abs(values).max(), 2.0**-64)
        table = np.rint(values * scale).astype(np.int32)
        more, reached = requantization(
            np.asarray(scale * _STEP),
            wanted,
            int(_TABLE_LIMIT) * _STEP,
            self._where,
            force_fp,
            bits=16,
        )
        rank = len(self.input[0].shape)
        shaped = {key: along_channels(value, rank) for key, value in more.items()}
        return self._with_rows({"T": table} | shaped), reached

    def _values(self, points: np.ndarray) -> np.ndarray:
        """What the function gives; where that is not finite, what it gives nearby."""
        if self.channels is not None:
            points = np.broadcast_to(points, (self.channels, points.shape[1]))
        values = np.array(self.function(points), np.float64)
        for row in values:
            finite = np.flatnonzero(np.isfinite(row))
            if not finite.size:
                raise UnsupportedModelError(
                    f"{self._where}: it gives no finite number for any input.\n"
                    "  Fix: give samples that are like real inputs."
                )
            at = np.arange(row.size)
            row[:] = row[finite[np.abs(finite - at[:, None]).argmin(axis=1)]]
        return values

    def _with_rows(self, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        key = "T" if self._is_wide else "table"
        if self._has_rows:
            table = weights[key]
            rank = len(self.input[0].shape)
            rows = np.arange(len(table), dtype=np.int64) * table.shape[1]
            shape = [1] * rank
            shape[self.axis % rank] = -1
            weights["rows"] = rows.reshape(shape)[0] if self.axis else rows
        weights[key] = weights[key].reshape(-1)
        return weights

    @staticmethod
    def build_subgraph(op_type: str):
        has_rows = "PerChannel" in op_type
        lowest = 2**15 if "From16" in op_type else 128
        body = f"""
    whole = Cast <to: int = 7> (X)
    lowest_code = Constant <value_int: int = {lowest}> ()
    place = Add (whole, lowest_code)"""
        if "From16" not in op_type:
            index = "place"
            if has_rows:
                body += "\n    in_row = Add (place, rows)"
                index = "in_row"
            return _bodies.nodes(body + f"\n    Y = Gather (table, {index})")
        body += f"""
    between = Constant <value_int: int = {_STEP}> ()
    first = Div (place, between)
    whole_part = Mul (first, between)
    rest = Sub (place, whole_part)"""
        index = "first"
        if has_rows:
            body += "\n    in_row = Add (first, rows)"
            index = "in_row"
        body += f"""
    one = Constant <value_int: int = 1> ()
    second = Add ({index}, one)
    start_entry = Gather (T, {index})
    end_entry = Gather (T, second)
    start = Cast <to: int = 7> (start_entry)
    end = Cast <to: int = 7> (end_entry)
    start_wide = Mul (start, between)
    rise = Sub (end, start)
    risen = Mul (rise, rest)
    line = Add (start_wide, risen)"""
        return _bodies.nodes(
            body + _bodies.requantize(op_type, "line", "Y", is_image=False)
        )
