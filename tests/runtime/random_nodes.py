"""The nodes that random networks are made of; each keeps values exact."""

from __future__ import annotations

import numpy as np

from tests.runtime import files
from tests.runtime.random_network import Network, Tensor


def _quantized(net: Network, source: Tensor) -> tuple[str, str, int, float]:
    """A quantizer node: its output, the name of its values, input_steps, largest value."""
    kind = net.one_of("sign", "sign", "sign", "heaviside", "ternary", "steps")
    if kind == "steps":
        bits = net.one_of(1, 2, 3, 8)
        count = (1 << bits) - 1
        return net.packed("Steps", [source.name], bits=bits), kind, count, count
    op, more = {
        "sign": ("Sign", {}),
        "heaviside": ("Heaviside", {}),
        "ternary": ("Ternary", {"threshold": net.one_of(0.5, 0.25, 0.0)}),
    }[kind]
    if net.rng.random() < 0.15:
        return source.name, "integer", 1, source.bound
    return net.packed(op, [source.name], **more), kind, 1, 1


def _letter(net: Network, kind: str) -> tuple[str, int, dict]:
    """Which weights: letter of the operation, bits, attributes of k-bit ones."""
    letter = "Q" if kind == "steps" else net.one_of("B", "B", "T", "Q")
    bits = {"B": 1, "T": 2}.get(letter) or net.one_of(1, 2, 3, 4)
    if letter != "Q":
        return letter, bits, {}
    step, offset = 2.0, -float((1 << bits) - 1)
    if net.rng.random() < 0.1:
        # A zero among them, and one more below it than above: no sum of +1 and -1.
        step, offset = 1.0, -float(1 << bits - 1)
    return letter, bits, {"bits": bits, "step": step, "offset": offset}


