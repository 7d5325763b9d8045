"""In which numbers float layers are computed: what was asked for, and what there is."""

from __future__ import annotations

from larqlite_runtime._errors import ArgumentError
from larqlite_runtime.backends import _native
from larqlite_runtime.names import near_matches
from larqlite_runtime.planner import ExecutionPlan, Numbers

# Bytes as such are for programs that are written down, not for calls.
PRECISIONS = tuple(numbers.value for numbers in Numbers if numbers is not Numbers.BYTES)
_NAMES = ", ".join(f'"{name}"' for name in PRECISIONS)


def precision_of(precision: object) -> Numbers:
    """A precision by its name.

    Raises:
        ArgumentError: there is none of that name.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ArgumentError(
            f"load: there is no precision {precision!r}."
            f"{near_matches(str(precision), PRECISIONS)}\n  Fix: one of {_NAMES}."
        )
    return Numbers(precision)


def multiplies(isa: str) -> tuple[bool, bool]:
    """Whether an instruction set multiplies bfloat16, and int16, faster than floats.

    NumPy is the reference for both.
    """
    lib = _native.library()
    if isa == _native.NUMPY or lib is None:
        return True, True
    found = lib.lq_halves(_native.INSTRUCTION_SETS[isa])
    return bool(found & 1), bool(found & 2)


def usable(asked: Numbers, isa: str) -> Numbers:
    """What is asked for, or float32 if this CPU has no instructions for it, which is said."""
    bf16, int16 = multiplies(isa)
    has = {Numbers.FLOAT32: True, Numbers.BF16: bf16, Numbers.PIXELS: int16}
    if has[asked]:
        return asked
    what = "bfloat16" if asked is Numbers.BF16 else "pairs of int16"
    _say(asked, f'this CPU does not multiply {what} with "{isa}"')
    return Numbers.FLOAT32


def say_what_is_missing(asked: Numbers, plan: ExecutionPlan) -> None:
    """Says if nothing in a plan is computed as it was asked for."""
    if plan.numbers is asked:
        return
    if asked is Numbers.BF16:
        _say(asked, "the kernels run no float layer of this file")
    else:
        _say(
            asked,
            "no layer of this file reads an input that is only scaled channel by channel "
            "before it, and by no other layer",
        )


def _say(asked: Numbers, why: str) -> None:
    _native.say_once(
        f'precision="{asked.value}" is not to be had: {why}. Float layers run in '
        f'"float32", as model.precision says.'
    )
