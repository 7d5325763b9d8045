"""The directive `zoo-accuracy`: accuracy against size, a point for each network of the zoo.

`{zoo-accuracy} imagenet` draws what the cards say was published or measured on a dataset, as
SVG within the page: it takes the colours of the theme, and its points are links.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from zoo_tables import DATASETS

WIDTH, HEIGHT = 760, 480
LEFT, RIGHT, TOP, BOTTOM = 56, 96, 16, 48
LETTER, LABEL_HEIGHT, GAP = 6.4, 13, 9
# How far a label may move from its point, nearest first.
MOVES = sorted(range(-130, 131, 2), key=abs)


@dataclass(frozen=True)
class Point:
    """One network.

    Args:
        label: what stands beside its point.
        address: the page and place it links to, from the folder `zoo/`.
        mebibytes: of its weights, packed.
        top1: percent.
        low_bit: whether any of its multiplications has fewer than 8 bits.
    """

    label: str
    address: str
    mebibytes: float
    top1: float
    low_bit: bool


@dataclass(frozen=True)
class Box:
    """A rectangle of the picture."""

    left: float
    top: float
    right: float
    bottom: float

    def covers(self, other: Box) -> bool:
        """Whether the two have a place in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def points_of(dataset: str) -> list[Point]:
    """The best figure of each card that has one for the dataset."""
    import larqlite_zoo

    points = []
    for card in map(larqlite_zoo.card, larqlite_zoo.list_models()):
        rows = [
            row for row in (*card.published, *card.measured) if row.dataset == dataset
        ]
        if not rows:
            continue
        name = f"larqlite_zoo.{card.family}.{card.function}"
        points.append(
            Point(
                label=card.function,
                address=f"../api/zoo_{card.family}.html#{name}",
                mebibytes=card.costs.deployed_bytes / 2**20,
                top1=max(row.top1 for row in rows),
                low_bit=min(card.costs.macs) < 8,
            )
        )
    return sorted(points, key=lambda point: -point.top1)


def ticks_of(low: float, high: float) -> list[float]:
    """Sizes in MiB for the axis: 1, 2 and 5 times powers of ten within the range."""
    steps = (
        digit * 10.0**power
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digit in (1, 2, 5)
    )
    return [step for step in steps if low <= step <= high]


def scatter(points: list[Point], title: str) -> str:
    """The picture as SVG: sizes on a logarithmic axis, labels that keep clear of each other."""
    sizes = [point.mebibytes for point in points]
    accuracies = [point.top1 for point in points]
    low, high = min(sizes) / 1.7, max(sizes) * 1.2
    margin = max(0.2, (max(accuracies) - min(accuracies)) / 12)
    bottom, top = min(accuracies) - margin, max(accuracies) + margin

    def x_of(size: float) -> float:
        share = math.log(size / low) / math.log(high / low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y_of(accuracy: float) -> float:
        share = (accuracy - bottom) / (top - bottom)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [*_axes(x_of, y_of, (low, high), (bottom, top))]
    places = [(x_of(point.mebibytes), y_of(point.top1)) for point in points]
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    for point, (x, y) in zip(points, places, strict=True):
        box, side = _free(taken, x, y, LETTER * len(point.label))
        taken.append(box)
        anchor = "start" if side > 0 else "end"
        begin = box.left if side > 0 else box.right
        middle = (box.top + box.bottom) / 2
        kind = "binary" if point.low_bit else "float"
        note = f"{point.label}: {point.top1:g} % in {point.mebibytes:.2f} MiB"
        parts.append(
            f'<a href="{point.address}"><title>{html.escape(note)}</title>'
            f'<line class="leader" x1="{x:.1f}" y1="{y:.1f}" '
            f'x2="{begin - 2 * side:.1f}" y2="{middle:.1f}"/>'
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
            f'<text x="{begin:.1f}" y="{middle + 4:.1f}" text-anchor="{anchor}">'
            f"{html.escape(point.label)}</text></a>"
        )
    body = "\n".join(parts)
    return (
        f'<div class="scatter"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(title)}">\n{body}\n</svg></div>'
        f"{_key(points)}"
    )


def _key(points: list[Point]) -> str:
    if all(point.low_bit for point in points):
        return ""
    return (
        '<p class="scatter-key"><span class="key binary"></span> of few bits '
        '<span class="key float"></span> float</p>'
    )


def _free(taken: list[Box], x: float, y: float, width: float) -> tuple[Box, int]:
    """A place for a label near its point that covers nothing, and on which side it is."""
    for move in MOVES:
        for side in (1, -1):
            begin = x + side * (GAP + abs(move) / 6)
            left = begin if side > 0 else begin - width
            middle = y + move
            box = Box(
                left, middle - LABEL_HEIGHT / 2, left + width, middle + LABEL_HEIGHT / 2
            )
            inside = box.left > LEFT and box.right < WIDTH and box.top > 0
            if inside and not any(box.covers(other) for other in taken):
                return box, side
    raise ValueError(f"no room for a label at {x:.0f}, {y:.0f}")


def _axes(x_of, y_of, sizes, accuracies) -> list[str]:
    right, foot = WIDTH - RIGHT, HEIGHT - BOTTOM
    span = accuracies[1] - accuracies[0]
    step = next(s for s in (0.2, 0.5, 1, 2, 5, 10, 20) if span / s <= 7)
    first = math.ceil(accuracies[0] / step)
    parts = []
    for number in range(first, math.floor(accuracies[1] / step) + 1):
        value = number * step
        y = y_of(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">'
            f"{value:g}</text>"
        )
    for size in ticks_of(*sizes):
        x = x_of(size)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{foot}"/>'
            f'<text class="tick" x="{x:.1f}" y="{foot + 18}" text-anchor="middle">'
            f"{size:g}</text>"
        )
    parts.append(
        f'<text class="tick" x="{(LEFT + right) / 2:.0f}" y="{HEIGHT - 8}" '
        'text-anchor="middle">MiB of packed weights</text>'
        f'<text class="tick" x="16" y="{(TOP + foot) / 2:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 16 {(TOP + foot) / 2:.0f})">top-1, %</text>'
    )
    return parts


class ZooAccuracy(SphinxDirective):
    """Replaces itself by the picture of a dataset."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # cards change without the page
        (dataset,) = self.arguments
        points = points_of(dataset)
        if not points:
            raise self.error(f'no card has an accuracy on "{dataset}"')
        title = f"Accuracy on {DATASETS.get(dataset, dataset)} against size"
        return [nodes.raw("", scatter(points, title), format="html")]


def setup(app: Sphinx) -> dict:
    """Adds the directive."""
    app.add_directive("zoo-accuracy", ZooAccuracy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
