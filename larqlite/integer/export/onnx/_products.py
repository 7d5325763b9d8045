"""Convolutions of integers with kernels, split where one float32 sum would not be exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from larqlite.integer.export._integers import Integers, smallest_kind, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.primitives import FLOAT32_LIMIT, FLOAT64_LIMIT, float_type, int_type

# Of the kernel: integers, the largest input for each weight -> sums over the terms.
Sums = Callable[[np.ndarray], np.ndarray]


def with_kernel(
    graph: IntegerWriter,
    op: str,
    x: Integers,
    kernel: np.ndarray,
    bias: np.ndarray,
    inputs_of: Callable,
    summed: tuple[int, ...],
    **attributes,
) -> tuple[str, str, np.ndarray, np.ndarray]:
    r"""The sums of products of integers with a kernel, plus a bias, exact.

    All partial sums of an output are at most $\sum |w| \max|x| + |b|$. Up to $2^{24}$
    one float32 operation is exact. Else the kernel, and if need be the input, is split
    into pieces of fewer bits for which that holds, and the results are added as int64.

    Args:
        graph: the graph.
        op: "IntConv" or "IntConvTranspose".
        x: its input, channels first.
        kernel: integers in ONNX' order.
        bias: integers, one for each output.
        inputs_of: makes a vector for the input channels one that broadcasts with the
            kernel.
        summed: axes of the kernel that are added for one output.
        **attributes: of the operation.

    Returns:
        The name and type of the result, and its bounds, one for each output channel.
    """

    def spread(ends):
        return of_channels(ends, x, inputs_of)

    def sums(values) -> np.ndarray:
        return np.sum(values, axis=summed).reshape(-1)

    wide, bias = whole(kernel), whole(bias)
    low, high = spread(np.minimum(x.low, 0)), spread(np.maximum(x.high, 0))
    up, down = np.maximum(wide, 0), np.minimum(wide, 0)
    lowest = sums(up * low + down * high) + bias
    highest = sums(up * high + down * low) + bias
    ends = int(np.min(lowest)), int(np.max(highest))
    kind = "int32" if smallest_kind(*ends) != "int64" else "int64"
    most = spread(x.most)
    if np.max(sums(abs(wide) * most) + abs(bias)) <= FLOAT32_LIMIT:
        names = [x.name, graph.exact(kernel, "kernel"), graph.exact(bias, "bias")]
        name = graph.function(op, names, to=kind, **attributes)
        return name, kind, lowest, highest
    _require_few_terms(graph, int(np.max(sums(np.ones_like(wide)))))
    zero = graph.exact(np.zeros_like(bias), "no_bias")
    kind = "int64"
    terms = []
    for left, left_bits, left_most in _of_input(graph, x, most, wide, sums):
        for right, right_bits in _of_kernel(wide, left_most, sums):
            names = [left, graph.exact(right, "kernel_piece"), zero]
            part = graph.function(op, names, to=kind, **attributes)
            if left_bits + right_bits:
                step = graph.exact(2 ** (left_bits + right_bits), "step", kind)
                part = graph.node("Mul", [part, step])
            terms.append(part)
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", [total, term])
    if np.any(bias):
        column = graph.exact(x.per_channel(bias), "bias", kind)
        total = graph.node("Add", [total, column])
    return total, kind, lowest, highest


def reach(x: Integers, kernel: np.ndarray, inputs_of, summed) -> np.ndarray:
    """The largest magnitude of each output, without a bias."""
    most = of_channels(x.most, x, inputs_of)
    return np.sum(abs(whole(kernel)) * most, axis=summed)


def of_channels(ends, x: Integers, inputs_of):
    """Bounds of `x` in a shape that broadcasts with a kernel."""
    ends = whole(ends)
    return inputs_of(np.broadcast_to(ends, (x.shape[-1],))) if ends.ndim else ends


def _of_kernel(kernel, most, sums) -> Iterator[tuple[np.ndarray, int]]:
    """The pieces of a kernel, each with the power of two that it stands for."""
    for bits in range(int(np.max(abs(kernel))).bit_length(), 0, -1):
        pieces = list(_pieces(kernel, bits))
        if all(np.max(sums(abs(p) * most)) <= FLOAT32_LIMIT for p, _ in pieces):
            return iter(pieces)
    return iter(())


def _pieces(kernel, bits: int) -> Iterator[tuple[np.ndarray, int]]:
    place, rest = 0, kernel
    while np.any(rest):
        higher = (rest + 2 ** (bits - 1)) // 2**bits
        yield rest - higher * 2**bits, place
        rest, place = higher, place + bits


def _of_input(graph: IntegerWriter, x: Integers, most, kernel, sums) -> Iterator:
    """The input, or pieces of it, for which the kernel has pieces that are exact."""
    if any(True for _ in _of_kernel(kernel, most, sums)):
        yield x.name, 0, most
        return
    bits = 4
    rest = graph.node("Cast", [x.name], to=11)
    step, part = (
        graph.stored(np.float64(number), "step") for number in (2.0**bits, 2.0**-bits)
    )
    place, largest = 0, int(np.max(x.most))
    while largest:
        higher = graph.node("Floor", [graph.node("Mul", [rest, part])])
        piece = graph.node("Sub", [rest, graph.node("Mul", [higher, step])])
        yield piece, place, whole(2**bits)
        rest, place, largest = higher, place + bits, largest >> bits
    # What is left is the sign: 0 or -1.
    yield rest, place, whole(1)


def _require_few_terms(graph: IntegerWriter, terms: int) -> None:
    if terms > FLOAT32_LIMIT >> 6:
        raise graph.refusal(
            f"each of its outputs adds {terms} products", "a layer of fewer inputs"
        )


def matmul(
    graph: IntegerWriter, left: Integers, right: Integers
) -> tuple[str, str, int]:
    """The product of two tensors of integers, of any rank.

    Returns:
        Its name and type, and the largest magnitude.
    """
    terms = left.shape[-1]
    most = int(np.max(left.most)) * int(np.max(right.most)) * terms
    return (*dense(graph, left, right.name, most), most)


def dense(
    graph: IntegerWriter, left: Integers, right: str, most: int
) -> tuple[str, str]:
    """A matrix product in the smallest type that holds sums up to `most`."""
    if most > FLOAT64_LIMIT:
        raise graph.refusal(
            f"its sums reach {most}, more than 2^53",
            "an output_quantizer in the layer before it",
        )
    kind = int_type(most)
    name = graph.function(
        "IntMatMul", [left.name, right], through=float_type(most), to=kind
    )
    return name, kind
