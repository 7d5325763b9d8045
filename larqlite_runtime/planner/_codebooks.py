"""How floats become the bits that packed nodes read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from larqlite_runtime._graph import GraphNode
from larqlite_runtime._program import EpilogueKind
from larqlite_runtime.format import (
    DOMAIN,
    QUANTIZERS,
    ValueType,
    input_steps,
    type_of_input,
)
from larqlite_runtime.planner._subgraph import Subgraph

_PACKS = {
    "Sign": EpilogueKind.PACK_SIGN,
    "Heaviside": EpilogueKind.PACK_HEAVISIDE,
    "Ternary": EpilogueKind.PACK_TERNARY,
    "Steps": EpilogueKind.PACK_STEPS,
    "Integers": EpilogueKind.PACK_INTEGERS,
}
_CODES = {
    "Sign": EpilogueKind.CODE_SIGN,
    "Heaviside": EpilogueKind.CODE_HEAVISIDE,
    "Ternary": EpilogueKind.CODE_TERNARY,
    "Steps": EpilogueKind.CODE_STEPS,
    "Integers": EpilogueKind.CODE_INTEGERS,
}
# What makes the bits of values that are those of a type already, by its word.
_IDENTITIES = {
    "sign": ("Sign", {}),
    "heaviside": ("Heaviside", {}),
    "ternary": ("Ternary", {"threshold": 0.5}),
    "steps": ("Steps", {}),
    "integers": ("Integers", {}),
}


@dataclass(frozen=True)
class Codebook:
    """A quantizer, which makes bits of floats, and the type of what it makes.

    Attributes:
        quantizer: name of the operation.
        type: of the values.
        threshold: of ternary values.
    """

    quantizer: str
    type: ValueType
    threshold: float = 0.0

    @property
    def pack(self) -> EpilogueKind:
        """The epilogue that makes the bits."""
        return _PACKS[self.quantizer]

    @property
    def code(self) -> EpilogueKind:
        """The epilogue that makes codes."""
        return _CODES[self.quantizer]

    @property
    def operands(self) -> tuple[float, float]:
        """The numbers that this epilogue takes."""
        if self.quantizer == "Integers":
            return self.type.low, self.type.high
        return self.threshold, 0.0

    @property
    def is_thresholded(self) -> bool:
        """Whether each plane is +1 from some value on."""
        return self.type.bits == 1 or QUANTIZERS[self.quantizer].is_thresholded

    def planes_of(self, v: np.ndarray) -> list[np.ndarray]:
        """One array of booleans for each plane, true where it is -1."""
        attributes = {
            "threshold": self.threshold,
            "bits": self.type.bits,
            "low": self.type.low,
            "high": self.type.high,
        }
        return QUANTIZERS[self.quantizer].planes_of(v, attributes)


def is_quantizer(node: GraphNode) -> bool:
    """Whether a node makes one of the few-valued tensors, of those that kernels make."""
    return node.domain == DOMAIN and node.op in _PACKS


def codebook_of_quantizer(node: GraphNode) -> Codebook:
    """What a quantizer node makes."""
    return _codebook(node.op, node.attributes)


def codebook_of_type(value_type: ValueType) -> Codebook:
    """What makes the bits of values of a type."""
    name, more = _IDENTITIES[value_type.word.partition(":")[0]]
    ends = {"low": value_type.low, "high": value_type.high}
    return _codebook(name, {"bits": value_type.bits, **ends, **more})


def _codebook(quantizer: str, attributes: dict) -> Codebook:
    threshold = float(attributes.get("threshold", 0.0))
    return Codebook(quantizer, QUANTIZERS[quantizer].type_of(attributes), threshold)


def codebook_of_input(
    node: GraphNode, subgraph: Subgraph
) -> tuple[str, Codebook] | None:
    """The float tensor to pack for a packed node and how; None if it has many values.

    The tensor is the input of the quantizer before the node; where there is none, its
    values themselves are packed.
    """
    said = type_of_input(node.attributes.get("input", "integer"), input_steps(node))
    if said is None:
        return None
    source = node.inputs[0]
    quantizer = subgraph.made_by(source)
    if quantizer is not None and is_quantizer(quantizer):
        made = codebook_of_quantizer(quantizer)
        return (quantizer.inputs[0], made) if made.type == said else None
    return source, codebook_of_type(said)
