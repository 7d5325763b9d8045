"""Random networks whose floats are exact, so that any two right runs agree to the bit.

All numbers are multiples of a power of two and small enough for the 24 bits of float32:
no operation rounds, in whatever order sums are made, and no sign hangs on a last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx

from tests.runtime import files

BITS = 22  # of float32 that values may take


@dataclass
class Tensor:
    """A tensor of the network: multiples of 2^-places up to `bound`."""

    name: str
    shape: tuple[int, ...]  # channels first, without the batch
    places: int
    bound: float

    def fits(self) -> bool:
        return self.bound * 2.0**self.places < 2.0**BITS


@dataclass
class Network:
    """A random network: its nodes so far and the tensors that the next one may read."""

    rng: np.random.Generator
    rank: int
    nodes: list = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    accumulators: list[str] = field(default_factory=list)
    count: int = 0

    def one_of(self, *values):
        return values[self.rng.integers(len(values))]

    def fresh(self, word: str = "t") -> str:
        self.count += 1
        return f"{word}{self.count}"

    def constant(self, array, dtype=np.float32) -> str:
        name = self.fresh("c")
        self.constants[name] = np.asarray(array, dtype)
        return name

    def multiples(self, *shape: int, of: float = 0.25, most: int = 6) -> np.ndarray:
        """Random multiples of a number, zero and negative ones among them."""
        return (self.rng.integers(-most, most + 1, shape) * of).astype(np.float32)

    def add(self, op: str, inputs: list[str], domain: str = "", **attributes) -> str:
        name = self.fresh()
        words = " ".join(item or "-" for item in inputs)
        self.nodes.append(files.node(op, words, name, domain, **attributes))
        return name

    def packed(self, op: str, inputs: list[str], **attributes) -> str:
        return self.add(op, inputs, files.PACKED, **attributes)

    def keep(self, name: str, shape, places: int, bound: float) -> Tensor | None:
        """A tensor for later nodes, unless its values are no longer exact."""
        tensor = Tensor(name, tuple(shape), places, float(bound))
        if not tensor.fits():
            return None
        self.tensors.append(tensor)
        return tensor

    def pick(self) -> Tensor:
        """A tensor; mostly the last one."""
        if self.rng.random() < 0.6:
            return self.tensors[-1]
        return self.tensors[self.rng.integers(len(self.tensors))]

    def channel_shape(self, channels: int) -> tuple[int, ...]:
        return (channels, *[1] * self.rank)


def random_network(seed: int, length: int = 8) -> tuple[onnx.ModelProto, list[str]]:
    """A network and the names of its accumulators; the same for the same seed."""
    rng = np.random.default_rng(seed)
    rank = int(rng.choice([1, 2, 2, 2, 3]))
    net = Network(rng, rank)
    sizes = {1: (8,), 2: (8, 4), 3: (2, 4, 4)}[rank]
    channels = net.one_of(1, 3, 8, 33)
    if rng.random() < 0.5:
        given = (*sizes, channels)
        order = [0, rank + 1, *range(1, rank + 1)]
        net.keep(net.add("Transpose", ["x"], perm=order), (channels, *sizes), 2, 2)
    else:
        given = (channels, *sizes)
        net.keep("x", given, 2, 2)
    for _ in range(length):
        net.one_of(*_OPS)(net)
    _conv(net)
    last = net.tensors[-1]
    outputs = {last.name: last.shape}
    if rng.random() < 0.5:
        outputs |= _tail(net, last)
    outputs.pop("x", None)
    for tensor in net.tensors[-2:]:
        if rng.random() < 0.3 and tensor.name != "x":
            outputs[tensor.name] = tensor.shape
    outputs = outputs or _tail(net, last)
    model = files.model(net.nodes, {"x": given}, outputs, net.constants)
    return model, net.accumulators


def random_input(model: onnx.ModelProto, batch: int, seed: int = 0) -> dict:
    """What such a network is fed."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    values = np.random.default_rng(seed).integers(-8, 9, (batch, *shape[1:]))
    return {"x": (values / 4).astype(np.float32)}


# Packed layers.


def _quantized(net: Network, source: Tensor) -> tuple[str, str, int, float]:
    """A quantizer node: its output, the name of its values, input_steps, largest value."""
    kind = net.one_of("sign", "sign", "sign", "heaviside", "ternary", "steps")
    if kind == "steps":
        bits = net.one_of(1, 2, 3)
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
    bits = {"B": 1, "T": 2}.get(letter) or net.one_of(1, 2, 3)
    if letter != "Q":
        return letter, bits, {}
    step, offset = 2.0, -float((1 << bits) - 1)
    if net.rng.random() < 0.1:
        step, offset = 1.0, -1.0  # not symmetric unless there are two bits
        bits = 2
    return letter, bits, {"bits": bits, "step": step, "offset": offset}


