"""In which form a packed layer is summed: bits by planes, codes by bytes, or by tables."""

from __future__ import annotations

from enum import Enum

from larqlite_runtime.format import ValueType

# Pairs of planes that the kernels sum.
MOST_PLANE_PAIRS = 8
# Planes of an input up to which counting bits is faster than multiplying bytes, by planes of
# the kernel: measured with `make bench ARGS="codes_counted_3_1"` and its like, 32x2048x2048, in
# GMAC/s. AVX-512: 1 x 3 planes 394, 1 x 4 planes 300, against 348 by tables; 2 x 2 planes 300,
# 2 x 3 planes 202, against 222 of bytes. AVX2: 1 x 2 planes 199, 1 x 3 planes 135, against 153;
# 2 x 1 planes 200, 2 x 2 planes 102, against 148. A set that is not named was not measured: it
# multiplies bytes where more than `MOST_PLANE_PAIRS` leave nothing else.
_COUNTED: dict[str, dict[int, int]] = {
    "avx512": {1: 3, 2: 2, 3: 1, 4: 1},
    "amx": {1: 3, 2: 2, 3: 1, 4: 1},
    "avx2": {1: 2, 2: 1},
}
# Channels from which on tables are made for enough of them.
_LOOKED_UP = {"avx512": 256, "amx": 256}


class SumForm(Enum):
    """How sums of products are computed.

    Attributes:
        PLANES: ones of exclusive ors are counted, for each pair of planes.
        CODES: bytes of the input are multiplied with the codes of the kernel.
        LOOKUPS: for some bytes of the input, a table of all sums that a kernel of one bit can
            make of them.
    """

    PLANES = "planes"
    CODES = "codes"
    LOOKUPS = "lookups"


def forms_of(
    value_type: ValueType, planes: int, groups: int, channels: int, isa: str
) -> list[SumForm]:
    """The forms that sum an input and a kernel, the fastest one first.

    Args:
        value_type: of the input.
        planes: of the kernel.
        groups, channels: of the output.
        isa: the instruction set.

    >>> from larqlite_runtime.format import steps
    >>> [form.value for form in forms_of(steps(8), 2, 1, 64, "avx512")]
    ['codes']
    """
    found = [SumForm.CODES]
    if planes == groups == 1 and channels >= _LOOKED_UP.get(isa, channels + 1):
        found.insert(0, SumForm.LOOKUPS)
    if value_type.bits * planes > MOST_PLANE_PAIRS:
        return found
    counted = _COUNTED[isa].get(planes, 0) if isa in _COUNTED else MOST_PLANE_PAIRS
    place = 0 if value_type.bits <= counted else len(found)
    return [*found[:place], SumForm.PLANES, *found[place:]]
