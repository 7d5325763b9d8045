"""The functions of the integer convolutions, by the words in their types."""

from __future__ import annotations

from larqlite.integer.onnx.layers import _bodies, _digits

__all__ = ["build_subgraph"]


def build_subgraph(op_type: str):
    """The nodes of the function of a convolution."""
    is_wide, is_series = "Wide" in op_type, "Series" in op_type
    image, out = ("image", "pixels") if is_series else ("X", "Y")
    body = ""
    if is_series:
        body += """
    height = Constant <value_ints: ints = [2]> ()
    image = Unsqueeze (X, height)"""
    body += _sums(op_type, image, is_wide)
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
    body += _requantized(op_type, last, out)
    if is_series:
        body += "\n    Y = Squeeze (pixels, height)"
    return _bodies.nodes(body)


def _sums(op_type: str, image: str, is_wide: bool) -> str:
    """From the integers of an image to `sums`: what the kernel and the bias make of it."""
    is_first = "InputConv" in op_type
    mode = _digits.parsed(op_type)
    geometry = (
        "strides: ints = @strides, dilations: ints = @dilations, "
        f"group: int = @group{'' if is_first else ', pads: ints = @pads'}"
    )
    operation = "Conv"
    if "Transpose" in op_type:
        operation = "ConvTranspose"
        geometry += ", output_padding: ints = @output_padding"
    has_bias = "Biased" in op_type
    if mode is not None:
        body = _input_conv_operand(image, False) if is_first else ""
        given = "x" if is_first else image
        body += _digits.products(
            mode, given, "Wi", lambda x, w: f"{operation} <{geometry}> ({x}, {w})"
        )
        if not has_bias:
            return body + "\n    sums = Identity (products)"
        body += _bodies.per_channel("B", "bias", True)
        return (
            body
            + """
    exact_bias = Cast <to: int = 11> (bias)
    sums = Add (products, exact_bias)"""
        )
    body = _input_conv_operand(image, is_wide) if is_first else _operand(image, is_wide)
    if is_wide:
        body += _bodies.signed_to_bytes("Wi", "w")
        body += f"\n    integers = ConvInteger <{geometry}> (x, w, x_zero, w_zero)"
        if has_bias:
            body += _bodies.per_channel("B", "bias", True)
            body += "\n    biased = Add (integers, bias)"
        total = "biased" if has_bias else "integers"
        return body + f"\n    sums = Cast <to: int = 11> ({total})"
    body += "\n    w = Cast <to: int = 1> (Wi)"
    if has_bias:
        body += "\n    bias = Cast <to: int = 1> (B)"
    return body + f"\n    sums = {operation} <{geometry}> (x, w{', bias' * has_bias})"


def _requantized(op_type: str, last: str, out: str) -> str:
    if "GlobalAvgPool" not in op_type:
        return _bodies.requantize(op_type, last, out, is_image=True)
    # keepdims decides whether channels are the last axis of what is scaled.
    scaled = _bodies.requantize(op_type, last, out, is_image=False)
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


def _operand(image: str, is_wide: bool) -> str:
    if is_wide:
        return _bodies.signed_to_bytes(image, "x")
    return f"\n    x = Cast <to: int = 1> ({image})"


def _input_conv_operand(image: str, is_wide: bool) -> str:
    """The image, with each channel's zero point around it."""
    body = (
        f"\n    raw = Cast <to: int = 1> ({image})\n    levels = Cast <to: int = 1> (Xpad)"
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
