"""Which sub-optimizer trains which variable: decided, recorded, checked, described."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from larqlite.errors import OptimizerError

MOST_NAMED = 12


@dataclass(frozen=True)
class Assignment:
    """The owner of each variable, by its position in `model.trainable_variables`.

    Args:
        names: of the variables.
        shapes: of the variables.
        owners: index of the sub-optimizer, or None for a variable that stays as it is.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    owners: tuple[int | None, ...]

    def to_config(self) -> list[dict]:
        """Plain data for a file; `from_config` is the inverse."""
        return [
            {"variable": name, "shape": list(shape), "optimizer": owner}
            for name, shape, owner in zip(
                self.names, self.shapes, self.owners, strict=True
            )
        ]

    @classmethod
    def from_config(cls, config: Sequence[dict]) -> Assignment:
        """The assignment that `to_config` wrote down."""
        return cls(
            names=tuple(entry["variable"] for entry in config),
            shapes=tuple(tuple(entry["shape"]) for entry in config),
            owners=tuple(entry["optimizer"] for entry in config),
        )

    def described(self, labels: Sequence[str]) -> list[str]:
        """A line for each sub-optimizer, and one for the untrained variables."""
        served = {owner: [] for owner in range(len(labels))}
        for name, shape, owner in zip(
            self.names, self.shapes, self.owners, strict=True
        ):
            served.setdefault(owner, []).append(f"{name} {shape}")
        return [
            f"{'untrained' if owner is None else labels[owner]}: "
            f"{', '.join(variables) or 'nothing'}"
            for owner, variables in served.items()
        ]

    def require_same(self, variables: Sequence[tf.Variable], where: str) -> None:
        """Raises unless `variables` are those that this assignment was made for.

        Raises:
            OptimizerError: another number of variables, another name or shape.
        """
        names = tuple(variable.name for variable in variables)
        shapes = tuple(tuple(variable.shape) for variable in variables)
        if shapes == self.shapes and _same_names(names, self.names):
            return
        now = described(variables)
        then = [f"{n} {s}" for n, s in zip(self.names, self.shapes, strict=True)]
        missing = [item for item in then if item not in now]
        added = [item for item in now if item not in then]
        raise OptimizerError(
            f"{where}: the trainable variables are not those that it was saved with "
            f"({len(now)} instead of {len(then)}).\n"
            f"  Missing: {enumeration(missing)}.\n  New: {enumeration(added)}.\n"
            "  Fix: make the same layers trainable, in the same order, as when it was "
            "saved; or load with compile=False and compile with a new CaseOptimizer."
        )


def assign(
    variables: Sequence[tf.Variable],
    predicates: Sequence[Callable[[tf.Variable], bool]],
    labels: Sequence[str],
    default: int | None,
    where: str,
) -> Assignment:
    """Asks every predicate about every variable.

    Args:
        variables: the trainable variables of a model.
        predicates: functions of a variable, one for each of the first sub-optimizers.
        labels: what to call the sub-optimizers in messages.
        default: index of the sub-optimizer for the rest, or None.
        where: the optimizer, for messages.

    Raises:
        OptimizerError: two predicates claim one variable, or one claims nothing.
    """
    claims = [
        [index for index, claim in enumerate(predicates) if claim(variable)]
        for variable in variables
    ]
    twice = [
        f"{variable.name} by {' and '.join(labels[index] for index in claimed)}"
        for variable, claimed in zip(variables, claims, strict=True)
        if len(claimed) > 1
    ]
    if twice:
        raise OptimizerError(
            f"{where}: more than one predicate claims {enumeration(twice)}.\n"
            "  Fix: make the predicates exclude each other."
        )
    idle = [
        label
        for index, label in enumerate(labels[: len(predicates)])
        if [index] not in claims
    ]
    if idle:
        raise OptimizerError(
            f"{where}: the predicate of {' and of '.join(idle)} claims no variable "
            f"among {enumeration(described(variables))}.\n"
            "  Fix: correct the predicate, or leave the pair out. "
            "Bop.is_binary_variable needs a layer with a one-bit kernel, such as "
            "kernel_quantizer=lq.quantizers.NoOp(precision=1)."
        )
    unclaimed = [
        variable.name
        for variable, claimed in zip(variables, claims, strict=True)
        if not claimed
    ]
    if unclaimed and default is None:
        warnings.warn(
            f"{where}: no predicate claims {enumeration(unclaimed)}, so "
            f"{'it stays' if len(unclaimed) == 1 else 'they stay'} untrained.\n"
            "  Fix: pass default_optimizer=..., or set trainable=False on the layer.",
            stacklevel=2,
        )
    return Assignment(
        names=tuple(variable.name for variable in variables),
        shapes=tuple(tuple(variable.shape) for variable in variables),
        owners=tuple(claimed[0] if claimed else default for claimed in claims),
    )


def described(variables: Sequence[tf.Variable]) -> list[str]:
    """Name and shape of each variable."""
    return [f"{variable.name} {tuple(variable.shape)}" for variable in variables]


def enumeration(items: Sequence[str]) -> str:
    """The items with commas, cut short where they would fill the screen."""
    if len(items) > MOST_NAMED:
        items = [*items[:MOST_NAMED], f"and {len(items) - MOST_NAMED} more"]
    return ", ".join(items) or "none"


def _same_names(names: Sequence[str], recorded: Sequence[str]) -> bool:
    """Whether the names differ only in what Keras makes up.

    A model that builds itself when called puts its own name before its layers', and
    Keras numbers unnamed layers through the whole process: "dense_4" may come back
    as "dense", but then "dense_5" as "dense_1".
    """
    shifts = {}
    for name, other in zip(names, recorded, strict=True):
        parts = zip(reversed(name.split("/")), reversed(other.split("/")), strict=False)
        for part, other_part in parts:
            (base, number), (other_base, other_number) = (
                _numbered(part),
                _numbered(other_part),
            )
            shift = number - other_number
            if base != other_base or shifts.setdefault(base, shift) != shift:
                return False
    return True


def _numbered(part: str) -> tuple[str, int]:
    base, number = re.fullmatch(r"(.*?)(?:_(\d+))?", part).groups()
    return base, int(number or 0)
