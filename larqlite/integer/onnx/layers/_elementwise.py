"""Sums and products of tensors in quantized ONNX models, of any scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers import _bodies
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._scales import (
    along_channels,
    output_scale,
    requantization,
)

__all__ = ["QuantizedMul", "QuantizedSum", "aligned"]

_MOST = 2**15 - 1
_MOST_SHIFT = 40


class _Elementwise(OnnxLayer):
    """What sums and products have in common: broadcasting, and the type that comes out."""

    can_widen = True

    @property
    def op_type(self) -> str:
        is_wide = self.output is not None and self.output.dtype == np.int16
        relu = "ReLU" if self.activation else ""
        return self.base_name + self._count + relu + ("To16" if is_wide else "")

    def __init__(self, base_name: str, activation: bool, name: str):
        super().__init__(base_name, name=name)
        self.activation = activation
        self._count = ""

    @property
    def needs_one_scale(self) -> bool:
        return len({len(tensor.shape) for tensor in self.input}) > 1

    def __build__(self, *input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        if any(tensor.dtype not in ("int8", "int16") for tensor in input_ts):
            found = ", ".join(str(tensor.dtype) for tensor in input_ts)
            raise UnsupportedModelError(
                f"{self._where}: its inputs are {found}, and it takes int8 or int16.\n"
                "  Fix: quantize the layers before it to one of them."
            )
        shape = _broadcast([tensor.shape for tensor in input_ts])
        bits = self.output_bits if downscale else 16
        return TensorShape(shape, np.dtype(f"int{bits}"))

    def _wanted(self, seen: TensorRange, force_fp: bool) -> np.ndarray:
        return output_scale(seen, force_fp, 8 * self.output.dtype.itemsize)


class QuantizedSum(_Elementwise):
    """The sum of two or more tensors of any integer scales, which may broadcast.

    `clip(floor(sum(x_i * m_i) / 2^S_out + 1/2))`, with `m_i` int32 of 15 bits and a sign,
    for all or for each channel.

    Args:
        signs: 1 or -1 for each tensor.
        activation: whether a ReLU follows.
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedSum
    >>> QuantizedSum([1, -1]).op_type
    'QuantizedSum2'
    """

    def __init__(
        self, signs: Sequence[int] = (1, 1), activation: bool = False, name: str = ""
    ):
        super().__init__("QuantizedSum", activation, name)
        self.signs = list(signs)
        self._count = str(len(self.signs))

    def __quantize__(
        self, *qlayers: OnnxLayer, out_tensor_range: TensorRange, force_fp: bool = False
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        scales = [np.asarray(layer.output_scale, np.float64) for layer in qlayers]
        wanted = self._wanted(out_tensor_range, force_fp)
        multipliers, shift, reached = aligned(scales, wanted)
        rank = len(self.output.shape)
        weights = {
            f"m{i + 1}": along_channels(sign * multiplier, rank).astype(np.int32)
            for i, (sign, multiplier) in enumerate(
                zip(self.signs, multipliers, strict=True)
            )
        }
        weights["S_out"] = along_channels(shift, rank).astype(np.uint8)
        return weights, reached

    @staticmethod
    def build_subgraph(op_type: str):
        count = int(op_type.removeprefix("QuantizedSum")[0])
        body, total = "", ""
        for i in range(1, count + 1):
            body += f"""
    x{i} = Cast <to: int = 11> (X{i})
    factor_{i} = Cast <to: int = 11> (m{i})
    term_{i} = Mul (x{i}, factor_{i})"""
            if i > 1:
                body += f"\n    total_{i} = Add ({total}, term_{i})"
            total = f"total_{i}" if i > 1 else "term_1"
        body += f"""
    unit = Constant <value: tensor = uint64 {{1}}> ()
    wide_shift = Cast <to: int = 13> (S_out)
    power = BitShift <direction: string = "LEFT"> (unit, wide_shift)
    divisor = Cast <to: int = 11> (power)
    quotient = Div ({total}, divisor)"""
        body += _bodies.rounded_half_up("quotient", "floored")
        return _bodies.nodes(body + _bodies.saturated(op_type, "floored", "Y"))


class QuantizedMul(_Elementwise):
    """The product of two tensors, which may broadcast, as in squeeze-and-excite.

    `clip(floor(x1 * x2 * M / 2^S_out + 1/2))`.

    Args:
        activation: whether a ReLU follows.
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedMul
    >>> QuantizedMul().op_type
    'QuantizedMul'

    References:
        Squeeze-and-Excitation Networks, https://arxiv.org/abs/1709.01507
    """

    def __init__(self, activation: bool = False, name: str = ""):
        super().__init__("QuantizedMul", activation, name)

    def __quantize__(
        self,
        first: OnnxLayer,
        second: OnnxLayer,
        out_tensor_range: TensorRange,
        force_fp: bool = False,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        scale = np.asarray(first.output_scale) * np.asarray(second.output_scale)
        bound = 1
        for tensor in self.input:
            bound *= 2 ** (8 * tensor.dtype.itemsize - 1)
        wanted = self._wanted(out_tensor_range, force_fp)
        more, reached = requantization(
            scale, wanted, bound, self._where, force_fp, bits=16
        )
        rank = len(self.output.shape)
        return {key: along_channels(v, rank) for key, v in more.items()}, reached

    @staticmethod
    def build_subgraph(op_type: str):
        body = """
    x1 = Cast <to: int = 11> (X1)
    x2 = Cast <to: int = 11> (X2)
    products = Mul (x1, x2)"""
        return _bodies.nodes(
            body + _bodies.requantize(op_type, "products", "Y", is_image=False)
        )


def aligned(
    scales: Sequence[np.ndarray], wanted: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Multipliers of 15 bits that bring integers of some scales to one, and their shift.

    Returns:
        The multipliers, how far their sum is shifted, and the scale: as wanted, or smaller
        if an input is coarser than 2^-15 of its steps.
    """
    most = np.minimum.reduce(np.broadcast_arrays(*scales)) * _MOST
    wanted = np.minimum(wanted, most if wanted.ndim else most.min())
    ratios = [wanted / scale for scale in scales]
    largest = np.maximum.reduce(np.broadcast_arrays(*ratios))
    shift = np.clip(14 - np.floor(np.log2(largest)).astype(np.int64), 0, _MOST_SHIFT)
    shift = np.where(np.rint(largest * 2.0**shift) > _MOST, shift - 1, shift)
    return [np.rint(ratio * 2.0**shift) for ratio in ratios], shift, wanted


def _broadcast(shapes: Sequence[tuple[int | None, ...]]) -> tuple[int | None, ...]:
    """The sizes that come out, None for open ones."""
    rank = max(map(len, shapes))
    sizes = []
    for column in zip(*([1] * (rank - len(s)) + list(s) for s in shapes), strict=True):
        known = {size for size in column if size not in (1, None)}
        sizes.append(max(known) if known else (None if None in column else 1))
    return tuple(sizes)
