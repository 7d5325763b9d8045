"""The integer matrix product of quantized ONNX models."""

from __future__ import annotations

import numpy as np

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers import _bodies
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._scales import (
    output_scale,
    quantize_kernel,
    relu_bound,
    requantization,
)

__all__ = ["QuantizedDense1D"]


class QuantizedDense1D(OnnxLayer):
    """Flatten, Gemm (or MatMul with a matrix) and ReLU in one node, in integers.

    `sum(x * Wi) + B`, as int32 if nothing integer follows, else requantized to int8 as
    in `QuantizedConv2D`. `Wi` is int8 `(units, inputs)`. Weights are set by
    `set_weight("kernel", ...)` of that shape, `"bias"` and `"max_value"`. Inputs of more
    axes than two, of int16, or with `weight_bits=16`, are summed in float64, exactly
    (`Exact`), and int16 is then the widest that comes out.

    Args:
        flatten: whether to flatten the inputs.
        activation: whether to apply ReLU.
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedDense1D
    >>> QuantizedDense1D(flatten=True).op_type
    'QuantizedDense1DFlattenBiasedScaled'
    """

    can_widen = True

    def __init__(self, flatten: bool = False, activation: bool = False, name: str = ""):
        super().__init__("QuantizedDense1D", name=name)
        self.flatten = flatten
        self.activation = activation
        self._is_scaled = True
        self._mode = ""
        self._has_bias = True

    @property
    def needs_one_scale(self) -> bool:
        is_rows = bool(self.input) and len(self.input[0].shape) == 2
        return not (self.flatten or is_rows)

    @property
    def op_type(self) -> str:
        clipped = "Clipped" if "max_value" in self.weights else ""
        parts = [
            "Flatten" if self.flatten else "",
            "Biased" if self._has_bias else "",
            f"ReLU{clipped}" if self.activation else "",
            "Scaled" if self._is_scaled else "",
            self._mode,
            "To16" if self.output and self.output.dtype == np.int16 else "",
        ]
        return self.base_name + "".join(parts)

    def __build__(self, input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        rank = len(input_ts.shape)
        if input_ts.dtype not in ("int8", "int16") or (rank < 2 and not self.flatten):
            raise UnsupportedModelError(
                f"{self._where}: its input is {input_ts.dtype} of shape "
                f"{input_ts.shape}, and it takes int8 of (batch, inputs).\n"
                "  Fix: quantize the layer before it to int8; flatten=True for images."
            )
        is_narrow = input_ts.dtype == np.int8 and self.weight_bits == 8
        # The last axis is that of channels in rows alone, so others have one scale.
        is_rows = self.flatten or rank == 2
        self._is_scaled = downscale or not (is_narrow and is_rows)
        bits = (self.output_bits if downscale else 16) if self._is_scaled else 32
        rows = input_ts.shape[:1] if self.flatten else input_ts.shape[:-1]
        shape = (*rows, len(self.weights["kernel"]))
        return TensorShape(shape, np.dtype(f"int{bits}"))

    def __quantize__(
        self,
        qinput: OnnxLayer,
        out_tensor_range: TensorRange,
        force_fp: bool = False,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        kernel = self.weights["kernel"]
        by_input = np.asarray(qinput.output_scale)
        if by_input.ndim:
            by_input = np.repeat(by_input, kernel.shape[1] // len(by_input))
        bits = 8 * self.input[0].dtype.itemsize
        found = quantize_kernel(
            kernel,
            self.weights.get("bias"),
            by_input,
            2 ** (bits - 1),
            bits=self.weight_bits,
        )
        self._has_bias = found.bias is not None
        is_narrow = bits == self.weight_bits == 8
        is_plain = is_narrow and (self.flatten or len(self.input[0].shape) == 2)
        self._mode = "Wide" if is_plain and found.needs_integers else ""
        if not is_plain:
            self._mode = "Exact"
        weights = {"Wi": found.codes}
        if found.bias is not None:
            weights["B"] = found.bias
        if "max_value" in self.weights:
            weights["max_value"] = relu_bound(
                self.weights["max_value"], found.scale, is_narrow
            )
        if not self._is_scaled:
            return weights, found.scale
        if len(self.output.shape) > 2:
            seen = out_tensor_range
            out_tensor_range = TensorRange(np.min(seen.minimum), np.max(seen.maximum))
        out_bits = 8 * self.output.dtype.itemsize
        wanted = output_scale(out_tensor_range, force_fp, out_bits)
        more, reached = requantization(
            found.scale,
            wanted,
            found.bound,
            self._where,
            force_fp,
            8 if is_narrow and out_bits == 8 else 16,
        )
        return weights | more, reached

    @staticmethod
    def build_subgraph(op_type: str):
        body = "\n    rows = Identity (X)"
        if "Flatten" in op_type:
            body = "\n    rows = Flatten <axis: int = 1> (X)"
        has_bias = "Biased" in op_type
        if "Exact" in op_type:
            body += """
    x = Cast <to: int = 11> (rows)
    w = Cast <to: int = 11> (Wi)
    columns = Transpose <perm: ints = [1, 0]> (w)
    products = MatMul (x, columns)"""
            if has_bias:
                body += "\n    bias = Cast <to: int = 11> (B)"
            body += "\n    sums = " + (
                "Add (products, bias)" if has_bias else "Identity (products)"
            )
        elif "Wide" in op_type:
            body += _bodies.signed_to_bytes("rows", "x")
            body += _bodies.signed_to_bytes("Wi", "w")
            body += """
    columns = Transpose <perm: ints = [1, 0]> (w)
    integers = MatMulInteger (x, columns, x_zero, w_zero)"""
            if has_bias:
                body += "\n    biased = Add (integers, B)"
            total = "biased" if has_bias else "integers"
            body += f"\n    sums = Cast <to: int = 11> ({total})"
        else:
            body += """
    x = Cast <to: int = 1> (rows)
    w = Cast <to: int = 1> (Wi)"""
            if has_bias:
                body += "\n    bias = Cast <to: int = 1> (B)"
            body += f"\n    sums = Gemm <transB: int = 1> (x, w{', bias' * has_bias})"
        more, last = _bodies.limited(op_type, "sums", False)
        body += more
        if "Scaled" in op_type:
            body += _bodies.requantize(op_type, last, "Y", is_image=False)
        else:
            body += f"\n    Y = Cast <to: int = 6> ({last})"
        return _bodies.nodes(body)
