"""A comparison of a model with its deployed file as lines of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from larqlite import _tables

if TYPE_CHECKING:
    from larqlite.deploy.verifier._result import (
        Differences,
        LayerVerification,
        Verification,
    )

HEADER = (
    "layer",
    "class",
    "operation",
    "path",
    "input bits",
    "accumulators",
    "output",
    "flips behind it",
)


def show(result: Verification, print_fn: Callable[[str], Any] | None) -> None:
    """Prints the table of a comparison; see `Verification.print`."""
    header = HEADER
    stock = ()
    if result.stock is not None:
        header = (*header, result.stock.engine)
        stock = result.stock.layers
    rows = [
        (*_cells(row), *map(_verdict, stock[number : number + 1]))
        for number, row in enumerate(result.layers)
    ]
    if not rows:
        header, rows = ("layer",), [("no packed layers",)]
    title = f"{result.name}: Keras against the file ({result.samples} samples)"
    _tables.show(title, header, rows, _notes(result), print_fn)


def _cells(row: LayerVerification) -> tuple[str, ...]:
    return (
        row.layer,
        row.class_name,
        row.operation,
        row.path,
        _exact(row.quantized, "float" if row.accumulators is None else "as they come"),
        row.note or _exact(row.accumulators, "float"),
        _difference(row.output),
        _flips(row.next_flips),
    )


def _exact(counted: Differences | None, otherwise: str) -> str:
    if counted is None:
        return otherwise
    if not counted.different:
        return "bit-exact"
    return (
        f"{counted.different:,} of {counted.values:,} differ, by up to "
        f"{counted.largest:g}"
    )


def _difference(counted: Differences | None) -> str:
    if counted is None:
        return "-"
    text = "equal"
    if counted.largest:
        text = f"{counted.largest:.1e} ({counted.relative:.0e})"
    explained = counted.different - counted.unexplained
    return f"{text}, {explained:,} at a threshold" if explained else text


def _flips(counted: Differences | None) -> str:
    return "-" if counted is None else f"{counted.different:,} of {counted.values:,}"


def _verdict(row: LayerVerification) -> str:
    if row.ok:
        return "exact" if row.accumulators is not None else "equal"
    if not row.bit_exact:
        counts = [row.quantized, row.accumulators]
        return f"{sum(c.different for c in counts if c):,} differ"
    return _difference(row.output)


def _notes(result: Verification) -> list[str]:
    lines = [_judged(result)]
    if result.stock is not None and result.stock.wrong != result.wrong:
        lines.append(f"On {result.stock.engine}: {_judged(result.stock)}")
    for item in (result, result.stock):
        if item is not None:
            lines += [f"The whole file on {item.engine}:", *_whole(item)]
    return lines


def _judged(result: Verification) -> str:
    count = len(result.layers)
    if result.wrong:
        rows = sum(not row.ok for row in result.layers)
        return f"WRONG: {', '.join(result.wrong)} ({rows} of {count} layers)"
    each = "layers, each" if count != 1 else "layer,"
    return f"{count} packed {each} given its input in Keras: as in Keras"


def _whole(result: Verification) -> list[str]:
    lines = []
    for output in result.outputs:
        text = f"  {output.name}: equal"
        if output.values.largest:
            text = (
                f"  {output.name}: off by {output.values.largest:.1e} "
                f"({output.values.relative:.0e} of the largest)"
            )
        if output.labels:
            share = output.agreeing / output.labels
            text += (
                f", {output.agreeing:,} of {output.labels:,} labels agree ({share:.2%})"
            )
        if output.ties:
            text += f", {output.ties:,} are ties in Keras"
        if output.values.undefined:
            text += (
                f"; {output.values.undefined:,} of {output.values.values:,} values are "
                "NaN in Keras"
            )
        lines.append(text)
    flipped = [row.run_flips for row in result.layers if row.run_flips]
    different = sum(counted.different for counted in flipped)
    values = sum(counted.values for counted in flipped)
    if values:
        lines.append(
            f"  {different:,} of {values:,} quantized inputs of packed layers flip "
            f"({different / values:.1e})"
        )
    first = result.first_departing
    if first is not None:
        lines.append(f"  first layer that departs from Keras: {first}")
        lines += _ties(next((r for r in result.layers if r.layer == first), None))
    return lines


def _ties(row: LayerVerification | None) -> list[str]:
    """Why a layer departs whose input lies on a threshold."""
    counted = row and row.run_flips
    if not counted or not counted.ties:
        return []
    return [
        f"    {counted.ties:,} of its {counted.different:,} flips are ties: the number "
        "that is quantized lies on a",
        "    threshold, but for the rounding of float32, which decides in Keras",
    ]
