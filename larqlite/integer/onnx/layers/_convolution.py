"""What the integer convolutions have in common: geometry and integers."""

from __future__ import annotations

import numpy as np

from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.integer.onnx.layers import _convolution_body, _digits
from larqlite.integer.onnx.layers._base import OnnxLayer, TensorRange, TensorShape
from larqlite.integer.onnx.layers._scales import (
    output_scale,
    quantize_kernel,
    relu_bound,
    requantization,
)
from larqlite.onnx_graph import window_counts

Sizes = tuple[int | None, ...]
POOL_TYPES = ("none", "max", "gap")


class Convolution(OnnxLayer):
    """Sums of a kernel's window, ReLU, pooling, and requantization to int8.

    Geometry that the public constructors have no argument for (`pads`, `dilations`,
    `group`, `keepdims` of the pooling) is set by `set_geometry`. Inputs of int16, and
    weights of `weight_bits=16`, are summed as digits (`_digits.py`).
    """

    can_widen = True
    # Whether the kernel is spread over the output (ConvTranspose).
    is_transposed = False

    def __init__(
        self,
        base_name: str,
        name: str,
        *,
        strides,
        activation: bool,
        input_conv: bool = False,
        pool_type: str = "none",
        **pool,
    ):
        if pool_type not in POOL_TYPES:
            raise ArgumentError(
                f'{base_name} "{name}": pool_type={pool_type!r}.\n'
                f"  Fix: one of {', '.join(map(repr, POOL_TYPES))}."
            )
        geometry = {"pads": [0] * 4, "dilations": [1, 1], "group": 1, "keepdims": 1}
        lists = {key: [int(n) for n in value] for key, value in pool.items()}
        super().__init__(
            base_name, name=name, strides=[int(n) for n in strides], **lists, **geometry
        )
        self.input_conv = input_conv
        self.pool_type = pool_type
        self.activation = activation
        self._mode = ""
        self._has_bias = True

    def set_geometry(self, **attributes) -> None:
        """Sets `pads` (top, left, bottom, right), `dilations`, `group` or `keepdims`."""
        from onnx import helper

        for key, value in attributes.items():
            self.attributes[key] = helper.make_attribute(key, value)

    def set_pool(self, pool_type: str, **attributes) -> None:
        """Sets `pool_type`, and `pool_size`, `pool_strides` and `pool_pads` of "max"."""
        self.pool_type = pool_type
        self.set_geometry(**attributes)

    def take_image(self) -> None:
        """Makes it the first convolution, of uint8 images with zero points."""
        self.input_conv, self.base_name = True, "QuantizedInputConv2D"

    @property
    def op_type(self) -> str:
        pool = {"none": "", "max": "MaxPool", "gap": "GlobalAvgPool"}[self.pool_type]
        clipped = "Clipped" if "max_value" in self.weights else ""
        parts = [
            "Biased" if self._has_bias else "",
            pool,
            f"ReLU{clipped}" if self.activation else "",
            "Scaled",
            self._mode,
            "To16" if self.output_bits == 16 else "",
        ]
        return self.base_name + "".join(parts)

    def __build__(self, input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        wanted = ("uint8",) if self.input_conv else ("int8", "int16")
        if input_ts.dtype not in wanted or len(input_ts.shape) != self._rank:
            sizes = "(batch, channels, height, width)"
            if self._rank == 3:
                sizes = "(batch, channels, length)"
            raise UnsupportedModelError(
                f"{self._where}: its input is {input_ts.dtype} of shape "
                f"{input_ts.shape}, and it takes {wanted[0]} images "
                f"{sizes}.\n"
                "  Fix: quantize the layer before it to that type."
            )
        dtype = np.dtype(f"int{self.output_bits}")
        return TensorShape(_output_shape(self, input_ts.shape), dtype)

    def __quantize__(
        self,
        qinput: OnnxLayer,
        out_tensor_range: TensorRange,
        force_fp: bool = False,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        kernel = self.weights["kernel"]
        bias = self.weights.get("bias")
        by_input = _of_each_input(qinput.output_scale, kernel, self._group)
        zeros = None
        if self.input_conv:
            zeros = _of_each_input(qinput.zero_point, kernel, self._group)
        given_bits = 8 * self.input[0].dtype.itemsize
        limit = 255 if self.input_conv else 2 ** (given_bits - 1)
        found = quantize_kernel(
            kernel, bias, by_input, limit, zeros, bits=self.weight_bits
        )
        self._has_bias = found.bias is not None
        self._mode = _digits.mode_of(
            found, limit, given_bits, self.weight_bits, self.is_transposed, self._where
        )
        is_narrow = given_bits == self.weight_bits == 8
        weights = {"Wi": self._stored(found.codes)}
        if self.input_conv:
            channels = kernel.shape[1] * self._group
            weights["Xpad"] = np.broadcast_to(qinput.zero_point, channels).astype(
                np.uint8
            )
        if found.bias is not None:
            weights["B"] = found.bias
        if "max_value" in self.weights:
            weights["max_value"] = relu_bound(
                self.weights["max_value"], found.scale, is_narrow
            )
        scale, bound = found.scale, found.bound
        if self.pool_type == "gap":
            area = _pooled_area(self, self.input[0].shape)
            scale, bound = scale * area, bound * area
        bits = 8 if is_narrow and self.output_bits == 8 else 16
        wanted = output_scale(out_tensor_range, force_fp, self.output_bits)
        more, reached = requantization(
            scale, wanted, bound, self._where, force_fp, bits
        )
        return weights | more, reached

    def _stored(self, codes: np.ndarray) -> np.ndarray:
        """The codes in the layout of the operation."""
        return codes

    @property
    def _rank(self) -> int:
        return 3 if "Series" in self.base_name else 4

    @property
    def _group(self) -> int:
        return self.attributes["group"].i

    @staticmethod
    def build_subgraph(op_type: str):
        return _convolution_body.build_subgraph(op_type)


def _convolved(layer: Convolution, shape: Sizes) -> Sizes:
    """Height and width after the kernel; a series has the height 1."""
    if layer._rank == 3:
        shape = (*shape[:2], 1, shape[2])
    kernel = layer.weights["kernel"]
    attributes = {key: list(layer.attributes[key].ints) for key in ("strides", "pads")}
    dilations = list(layer.attributes["dilations"].ints)
    if layer.is_transposed:
        more = list(layer.attributes["output_padding"].ints)
        return tuple(
            None
            if size is None
            else (size - 1) * stride + reach * (k - 1) + 1 + extra - before - after
            for size, stride, reach, k, extra, before, after in zip(
                shape[2:],
                attributes["strides"],
                dilations,
                kernel.shape[2:],
                more,
                attributes["pads"][:2],
                attributes["pads"][2:],
                strict=True,
            )
        )
    return window_counts(shape[2:], kernel.shape[2:], **attributes, dilations=dilations)


def _output_shape(layer: Convolution, shape: Sizes) -> Sizes:
    """Sizes of what a layer gives out for an input of sizes `shape`."""
    sizes = _convolved(layer, shape)
    if layer.pool_type == "max":
        keys = ("pool_size", "pool_strides", "pool_pads")
        sizes = window_counts(sizes, *(list(layer.attributes[k].ints) for k in keys))
    elif layer.pool_type == "gap":
        sizes = (1, 1) if layer.attributes["keepdims"].i else ()
    if layer._rank == 3:
        sizes = sizes[1:]
    return (shape[0], len(layer.weights["kernel"]), *sizes)


def _pooled_area(layer: Convolution, shape: Sizes) -> int:
    """The number of values that a global average pooling sums.

    Raises:
        UnsupportedModelError: the size of the image is open.
    """
    height, width = _convolved(layer, shape)
    if height is None or width is None:
        raise UnsupportedModelError(
            f'"{layer.name}": the image that its global average pooling sums has no fixed '
            f"size, {shape}, so the scale of the sum is unknown.\n"
            "  Fix: give the model's input a fixed height and width."
        )
    return height * width


def _of_each_input(values: np.ndarray, kernel: np.ndarray, group: int) -> np.ndarray:
    """Values per input channel, as they broadcast to a kernel of groups of filters."""
    values = np.asarray(values)
    if values.ndim == 0:
        return values
    per_group = values.reshape(group, kernel.shape[1])
    rows = np.repeat(per_group, len(kernel) // group, axis=0)
    return rows.reshape(*rows.shape, 1, 1)
