"""More epochs for a run that is finished: whether that is the same run, going on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

# A stand-in: how rates depend on the length of a run does not hang on the epoch's.
_STEPS = 10


def goes_on(recipe, epochs_before: int) -> bool:
    """Whether the first epochs of a recipe are those of a shorter run of it.

    They are if every learning rate of the shorter run is that of the same step now; a
    rate that falls along a cosine to 0 at the last epoch is not.

    Args:
        recipe: of the longer run.
        epochs_before: of the shorter one.
    """
    if recipe.epochs <= epochs_before:
        return False
    before = dataclasses.replace(recipe, epochs=epochs_before)
    return all(
        np.allclose(
            _rates(part, before, epochs_before), _rates(part, recipe, epochs_before)
        )
        for part in _parts(recipe.optimizer)
    )


def fix_for(output: Path, differing: dict, weights: str | None) -> str | None:
    """What to do about another number of epochs, or None if more than that differs.

    Args:
        output: the folder of the run.
        differing: `(there, here)` by name of the field.
        weights: the name of the weight file, once the run is finished.
    """
    if set(differing) != {"epochs"}:
        return None
    there, here = differing["epochs"]
    if here <= there or weights is None:
        return None
    return (
        f"its learning rate goes by the number of epochs, so that a run of {here} is "
        f"another one from its first step. To train on from its weights: "
        f"--initial-weights {output / weights} --output {output}_longer; to train "
        f"{here} epochs from the beginning: --restart."
    )


def _parts(optimizer):
    parts = optimizer, *(getattr(optimizer, name, None) for name in ("binary", "other"))
    return [part for part in parts if hasattr(part, "schedule")]


def _rates(part, recipe, epochs: int) -> np.ndarray:
    rate = part.schedule.build(_STEPS, recipe.epochs)
    steps = range(_STEPS * epochs)
    return np.array([float(rate(step) if callable(rate) else rate) for step in steps])
