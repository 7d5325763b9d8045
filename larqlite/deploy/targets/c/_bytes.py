"""`CONV_BYTES`: bytes by whole numbers; the window of a pixel is gathered once, zeros outside."""

from __future__ import annotations

import math

import numpy as np

from larqlite.deploy.targets.c._costs import StepCost, is_of_bits
from larqlite.deploy.targets.c._epilogues import by_pixel, packed_at, stored
from larqlite.deploy.targets.c._floats import over_pool_taps
from larqlite.deploy.targets.c._grid import Classes, classes_of, plain_grid
from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import lines, loop, place, sum_of, times
from larqlite.deploy.targets.c._window import start_of
from larqlite_runtime.format import pack, words_of
from larqlite_runtime.internal import LANES

FEW = 12  # values of a window that are variables of their own, for registers
TOGETHER = 4  # products of more values that are added at once


def conv_bytes(layer: Layer) -> str:
    """All that a step of bytes does."""
    limits = _limits(layer)
    return _values(layer) if limits is None else _signs(layer, *limits)


def cost(layer: Layer) -> StepCost:
    """Of `conv_bytes`."""
    step, values = layer.step, _values_of_window(layer)
    product = 2.1 if values <= FEW else 3.6
    each = product * values + (7 if is_of_bits(layer) else 12 + 6 * len(step.ops))
    pixels = math.prod(step.size)
    return StepCost.same(
        pixels * (each * step.channels + 9 * values + 40),
        scratch=4 * values,
        flash=4 * step.channels * values,
    )


def _values_of_window(layer: Layer) -> int:
    return layer.step.taps * layer.step.in_channels


def _weights(layer: Layer) -> np.ndarray:
    """`(channels, values of a window)`, int32."""
    step, values = layer.step, _values_of_window(layer)
    weights = layer.memory.constant(step.weights).reshape(-1, values, LANES)
    weights = weights.transpose(0, 2, 1).reshape(-1, values)[: step.channels]
    return np.ascontiguousarray(weights).view(np.int32)


def _gather(layer: Layer) -> str:
    """The bytes of a window as words: in variables, if they are few."""
    step, values = layer.step, _values_of_window(layer)
    inside = step.in_channels
    room = layer.room("uint32_t", values)
    _, height, width = step.kernel
    number = place(step.kernel, (height * width, width, 1), ("kd", "kh", "kw"))
    to = sum_of(times(inside, f"({number})") if number != "0" else "", "k")
    copy = loop("k", inside, f"{room}[{to}] = in[{sum_of('at', 'k')}];")
    # No memset, of which gcc takes some lengths for mistakes.
    clear = loop("k", values, f"{room}[k] = 0;")
    gathered = lines(clear, over_pool_taps(layer, copy))
    source = f"const uint8_t *in = {layer.address(step.input)};"
    if values > FEW:
        return lines(source, gathered)
    variables = ", ".join(f"x{j}" for j in range(values))
    taken = [f"x{j} = {room}[{j}];" for j in range(values)]
    within = _within(layer)
    if within is None:
        return lines(source, f"uint32_t {variables};", gathered, *taken)
    condition, corner, offsets = within
    direct = [f"x{j} = at[{offset}];" for j, offset in enumerate(offsets)]
    if not condition:
        return lines(
            source, f"uint32_t {variables};", f"const uint8_t *at = {corner};", *direct
        )
    return lines(
        source,
        f"uint32_t {variables};",
        f"if ({condition}) {{",
        f"  const uint8_t *at = {corner};",
        *(f"  {line}" for line in direct),
        "} else {",
        *(f"  {line}" for line in lines(gathered, *taken).split("\n")),
        "}",
    )


