"""The letters of a `.svg`, embedded: its text stays text, and looks alike everywhere."""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

# As matplotlib writes a font, in one or in several: "font: italic 700 12px 'DejaVu Sans'".
_SHORT = re.compile(r"([^']*?)[\d.]+px (.*)")
_TEXT = ("{http://www.w3.org/2000/svg}text", "{http://www.w3.org/2000/svg}tspan")


def embedded(svg: bytes) -> bytes:
    """The picture with the fonts of its texts in it, cut down to the letters used.

    Args:
        svg: what matplotlib writes with `svg.fonttype` "none".
    """
    letters: dict[tuple[str, str], set[str]] = {}
    for font, text in _texts(ElementTree.fromstring(svg), ("", "sans-serif")):
        letters.setdefault(font, set()).update(text)
    with _quiet():
        rules = [_rule(*font, used) for font, used in sorted(letters.items())]
    if not any(rules):
        return svg
    style = "\n".join(["<style>", *filter(None, rules), "</style>", ""])
    # Behind what says who drew it, so that the beginning of the file is as ever.
    before, defs, after = svg.partition(b" <defs>\n")
    return before + defs + style.encode() + after


def _texts(
    element: Any, font: tuple[str, str]
) -> Iterator[tuple[tuple[str, str], str]]:
    """The texts of a picture, each with the style and the family of its font."""
    font = _font(element.get("style", ""), font)
    if element.tag in _TEXT:
        yield font, (element.text or "").strip("\n")
    for child in element:
        yield from _texts(child, font)
        if element.tag in _TEXT:
            yield font, (child.tail or "").strip("\n")


def _font(style: str, inherited: tuple[str, str]) -> tuple[str, str]:
    """Style with weight, and the first family, of the font that an element asks for.

    >>> _font("font-size: 9px; font-family: 'DejaVu Sans', sans-serif", ("", ""))
    ('', 'DejaVu Sans')
    >>> _font("font: italic 700 9px 'DejaVu Sans', sans-serif", ("", ""))
    ('italic 700', 'DejaVu Sans')
    """
    parts = [part.partition(":") for part in style.split(";")]
    stated = {name.strip(): value.strip() for name, _, value in parts}
    short = _SHORT.match(stated.get("font", ""))
    manner, families = (short[1], short[2]) if short else inherited
    families = stated.get("font-family", families)
    own = [stated[name] for name in ("font-style", "font-weight") if name in stated]
    family = families.partition(",")[0].strip().strip("'")
    return " ".join(own) or manner.strip(), family


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without a line for each table of a font, where a program logs what is going on."""
    log = logging.getLogger("fontTools")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _rule(style: str, family: str, letters: set[str]) -> str | None:
    """The rule that brings a font; None for letters that need none."""
    from fontTools import subset
    from matplotlib import font_manager

    if not letters - {" "}:
        return None
    words = style.split()
    slant = next((word for word in words if word in ("italic", "oblique")), "normal")
    weight = next(
        (word for word in words if word == "bold" or word.isdigit()), "normal"
    )
    wanted = font_manager.FontProperties(family=[family], style=slant, weight=weight)
    path = font_manager.findfont(wanted)
    options = subset.Options(flavor="woff", hinting=False, recalc_timestamp=False)
    options.drop_tables += ["FFTM", "GSUB", "GPOS"]
    stream = io.BytesIO()
    with contextlib.closing(subset.load_font(path, options)) as font:
        subsetter = subset.Subsetter(options)
        subsetter.populate(text="".join(sorted(letters)))
        subsetter.subset(font)
        subset.save_font(font, stream, options)
    data = base64.b64encode(stream.getvalue()).decode()
    return (
        f"@font-face {{font-family: '{family}'; font-style: {slant}; "
        f"font-weight: {weight}; src: url(data:font/woff;base64,{data})}}"
    )
