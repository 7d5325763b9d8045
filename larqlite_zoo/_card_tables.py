"""A card as tables: what `lqz card` prints, and what a notebook shows.

A card (`_card.py`) shows itself with these functions, so they name what they read of it, and
import nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from larqlite_runtime.notebook import ShownTable


def card_tables(card: Any) -> list[ShownTable]:
    """The tables of a card: facts, costs, accuracies with their sources, weight files."""
    weights = [
        (
            f'weights="{file.dataset}", include_top={file.include_top}: {file.url}'
            f"{_measured_with(file)}\n  SHA-256 {file.sha256}",
        )
        for file in card.weights
    ]
    title = f"{card.function} ({card.name}): {card.summary}"
    published = _rows(map(_published_line, card.published), "none is known to us")
    measured = _rows(map(_measured_line, card.measured), "none yet")
    return [
        ShownTable(title, ("", ""), _facts(card)),
        ShownTable(
            "Costs at this input, computed from the model", ("", ""), _costs(card)
        ),
        ShownTable("Published accuracy (of others)", ("",), published),
        ShownTable(
            "Measured accuracy (by commands of this repository)", ("",), measured
        ),
        ShownTable(
            "Published weights",
            ("",),
            weights or [("none: weights=None, then train it",)],
        ),
    ]


def _measured_with(file: Any) -> str:
    return (
        ""
        if file.top1 is None
        else f" (top-1 {file.top1:g} %, measured with this file)"
    )


def size_of(card: Any) -> str:
    """The sizes of an image.

    >>> from larqlite_zoo import card
    >>> size_of(card("quicknet"))
    '224x224x3'
    """
    return "x".join(str(side) for side in card.input_shape)


def _facts(card: Any) -> list[tuple[str, str]]:
    return [
        ("Paper", f"{card.paper.title} ({card.paper.year}), {card.paper.url}"),
        ("Builds", f"larqlite_zoo.{card.family}.{card.function}()"),
        ("Licence", f"{card.licence} (of the code)"),
        ("Input", f"{size_of(card)}, {card.num_classes} classes"),
        ("Recipe", card.recipe or "none"),
        *(("Note", note) for note in card.notes),
    ]


def _costs(card: Any) -> list[tuple[str, str]]:
    from larqlite.utils import memory_as_readable_str  # and with it Keras

    costs = card.costs
    return [
        ("Parameters", f"{costs.parameters:,}"),
        (
            "Deployed",
            f"{costs.deployed_parameters:,} parameters (batch normalization fused), "
            f"{memory_as_readable_str(8 * costs.deployed_bytes)} "
            f"({costs.deployed_bytes:,} bytes)",
        ),
        *((f"{bits}-bit MACs", f"{n:,}") for bits, n in sorted(costs.macs.items())),
        ("MACs in all", f"{sum(costs.macs.values()):,}"),
    ]


def _published_line(accuracy: Any) -> str:
    top5 = "" if accuracy.top5 is None else f", top-5 {accuracy.top5:g} %"
    return f"{accuracy.dataset}: top-1 {accuracy.top1:g} %{top5} ({accuracy.source})"


def _measured_line(row: Any) -> str:
    run = [f"{row.epochs} epochs"] if row.epochs is not None else []
    run += [f"seed {row.seed}"] if row.seed is not None else []
    run += [row.date] if row.date else []
    details = f" ({', '.join(run)})" if run else ""
    return f"{row.dataset}: top-1 {row.top1:g} %{details}\n  {row.command}\n  {row.results}"


def _rows(lines: Iterable[str], otherwise: str) -> list[tuple[str]]:
    return [(line,) for line in list(lines) or [otherwise]]
