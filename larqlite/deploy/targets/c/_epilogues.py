"""What the values of a pixel pass through, as C: from a sum `v` or a float `r` of channel `c`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from larqlite.deploy.targets.c._layer import Layer
from larqlite.deploy.targets.c._text import indented, lines, loop, real
from larqlite_runtime.format import code_words_of, unpack, words_of
from larqlite_runtime.internal import (
    CODES,
    GATHERS,
    INTEGER_SUMS,
    EpilogueKind,
    EpilogueOp,
    StepKind,
    TensorView,
)


@dataclass
class Epilogues:
    """Statements of C, by where they belong.

    Attributes:
        pixel: before the channels of a pixel.
        channel: with `c` the channel, and `v` (an int32_t) or `r` (a float) its value; in the
            order of the channels.
        after: behind the channels of a pixel.
        before, end: before the first pixel, and behind the last, of steps that sum over the
            image.
    """

    pixel: list[str] = field(default_factory=list)
    channel: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    before: list[str] = field(default_factory=list)
    end: list[str] = field(default_factory=list)


def makes_integers(layer: Layer) -> bool:
    """Whether the values of a step begin as int32_t `v`, not as float `r`."""
    return layer.step.kind in (*INTEGER_SUMS, StepKind.MOVE_BITS)


def by_pixel(layer: Layer, pixel: str, value: str) -> str:
    """The body of a step that computes one channel of one pixel after another.

    Args:
        layer: the step.
        pixel: statements before the channels of the pixel at `d`, `y`, `x`.
        value: statements that declare and compute `v` or `r` of channel `c`.
    """
    made = epilogues(layer)
    channels = loop("c", layer.step.channels, lines(value, *made.channel))
    body = lines(pixel, *made.pixel, channels, *made.after)
    for variable, count in zip("xyd", layer.step.size[::-1], strict=True):
        body = loop(variable, count, body)
    return body


def around_image(layer: Layer, body: str) -> str:
    """The body of a step with what is before its first pixel and behind its last."""
    if not any(op.kind in GATHERS for op in layer.step.ops):
        return body
    made = epilogues(layer)
    return lines(*made.before, body, *made.end)


def epilogues(layer: Layer, first: int = 0) -> Epilogues:
    """The epilogues of a step from one on.

    Behind a softmax, which needs all channels, those that follow are in `after`.
    """
    made = Epilogues()
    ops = layer.step.ops[first:]
    kinds = [op.kind for op in ops]
    gathers = [at for at, kind in enumerate(kinds) if kind in GATHERS]
    if gathers and EpilogueKind.SOFTMAX not in kinds[: gathers[0]]:
        _add(layer, made, ops[: gathers[0]], first)
        _gather(layer, made, first + gathers[0])
        return made
    if EpilogueKind.SOFTMAX not in kinds:
        _add(layer, made, ops, first)
        return made
    at = kinds.index(EpilogueKind.SOFTMAX)
    channels = layer.step.channels
    room = layer.room("float", channels)
    _add(layer, made, ops[:at], first)
    made.channel.append(f"{room}[c] = r;")
    made.after.append(f"{layer.helper('softmax')}({room}, {channels});")
    rest = epilogues(layer, first + at + 1)
    made.before, made.end = rest.before, rest.end
    if rest.channel:
        values = loop("c", channels, lines(f"float r = {room}[c];", *rest.channel))
        after = lines(*rest.pixel, values, *rest.after)
        made.after.append(f"{{\n{indented(after)}\n}}")
    return made


def _gather(layer: Layer, made: Epilogues, number: int) -> None:
    """A sum, or a mean, over the image, and what one pixel of these passes through."""
    step = layer.step
    is_mean = step.ops[number].kind == EpilogueKind.AVERAGE
    is_double = is_mean and layer.is_packed_later
    ctype = "double" if is_double else "float" if is_mean else "int32_t"
    value, zero = ("r", "0.0F") if is_mean else ("v", "0")
    value = f"(double){value}" if is_double else value
    sums = layer.room(f"{ctype} of an image", step.channels)
    made.before.append(loop("c", step.channels, f"{sums}[c] = {zero};"))
    added = f"{sums}[c] + {value}"
    if not is_mean:  # modulo 2^32
        added = f"(int32_t)((uint32_t){sums}[c] + (uint32_t)v)"
    made.channel.append(f"{sums}[c] = {added};")
    count = real(math.prod(step.size))
    begin = f"const int32_t v = {sums}[c];"
    if is_double:
        begin = f"float r = (float)({sums}[c] / {count[:-1]});"
    elif is_mean:
        begin = f"float r = {sums}[c] / {count};"
    rest = epilogues(replace(layer, step=replace(step, size=(1, 1, 1))), number + 1)
    values = loop("c", step.channels, lines(begin, *rest.channel))
    after = lines(*rest.pixel, values, *rest.after)
    made.end.append(f"{{\n{indented(after)}\n}}")


def _add(layer: Layer, made: Epilogues, ops: Sequence[EpilogueOp], first: int) -> None:
    for number, op in enumerate(ops, first):
        _WRITERS[op.kind](layer, op, str(number), made)


# Values of a channel.


def _scalar(statement: Callable[[str], str], what: str, said: str):
    """An operation with a float of each channel: `statement` has it for the text of that."""

    def write(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
        values = layer.memory.constant(op.a)[: layer.step.channels]
        found = layer.real_of(f"{what}_{number}", values, "c", said)
        made.channel.append(statement(found))

    return write


def _plain(text: Callable[[EpilogueOp], str]):
    def write(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
        made.channel.append(text(op))

    return write


def _with_tensor(operation: str):
    def write(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
        ctype, read = layer.reads_reals(op.view)
        made.pixel.append(f"{ctype}t{number} = {layer.at(op.view)};")
        made.channel.append(f"r = r {operation} {read.format(f't{number}[c]')};")

    return write


def _function(name: str):
    def write(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
        made.channel.append(f"r = {layer.helper(name)}(r);")

    return write


def _elu(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    made.channel.append(f"r = {layer.helper('elu')}(r, {real(op.x)});")


def _add_scaled(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    _, read = layer.reads_reals(op.view)
    value = read.format(f"*({layer.at(op.view)})")
    made.pixel.append(f"const float t{number} = {value};")
    values = layer.memory.constant(op.a)[: layer.step.channels]
    found = layer.real_of(f"scale_{number}", values, "c", "what is added is scaled")
    made.channel.append(f"r = r + t{number} * {found};")


def _multiply_image(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    view = TensorView(op.a)
    ctype, read = layer.reads_reals(view)
    made.pixel.append(f"{ctype}t{number} = {layer.address(view)};")
    made.channel.append(f"r = r * {read.format(f't{number}[c]')};")


def _store(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    made.pixel.append(f"uint32_t *o{number} = {layer.at(op.view)};")
    made.channel.append(f"o{number}[c] = {layer.helper('word_of')}(r);")


def _store_int(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    made.pixel.append(f"uint32_t *o{number} = {layer.at(op.view)};")
    made.channel.append(f"o{number}[c] = (uint32_t)v;")


# Bits.


def put_bits(
    layer: Layer, op: EpilogueOp, number: str, made: Epilogues, planes: list[str]
) -> None:
    """Packs a condition (true is -1) for each plane into the words of a pixel."""
    group = op.group or layer.step.channels
    of_group = words_of(group)
    made.pixel.append(f"uint32_t *o{number} = {packed_at(layer, op)};")
    for plane in range(len(planes)):
        made.pixel.append(f"uint32_t w{number}_{plane} = 0;")
    is_whole = group == layer.step.channels or group % 32 == 0
    at = "c" if is_whole else f"k{number}"
    if not is_whole:
        made.pixel.append(f"int32_t k{number} = 0;")
    stores = []
    for plane, condition in enumerate(planes):
        bits = f"w{number}_{plane}"
        made.channel.append(f"{bits} |= (uint32_t)({condition}) << ({at} & 31);")
        begin = f"{plane * op.words} + " if plane else ""
        word = f"{begin}(c >> 5)" if is_whole else f"{plane * op.words}"
        stores.append(f"{stored(layer, op, f'o{number}', word, bits)}\n{bits} = 0;")
    if is_whole:
        # The last word of a group of whole words is full.
        last = layer.step.channels - 1
        full = "(c & 31) == 31"
        is_full = full if layer.step.channels % 32 == 0 else f"{full} || c == {last}"
        made.channel.append(f"if ({is_full}) {{\n{indented(lines(*stores))}\n}}")
        return
    stores.append(f"++o{number};")
    ends = f"k{number} == {group}" if of_group == 1 else None
    ends = ends or f"(k{number} & 31) == 0 || k{number} == {group}"
    made.channel.append(
        f"++k{number};\nif ({ends}) {{\n{indented(lines(*stores))}\n}}\n"
        f"if (k{number} == {group}) k{number} = 0;"
    )


def packed_at(layer: Layer, op: EpilogueOp) -> str:
    """The address of the words of a pixel; of its window, where bits are pooled."""
    if op.pool is None:
        return layer.at(op.view)
    variables = tuple(
        f"({name} / {by})" if by > 1 else name
        for name, by in zip("dyx", op.pool.window, strict=True)
    )
    size = op.written(layer.step.size)
    return layer.address(op.view, layer.pixel(op.view, size, variables))


def stored(layer: Layer, op: EpilogueOp, pointer: str, word: str, bits: str) -> str:
    """Statements that store a word of bits, or join it with those of its window.

    Args:
        layer: the step.
        op: what packs.
        pointer, word: where to, the second from `packed_at` on, without planes.
        bits: the word, a name.
    """
    if op.pool is None:
        return f"{pointer}[{word}] = {bits};"
    axes = list(zip("dyx", layer.step.size, op.pool.window, strict=True))
    begins = [f"{name} % {by} == 0" for name, _, by in axes if by > 1]
    inside = [
        f"{name} < {size // by * by}"
        for name, size, by in axes
        if size % by and size > by
    ]
    there = f"{pointer}[{word}]"
    turned = "0U"
    if op.pool.turned >= 0:
        words = layer.memory.constant(op.pool.turned)[: words_of(layer.step.channels)]
        said = "channels whose least value is taken, a bit a channel"
        turned = f"{layer.words('least', words, said)}[{word}]"
    joined = f"{there} & {bits}"
    if turned != "0U":
        joined = f"{turned} ^ (({there} ^ {turned}) & ({bits} ^ {turned}))"
    text = f"{there} = {' && '.join(begins) or '1'} ? {bits} : ({joined});"
    return f"if ({' && '.join(inside)}) {text}" if inside else text


def limits_of(layer: Layer, op: EpilogueOp) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last sum of each channel that is +1, as near as sums can come.

    What no sum can reach is moved to just beyond the sums, so that smaller types hold it.
    """
    low = layer.memory.constant(op.a)[: layer.step.channels].astype(np.int64)
    high = layer.memory.constant(op.b)[: layer.step.channels].astype(np.int64)
    least, most = sums_of(layer)
    return np.clip(low, least, most + 1), np.clip(high, least - 1, most)


