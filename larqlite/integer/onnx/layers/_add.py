"""The integer sum of two tensors in quantized ONNX models."""

from __future__ import annotations

import numpy as np

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers import _bodies
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._scales import MOST_SHIFT, output_scale

__all__ = ["QuantizedAdd"]

# Eight bits and their sum, shifted by so much, stay within 32 bits.
_MOST_ALIGNMENT = 22


class QuantizedAdd(OnnxLayer):
    """The sum of two int8 tensors whose scales are powers of two.

    `floor((x1 * 2^x1_shift + x2 * 2^x2_shift) / 2^S_out + 1/2)`: as int32 if nothing
    integer follows, else clipped to int8. Shifts are uint8 per channel. A ReLU after the
    sum is part of it if `activation` is set.

    Args:
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedAdd
    >>> QuantizedAdd().op_type
    'QuantizedAddScaled'
    """

    def __init__(self, name: str = ""):
        super().__init__("QuantizedAdd", name=name)
        self.activation = False
        self._is_scaled = True

    @property
    def op_type(self) -> str:
        rank = len(self.output.shape) if self.output else 4
        return (
            self.base_name
            + ("" if rank == 4 else f"Rank{rank}")
            + ("ReLU" if self.activation else "")
            + ("Scaled" if self._is_scaled else "")
        )

    def __build__(
        self, first: TensorShape, second: TensorShape, downscale: bool = True
    ) -> TensorShape:
        if first.shape[1:] != second.shape[1:] or {first.dtype, second.dtype} != {
            np.dtype("int8")
        }:
            raise UnsupportedModelError(
                f"{self._where}: its inputs are {first.dtype} {first.shape} and "
                f"{second.dtype} {second.shape}, and it adds int8 tensors of one shape.\n"
                "  Fix: quantize both to int8, without broadcasting."
            )
        self._is_scaled = downscale
        return TensorShape(first.shape, np.dtype("int8" if downscale else "int32"))

    def __quantize__(
        self,
        first: OnnxLayer,
        second: OnnxLayer,
        out_tensor_range: TensorRange,
        force_fp: bool = False,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        exponents = []
        for layer in (first, second):
            exponent = np.log2(np.asarray(layer.output_scale, np.float64))
            if np.any(exponent != np.rint(exponent)):
                raise UnsupportedModelError(
                    f'{self._where}: the scale of its input "{layer.name}" is no power '
                    f"of two: {layer.output_scale}.\n"
                    "  Fix: return a power of two from __quantize__ when force_fp is set."
                )
            exponents.append(exponent.astype(np.int64))
        finest, coarsest = np.maximum(*exponents), np.minimum(*exponents)
        wanted = np.minimum(finest, coarsest + _MOST_ALIGNMENT)
        if self._is_scaled:
            wanted = np.log2(output_scale(out_tensor_range, True)).astype(np.int64)
        aligned = np.maximum(finest, wanted)
        alignments = [aligned - exponent for exponent in exponents]
        if (
            max(shift.max() for shift in [*alignments, aligned - wanted])
            > MOST_SHIFT - 8
        ):
            raise UnsupportedModelError(
                f"{self._where}: its inputs and output differ by more than "
                f"2^{MOST_SHIFT - 8} in scale.\n"
                "  Fix: give samples that are like real inputs, or leave the sum out."
            )
        weights = {
            "x1_shift": alignments[0],
            "x2_shift": alignments[1],
            "S_out": aligned - wanted,
        }
        channels = np.broadcast_shapes(*(shift.shape for shift in weights.values()))
        for key, shift in weights.items():
            weights[key] = np.broadcast_to(shift, channels or (1,)).astype(np.uint8)
        return weights, 2.0 ** wanted.astype(np.float64)

    @staticmethod
    def build_subgraph(op_type: str):
        is_image = "Rank" not in op_type
        body = """
    first = Cast <to: int = 11> (X1)
    second = Cast <to: int = 11> (X2)
    unit = Constant <value: tensor = uint64 {1}> ()"""
        for name in ("x1_shift", "x2_shift", "S_out"):
            body += _bodies.per_channel(name, f"{name}_shaped", is_image)
            body += f"""
    {name}_wide = Cast <to: int = 13> ({name}_shaped)
    {name}_power = BitShift <direction: string = "LEFT"> (unit, {name}_wide)
    {name}_factor = Cast <to: int = 11> ({name}_power)"""
        body += """
    first_factor = Div (x1_shift_factor, S_out_factor)
    second_factor = Div (x2_shift_factor, S_out_factor)
    first_aligned = Mul (first, first_factor)
    second_aligned = Mul (second, second_factor)
    quotient = Add (first_aligned, second_aligned)"""
        body += _bodies.rounded_half_up("quotient", "floored")
        if "Scaled" not in op_type:
            relu = "ReLU" in op_type
            body += "\n    positive = Relu (floored)" * relu
            last = "positive" if relu else "floored"
            return _bodies.nodes(body + f"\n    Y = Cast <to: int = 6> ({last})")
        return _bodies.nodes(body + _bodies.saturated(op_type, "floored", "Y"))
