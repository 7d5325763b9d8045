"""The few values that inputs of packed nodes hold, as planes of bits."""

from __future__ import annotations

from dataclasses import dataclass

from larqlite_runtime._graph import PACKED, GraphNode
from larqlite_runtime._program import EpilogueKind
from larqlite_runtime.planner._subgraph import Subgraph


@dataclass(frozen=True)
class Codebook:
    """Values x of a tensor as x = (sum of planes + offset) / 2^halved in whole numbers.

    Attributes:
        pack: the epilogue that makes the bits of a float.
        planes: of bits, each +1 (bit 0) or -1 (bit 1).
        equal: whether all planes weigh 1; else plane p weighs 2^p.
        offset, halved: as in the formula.
        low, high: the least and the largest whole number.
        inverse_scale: whole numbers in 1.0.
        threshold: of ternary values.
    """

    pack: EpilogueKind
    planes: int = 1
    equal: bool = False
    offset: int = 0
    halved: int = 0
    low: int = -1
    high: int = 1
    inverse_scale: int = 1
    threshold: float = 0.0

    @property
    def weight(self) -> int:
        """What all planes weigh together."""
        return self.planes if self.equal else (1 << self.planes) - 1

    @property
    def numbers(self) -> tuple:
        """What the bits stand for, however they are made."""
        bits = self.planes, self.equal, self.offset, self.halved
        return (*bits, self.low, self.high, self.inverse_scale)

    def bits_of(self, value: int) -> tuple[int, ...] | None:
        """The bits that stand for a whole number, None if there are none."""
        for code in range(1 << self.planes):
            bits = tuple(code >> plane & 1 for plane in range(self.planes))
            if self.value_of(bits) == value:
                return bits
        return None

    def value_of(self, bits: tuple[int, ...]) -> float:
        """The whole number that bits stand for."""
        total = sum(
            (1 if self.equal else 1 << plane) * (1 - 2 * bit)
            for plane, bit in enumerate(bits)
        )
        return (total + self.offset) / (1 << self.halved)


SIGN = Codebook(EpilogueKind.PACK_SIGN)
HEAVISIDE = Codebook(EpilogueKind.PACK_HEAVISIDE, offset=1, halved=1, low=0)


def ternary(threshold: float) -> Codebook:
    """-1, 0 and +1."""
    return Codebook(
        EpilogueKind.PACK_TERNARY,
        planes=2,
        equal=True,
        halved=1,
        threshold=float(threshold),
    )


def steps(bits: int) -> Codebook:
    """0, 1/n, ..., 1 with n = 2^bits - 1; the whole numbers are 0 to n."""
    last = (1 << bits) - 1
    return Codebook(
        EpilogueKind.PACK_STEPS,
        planes=bits,
        offset=last,
        halved=1,
        low=0,
        high=last,
        inverse_scale=last,
    )


_OF_QUANTIZERS = {
    "Sign": lambda node: SIGN,
    "Heaviside": lambda node: HEAVISIDE,
    "Ternary": lambda node: ternary(node.attributes["threshold"]),
    "Steps": lambda node: steps(int(node.attributes["bits"])),
}
QUANTIZERS = frozenset(_OF_QUANTIZERS)


def is_quantizer(node: GraphNode) -> bool:
    """Whether a node makes one of the few-valued tensors."""
    return node.domain == PACKED and node.op in QUANTIZERS


def codebook_of_quantizer(node: GraphNode) -> Codebook:
    """What comes out of a quantizer node."""
    return _OF_QUANTIZERS[node.op](node)


def codebook_of_input(
    node: GraphNode, subgraph: Subgraph
) -> tuple[str, Codebook] | None:
    """The float tensor to pack for a packed node and how; None if it has many values.

    The tensor is the input of the quantizer before the node; where there is none, its
    values themselves are packed.
    """
    said = node.attributes.get("input", "integer")
    inverse_scale = float(node.attributes.get("input_steps", 1))
    if inverse_scale != int(inverse_scale) or not 1 <= inverse_scale < 256:
        return None
    inverse_scale = int(inverse_scale)
    bits = inverse_scale.bit_length()
    named = {
        "sign": (SIGN, 1),
        "heaviside": (HEAVISIDE, 1),
        "ternary": (ternary(0.5), 1),
        "steps": (steps(bits), inverse_scale)
        if inverse_scale == (1 << bits) - 1
        else None,
    }.get(said)
    if named is None or named[1] != inverse_scale:
        return None
    codebook = named[0]
    source = node.inputs[0]
    quantizer = subgraph.made_by(source)
    if quantizer is not None and is_quantizer(quantizer):
        made = codebook_of_quantizer(quantizer)
        if made.numbers != codebook.numbers:
            return None
        return quantizer.inputs[0], made
    return source, codebook
