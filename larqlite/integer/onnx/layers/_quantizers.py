"""From float to integers at the start of a quantized ONNX model, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from larqlite.integer.onnx.layers import _bodies
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._scales import SMALLEST, along_channels, output_scale

if TYPE_CHECKING:
    import onnx

__all__ = ["Dequantizer", "InputQuantizer"]


class InputQuantizer(OnnxLayer):
    """`QuantizeLinear` of a model's input: int8, uint8 with a zero point, or int16.

    int8 codes are `x * 127 / max|x|`, uint8 codes `x * 255 / (max - min)` plus a zero
    point, the range widened to hold zero; rounded half to even, saturated. int16 codes,
    with `output_bits = 16`, are `x / step`, rounded likewise, of one step.

    Args:
        input_tp: the input of the ONNX model, with its type and sizes.
        input_signed: whether the integers are signed.
        name: of the node.

    >>> import onnx
    >>> from larqlite.integer.onnx.layers import InputQuantizer
    >>> x = onnx.helper.make_tensor_value_info("x", 1, [None, 3, 8, 8])
    >>> InputQuantizer(x).output
    TensorShape(shape=(None, 3, 8, 8), dtype=dtype('uint8'))

    References:
        https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html
    """

    def __init__(
        self, input_tp: onnx.ValueInfoProto, input_signed: bool = False, name: str = ""
    ):
        super().__init__("InputQuantizer", name=name)
        self.input_signed = input_signed
        self.build(TensorShape(_sizes_of(input_tp), np.dtype("float32")))

    can_widen = True

    @property
    def op_type(self) -> str:
        return self.base_name + ("To16" if self.output_bits == 16 else "")

    def __build__(self, input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        dtype = np.dtype("int8" if self.input_signed else "uint8")
        if self.output_bits == 16:
            dtype = np.dtype("int16")
        return TensorShape(input_ts.shape, dtype)

    def __quantize__(
        self, out_tensor_range: TensorRange, force_fp: bool = False
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        if self.output_bits == 16:
            step = (1 / output_scale(out_tensor_range, bits=16)).astype(np.float32)
            return {"step": step}, 1 / step.astype(np.float64)
        if self.input_signed:
            scale = output_scale(out_tensor_range, force_fp)
            zero_point = np.zeros(scale.shape, np.int8)
        else:
            lowest = np.minimum(np.asarray(out_tensor_range.minimum, np.float64), 0)
            highest = np.maximum(np.asarray(out_tensor_range.maximum, np.float64), 0)
            reach = highest - lowest
            scale = 255 / np.where(reach == 0, 1.0, np.maximum(reach, SMALLEST))
            zero_point = np.clip(np.rint(-lowest * scale), 0, 255).astype(np.uint8)
        step = (1 / scale).astype(np.float32)
        self.zero_point = zero_point
        return {"step": step, "zero_point": zero_point}, 1 / step.astype(np.float64)

    @staticmethod
    def build_subgraph(op_type: str):
        if "To16" in op_type:
            return _bodies.nodes("""
    steps = Div (X, step)
    whole = Round (steps)
    lowest = Constant <value_float: float = -32768.0> ()
    highest = Constant <value_float: float = 32767.0> ()
    clipped = Clip (whole, lowest, highest)
    Y = Cast <to: int = 5> (clipped)""")
        body = "\n    Y = QuantizeLinear <axis: int = 1> (X, step, zero_point)"
        return _bodies.nodes(body)


class Dequantizer(OnnxLayer):
    """`DequantizeLinear`: float32 values of the integers that a layer gives out.

    Args:
        name: of the node.

    >>> from larqlite.integer.onnx.layers import Dequantizer
    >>> Dequantizer(name="last").op_type
    'Dequantizer'

    References:
        https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html
    """

    def __init__(self, name: str = ""):
        super().__init__("Dequantizer", name=name)

    @property
    def op_type(self) -> str:
        has_zero = "zero_point" in self.quantized_weights
        is_wide = bool(self.input) and self.input[0].dtype == np.int16
        return (
            self.base_name
            + ("ZeroPoint" if has_zero else "")
            + ("From16" if is_wide else "")
        )

    def __build__(self, input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        return TensorShape(input_ts.shape, np.dtype("float32"))

    def __quantize__(
        self,
        qinput: OnnxLayer,
        out_tensor_range: TensorRange | None = None,
        force_fp: bool = False,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        step = (1 / np.asarray(qinput.output_scale)).astype(np.float32)
        weights = {"step": step}
        if self.input[0].dtype == np.int16:
            weights["step"] = along_channels(step, len(self.input[0].shape))
            return weights, np.float64(1)
        if qinput.zero_point is not None and np.any(qinput.zero_point):
            weights["zero_point"] = np.broadcast_to(qinput.zero_point, step.shape)
        return weights, np.float64(1)

    @staticmethod
    def build_subgraph(op_type: str):
        if op_type.endswith("From16"):
            return _bodies.nodes("""
    whole = Cast <to: int = 1> (X)
    Y = Mul (whole, step)""")
        more = ", zero_point" if op_type.endswith("ZeroPoint") else ""
        body = f"\n    Y = DequantizeLinear <axis: int = 1> (X, step{more})"
        return _bodies.nodes(body)


def _sizes_of(input_tp) -> tuple[int | None, ...]:
    """Sizes of a ValueInfoProto or TensorProto, None for open ones."""
    if hasattr(input_tp, "dims"):
        return tuple(input_tp.dims)
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else None
        for dim in input_tp.type.tensor_type.shape.dim
    )
