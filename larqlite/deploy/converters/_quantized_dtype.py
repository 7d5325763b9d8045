"""Which values a quantized tensor holds, by name: what a packed layer may count on."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class QuantizedDtype:
    """The values of a tensor that become small integers when multiplied with `steps`.

    Attributes:
        kind: "sign", "heaviside", "ternary" or "steps", as packed nodes say it.
        steps: what the values are multiplied with.
        lowest, highest: the bounds of those integers.
    """

    kind: str
    steps: int
    lowest: int
    highest: int

    @property
    def largest(self) -> int:
        """The largest magnitude."""
        return max(-self.lowest, self.highest)

    @property
    def pad_values(self) -> tuple[float, ...]:
        """What may be put around such a tensor."""
        return (0.0, 1.0) if self.lowest == 0 else (0.0, 1.0, -1.0)


_NAMED = {
    "sign": QuantizedDtype("sign", 1, -1, 1),
    "heaviside": QuantizedDtype("heaviside", 1, 0, 1),
    "ternary": QuantizedDtype("ternary", 1, -1, 1),
}
# More than these do not fit the planes of bits that kernels work on.
MOST_BITS = 8


def dtype_of(name: str | None) -> QuantizedDtype | None:
    """The levels that `Value.levels` names, or None if they are not low-bit.

    >>> dtype_of("steps:2")
    QuantizedDtype(kind='steps', steps=3, lowest=0, highest=3)
    """
    if name is None or name in _NAMED:
        return _NAMED.get(name)
    bits = int(name.partition(":")[2])
    steps = 2**bits - 1
    return QuantizedDtype("steps", steps, 0, steps) if bits <= MOST_BITS else None


def steps(bits: int) -> str:
    """The name of 2^bits values from 0 to 1.

    >>> steps(1), steps(4)
    ('heaviside', 'steps:4')
    """
    return "heaviside" if bits == 1 else f"steps:{bits}"


def united(*names: str | None) -> str | None:
    """The levels of tensors put together (concatenated, padded), or None.

    >>> united("sign", "heaviside"), united("sign", None)
    ('ternary', None)
    """
    kinds = set(names)
    if len(kinds) == 1:
        return names[0]
    if kinds <= {"sign", "heaviside", "ternary"}:
        return "ternary"
    if None not in kinds and len(kinds) == 2 and "heaviside" in kinds:
        (other,) = kinds - {"heaviside"}
        return other if other.startswith("steps") else None
    return None


def padded(name: str | None, pad_value: float) -> str | None:
    """The levels of a tensor with a value around it.

    >>> padded("sign", 0.0), padded("sign", 1.0), padded("steps:2", 0.0)
    ('ternary', 'sign', 'steps:2')
    """
    if name == "sign" and abs(pad_value) == 1:
        return name
    return united(
        name, {0.0: "heaviside", 1.0: "heaviside", -1.0: "sign"}.get(pad_value)
    )
