"""The exact choice of a width for each layer, by an integer program."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np

from larqlite.errors import ArgumentError, MissingFileError

__all__ = ["cheapest", "front", "scipy_optimize", "solve"]

# Of two choices with the same loss the one that costs less is taken: so much of the spread of
# the losses is what all of the costs together may weigh.
_TIE = 1e-7
# The solver stops at absolute differences of 1e-6, in its objective and in the budget.
_FINE = 1e4


def solve(losses: np.ndarray, costs: np.ndarray, budget: float) -> np.ndarray | None:
    r"""The choice of each layer whose losses sum to the least within a budget.

    $$ \min_x \sum_{l,c} x_{lc} \, \mathrm{loss}_{lc} \quad \text{with} \quad
       \sum_c x_{lc} = 1, \quad \sum_{l,c} x_{lc} \, \mathrm{cost}_{lc} \leq B, \quad
       x_{lc} \in \{0, 1\} $$

    solved to optimality by HiGHS' branch and bound.

    Args:
        losses: `(layers, choices)`; infinite where a layer does not have a choice.
        costs: likewise, finite where the losses are.
        budget: B.

    Returns:
        The index of a choice for each layer; None if nothing fits.

    Raises:
        MissingFileError: SciPy is not installed.

    References:
        Multiple-choice knapsack problem: Kellerer, Pferschy, Pisinger, "Knapsack Problems",
        2004, chapter 11; as bit widths: HAWQ-V3, https://arxiv.org/abs/2011.10680, eq. 7.
    """
    optimize = scipy_optimize()
    allowed = np.isfinite(losses)
    layers, choices = np.nonzero(allowed)
    values, weights = losses[allowed], costs[allowed]
    if cheapest(losses, costs) > budget:
        return None
    # Both are brought to the order of 1, where the solver's tolerances are meant to be.
    spread, unit = _scale(values), max(float(np.abs(weights).max()), 1e-300)
    least = np.array([losses[i][allowed[i]].min() for i in range(len(losses))])
    objective = (values - least[layers]) / spread
    total = weights / unit
    room = budget / unit
    each = np.zeros((len(losses), len(values)))
    each[layers, np.arange(len(values))] = 1
    while True:
        found = optimize.milp(
            _FINE * (objective + _TIE * total / len(losses)),
            integrality=np.ones(len(values)),
            bounds=optimize.Bounds(0, 1),
            constraints=[
                optimize.LinearConstraint(each, 1, 1),
                optimize.LinearConstraint(_FINE * total[None], -np.inf, _FINE * room),
            ],
            options={"mip_rel_gap": 0.0},
        )
        if found.x is None:
            return None
        picked = found.x > 0.5
        if weights[picked].sum() <= budget:
            break
        room -= 1e-9 * max(room, 1.0)  # what its tolerance let through
    taken = np.zeros(len(losses), np.int64)
    taken[layers[picked]] = choices[picked]
    return taken


def cheapest(losses: np.ndarray, costs: np.ndarray) -> float:
    """The least that a choice for all layers costs."""
    return float(np.where(np.isfinite(losses), costs, np.inf).min(axis=1).sum())


def front(
    losses: np.ndarray, costs: np.ndarray, budgets: Sequence[float]
) -> list[np.ndarray]:
    """The best choices under each of some budgets, none of which is worse than another.

    Args:
        losses, costs: as of `solve`.
        budgets: in any order.

    Returns:
        Choices that differ, from the cheapest to the dearest.
    """
    found: list[np.ndarray] = []
    rows = np.arange(len(losses))
    least = np.inf
    for budget in sorted(budgets):
        taken = solve(losses, costs, budget)
        if taken is None:
            continue
        loss = float(losses[rows, taken].sum())
        if loss < least:
            least = loss
            found.append(taken)
    return found


def _scale(values: np.ndarray) -> float:
    spread = float(values.max() - values.min())
    return spread if spread > 0 else 1.0


def scipy_optimize() -> ModuleType:
    """The solver's module.

    Raises:
        MissingFileError: SciPy is not installed.
        ArgumentError: it is too old.
    """
    try:
        from scipy import optimize
    except ImportError as error:
        raise MissingFileError(
            "lq.search.bits: the solver needs SciPy, which is not installed.\n"
            "  Fix: pip install 'larqlite[search]'."
        ) from error
    if not hasattr(optimize, "milp"):
        raise ArgumentError(
            "lq.search.bits: this SciPy is older than 1.9 and has no `milp`.\n"
            "  Fix: pip install -U 'larqlite[search]'."
        )
    return optimize
