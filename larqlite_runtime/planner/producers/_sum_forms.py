"""In which form a packed layer is summed: bits by planes, or codes by bytes."""

from __future__ import annotations

from enum import Enum

from larqlite_runtime.format import ValueType

# Pairs of planes that the kernels sum.
MOST_PLANE_PAIRS = 8
# Planes of an input up to which counting bits is faster than multiplying bytes, by bits of the
# kernel and instruction set; `benchmarks/codes.py` measures both.
_COUNTED: dict[str, dict[int, int]] = {
    "avx512": {1: 3, 2: 2},
    "amx": {1: 3, 2: 2},
}
_COUNTED_ELSEWHERE = {1: 8, 2: 4}


class SumForm(Enum):
    """How sums of products are computed."""

    PLANES = "planes"
    CODES = "codes"


def forms_of(value_type: ValueType, planes: int, isa: str) -> list[SumForm]:
    """The forms that sum an input and a kernel, the faster one first.

    Args:
        value_type: of the input.
        planes: of the kernel.
        isa: the instruction set.
    """
    if value_type.bits * planes > MOST_PLANE_PAIRS:
        return [SumForm.CODES]
    counted = _COUNTED.get(isa, _COUNTED_ELSEWHERE)
    if value_type.bits <= counted.get(planes, MOST_PLANE_PAIRS):
        return [SumForm.PLANES, SumForm.CODES]
    return [SumForm.CODES, SumForm.PLANES]
