"""`bits`: the widths of all layers that lose least within a budget."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from larqlite._progress import bar
from larqlite.analysis import Sensitivity, sensitivity
from larqlite.analysis.internal import Samples, sqnr_db, units_of
from larqlite.deploy import export
from larqlite.errors import ArgumentError, near_matches
from larqlite.from_keras import as_tf_keras
from larqlite.models import profile
from larqlite.qat import quantize_apply
from larqlite.qat.graph import read
from larqlite.qat.passes import QuantLayerScheme
from larqlite.qat.schemes import get_schemes, rule_for
from larqlite.quantizers import get
from larqlite.search._costs import (
    CostKind,
    CostTable,
    cost_named,
    counted_of,
    counted_table,
)
from larqlite.search._learned import learned_shares
from larqlite.search._measured import (
    measure_of,
    require_measurable,
    whole_instructions,
    whole_latency,
)
from larqlite.search._result import BitsPoint, BitsSearch, best_within
from larqlite.search._solve import front, scipy_optimize, solve
from larqlite.search._state import SearchState, fingerprint

__all__ = ["METHODS", "WIDTHS", "bits"]

WIDTHS = ("binary", "ternary", "int2", "int3", "int4", "int8", "float")
METHODS = ("measured", "gradients", "learned")
# Inputs that ranges are set from, as in `lq.analysis.sensitivity`.
_CALIBRATED = 128
_WHERE = "lq.search.bits"
_FLOAT = "float"
# What is given out between the layers that have widths.
_BETWEEN = "int8"
# Rounds in which a budget is made tighter, if networks cost more than their layers told.
_MOST_ROUNDS = 8


def bits(
    model: tf_keras.Model,
    data: Any,
    budget: float,
    cost: str = "bytes",
    *,
    widths: Sequence[str] = WIDTHS,
    keep: Mapping[str, str] | None = None,
    method: str = "measured",
    points: int = 9,
    calibrate: Any = None,
    samples: int | None = 512,
    batch_size: int = 128,
    steps: int = 300,
    seed: int = 0,
    folder: str | os.PathLike | None = None,
) -> BitsSearch:
    r"""The width of each layer, so that a network loses least within a budget.

    Each layer with weights gets one of the widths, which are schemes of
    `lq.qat.quantize_apply`; normalizations and activations that only it feeds go with it, and
    what lies between, such as sums and means, gives out 8 bits.
    What a width of a layer costs in accuracy is told by `lq.analysis.sensitivity`: the
    noise that it alone brings into the outputs, relative to their signal. These add up, to
    first order, and so do costs; which widths are best is then an integer program,

    $$ \min \sum_l \mathrm{noise}_{l, w_l} \quad \text{with} \quad
       \mathrm{fixed} + \sum_l \mathrm{cost}_{l, w_l} \leq \mathrm{budget}, $$

    solved to optimality for the budget and for others around it. Every point is then built,
    calibrated, run on the data, and its cost counted or measured as a whole: where there is
    more noise than signal, noises add up to a rough guide only, and what is best within the
    budget is told by what was measured.

    | cost | of what |
    |---|---|
    | `"bytes"` | deployed weights, as `lq.models.summary` counts them |
    | `"bops"` | MACs times $w a + w + a + \log_2 n$: weights of w bits, inputs of a, sums of n |
    | `"ace"` | MACs times $w a$ |
    | `"latency_ms"` | one sample on one thread of this machine, in larqlite_runtime |
    | `"c_instructions"` | one sample in C on a Cortex-M4, counted by QEMU |

    The last two are measured for each layer at each width, exported and run alone, once.

    Args:
        model: a built Sequential or functional float model of tf_keras, or one of Keras 3.
        data: inputs, or `(inputs, labels)`, as for `lq.analysis.sensitivity`.
        budget: what the network may cost, in the unit of the cost.
        cost: a row of the table.
        widths: words of schemes; "float" leaves a layer as it is. Where weights and
            activations differ: "int4/8".
        keep: widths that are settled, by the name of a layer.
        method: how it is told which widths lose least: "measured"; "gradients", which takes a
            part of the time; or "learned", for which a copy is trained whose tensors are
            mixtures of their roundings, with a cost that steers their shares towards the
            budget: the solver then keeps as much of the shares as fits,
            $\sum_l -\log p_{l, w_l}$ in place of the noise.
        points: how many budgets the front is made for.
        calibrate: inputs to set ranges from; the first 128 of `data` by default.
        samples: how many of the data to measure on; None for all.
        batch_size: how many are computed at once.
        steps: for "learned": how many batches to train on.
        seed: for "learned": of their order.
        folder: where numbers are kept as they are found: a search that was stopped goes on
            there, and one for another budget takes them over.

    Returns:
        A `BitsSearch`: `points` is the Pareto front, `best` the point for the budget,
        `model()` the network, which trains on and exports.

    Raises:
        ArgumentError: an unknown cost, width, method or layer; nothing fits the budget; data
            that do not fit the model; or a folder of another search.
        MissingFileError: SciPy is not installed.
        As `lq.analysis.sensitivity`.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(8, activation="relu", input_shape=(4,), name="first"),
        ...     tf_keras.layers.Dense(2, name="last")])
        >>> x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
        >>> found = lq.search.bits(
        ...     model, x, budget=70, widths=("int4", "int8"), method="gradients", points=2)
        >>> found.best.cost <= 70, sorted(set(found.best.widths.values()))[0]
        (True, 'int4')

    References:
        HAWQ-V3, https://arxiv.org/abs/2011.10680, section 3.4 (an integer program); bops:
        UNIQ, https://arxiv.org/abs/1804.10969, section 4.1; ace: PokeBNN,
        https://arxiv.org/abs/2112.00133, section 4.1.
    """
    chosen = cost_named(cost, _WHERE)
    _require(budget, method, points)
    require_measurable(cost, _WHERE)
    scipy_optimize()
    model = as_tf_keras(model, _WHERE)
    layers = [unit.name for unit in units_of(model, _WHERE)]
    words = tuple(dict.fromkeys(widths))
    _require_kept(keep or {}, layers, words)
    given = Samples.of(model, data, samples, batch_size, _WHERE)
    ranges = given.first(_CALIBRATED)
    if calibrate is not None:
        ranges = Samples.of(model, calibrate, None, batch_size, _WHERE)
    about = {
        "model": fingerprint(model),
        "data": fingerprint(model, given.inputs, given.labels, ranges.inputs),
        "widths": list(widths),
        "keep": dict(keep or {}),
        "method": method,
    } | ({"steps": steps, "seed": seed} if method == "learned" else {})
    state = SearchState(None if folder is None else Path(folder), about, _WHERE)
    told = "gradients" if method == "learned" else method
    reports = _sensitivities(model, given, ranges, words, told, state)
    found = _Search(model, given, ranges, reports, words, keep or {}, chosen, state)
    if method == "learned":
        found.learn(float(budget), steps, seed)
    return found.result(float(budget), points)


def _sensitivities(
    model: tf_keras.Model,
    given: Samples,
    ranges: Samples,
    words: Sequence[str],
    method: str,
    state: SearchState,
) -> dict[str, dict[str, float]]:
    """For each width the noise of each layer that can have it, and under "" the members."""
    found: dict[str, Any] = {}
    data = given.inputs if given.labels is None else (given.inputs, given.labels)
    quantized = [word for word in words if word != _FLOAT]
    if not quantized:
        raise ArgumentError(
            f'{_WHERE}: widths has nothing but "float".\n  Fix: some of {WIDTHS[:-1]}.'
        )
    for word in quantized:
        key = f"noise {word}"
        kept = state.get(key)
        if kept is None:
            report = sensitivity(
                model,
                data,
                (word,),
                method=method,
                calibrate=ranges.inputs,
                samples=given.count,
                batch_size=given.batch_size,
            )
            kept = {"members": dict(report.members), "noise": _noise(report)}
            state.put(key, kept)
        found[word] = kept["noise"]
        members = found.setdefault("", {})
        members.update({name: list(each) for name, each in kept["members"].items()})
    return found


def _noise(report: Sensitivity) -> dict[str, float]:
    """Noise over signal of each layer at the one width of a report."""
    ratios = {
        cell.layer: cell.predicted_db if cell.sqnr_db is None else cell.sqnr_db
        for cell in report.cells
    }
    return {layer: float(10 ** (-db / 10)) for layer, db in ratios.items()}


class _Search:
    """The tables of one search, and the networks that come of them."""

    def __init__(
        self,
        model: tf_keras.Model,
        given: Samples,
        ranges: Samples,
        noise: dict[str, dict],
        words: Sequence[str],
        keep: Mapping[str, str],
        cost: CostKind,
        state: SearchState,
    ) -> None:
        self._model, self._given, self._ranges = model, given, ranges
        self._words, self._cost, self._state = list(words), cost, state
        self._members = noise.pop("")
        self._layers = list(self._members)
        self._others = _between(model, self._members)
        self._losses = np.full((len(self._layers), len(words)), np.inf)
        for column, word in enumerate(words):
            for row, layer in enumerate(self._layers):
                own = 0.0 if word == _FLOAT else noise[word].get(layer, np.inf)
                self._losses[row, column] = own
        self._settle(keep)
        self._outputs = given.outputs(model)

    def learn(self, budget: float, steps: int, seed: int) -> None:
        """Puts what was learned under a budget in the place of the noise."""
        table = self._table()
        key = f"shares {self._cost.name} {budget}"
        kept = self._state.get(key)
        if kept is None:
            shares = learned_shares(
                *(self._model, self._members, self._words, table.layers),
                *(budget - table.fixed, self._given, self._ranges, steps, seed, _WHERE),
            )
            kept = shares.tolist()
            self._state.put(key, kept)
        lost = -np.log(np.maximum(np.array(kept), 1e-30))
        self._losses = np.where(np.isfinite(self._losses), lost, np.inf)

    def result(self, budget: float, points: int) -> BitsSearch:
        """The front, and what is best within the budget."""
        table = self._table()
        least = np.where(np.isfinite(self._losses), table.layers, np.inf).min(1).sum()
        most = np.where(np.isfinite(self._losses), table.layers, -np.inf).max(1).sum()
        budgets = np.geomspace(max(least, 1e-9), max(most, 1e-9), points) * (1 + 1e-9)
        choices = front(self._losses, table.layers, [*budgets])
        with bar("search", len(choices) + 1, "networks") as shown:
            found = []
            for taken in choices:
                found.append(self._point(taken))
                shown.advance()
            best = self._within(table, budget)
        if best is not None and best not in found:
            found.append(best)
        kept = _not_dominated(found)
        best = best_within(found, budget)
        if best is None:
            cheapest = min(found, key=lambda point: point.cost)
            raise ArgumentError(
                f'{_WHERE}: nothing fits: "{self._model.name}" costs at least '
                f"{cheapest.cost:,.6g} {self._cost.unit} with these widths, and the budget "
                f"is {budget:,.6g}.\n"
                f"  Fix: budget={cheapest.cost:.6g} or more, or narrower widths."
            )
        if best not in kept:
            kept = sorted([*kept, best], key=lambda point: point.cost)
        right = self._given.right(self._model, self._outputs)
        return BitsSearch(
            name=self._model.name,
            cost=self._cost.name,
            unit=self._cost.unit,
            budget=budget,
            float_cost=self._of_network(self._model, {}),
            float_accuracy=None if right is None else float(np.mean(right)),
            samples=self._given.count,
            points=tuple(kept),
            best=best,
            _quantized=self.quantized,
        )

    def quantized(self, widths: Mapping[str, str]) -> tf_keras.Model:
        """The calibrated copy of the model with widths."""
        table = {
            glob.escape(member): word
            for layer, word in widths.items()
            if word != _FLOAT
            for member in self._members[layer]
        }
        if not table:
            return self._model
        # What lies between is rounded too, so that the layers behind it read integers.
        table |= dict.fromkeys(map(glob.escape, self._others), _BETWEEN)
        return quantize_apply(
            self._model, table, calibrate=list(self._ranges.batches())
        )

    def _settle(self, keep: Mapping[str, str]) -> None:
        """Takes the other widths away from layers that have theirs already."""
        for layer, word in keep.items():
            row, column = self._layers.index(layer), self._words.index(word)
            own = self._losses[row, column]
            self._losses[row] = np.inf
            self._losses[row, column] = own
        none = [
            layer
            for layer, row in zip(self._layers, self._losses, strict=True)
            if not np.isfinite(row).any()
        ]
        if none:
            raise ArgumentError(
                f"{_WHERE}: no width is left for {', '.join(none)}.\n"
                '  Fix: add "float" or another width to widths.'
            )

    def _table(self) -> CostTable:
        has = np.isfinite(self._losses)
        if self._cost.of_layer is not None:
            copies = {
                word: self.quantized(
                    {
                        layer: word
                        for row, layer in enumerate(self._layers)
                        if has[row, column]
                    }
                )
                for column, word in enumerate(self._words)
            }
            return counted_table(
                self._cost,
                self._model,
                self._layers,
                copies,
                {word: _activation_bits(word) for word in self._words},
                has,
            )
        return self._measured(has)

    def _measured(self, has: np.ndarray) -> CostTable:
        found = np.full(has.shape, np.inf)
        shapes = {row.name: row.input_shape for row in profile(self._model).layers}
        layers = {
            layer.name: layer
            for layer in self._model.submodules
            if layer.name in self._members
        }
        of_float = 0.0
        with bar("measure", int(has.sum()), "layers at widths") as shown:
            for row, name in enumerate(self._layers):
                of = (self._cost.name, layers[name], shapes[name])
                of_float += measure_of(*of, _FLOAT, self._state.measured)
                for column, word in enumerate(self._words):
                    if has[row, column]:
                        found[row, column] = measure_of(*of, word, self._state.measured)
                        self._state.write()
                        shown.advance()
        rest = self._of_network(self._model, {}) - of_float
        return CostTable(max(rest, 0.0), found)

    def _within(self, table: CostTable, budget: float) -> BitsPoint | None:
        """The best network that in the end costs no more than the budget; None if none does."""
        room = budget - table.fixed
        for _ in range(_MOST_ROUNDS):
            taken = solve(self._losses, table.layers, room)
            if taken is None:
                return None
            point = self._point(taken)
            if point.cost <= budget:
                return point
            told = float(table.layers[np.arange(len(taken)), taken].sum())
            room = min(room, told) - (point.cost - budget)
        return None

    def _point(self, taken: np.ndarray) -> BitsPoint:
        widths = {
            layer: self._words[column]
            for layer, column in zip(self._layers, taken, strict=True)
        }
        key = f"{self._cost.name} {sorted(widths.items())}"
        kept = self._state.get(key)
        if kept is None:
            model = self.quantized(widths)
            outputs = self._given.outputs(model)
            right = self._given.right(self._model, outputs)
            ratio = sqnr_db(self._outputs, outputs)
            kept = {
                "cost": self._of_network(model, widths),
                "sqnr_db": ratio if np.isfinite(ratio) else None,
                "accuracy": None if right is None else float(np.mean(right)),
            }
            self._state.put(key, kept)
        noise = float(self._losses[np.arange(len(taken)), taken].sum())
        ratio = np.inf if kept["sqnr_db"] is None else kept["sqnr_db"]
        return BitsPoint(widths, kept["cost"], noise, ratio, kept["accuracy"])

    def _of_network(self, model: tf_keras.Model, widths: Mapping[str, str]) -> float:
        """What a network costs as a whole."""
        if self._cost.of_layer is not None:
            return counted_of(self._cost, model)
        return _whole(self._cost.name, model, self._ranges)


def _between(model: tf_keras.Model, members: Mapping[str, Sequence[str]]) -> list[str]:
    """The layers that go with no layer with weights, and have a rule: sums and means, say."""
    taken = {name for names in members.values() for name in names}
    return [
        entry.name
        for part in read(model, _WHERE).graphs()
        for entry in part.entries()
        if entry.graph is None
        and entry.name not in taken
        and not entry.is_operator
        and rule_for(entry.layer) is not None
    ]


def _whole(cost: str, model: tf_keras.Model, ranges: Samples) -> float:
    if cost == "c_instructions":
        return whole_instructions(model, ranges.first(1).inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export(model, path, verify=False)
        return whole_latency(path)


def _not_dominated(points: Sequence[BitsPoint]) -> list[BitsPoint]:
    """Those of which no other one costs as little and has less noise."""
    kept: list[BitsPoint] = []
    for point in sorted(points, key=lambda p: (p.cost, p.noise)):
        if not kept or point.noise < kept[-1].noise:
            kept.append(point)
    return kept


def _activation_bits(word: str) -> int | None:
    """Bits of activations at a width; None for those that stay float."""
    scheme = get_schemes(word, _WHERE)
    if isinstance(scheme, QuantLayerScheme):
        quantizer = get(scheme.input_quantizer_of_layers)
        return None if quantizer is None else quantizer.precision
    return getattr(scheme, "num_bits_activation", None)


def _require_kept(
    keep: Mapping[str, str], layers: Sequence[str], words: Sequence[str]
) -> None:
    for layer, word in keep.items():
        known, wrong = (words, word) if layer in layers else (layers, layer)
        if wrong not in known:
            raise ArgumentError(
                f"{_WHERE}: keep has {layer!r}: {word!r}, and there is no "
                f"{wrong!r}.{near_matches(str(wrong), known)}\n"
                f"  Fix: one of {', '.join(known)}."
            )


def _require(budget: Any, method: Any, points: Any) -> None:
    if method not in METHODS:
        raise ArgumentError(
            f"{_WHERE}: unknown method {method!r}.{near_matches(str(method), METHODS)}\n"
            f"  Fix: one of {', '.join(map(repr, METHODS))}."
        )
    if (
        isinstance(budget, bool)
        or not isinstance(budget, (int, float))
        or not budget > 0
    ):
        raise ArgumentError(
            f"{_WHERE}: budget={budget!r}.\n"
            "  Fix: a number above 0 in the unit of the cost, such as 20_000 for bytes."
        )
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise ArgumentError(
            f"{_WHERE}: points={points!r}.\n  Fix: a number from 2, such as 9."
        )