def conv(net: Network) -> None:
    source = net.pick()
    channels, *sizes = source.shape
    x, kind, count, most = _quantized(net, source)
    if kind == "integer" and source.places:
        return
    letter, bits, levels = _letter(net, kind)
    rank = net.rank
    groups = net.one_of(1, 1, *(n for n in (2, 4, channels) if channels % n == 0))
    each = net.one_of(1, 2, 5, 8, 32) if groups < channels else net.one_of(1, 2)
    shape = [groups * each, *(net.one_of(1, 2, 3) for _ in sizes), channels // groups]
    is_transposed = net.rng.random() < 0.2
    if is_transposed:
        groups, shape[-1] = 1, channels
    kernel = shape[1:-1]
    strides = [net.one_of(1, 1, 2) for _ in sizes]
    dilations = [net.one_of(1, 1, 2) for _ in sizes]
    reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
    pads = [int(net.rng.integers(0, 1 + most)) for most in reach]
    outside = net.one_of(0, 0, 1) if kind == "steps" else net.one_of(0, 0, 1, -1)
    given = {
        "weight_shape": shape,
        "strides": strides,
        "dilations": dilations,
        "pads": pads * 2,
        "input": kind,
    } | levels
    size, stride, pad = np.array(sizes), np.array(strides), np.array(pads)
    if is_transposed:
        given["output_padding"] = [int(net.rng.integers(0, s)) for s in strides]
        out = (size - 1) * stride + reach + 1 - 2 * pad + given["output_padding"]
    else:
        given |= {"group": groups, "pad_value": float(outside)}
        out = (size + 2 * pad - reach - 1) // stride + 1
    if min(out) < 1 or max(out) > 20:
        return
    if letter == "Q":
        given["input_steps"] = float(count)
    stored = files.codes(int(np.prod(shape)), bits, seed=int(net.rng.integers(1 << 30)))
    weights = net.constant(stored, np.uint8)
    op = f"{letter}Conv{'Transpose' if is_transposed else ''}{rank}D"
    bound = int(np.prod(shape[1:])) * ((1 << bits) - 1) * most
    name = net.packed(op, [x, weights], **given)
    if net.keep(name, (shape[0], *out.tolist()), 0, bound):
        net.accumulators.append(name)
    _after(net)


def _after(net: Network) -> None:
    """What often follows a packed layer."""
    for op in (scale, activation, residual):
        if net.rng.random() < 0.5:
            op(net, net.tensors[-1])


def scale(net: Network, source: Tensor | None = None) -> None:
    source = source or net.pick()
    shape = net.channel_shape(source.shape[0])
    scale, offset = net.multiples(*shape), net.multiples(*shape, most=40)
    if net.rng.random() < 0.2:
        scale = scale.reshape(-1)[:1].reshape(())
    scaled = net.add("Mul", net.one_of(*_orders(source.name, net.constant(scale))))
    op = net.one_of("Add", "Sub")
    moved = net.add(op, [scaled, net.constant(offset)])
    net.keep(moved, source.shape, source.places + 2, source.bound * 1.5 + 10)


def _orders(*names: str):
    return list(names), list(names)[::-1]


def activation(net: Network, source: Tensor | None = None) -> None:
    source = source or net.pick()
    kind = net.one_of("Relu", "PRelu", "LeakyRelu", "Clip", "Neg")
    places, inputs, more = source.places, [source.name], {}
    if kind == "PRelu":
        slopes = net.multiples(*net.channel_shape(source.shape[0]), most=4)
        inputs.append(net.constant(slopes))
    if kind == "LeakyRelu":
        more["alpha"] = 0.25
    if kind == "Clip":
        inputs += [net.constant(-1.5), net.constant(6)]
    places += 2 if kind in ("PRelu", "LeakyRelu") else 1 if kind == "Clip" else 0
    net.keep(net.add(kind, inputs, **more), source.shape, places, max(source.bound, 6))


def residual(net: Network, source: Tensor | None = None) -> None:
    source = source or net.pick()
    others = [item for item in net.tensors if item.shape == source.shape]
    other = others[net.rng.integers(len(others))]
    op = net.one_of("Add", "Add", "Add", "Sub")
    name = net.add(op, net.one_of(*_orders(source.name, other.name)))
    places = max(source.places, other.places)
    net.keep(name, source.shape, places, source.bound + other.bound)


def gate(net: Network) -> None:
    source = net.pick()
    pixels = int(np.prod(source.shape[1:]))
    if pixels & (pixels - 1):
        return
    mean = net.add("GlobalAveragePool", [source.name])
    places = source.places + pixels.bit_length() - 1
    gate = net.add("HardSigmoid", [mean], alpha=0.25, beta=0.5)
    if Tensor(mean, (), places, source.bound).fits():
        name = net.add("Mul", net.one_of(*_orders(source.name, gate)))
        net.keep(name, source.shape, places + 2 + source.places, source.bound)


def pool(net: Network) -> None:
    source = net.pick()
    sizes, rank = source.shape[1:], net.rank
    kernel = [min(size, net.one_of(1, 2)) for size in sizes]
    strides = [net.one_of(1, 2) for _ in sizes]
    pads = [net.one_of(0, 0, 1) if k > 1 else 0 for k in kernel]
    out = (np.array(sizes) + 2 * np.array(pads) - kernel) // strides + 1
    given = {"kernel_shape": kernel, "strides": strides, "pads": pads * 2}
    op = net.one_of("MaxPool", "AveragePool")
    if op == "AveragePool":
        given["count_include_pad"] = net.one_of(0, 1)
    name = net.add(op, [source.name], **given)
    places = source.places + (rank if op == "AveragePool" else 0)
    net.keep(name, (source.shape[0], *out.tolist()), places, source.bound)


def concatenation(net: Network) -> None:
    source = net.pick()
    fitting = [item for item in net.tensors if item.shape[1:] == source.shape[1:]]
    count = net.one_of(1, 2, 3)
    chosen = [
        source,
        *(fitting[net.rng.integers(len(fitting))] for _ in range(count - 1)),
    ]
    channels = sum(item.shape[0] for item in chosen)
    name = net.add("Concat", [item.name for item in chosen], axis=1)
    places, bound = (
        max(getattr(t, key) for t in chosen) for key in ("places", "bound")
    )
    net.keep(name, (channels, *source.shape[1:]), places, bound)


def shuffle(net: Network) -> None:
    """Channels of some groups by turns, in the order of the file or channels last."""
    source = net.pick()
    channels, *sizes = source.shape
    groups = [n for n in (2, 3, 4, 8) if channels % n == 0]
    if not groups:
        return
    count, rank, name = net.one_of(*groups), net.rank + 2, source.name
    is_last = net.rng.random() < 0.5
    order = [0, *range(2, rank), 1]
    if is_last:
        name = net.add("Transpose", [name], perm=order)
    front, back = ([*sizes], []) if is_last else ([], [*sizes])
    halves = [count, channels // count]
    before = net.constant([-1, *front, *halves, *back], np.int64)
    after = net.constant([-1, *front, channels, *back], np.int64)
    at = 1 + len(front)
    turns = [*range(at), at + 1, at, *range(at + 2, rank + 1)]
    name = net.add("Reshape", [name, before])
    name = net.add("Reshape", [net.add("Transpose", [name], perm=turns), after])
    if is_last:
        name = net.add("Transpose", [name], perm=[0, rank - 1, *range(1, rank - 1)])
    net.keep(name, source.shape, source.places, source.bound)


def largest(net: Network) -> None:
    """A largest value of windows that may overlap."""
    source = net.pick()
    sizes = source.shape[1:]
    kernel = [min(size, net.one_of(2, 3)) for size in sizes]
    strides = [net.one_of(1, 2) for _ in sizes]
    pads = [net.one_of(0, 1) if k > 1 else 0 for k in kernel]
    out = (np.array(sizes) + 2 * np.array(pads) - kernel) // strides + 1
    given = {"kernel_shape": kernel, "strides": strides, "pads": pads * 2}
    name = net.add("MaxPool", [source.name], **given)
    net.keep(name, (source.shape[0], *out.tolist()), source.places, source.bound)
    if net.rng.random() < 0.7:
        scale(net, net.tensors[-1])


def wide_conv(net: Network) -> None:
    """A binary convolution of whole words of channels, and others."""
    source = net.pick()
    channels, *sizes = source.shape
    groups = net.one_of(1, 1, 1, *(n for n in (2, 4) if channels % n == 0))
    each = net.one_of(32, 64, 20, 96) // groups
    size = net.one_of(1, 3)
    shape = [groups * each, *[size] * net.rank, channels // groups]
    given = files.convolution(shape) | {
        "pads": [size // 2] * 2 * net.rank,
        "group": groups,
        "pad_value": float(net.one_of(0, 1)),
    }
    signs = net.packed("Sign", [source.name])
    stored = files.codes(int(np.prod(shape)), seed=int(net.rng.integers(1 << 30)))
    weights = net.constant(stored, np.uint8)
    sums = net.packed(f"BConv{net.rank}D", [signs, weights], **given)
    if net.keep(sums, (shape[0], *sizes), 0, int(np.prod(shape[1:]))):
        net.accumulators.append(sums)
        if net.rng.random() < 0.6:
            scale(net, net.tensors[-1])


def part(net: Network) -> None:
    source = net.pick()
    channels = source.shape[0]
    if channels < 2:
        return
    first = int(net.rng.integers(1, channels))
    if net.rng.random() < 0.5:
        ends = [net.constant([n], np.int64) for n in (first, 1 << 40, 1, 1)]
        name = net.add("Slice", [source.name, *ends])
        shape = (channels - first, *source.shape[1:])
        net.keep(name, shape, source.places, source.bound)
        return
    names = [net.fresh(), net.fresh()]
    sizes = net.constant([first, channels - first], np.int64)
    words = f"{source.name} {sizes}"
    net.nodes.append(files.node("Split", words, " ".join(names), axis=1))
    for name, size in zip(names, (first, channels - first), strict=True):
        net.keep(name, (size, *source.shape[1:]), source.places, source.bound)


def wider(net: Network) -> None:
    source = net.pick()
    before, after = int(net.rng.integers(0, 5)), int(net.rng.integers(0, 5))
    zeros = [0] * net.rank
    pads = net.constant([0, before, *zeros, 0, after, *zeros], np.int64)
    name = net.add("Pad", [source.name, pads])
    shape = (source.shape[0] + before + after, *source.shape[1:])
    net.keep(name, shape, source.places, source.bound)


def improvement(net: Network) -> None:
    """As in MeliusNet: a narrow packed layer is added to some channels of its input."""
    source = net.pick()
    channels = source.shape[0]
    if channels < 2:
        return
    narrow = int(net.rng.integers(1, channels))
    before = int(net.rng.integers(0, channels - narrow + 1))
    shape = [narrow, *[3] * net.rank, channels]
    stored = files.codes(int(np.prod(shape)), seed=int(net.rng.integers(1 << 30)))
    given = files.convolution(shape)
    signs = net.packed("Sign", [source.name])
    weights = net.constant(stored, np.uint8)
    sums = net.packed(f"BConv{net.rank}D", [signs, weights], **given)
    net.accumulators.append(sums)
    zeros = [0] * net.rank
    ends = [0, before, *zeros, 0, channels - narrow - before, *zeros]
    wide = net.add("Pad", [sums, net.constant(ends, np.int64)])
    total = net.add("Add", net.one_of(*_orders(source.name, wide)))
    bound = source.bound + int(np.prod(shape[1:]))
    if net.keep(total, source.shape, source.places, bound) and net.rng.random() < 0.5:
        scale(net, net.tensors[-1])


def float_conv(net: Network) -> None:
    source = net.pick()
    size, out = net.one_of(1, 1, 3), net.one_of(3, 8, source.shape[0])
    weights = net.multiples(out, source.shape[0], *[size] * net.rank, of=0.5, most=2)
    inputs = [source.name, net.constant(weights)]
    if net.rng.random() < 0.5:
        inputs.append(net.constant(net.multiples(out)))
    stride = net.one_of(1, 1, 2)
    name = net.add(
        "Conv", inputs, pads=[size // 2] * 2 * net.rank, strides=[stride] * net.rank
    )
    space = [(n - 1) // stride + 1 for n in source.shape[1:]]
    bound = source.bound * float(
        np.abs(weights).sum((1, *range(2, weights.ndim))).max()
    )
    net.keep(name, (out, *space), source.places + 2, bound + 2)


def float_quantizer(net: Network) -> None:
    source = net.pick()
    op, more = net.one_of(
        ("Sign", {}), ("Heaviside", {}), ("Ternary", {"threshold": 0.5})
    )
    net.keep(net.packed(op, [source.name], **more), source.shape, 0, 1)


def turned(net: Network) -> None:
    """An operation between two transpositions."""
    source = net.pick()
    rank = net.rank + 2
    last = net.add("Transpose", [source.name], perm=[0, *range(2, rank), 1])
    scaled = net.add("Mul", [last, net.constant(net.multiples(source.shape[0]))])
    name = net.add("Transpose", [scaled], perm=[0, rank - 1, *range(1, rank - 1)])
    net.keep(name, source.shape, source.places + 2, source.bound * 1.5)


def tail(net: Network, source: Tensor) -> dict[str, tuple]:
    """Flattened as Keras does it, and a packed dense layer."""
    rank = net.rank + 2
    if net.rng.random() < 0.5:
        last = net.add("Transpose", [source.name], perm=[0, *range(2, rank), 1])
    else:
        last = source.name
    flat = net.add("Flatten", [last])
    features = int(np.prod(source.shape))
    signs = net.packed("Sign", [flat])
    stored = net.constant(files.codes(5 * features), np.uint8)
    sums = net.packed(
        "BDense", [signs, stored], weight_shape=[5, features], input="sign"
    )
    net.accumulators.append(sums)
    scaled = net.add("Mul", [sums, net.constant(net.multiples(5))])
    return {scaled: (5,)}
