"""Operations that move integers, or pick the largest, in quantized ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.integer.onnx.layers import _bodies
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._elementwise import aligned
from larqlite.integer.onnx.layers._scales import along_channels, output_scale

__all__ = ["MOVES", "QuantizedConcat", "QuantizedMove"]

_WINDOW = (
    "kernel_shape: ints = @kernel_shape, strides: ints = @strides, pads: ints = @pads"
)
# What each is made of. Weights have the names `size`, `starts`, ..., attributes an @.
# Those through float32, which holds int16 exactly, end in `f`.
MOVES = {
    "Transpose": "Y = Transpose <perm: ints = @perm> (X)",
    "Reshape": "Y = Reshape (X, size)",
    "Flatten": "Y = Flatten <axis: int = @axis> (X)",
    "Squeeze": "Y = Squeeze (X, axes)",
    "Unsqueeze": "Y = Unsqueeze (X, axes)",
    "Slice": "Y = Slice (X, starts, ends, axes, steps)",
    "Identity": "Y = Identity (X)",
    "DepthToSpace": (
        "f = DepthToSpace <blocksize: int = @blocksize, mode: string = @mode> (x)"
    ),
    "SpaceToDepth": "f = SpaceToDepth <blocksize: int = @blocksize> (x)",
    "Pad": "f = Pad <mode: string = @mode> (x, amounts)",
    "ResizeByScales": (
        'f = Resize <mode: string = "nearest", nearest_mode: string = @nearest_mode, '
        "coordinate_transformation_mode: string = @coordinate_transformation_mode> "
        "(x, , scales)"
    ),
    "ResizeToSizes": (
        'f = Resize <mode: string = "nearest", nearest_mode: string = @nearest_mode, '
        "coordinate_transformation_mode: string = @coordinate_transformation_mode> "
        "(x, , , sizes)"
    ),
    "MaxPool": f"f = MaxPool <{_WINDOW}> (x)",
    "GlobalMaxPool": "f = GlobalMaxPool (x)",
}
_THROUGH_FLOAT = "x = Cast <to: int = 1> (X)\n    {}\n    Y = CastLike (f, X)"


class QuantizedMove(OnnxLayer):
    """An operation after which the integers are those that went in, elsewhere.

    Transposes, reshapes, slices, paddings with zero, nearest resizing; and maxima of
    windows, which are the same before and after quantization.

    Args:
        operation: a key of the table of them, an ONNX operation or a form of it.
        shape: of the output, None for open sizes.
        attributes: of the operation.
        constants: its other inputs, by their names in the table.
        keeps_channels: whether channels stay on axis 1, so that they may have scales of
            their own; a tuple of the places that are kept of them.
        name: of the node.

    Raises:
        ArgumentError: an operation that is not in the table.

    >>> from larqlite.integer.onnx.layers import QuantizedMove
    >>> QuantizedMove("Transpose", (3, 2), {"perm": [1, 0]}).op_type
    'QuantizedTranspose'
    """

    keeps_scale = True

    def __init__(
        self,
        operation: str,
        shape: tuple[int | None, ...],
        attributes: Mapping[str, Any] | None = None,
        constants: Mapping[str, np.ndarray] | None = None,
        keeps_channels: bool | range = False,
        name: str = "",
    ):
        if operation not in MOVES:
            raise ArgumentError(
                f'QuantizedMove "{name}": operation={operation!r}.\n'
                f"  Fix: one of {', '.join(map(repr, MOVES))}."
            )
        super().__init__(f"Quantized{operation}", name=name, **(attributes or {}))
        self.shape = tuple(shape)
        self.constants = dict(constants or {})
        self.keeps_channels = keeps_channels

    @property
    def needs_one_scale(self) -> bool:
        return self.keeps_channels is False

    def __build__(self, input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        if input_ts.dtype not in ("int8", "int16"):
            raise UnsupportedModelError(
                f"{self._where}: its input is {input_ts.dtype}, and it takes int8 or int16.\n"
                "  Fix: quantize the layer before it to one of them."
            )
        return TensorShape(self.shape, input_ts.dtype)

    def __quantize__(
        self, qinput: OnnxLayer, out_tensor_range: TensorRange, force_fp: bool = False
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        scale = np.asarray(qinput.output_scale)
        if scale.ndim and isinstance(self.keeps_channels, range):
            scale = scale[self.keeps_channels]
        return dict(self.constants), scale

    @staticmethod
    def build_subgraph(op_type: str):
        text = MOVES[op_type.removeprefix("Quantized")]
        if text.startswith("f "):
            text = _THROUGH_FLOAT.format(text)
        return _bodies.nodes(f"\n    {text}")


class QuantizedConcat(OnnxLayer):
    """Tensors of integers side by side.

    Along the channels of images each keeps its scale, and the integers stay as they are.
    Elsewhere, and where one scale is asked for, the others are brought to one:
    `clip(floor(x_i * m_i / 2^s_i + 1/2))`, with `m_i` int32 of 15 bits.

    Args:
        axis: along which.
        count: of the tensors.
        name: of the node.

    >>> from larqlite.integer.onnx.layers import QuantizedConcat
    >>> QuantizedConcat(axis=1, count=3).op_type
    'QuantizedConcat3'
    """

    can_widen = True

    def __init__(self, axis: int, count: int, name: str = ""):
        super().__init__("QuantizedConcat", name=name, axis=int(axis))
        self.count = count
        self.gives_one_scale = False

    @property
    def is_rescaled(self) -> bool:
        """Whether the tensors are brought to one scale."""
        shapes = [tensor.shape for tensor in self.input]
        is_along_channels = self.attributes["axis"].i == 1 and all(
            len(shape) > 2 and shape[1] is not None for shape in shapes
        )
        has_one_type = len({tensor.dtype for tensor in self.input}) < 2
        return self.gives_one_scale or not (is_along_channels and has_one_type)

    @property
    def op_type(self) -> str:
        more = "Rescaled" if self.is_rescaled else ""
        if more and self.output is not None and self.output.dtype == np.int16:
            more += "To16"
        return f"{self.base_name}{self.count}{more}"

    def __build__(self, *input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        self.input = input_ts
        axis = self.attributes["axis"].i
        sizes = [tensor.shape[axis] for tensor in input_ts]
        shape = list(input_ts[0].shape)
        for other in input_ts[1:]:
            shape = [
                b if a is None else a for a, b in zip(shape, other.shape, strict=True)
            ]
        shape[axis] = None if None in sizes else sum(sizes)
        dtype = input_ts[0].dtype
        if self.is_rescaled:
            dtype = np.dtype(f"int{self.output_bits if downscale else 16}")
        return TensorShape(tuple(shape), dtype)

    def __quantize__(
        self, *qlayers: OnnxLayer, out_tensor_range: TensorRange, force_fp: bool = False
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        scales = [np.asarray(layer.output_scale, np.float64) for layer in qlayers]
        if not self.is_rescaled:
            if all(scale.ndim == 0 and scale == scales[0] for scale in scales):
                return {}, scales[0]
            counts = [tensor.shape[1] for tensor in self.input]
            parts = [
                np.broadcast_to(scale, (count,))
                for scale, count in zip(scales, counts, strict=True)
            ]
            return {}, np.concatenate(parts)
        seen = TensorRange(
            out_tensor_range.minimum.min(), out_tensor_range.maximum.max()
        )
        wanted = output_scale(seen, force_fp, 8 * self.output.dtype.itemsize)
        weights, rank = {}, len(self.output.shape)
        for scale in scales:
            wanted = aligned([scale], wanted)[2]
            wanted = wanted.min()
        for i, scale in enumerate(scales, 1):
            (multiplier,), shift, _ = aligned([scale], wanted)
            weights[f"m{i}"] = along_channels(multiplier, rank).astype(np.int32)
            weights[f"s{i}"] = along_channels(shift, rank).astype(np.uint8)
        return weights, wanted

    @staticmethod
    def build_subgraph(op_type: str):
        count = int("".join(filter(str.isdigit, op_type.removesuffix("To16"))))
        names = [f"X{i}" for i in range(1, count + 1)]
        if "Rescaled" not in op_type:
            joined = ", ".join(names)
            return _bodies.nodes(f"\n    Y = Concat <axis: int = @axis> ({joined})")
        body = "\n    unit = Constant <value: tensor = uint64 {1}> ()"
        for i, name in enumerate(names, 1):
            body += f"""
    x{i} = Cast <to: int = 11> ({name})
    factor_{i} = Cast <to: int = 11> (m{i})
    wide_shift_{i} = Cast <to: int = 13> (s{i})
    power_{i} = BitShift <direction: string = "LEFT"> (unit, wide_shift_{i})
    divisor_{i} = Cast <to: int = 11> (power_{i})
    product_{i} = Mul (x{i}, factor_{i})
    scaled_{i} = Div (product_{i}, divisor_{i})"""
        parts = ", ".join(f"scaled_{i}" for i in range(1, count + 1))
        body += f"\n    joined = Concat <axis: int = @axis> ({parts})"
        body += _bodies.rounded_half_up("joined", "floored")
        return _bodies.nodes(body + _bodies.saturated(op_type, "floored", "Y"))
