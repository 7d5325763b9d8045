"""What QuantizedConv2D and QuantizedDepthwise2D have in common."""

from __future__ import annotations

import numpy as np

from larqlite.errors import ArgumentError, UnsupportedModelError
from larqlite.integer.onnx.layers import _bodies
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
    `group`, `keepdims` of the pooling) is set by `set_geometry`.
    """

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
        self._is_wide = False
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
            "Wide" if self._is_wide else "",
        ]
        return self.base_name + "".join(parts)

    def __build__(self, input_ts: TensorShape, downscale: bool = True) -> TensorShape:
        wanted = np.uint8 if self.input_conv else np.int8
        if input_ts.dtype != wanted or len(input_ts.shape) != 4:
            raise UnsupportedModelError(
                f"{self._where}: its input is {input_ts.dtype} of shape "
                f"{input_ts.shape}, and it takes {np.dtype(wanted)} images "
                "(batch, channels, height, width).\n"
                "  Fix: quantize the layer before it to that type."
            )
        return TensorShape(_output_shape(self, input_ts.shape), np.dtype("int8"))

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
        found = quantize_kernel(
            kernel, bias, by_input, 255 if self.input_conv else 128, zeros
        )
        self._is_wide, self._has_bias = found.needs_integers, found.bias is not None
        weights = {"Wi": found.codes}
        if self.input_conv:
            channels = kernel.shape[1] * self._group
            weights["Xpad"] = np.broadcast_to(qinput.zero_point, channels).astype(
                np.uint8
            )
        if found.bias is not None:
            weights["B"] = found.bias
        if "max_value" in self.weights:
            weights["max_value"] = relu_bound(self.weights["max_value"], found.scale)
        scale, bound = found.scale, found.bound
        if self.pool_type == "gap":
            area = _pooled_area(self, self.input[0].shape)
            scale, bound = scale * area, bound * area
        wanted = output_scale(out_tensor_range, force_fp)
        more, reached = requantization(scale, wanted, bound, self._where, force_fp)
        return weights | more, reached

    @property
    def _group(self) -> int:
        return self.attributes["group"].i

    @staticmethod
    def build_subgraph(op_type: str):
        is_wide = op_type.endswith("Wide")
        body = (
            _input_conv_operand(is_wide)
            if "InputConv" in op_type
            else _operand(is_wide)
        )
        pads = "" if "InputConv" in op_type else ", pads: ints = @pads"
        geometry = (
            "strides: ints = @strides, dilations: ints = @dilations, "
            f"group: int = @group{pads}"
        )
        has_bias = "Biased" in op_type
        if is_wide:
            body += _bodies.signed_to_bytes("Wi", "w")
            body += f"\n    integers = ConvInteger <{geometry}> (x, w, x_zero, w_zero)"
            if has_bias:
                body += _bodies.per_channel("B", "bias", True)
                body += "\n    biased = Add (integers, bias)"
            total = "biased" if has_bias else "integers"
            body += f"\n    sums = Cast <to: int = 11> ({total})"
        else:
            body += "\n    w = Cast <to: int = 1> (Wi)"
            if has_bias:
                body += "\n    bias = Cast <to: int = 1> (B)"
            body += f"\n    sums = Conv <{geometry}> (x, w{', bias' * has_bias})"
        more, last = _bodies.limited(op_type, "sums", True)
        body += more
        if "MaxPool" in op_type:
            body += f"""
    pooled = MaxPool <kernel_shape: ints = @pool_size, strides: ints = @pool_strides,
        pads: ints = @pool_pads> ({last})"""
            last = "pooled"
        if "GlobalAvgPool" in op_type:
            body += f"""
    to_sum = Cast <to: int = 11> ({last})
    over = Constant <value_ints: ints = [2, 3]> ()
    pooled = ReduceSum <keepdims: int = @keepdims> (to_sum, over)"""
            last = "pooled"
        return _bodies.nodes(body + _requantized(op_type, last))


def _convolved(layer: Convolution, shape: Sizes) -> Sizes:
    kernel = layer.weights["kernel"]
    attributes = {key: list(layer.attributes[key].ints) for key in ("strides", "pads")}
    dilations = list(layer.attributes["dilations"].ints)
    return window_counts(shape[2:], kernel.shape[2:], **attributes, dilations=dilations)


def _output_shape(layer: Convolution, shape: Sizes) -> Sizes:
    """Sizes of what a layer gives out for an input of sizes `shape`."""
    sizes = _convolved(layer, shape)
    if layer.pool_type == "max":
        keys = ("pool_size", "pool_strides", "pool_pads")
        sizes = window_counts(sizes, *(list(layer.attributes[k].ints) for k in keys))
    elif layer.pool_type == "gap":
        sizes = (1, 1) if layer.attributes["keepdims"].i else ()
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


def _requantized(op_type: str, last: str) -> str:
    if "GlobalAvgPool" not in op_type:
        return _bodies.requantize(op_type, last, "Y", is_image=True)
    # keepdims decides whether channels are the last axis of what is scaled.
    scaled = _bodies.requantize(op_type, last, "Y", is_image=False)
    shape = """
    kept = Constant <value_int: int = @keepdims> ()
    times = Constant <value_ints: ints = [2]> ()
    one = Constant <value_ints: ints = [1]> ()
    more = Mul (times, kept)
    ones = Expand (one, more)
    rest = Constant <value_ints: ints = [-1]> ()
    channel_shape = Concat <axis: int = 0> (rest, ones)"""
    scaled = scaled.replace("Identity (M)", "Reshape (M, channel_shape)")
    return shape + scaled.replace("Identity (S_out)", "Reshape (S_out, channel_shape)")


def _operand(is_wide: bool) -> str:
    if is_wide:
        return _bodies.signed_to_bytes("X", "x")
    return "\n    x = Cast <to: int = 1> (X)"


def _input_conv_operand(is_wide: bool) -> str:
    """The image, with each channel's zero point around it."""
    body = (
        "\n    raw = Cast <to: int = 1> (X)\n    levels = Cast <to: int = 1> (Xpad)"
        + _bodies.per_channel("levels", "border", True)
        + """
    amounts = Constant <value_ints: ints = @pads> ()
    empty = Constant <value_float: float = 0.0> ()
    axes = Constant <value_ints: ints = [2, 3]> ()
    centred = Sub (raw, border)
    padded = Pad <mode: string = "constant"> (centred, amounts, empty, axes)"""
    )
    if not is_wide:
        return body + "\n    x = Add (padded, border)"
    return (
        body
        + """
    levels_around = Add (padded, border)
    x = Cast <to: int = 2> (levels_around)
    x_zero = Constant <value: tensor = uint8 {0}> ()"""
    )


def _of_each_input(values: np.ndarray, kernel: np.ndarray, group: int) -> np.ndarray:
    """Values per input channel, as they broadcast to a kernel of groups of filters."""
    values = np.asarray(values)
    if values.ndim == 0:
        return values
    per_group = values.reshape(group, kernel.shape[1])
    rows = np.repeat(per_group, len(kernel) // group, axis=0)
    return rows.reshape(*rows.shape, 1, 1)
