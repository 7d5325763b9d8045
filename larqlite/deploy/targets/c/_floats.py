"""Steps of floats: rows as they are, convolutions, poolings, means; sums in the program's order."""

from __future__ import annotations

from larqlite.deploy.targets.c._epilogues import by_pixel
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import (
    indented,
    lines,
    loop,
    real,
    sum_of,
    times,
)
from larqlite.deploy.targets.c._weights import depthwise_numbers, float_weights
from larqlite.deploy.targets.c._window import over_taps
from larqlite_runtime.internal import StepKind

_WINDOW = (("kd", "d"), ("kh", "y"), ("kw", "x"))


def load(layer: Layer) -> str:
    """`LOAD`: the values of a tensor."""
    ctype, read = layer.reads_reals(layer.step.input)
    pixel = f"{ctype}in = {layer.at(layer.step.input)};"
    return by_pixel(layer, pixel, f"float r = {read.format('in[c]')};")


def conv_float(layer: Layer) -> str:
    """`CONV_FLOAT`: sums of products, one after another."""
    step = layer.step
    inside = step.in_channels
    weights = float_weights(step, layer.memory.constant(step.weights))
    said = "weights, [channel][tap][channel of the input]"
    name = layer.reals("weights", weights.reshape(step.channels, -1), said)
    ctype, read = layer.reads_reals(step.input)

    def multiply(tap: str, number: str) -> str:
        x = read.format(f"in[{sum_of(tap, 'k')}]")
        w = f"w[{sum_of(times(inside, f'({number})'), 'k')}]"
        return loop("k", inside, f"r = r + {x} * {w};")

    each = step.channels // step.groups
    of_group = step.groups > 1
    value = lines(
        f"{ctype}in = pixel + {inside} * (c / {each});" if of_group else "",
        f"const float *w = {name} + {step.taps * inside} * c;",
        "float r = 0.0F;",
        over_taps(layer, multiply),
    )
    at = "pixel" if of_group else "in"
    return by_pixel(layer, f"{ctype}{at} = {layer.at(step.input)};", value)


def depthwise_float(layer: Layer) -> str:
    """`DEPTHWISE_FLOAT`: each channel with filters of its own."""
    step = layer.step
    multiplier = step.multiplier
    weights = depthwise_numbers(step, layer.memory.constant(step.weights))
    # Channels of the output in their order.
    weights = weights.transpose(2, 0, 1).reshape(step.channels, step.taps)
    name = layer.reals("weights", weights, "weights, [channel][tap]")
    ctype, read = layer.reads_reals(step.input)
    channel = "c" if multiplier == 1 else f"c / {multiplier}"

    def multiply(tap: str, number: str) -> str:
        x = read.format(f"in[{sum_of(tap, channel)}]")
        return f"r = r + w[{number}] * {x};"

    value = lines(
        f"const float *w = {name} + {times(step.taps, 'c')};",
        "float r = 0.0F;",
        over_taps(layer, multiply),
    )
    return by_pixel(layer, f"{ctype}in = {layer.at(step.input)};", value)


def pool(layer: Layer) -> str:
    """`POOL_MAX`, `POOL_AVERAGE`, `POOL_AVERAGE_PADDED`: over what is there of a window."""
    step = layer.step
    ctype, read = layer.reads_reals(step.input)
    takes_most = step.kind == StepKind.POOL_MAX
    counts = step.kind == StepKind.POOL_AVERAGE
    add = "r = r < q ? q : r;" if takes_most else "r = r + q;"
    body = lines(
        f"const float q = {read.format('in[at + c]')};",
        add,
        "++inside;" if counts else "",
    )
    begin = f"{layer.helper('real_of')}(0xff800000U)" if takes_most else "0.0F"
    value = [f"float r = {begin};"]
    value += ["int32_t inside = 0;"] if counts else []
    value.append(over_pool_taps(layer, body))
    if counts:
        value.append("r = r / (float)(inside < 1 ? 1 : inside);")
    elif not takes_most:
        value.append(f"r = r / {real(step.taps)};")
    pixel = f"{ctype}in = {layer.address(step.input)};"
    return by_pixel(layer, pixel, lines(*value))


def over_pool_taps(layer: Layer, body: str) -> str:
    """A body for each tap that lies in the image, which `at` says behind its first pixel."""
    step = layer.step
    strides = [
        tap // dilation for tap, dilation in zip(step.tap, step.dilation, strict=True)
    ]
    at, heads = [], []
    for axis, (tap, out) in enumerate(_WINDOW):
        name = f"i{out}"
        pad, count = step.pad[axis], step.size[axis]
        where = sum_of(
            times(step.stride[axis], out, count),
            times(step.dilation[axis], tap, step.kernel[axis]),
        )
        where = f"{where} - {pad}" if pad else where
        last = (
            (count - 1) * step.stride[axis]
            + (step.kernel[axis] - 1) * step.dilation[axis]
            - pad
        )
        tests = [f"{name} < 0"] if pad > 0 else []
        tests += (
            [f"{name} >= {step.in_size[axis]}"] if last >= step.in_size[axis] else []
        )
        head = [f"const int32_t {name} = {where};"]
        if where == "0":
            head, name = [], ""
        if tests:
            head.append(f"if ({' || '.join(tests)}) continue;")
        heads.append((tap, step.kernel[axis], head))
        at.append(times(strides[axis], name) if name else "")
    made = lines(f"const int32_t at = {sum_of(*at)};", body)
    for tap, count, head in heads[::-1]:
        needs_loop = any("continue" in line for line in head)
        made = lines(*head, made)
        if needs_loop or count > 1:
            first = f"for (int32_t {tap} = 0; {tap} < {count}; ++{tap}) {{"
            made = f"{first}\n{indented(made)}\n}}"
    return made


def mean(layer: Layer) -> str:
    """`MEAN`: over all pixels of the image; summed in double where bits are made of it."""
    step = layer.step
    ctype, read = layer.reads_reals(step.input)
    depth, height, width = step.in_size
    view = step.input
    at = sum_of(
        times(view.depth, "kd", depth),
        times(view.row, "kh", height),
        times(view.pixel, "kw", width),
        "c",
    )
    value = read.format(f"in[{at}]")
    is_double = layer.is_packed_later
    body = f"sum = sum + {f'(double){value}' if is_double else value};"
    for name, count in (("kw", width), ("kh", height), ("kd", depth)):
        body = loop(name, count, body)
    count = real(depth * height * width)
    kind, begin = ("double", "0.0") if is_double else ("float", "0.0F")
    mean = f"(float)(sum / {count[:-1]})" if is_double else f"sum / {count}"
    value = lines(f"{kind} sum = {begin};", body, f"float r = {mean};")
    return by_pixel(layer, f"{ctype}in = {layer.address(view)};", value)
