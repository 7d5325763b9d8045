"""Products of more than 8 bits as sums of products of digits, which float32 holds exactly."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers import _bodies
from larqlite.integer.onnx.layers._scales import QuantizedKernel
from larqlite.primitives import FLOAT32_LIMIT

__all__ = ["Digits", "mode_of", "parsed", "products"]


class Digits(NamedTuple):
    """How many digits inputs and weights have, and of how many bits."""

    inputs: int
    input_width: int
    weights: int
    weight_width: int

    @property
    def word(self) -> str:
        """As it is in the type of an operation: `X2x8W1x8`."""
        return f"X{self.inputs}x{self.input_width}W{self.weights}x{self.weight_width}"


def mode_of(
    kernel: QuantizedKernel,
    limit: int,
    input_bits: int,
    weight_bits: int,
    has_no_integers: bool,
    where: str,
) -> str:
    """What a type says of its sums: nothing, `Wide`, or digits.

    Args:
        kernel: its codes and bound.
        limit: the largest magnitude of an input.
        input_bits, weight_bits: 8 or 16.
        has_no_integers: whether there is no operation of integers to sum with.
        where: the layer, for messages.

    Raises:
        UnsupportedModelError: not even digits of four bits stay within float32.
    """
    if not kernel.needs_integers:
        return ""
    if input_bits == weight_bits == 8 and not has_no_integers:
        return "Wide"
    flat = kernel.codes.reshape(len(kernel.codes), -1).astype(np.int64)
    for weight_width in (8, 4):
        for input_width in (8, 4):
            mode = Digits(
                input_bits // input_width,
                input_width,
                weight_bits // weight_width,
                weight_width,
            )
            most = -(-limit // 2 ** (input_width * (mode.inputs - 1)))
            parts = _split(flat, mode.weights, weight_width)
            reach = max(int(np.abs(part).sum(axis=1).max()) for part in parts)
            if reach * most <= FLOAT32_LIMIT:
                return mode.word
    raise UnsupportedModelError(
        f"{where}: {flat.shape[1]:,} products are summed, too many for float32 to hold "
        "them exactly.\n  Fix: split the layer into groups of channels, or leave it float."
    )


def parsed(op_type: str) -> Digits | None:
    """The digits that a type names; None if there are none."""
    found = re.search(r"X(\d)x(\d)W(\d)x(\d)", op_type)
    return None if found is None else Digits(*map(int, found.groups()))


def products(
    mode: Digits, given: str, weights: str, product: Callable[[str, str], str]
) -> str:
    """`products`, float64: the sums of an operation, linear in inputs and weights.

    Args:
        mode: how many digits.
        given: the inputs, whose first axis is the batch.
        weights: their name.
        product: the operation's text for an input and a weight.
    """
    body, names = _bodies.digits(given, mode.inputs, mode.input_width)
    stacked = names[0]
    if mode.inputs > 1:
        stacked = "stacked"
        body += f"\n    stacked = Concat <axis: int = 0> ({', '.join(names)})"
    more, parts = _bodies.digits(weights, mode.weights, mode.weight_width)
    body += more
    terms = []
    for i, part in enumerate(parts):
        body += f"""
    sums_{i} = {product(stacked, part)}
    exact_{i} = Cast <to: int = 11> (sums_{i})"""
        terms.append(f"exact_{i}")
    body += _weighted(terms, mode.weight_width, "by_input")
    if mode.inputs == 1:
        return body + "\n    products = Identity (by_input)"
    rows = [f"row_{i}" for i in range(mode.inputs)]
    body += f"""
    {", ".join(rows)} = Split <axis: int = 0, num_outputs: int = {mode.inputs}> (by_input)"""
    return body + _weighted(rows, mode.input_width, "products")


def _weighted(terms: list[str], width: int, out: str) -> str:
    """`sum(term_i * 2^(width * i))`."""
    body, total = "", terms[0]
    for i, term in enumerate(terms[1:], 1):
        body += f"""
    {out}_power_{i} = Constant <value: tensor = double {{{2.0 ** (width * i)}}}> ()
    {out}_scaled_{i} = Mul ({term}, {out}_power_{i})
    {out}_total_{i} = Add ({total}, {out}_scaled_{i})"""
        total = f"{out}_total_{i}"
    return body + f"\n    {out} = Identity ({total})"


def _split(codes: np.ndarray, count: int, width: int) -> list[np.ndarray]:
    """The digits of integers, as `_bodies.digits` makes them."""
    found, rest = [], codes
    for _ in range(count - 1):
        higher = (rest + 2 ** (width - 1)) >> width
        found.append(rest - (higher << width))
        rest = higher
    return [*found, rest]
