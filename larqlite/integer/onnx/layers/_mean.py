"""The integer mean over images of open size in quantized ONNX models."""

from __future__ import annotations

import numpy as np

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers import _bodies
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._scales import along_channels, output_scale

__all__ = ["QuantizedGlobalAveragePool"]

_MOST_SHIFT = 24
_MOST = 2**15 - 1


class QuantizedGlobalAveragePool(OnnxLayer):
    """The mean of each channel's image, whose size may differ from call to call.

    `clip(floor((2 * M * sum(x) + n * 2^S_out) / (n * 2^(S_out + 1))))` in 64-bit integers,
    `n` the number of values: the nearest integer to the mean times `M / 2^S_out`.

    Args:
        keepdims: whether height and width stay, with the size 1.
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedGlobalAveragePool
    >>> QuantizedGlobalAveragePool().op_type
    'QuantizedGlobalAveragePool'
    """

    can_widen = True

    def __init__(self, keepdims: int = 1, name: str = ""):
        super().__init__("QuantizedGlobalAveragePool", name=name, keepdims=keepdims)

    @property
    def op_type(self) -> str:
        is_wide = self.output is not None and self.output.dtype == np.int16
        is_image = "" if self.attributes["keepdims"].i else "Rank2"
        return self.base_name + is_image + ("To16" if is_wide else "")

    def __build__(self, input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        rank = len(input_ts.shape)
        if input_ts.dtype not in ("int8", "int16") or rank < 3:
            raise UnsupportedModelError(
                f"{self._where}: its input is {input_ts.dtype} of shape {input_ts.shape}, "
                "and it takes int8 or int16 of (batch, channels, ...).\n"
                "  Fix: quantize the layer before it to one of them."
            )
        ones = (1,) * (rank - 2) if self.attributes["keepdims"].i else ()
        bits = self.output_bits if downscale else 16
        return TensorShape((*input_ts.shape[:2], *ones), np.dtype(f"int{bits}"))

    def __quantize__(
        self, qinput: OnnxLayer, out_tensor_range: TensorRange, force_fp: bool = False
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        given = np.asarray(qinput.output_scale, np.float64)
        bits = 8 * self.output.dtype.itemsize
        wanted = output_scale(out_tensor_range, force_fp, bits)
        wanted = np.minimum(
            wanted, given * _MOST if wanted.ndim else given.min() * _MOST
        )
        ratio = wanted / given
        shift = 14 - np.floor(np.log2(ratio)).astype(np.int64)
        shift = np.where(np.rint(ratio * 2.0**shift) > _MOST, shift - 1, shift)
        shift = np.clip(shift, 0, _MOST_SHIFT)
        multiplier = np.rint(ratio * 2.0**shift)
        rank = len(self.output.shape)
        weights = {"M": multiplier.astype(np.int32), "S_out": shift.astype(np.uint8)}
        return {key: along_channels(v, rank) for key, v in weights.items()}, wanted

    @staticmethod
    def build_subgraph(op_type: str):
        least, most, dtype = (-32768, 32767, 5) if "To16" in op_type else (-128, 127, 3)
        return _bodies.nodes(f"""
    whole = Cast <to: int = 7> (X)
    sizes = Shape <start: int = 2> (X)
    count = ReduceProd <keepdims: int = 0> (sizes)
    rank_shape = Shape (X)
    rank = Size (rank_shape)
    first = Constant <value_int: int = 2> ()
    step = Constant <value_int: int = 1> ()
    over = Range (first, rank, step)
    sums = ReduceSum <keepdims: int = @keepdims> (whole, over)
    multiplier = Cast <to: int = 7> (M)
    unit = Constant <value: tensor = uint64 {{1}}> ()
    wide_shift = Cast <to: int = 13> (S_out)
    bits = BitShift <direction: string = "LEFT"> (unit, wide_shift)
    power = Cast <to: int = 7> (bits)
    twice = Constant <value_int: int = 2> ()
    product = Mul (sums, multiplier)
    doubled = Mul (product, twice)
    half = Mul (power, count)
    denominator = Mul (half, twice)
    numerator = Add (doubled, half)
    remainder = Mod (numerator, denominator)
    divisible = Sub (numerator, remainder)
    floored = Div (divisible, denominator)
    lowest = Constant <value_int: int = {least}> ()
    highest = Constant <value_int: int = {most}> ()
    clipped = Clip (floored, lowest, highest)
    Y = Cast <to: int = {dtype}> (clipped)""")