def _conv(net: Network) -> None:
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
    pads = [
        int(net.rng.integers(0, 1 + (k - 1) * d))
        for k, d in zip(kernel, dilations, strict=True)
    ] * 2
    outside = net.one_of(0, 0, 1) if kind == "steps" else net.one_of(0, 0, 1, -1)
    given = {
        "weight_shape": shape,
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "input": kind,
    } | levels
    if is_transposed:
        strides = [
            s if s > 1 or d == 1 else 1 for s, d in zip(strides, dilations, strict=True)
        ]
        extra = [int(net.rng.integers(0, s)) for s in strides]
        given["output_padding"] = extra
        out = [
            (n - 1) * s + (k - 1) * d + 1 - p - q + e
            for n, s, k, d, p, q, e in zip(
                sizes,
                strides,
                kernel,
                dilations,
                pads[:rank],
                pads[rank:],
                extra,
                strict=True,
            )
        ]
    else:
        given |= {"group": groups, "pad_value": float(outside)}
        out = [
            (n + p + q - (k - 1) * d - 1) // s + 1
            for n, s, k, d, p, q in zip(
                sizes, strides, kernel, dilations, pads[:rank], pads[rank:], strict=True
            )
        ]
    if min(out) < 1 or max(out) > 20:
        return
    if letter == "Q":
        given["input_steps"] = float(count)
    stored = files.codes(int(np.prod(shape)), bits, seed=int(net.rng.integers(1 << 30)))
    weights = net.constant(stored, np.uint8)
    op = f"{letter}Conv{'Transpose' if is_transposed else ''}{rank}D"
    bound = int(np.prod(shape[1:])) * ((1 << bits) - 1) * most
    name = net.packed(op, [x, weights], **given)
    if net.keep(name, (shape[0], *out), 0, bound):
        net.accumulators.append(name)
    _after(net)


def _after(net: Network) -> None:
    """What often follows a packed layer."""
    for op in (_scale, _activation, _residual):
        if net.rng.random() < 0.5:
            op(net, net.tensors[-1])


# Everything else; each keeps values exact.


def _scale(net: Network, source: Tensor | None = None) -> None:
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


def _activation(net: Network, source: Tensor | None = None) -> None:
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


def _residual(net: Network, source: Tensor | None = None) -> None:
    source = source or net.pick()
    others = [item for item in net.tensors if item.shape == source.shape]
    other = others[net.rng.integers(len(others))]
    op = net.one_of("Add", "Add", "Add", "Sub")
    name = net.add(op, net.one_of(*_orders(source.name, other.name)))
    places = max(source.places, other.places)
    net.keep(name, source.shape, places, source.bound + other.bound)


def _gate(net: Network) -> None:
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


def _pool(net: Network) -> None:
    source = net.pick()
    sizes, rank = source.shape[1:], net.rank
    kernel = [min(size, net.one_of(1, 2)) for size in sizes]
    strides = [net.one_of(1, 2) for _ in sizes]
    pads = [net.one_of(0, 0, 1) if k > 1 else 0 for k in kernel] * 2
    out = [
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(sizes, pads, kernel, strides, strict=True)
    ]
    given = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    op = net.one_of("MaxPool", "AveragePool")
    if op == "AveragePool":
        given["count_include_pad"] = net.one_of(0, 1)
    name = net.add(op, [source.name], **given)
    places = source.places + (rank if op == "AveragePool" else 0)
    net.keep(name, (source.shape[0], *out), places, source.bound)


def _concatenation(net: Network) -> None:
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


def _part(net: Network) -> None:
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


def _wider(net: Network) -> None:
    source = net.pick()
    before, after = int(net.rng.integers(0, 5)), int(net.rng.integers(0, 5))
    zeros = [0] * net.rank
    pads = net.constant([0, before, *zeros, 0, after, *zeros], np.int64)
    name = net.add("Pad", [source.name, pads])
    shape = (source.shape[0] + before + after, *source.shape[1:])
    net.keep(name, shape, source.places, source.bound)


def _float_conv(net: Network) -> None:
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


def _float_quantizer(net: Network) -> None:
    source = net.pick()
    op, more = net.one_of(
        ("Sign", {}), ("Heaviside", {}), ("Ternary", {"threshold": 0.5})
    )
    net.keep(net.packed(op, [source.name], **more), source.shape, 0, 1)


def _turned(net: Network) -> None:
    """An operation between two transpositions."""
    source = net.pick()
    rank = net.rank + 2
    last = net.add("Transpose", [source.name], perm=[0, *range(2, rank), 1])
    scaled = net.add("Mul", [last, net.constant(net.multiples(source.shape[0]))])
    name = net.add("Transpose", [scaled], perm=[0, rank - 1, *range(1, rank - 1)])
    net.keep(name, source.shape, source.places + 2, source.bound * 1.5)


def _tail(net: Network, source: Tensor) -> dict[str, tuple]:
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


_OPS: tuple[Callable[[Network], None], ...] = (
    *(_conv, _conv, _conv, _scale, _activation, _residual, _residual, _gate, _pool),
    *(_concatenation, _part, _wider, _float_conv, _float_quantizer, _turned),
)
