"""Draws the picture of the first page as SVG, from what `first_network.py` measured.

One row for each form of the network (float, int8, binary), three columns: the bits of a
weight as squares, the bytes of the file and the milliseconds of an image as bars; on a
telephone the columns stand below each other. Light and dark differ in their colours only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "docs" / "_static"
FIGURES = STATIC / "first_network.json"

WIDTH, HEIGHT = 880, 292
ROW_TOP, ROW_HEIGHT = 84, 62
BITS_X, BYTES_X, TIME_X = 132, 352, 622
BAR_LENGTH, BAR_HEIGHT = 150, 22
NARROW_WIDTH, NARROW_X = 344, 70
SQUARE, SQUARES_A_ROW = 9, 16
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Colours:
    """What is drawn in which colour; the rows from the first to the last."""

    text: str
    faint: str
    rows: tuple[str, str, str]


THEMES = {
    "light": Colours("#1f2937", "#6b7280", ("#94a3b8", "#3b82f6", "#0d9488")),
    "dark": Colours("#e5e7eb", "#9ca3af", ("#64748b", "#60a5fa", "#2dd4bf")),
}


def bytes_in_words(count: int) -> str:
    """Such as "38.2 KiB"."""
    return f"{count / 1024:.1f} KiB" if count < 102_400 else f"{count / 1024:.0f} KiB"


def picture(figures: dict, colours: Colours) -> str:
    """The picture as the text of an SVG file."""
    rows = figures["forms"]
    binary = rows[-1]
    parts = [
        _text(BITS_X, 26, figures["title"], colours.text, size=17, bold=True),
        _text(BITS_X, 62, "bits of a weight", colours.faint),
        _text(BYTES_X, 62, "bytes of the file", colours.faint),
        _text(TIME_X, 62, "milliseconds for an image", colours.faint),
    ]
    most_bytes = max(row["bytes"] for row in rows)
    most_time = max(row["milliseconds"] for row in rows)
    for number, (row, colour) in enumerate(zip(rows, colours.rows, strict=True)):
        top = ROW_TOP + number * ROW_HEIGHT
        parts += [
            _text(
                BITS_X - 20, top + 17, row["form"], colours.text, bold=True, end=True
            ),
            _text(BITS_X - 20, top + 34, row["engine"], colours.faint, 11, end=True),
            *_squares(row["bits"], top, colour),
            _text(
                BITS_X + SQUARES_A_ROW * (SQUARE + 2) + 8,
                top + 17,
                str(row["bits"]),
                colours.text,
            ),
            *_bar(
                BYTES_X,
                top,
                row["bytes"] / most_bytes,
                colour,
                bytes_in_words(row["bytes"]),
                f"{times(figures, 'bytes'):.0f}× smaller" if row is binary else "",
                colours,
            ),
            *_bar(
                TIME_X,
                top,
                row["milliseconds"] / most_time,
                colour,
                f"{row['milliseconds']:.3f} ms",
                f"{times(figures, 'milliseconds'):.1f}× faster"
                if row is binary
                else "",
                colours,
            ),
        ]
    parts.append(
        _text(BITS_X, HEIGHT - 12, ". ".join(notes(figures)), colours.faint, 11)
    )
    return _svg(parts, WIDTH, HEIGHT, figures)


def narrow_picture(figures: dict, colours: Colours) -> str:
    """The same for a telephone: three blocks below each other."""
    rows = figures["forms"]
    parts = [_text(0, 22, figures["title"], colours.text, size=17, bold=True)]
    top = 40
    for heading, key, words in (
        ("bits of a weight", "bits", lambda row: str(row["bits"])),
        ("bytes of the file", "bytes", lambda row: bytes_in_words(row["bytes"])),
        (
            "milliseconds for an image",
            "milliseconds",
            lambda row: f"{row['milliseconds']:.3f} ms",
        ),
    ):
        parts.append(_text(0, top + 14, heading, colours.faint))
        top += 22
        most = max(row[key] for row in rows)
        for row, colour in zip(rows, colours.rows, strict=True):
            parts.append(_text(0, top + 17, row["form"], colours.text, bold=True))
            share = row[key] / most
            parts += _bar(NARROW_X, top, share, colour, words(row), "", colours)
            top += 28
        top += 12
    for note in notes(figures):
        parts.append(_text(0, top + 8, note, colours.faint, 10))
        top += 15
    return _svg(parts, NARROW_WIDTH, top + 4, figures)


def _svg(parts: list[str], width: int, height: int, figures: dict) -> str:
    body = "\n".join(f"  {part}" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" font-family="{FONT}">\n'
        f"  <title>{escape(in_a_sentence(figures))}</title>\n{body}\n</svg>\n"
    )


def in_a_sentence(figures: dict) -> str:
    """What the picture says, for whoever does not see it."""
    return f"{figures['title']}: " + "; ".join(
        f"{row['form']}, {row['bits']} {'bits' if row['bits'] > 1 else 'bit'} a weight, "
        f"{bytes_in_words(row['bytes'])}, {row['milliseconds']:.3f} ms an image"
        for row in figures["forms"]
    )


def notes(figures: dict) -> tuple[str, str]:
    """On what the figures were measured, and how often each form is right."""
    accuracies = ", ".join(
        f"{row['form']} {100 * row['accuracy']:.1f} %" for row in figures["forms"]
    )
    return (
        f"One thread, {figures['machine']}, {figures['date']}",
        f"Right on {figures['test_images']:,} test images: {accuracies}",
    )


def times(figures: dict, key: str) -> float:
    """How many times less the binary network has of "bytes" or "milliseconds"."""
    first, *_, last = figures["forms"]
    return first[key] / last[key]


def _text(x, y, words, colour, size=13, bold=False, end=False) -> str:
    weight = ' font-weight="600"' if bold else ""
    anchor = ' text-anchor="end"' if end else ""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{weight}{anchor}>'
        f"{escape(words)}</text>"
    )


def _squares(bits: int, top: int, colour: str) -> list[str]:
    step = SQUARE + 2
    return [
        f'<rect x="{BITS_X + i % SQUARES_A_ROW * step}" '
        f'y="{top + 4 + i // SQUARES_A_ROW * step}" width="{SQUARE}" height="{SQUARE}" '
        f'rx="2" fill="{colour}"/>'
        for i in range(bits)
    ]


def _bar(x, top, share, colour, figure, factor, colours) -> list[str]:
    length = max(2.0, BAR_LENGTH * share)
    parts = [
        f'<rect x="{x}" y="{top + 2}" width="{length:.1f}" height="{BAR_HEIGHT}" '
        f'rx="3" fill="{colour}"/>',
        _text(round(x + length + 8), top + 18, figure, colours.text),
    ]
    if factor:
        parts.append(_text(x, top + 43, factor, colour, bold=True))
    return parts


def pictures(figures: dict) -> dict[str, str]:
    """All of them by the names of their files."""
    return {
        f"first_network_{theme}{ending}.svg": draw(figures, colours)
        for theme, colours in THEMES.items()
        for ending, draw in (("", picture), ("_narrow", narrow_picture))
    }