def _within(layer: Layer) -> tuple[str, str, list[int]] | None:
    """Pixels whose windows lie inside: a condition, the first byte, and where the others lie."""
    step = layer.step
    tests, corner = [], ["in"]
    for axis, name in enumerate("dyx"):
        size, stride, pad = step.size[axis], step.stride[axis], step.pad[axis]
        pitch = step.tap[axis] // step.dilation[axis]
        reach = (step.kernel[axis] - 1) * step.dilation[axis]
        first = -(-pad // stride)
        last = (step.in_size[axis] - 1 - reach + pad) // stride
        if last < first:
            return None
        tests += [f"{name} >= {first}"] if first > 0 else []
        tests += [f"{name} <= {last}"] if last < size - 1 else []
        corner.append(times(stride * pitch, name, size))
        corner.append(f"{-pad * pitch}" if pad * pitch else "")
    offsets = [
        int(np.dot(tap, step.tap)) + k
        for tap in np.ndindex(*step.kernel)
        for k in range(step.in_channels)
    ]
    return " && ".join(tests), sum_of(*corner).replace("+ -", "- "), offsets


def _products(layer: Layer, to: str = "sum", first: int = 0) -> str:
    """Statements that add the products of a channel, whose weights begin at `w + first`."""
    values, room = _values_of_window(layer), layer.room("uint32_t", 1)
    if values <= FEW:
        return f"{to} += {' + '.join(f'w[{first + j}] * x{j}' for j in range(values))};"
    whole = values - values % TOGETHER
    many = " + ".join(
        f"w[{sum_of('j', str(first + k))}] * {room}[{sum_of('j', str(k))}]"
        for k in range(TOGETHER)
    )
    rest = [f"w[{first + j}] * {room}[{j}]" for j in range(whole, values)]
    head = f"for (int32_t j = 0; j < {whole}; j += {TOGETHER})"
    return lines(
        f"{head} {to} += {many};", f"{to} += {' + '.join(rest)};" if rest else ""
    )


def _table(layer: Layer, weights: np.ndarray) -> str:
    said = "weights, [channel][tap][channel of the input], modulo 2^32"
    return layer.words("weights", weights.view(np.uint32), said)


def _values(layer: Layer) -> str:
    """A channel after another, as integers."""
    name = _table(layer, _weights(layer))
    before, start = start_of(layer)
    value = lines(
        f"const uint32_t *w = {name} + {_values_of_window(layer)} * c;",
        f"uint32_t sum = (uint32_t){start};",
        _products(layer),
        "const int32_t v = (int32_t)sum;",
    )
    return by_pixel(layer, lines(_gather(layer), before), value)


def _limits(layer: Layer) -> tuple[Classes, np.ndarray, np.ndarray] | None:
    """Where bits are signs of sums.

    Returns:
        Classes of positions, what sums that are less than 0 where v is less than a limit begin
        with, `(classes, channels)`, and in which channels that is -1; None if a limit of each
        channel does not do, or sums are too large.
    """
    step = layer.step
    if not is_of_bits(layer) or len(step.ops) != 1:
        return None
    op = step.ops[0]
    if op.group % 32 and op.group != step.channels:
        return None
    classes = classes_of(layer, plain_grid(layer))
    starts = classes.starts.reshape(-1, step.channels)
    weights = _weights(layer).astype(np.int64)
    least = starts + 255 * np.minimum(weights, 0).sum(1)
    most = starts + 255 * np.maximum(weights, 0).sum(1)
    low = layer.memory.constant(op.a)[: step.channels].astype(np.int64)
    high = layer.memory.constant(op.b)[: step.channels].astype(np.int64)
    is_low, is_high = (low > least).any(0), (high < most).any(0)
    limit = np.clip(np.where(is_high, high + 1, low), least, most + 1)
    ends = np.stack([least, most, least - limit, most - limit])
    whole = (ends >= -(1 << 31)) & (ends < (1 << 31))
    if (is_low & is_high).any() or not whole.all():
        return None
    return classes, starts - limit, ~is_high


def _signs(
    layer: Layer, classes: Classes, starts: np.ndarray, are_minus: np.ndarray
) -> str:
    """32 channels at a time, the highest bits of whose sums are those that come out."""
    step, op = layer.step, layer.step.ops[0]
    channels, values = step.channels, _values_of_window(layer)
    words, rest = words_of(channels), channels % 32
    weights = _table(layer, _weights(layer))
    said = "what sums begin with, less the limit of the channel, modulo 2^32"
    begin = layer.words("start", (starts & 0xFFFFFFFF).reshape(-1), said)
    if classes.count > 1:
        begin = sum_of(begin, times(channels, f"({classes.index})"))
    turned = pack(~are_minus)
    name = ""
    if turned.any():
        said = "channels whose bits are turned"
        name = f" ^ {layer.words('turned', turned, said)}[{'c' if words > 1 else '0'}]"
    count = "32"
    if rest:
        count = str(rest) if words == 1 else f"(c < {words - 1} ? 32 : {rest})"
    shifted = "bits"
    if rest:
        left = str(32 - rest) if words == 1 else f"(32 - {count})"
        shifted = f"(bits >> {left})"
    together = 1 if rest % 2 or values > FEW else 2
    each = [
        lines(
            f"uint32_t sum_{k} = start[{k}];",
            _products(layer, f"sum_{k}", k * values),
            f"bits = (bits >> 1) | (sum_{k} & 0x80000000U);",
        )
        for k in range(together)
    ]
    channel = lines(*each, f"start += {together};", f"w += {together * values};")
    made = lines(
        "uint32_t bits = 0;",
        f"for (int32_t k = {count}; k > 0; k -= {together}) {{",
        *(f"  {line}" for line in channel.split("\n")),
        "}",
        f"bits = {shifted}{name};" if rest or name else "",
        stored(layer, op, "o", "c" if words > 1 else "0", "bits"),
    )
    body = lines(
        _gather(layer),
        f"const uint32_t *w = {weights}, *start = {begin};",
        f"uint32_t *o = {packed_at(layer, op)};",
        loop("c", words, made),
    )
    for variable, size in zip("xyd", step.size[::-1], strict=True):
        body = loop(variable, size, body)
    return body
