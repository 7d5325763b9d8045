"""Where a loss became NaN: found by running the last steps again, layer by layer."""

from __future__ import annotations

import numpy as np

from larqlite.errors import LarqliteError
from larqlite_zoo.training._layers import broken_gradient, broken_output


class DivergenceError(LarqliteError, ArithmeticError):
    """A loss or a weight that became NaN or infinite in training."""


def error(run, step: int, in_validation: bool = False) -> DivergenceError:
    """What to raise after a step whose loss, or whose weights, are not finite.

    The weights at that moment do not tell the layer: one backward pass spreads NaN over
    all of them. So the run goes back to its last checkpoint and repeats the steps since,
    whose batches are the same, to the one before; then the layers are looked at.

    Args:
        run: with one replica, or the layer is not looked for.
        step: counted from 1.
        in_validation: whether only the loss of the validation after the step is bad.
    """
    good = run.checkpoints.last
    if run.strategy.num_replicas_in_sync > 1:
        where = "not looked for on several devices; --strategy none finds it"
    elif in_validation:
        where = _in_validation(run)
    else:
        step, where = _in_training(run, step)
    what = "loss of the validation" if in_validation else "loss"
    return DivergenceError(
        f"{run.recipe.name}: the {what} is not finite at step {step} (epoch "
        f"{(step - 1) // run.steps + 1}).\n  Layer: {where}.\n"
        f"  Last good checkpoint: {good}.\n"
        "  Fix: a smaller learning rate, a warm-up, or clean inputs; the same command "
        "goes on from that checkpoint."
    )


def _in_training(run, bad: int) -> tuple[int, str]:
    """The step that went wrong first, and a phrase naming the layer."""
    first = run.checkpoints.restore()
    steps = (
        step for step, batch in _batches(run, first, bad) if _goes_wrong(run, batch)
    )
    worst = next(steps, None)
    if worst is None:
        return bad, "not found: the steps since the checkpoint went well when repeated"
    run.checkpoints.restore()
    for step, batch in _batches(run, first, worst):
        if step < worst:
            run.trained.model.train_on_batch(*batch)
    return worst, _layer(run, *batch)


def _goes_wrong(run, batch) -> bool:
    """Does one step, and says whether its loss or the weights after it are not finite."""
    loss = run.trained.model.train_on_batch(*batch, return_dict=True)["loss"]
    return not (np.isfinite(loss) and run.checkpoints.is_finite())


def _batches(run, first: int, last: int):
    """Pairs of the steps after `first` up to `last`, and their batches."""
    run.trained.model.reset_metrics()
    batches = run.batches(first, shard=(0, 1)).take(last - first)
    return enumerate(batches, start=first + 1)


def _layer(run, images, labels) -> str:
    """Names what is not finite first: the images, an output on the way, a gradient."""
    if not np.isfinite(images).all():
        return "none, the images of this step hold values that are not finite"
    drawn = [state.numpy() for state in run.random_states]
    found = broken_output(run.trained.student, images, training=True)
    if found is not None:
        return found
    for state, value in zip(run.random_states, drawn, strict=True):
        state.assign(value)  # so that Dropout drops what it dropped in that step
    found = broken_gradient(run.trained.model, run.trained.student, images, labels)
    return found or "the loss itself; every output and gradient is finite"


def _in_validation(run) -> str:
    for images, _ in run.validation():
        if not np.isfinite(images).all():
            return "none, the images hold values that are not finite"
        found = broken_output(run.trained.student, images, training=False)
        if found is not None:
            return found
    return "the loss itself; every output is finite"