def sums_of(layer: Layer) -> tuple[int, int]:
    """Between which numbers the sums of a step of bits lie; of others, those of int32."""
    step = layer.step
    if step.kind not in (StepKind.CONV, StepKind.DEPTHWISE):
        return -(1 << 31) + 1, (1 << 31) - 2
    base = layer.memory.constant(step.base).astype(np.int64)
    bits = 1 if step.kind == StepKind.DEPTHWISE else 32 * step.words
    planes = ((1 << step.input_planes) - 1) * ((1 << step.weight_planes) - 1)
    most = int(base.max()) >> step.shift
    return (int(base.min()) - 2 * step.taps * bits * planes) >> step.shift, most


def _threshold(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    least, most = sums_of(layer)
    low, high = limits_of(layer, op)
    conditions = []
    if (low > least).any():
        said = "the first sum that is +1"
        found = layer.integer_of(f"first_{number}", low, "c", said)
        conditions.append(f"v < {found}")
    if (high < most).any():
        said = "the last sum that is +1"
        found = layer.integer_of(f"last_{number}", high, "c", said)
        if conditions and (low > high).all():
            # Of two literals clang says that one of them always holds.
            found = f"{layer.integers(f'last_{number}', high, said)}[c]"
        conditions.append(f"v > {found}")
    put_bits(layer, op, number, made, [" || ".join(conditions) or "0"])


def _pack_range(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    low, high = (layer.memory.constant(n)[: layer.step.channels] for n in (op.a, op.b))
    first = layer.real_of(f"first_{number}", low, "c", "the first float that is +1")
    last = layer.real_of(f"last_{number}", high, "c", "the last float that is +1")
    put_bits(layer, op, number, made, [f"r < {first} || r > {last}"])


def _pack_above(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    channels = layer.step.channels
    bounds = layer.memory.constant(op.a)[:channels]
    bound = layer.real_of(f"bound_{number}", bounds, "c", "above it are the others")
    words = layer.memory.constant(op.b)[: words_of(channels)]
    turned = unpack(words, channels)
    condition = f"r > {bound}"
    if turned.all():
        condition = f"!({condition})"
    elif turned.any():
        said = "whether what is above is +1, a bit a channel"
        name = layer.words(f"side_{number}", words, said)
        condition = f"(({condition}) ? 1U : 0U) != (({name}[c >> 5] >> (c & 31)) & 1U)"
    put_bits(layer, op, number, made, [condition])


def _pack(conditions: Callable[[EpilogueOp], list[str]]):
    def write(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
        put_bits(layer, op, number, made, conditions(op))

    return write


def _pack_ternary(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    made.channel.append(_sign_sum(layer, op, number))
    put_bits(layer, op, number, made, [f"s{number} < 0", f"s{number} <= 0"])


def _pack_levels(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    made.channel.append(f"const uint32_t s{number} = {_level(layer, op)};")
    planes = [f"(~s{number} >> {plane}) & 1U" for plane in range(op.planes)]
    put_bits(layer, op, number, made, planes)


def _sign_sum(layer: Layer, op: EpilogueOp, number: str) -> str:
    sign, threshold = layer.helper("sign_of"), real(op.x)
    both = f"{sign}(r + {threshold}) + {sign}(r - {threshold})"
    return f"const int32_t s{number} = {both};"


def _level(layer: Layer, op: EpilogueOp) -> str:
    """The number of the level of `r`, a uint32_t."""
    code = layer.helper("code_within")
    if op.kind in (EpilogueKind.PACK_STEPS, EpilogueKind.CODE_STEPS):
        return f"{code}(r, 0.0F, 1.0F, {real((1 << op.planes) - 1)})"
    return f"{code}(r, {real(op.x)}, {real(op.y)}, 1.0F)"


# Codes.


def _codes(layer: Layer, op: EpilogueOp, number: str, made: Epilogues) -> None:
    """A byte for each value: the number of its level, minus 128."""
    group = op.group or layer.step.channels
    of_group = 4 * code_words_of(group)
    made.pixel.append(f"uint8_t *o{number} = (uint8_t *)({layer.at(op.view)});")
    if op.kind == EpilogueKind.CODE_SIGN:
        code = "(r < 0.0F ? 0U : 1U)"
    elif op.kind == EpilogueKind.CODE_HEAVISIDE:
        code = "(r > 0.0F ? 1U : 0U)"
    elif op.kind == EpilogueKind.CODE_TERNARY:
        made.channel.append(_sign_sum(layer, op, number))
        code = f"(s{number} > 0 ? 2U : s{number} == 0 ? 1U : 0U)"
    else:
        code = _level(layer, op)
    rest = of_group - group
    if group == layer.step.channels or not rest:
        made.channel.append(f"o{number}[c] = (uint8_t)({code} ^ 0x80U);")
        made.after += [
            f"o{number}[{layer.step.channels + i}] = 0;" for i in range(rest)
        ]
        return
    made.pixel.append(f"int32_t k{number} = 0;")
    fill = lines(
        *(f"*o{number}++ = 0;" for _ in range(rest)),
        f"k{number} = 0;",
    )
    made.channel.append(
        f"*o{number}++ = (uint8_t)({code} ^ 0x80U);\n"
        f"if (++k{number} == {group}) {{\n{indented(fill)}\n}}"
    )


_WRITERS: dict[EpilogueKind, Callable[[Layer, EpilogueOp, str, Epilogues], None]] = {
    EpilogueKind.STORE_INT: _store_int,
    EpilogueKind.THRESHOLD: _threshold,
    EpilogueKind.TO_FLOAT: _plain(lambda op: "float r = (float)v;"),
    EpilogueKind.MULTIPLY: _scalar(lambda a: f"r = r * {a};", "scale", "scales"),
    EpilogueKind.DIVIDE: _scalar(lambda a: f"r = r / {a};", "divisor", "divisors"),
    EpilogueKind.ADD: _scalar(lambda a: f"r = r + {a};", "offset", "offsets"),
    EpilogueKind.ADD_TENSOR: _with_tensor("+"),
    EpilogueKind.MULTIPLY_TENSOR: _with_tensor("*"),
    EpilogueKind.DIVIDE_TENSOR: _with_tensor("/"),
    EpilogueKind.SQUARE_ROOT: _function("square_root"),
    EpilogueKind.FLOOR: _function("floor_of"),
    EpilogueKind.SIGMOID: _function("sigmoid"),
    EpilogueKind.TANH: _function("hyperbolic_tangent"),
    EpilogueKind.ELU: _elu,
    EpilogueKind.ADD_SCALED: _add_scaled,
    EpilogueKind.MULTIPLY_IMAGE: _multiply_image,
    EpilogueKind.RELU: _plain(lambda op: "r = r < 0.0F ? 0.0F : r;"),
    EpilogueKind.PRELU: _scalar(
        lambda a: f"r = r < 0.0F ? r * {a} : r;", "slope", "slopes below zero"
    ),
    EpilogueKind.CLIP: _plain(
        lambda op: (
            f"r = r < {real(op.x)} ? {real(op.x)} : r;\n"
            f"r = r > {real(op.y)} ? {real(op.y)} : r;"
        )
    ),
    EpilogueKind.SIGN: _plain(lambda op: "r = r < 0.0F ? -1.0F : 1.0F;"),
    EpilogueKind.STORE: _store,
    EpilogueKind.PACK_SIGN: _pack(lambda op: ["r < 0.0F"]),
    EpilogueKind.PACK_HEAVISIDE: _pack(lambda op: ["!(r > 0.0F)"]),
    EpilogueKind.PACK_RANGE: _pack_range,
    EpilogueKind.PACK_ABOVE: _pack_above,
    EpilogueKind.PACK_TERNARY: _pack_ternary,
    EpilogueKind.PACK_STEPS: _pack_levels,
    EpilogueKind.PACK_INTEGERS: _pack_levels,
    **dict.fromkeys(CODES, _codes),
}


def is_written(kind: EpilogueKind) -> bool:
    """Whether there is C for an epilogue."""
    return kind in _WRITERS or kind in (EpilogueKind.SOFTMAX, *GATHERS)
