"""How pictures look, on a page, on a slide and in the dark: figures, colours, files.

matplotlib is loaded when the first picture is drawn, and neither pyplot nor its settings
are touched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from larqlite_runtime import names, outputs
from larqlite_runtime._dark import GRID, darken
from larqlite_runtime._errors import InputError
from larqlite_runtime._figures import figure_class, save, scale_letters

__all__ = [
    "COLORS",
    "DASHES",
    "GRID",
    "GUIDE",
    "HATCHES",
    "MARKERS",
    "QUIET",
    "WRONG",
    "Drawing",
    "Look",
    "Style",
    "darken",
    "figure_class",
    "save",
    "style",
]

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Dark, red, yellow ...: told apart by every eye, and by their lightness in print.
COLORS = ("#004488", "#bb5566", "#ddaa33", "#117733", "#66ccee", "#aa3377")
DASHES: tuple[Any, ...] = (
    "solid",
    (0, (4, 1.5)),
    (0, (1, 1.2)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++")
# Of what is compared with, of lines that lead the eye.
QUIET, GUIDE = "#b8b8b8", "#8c8c8c"
WRONG = "#cc3311"

THEMES = ("light", "dark")
_DPI = 110
# How much smaller letters become in a picture that is smaller than usual.
_SMALLEST = 0.65
# More pixels on a side than matplotlib can draw.
_SIDE = 2**16


class Look(TypedDict, total=False):
    """What every picture takes beside its content, by keyword.

    Attributes:
        title: stands above the picture; one of a single graph has it in place of its own,
            and none with "".
        size: width and height in inches. A column of a paper is about 3.4 wide.
        dpi: pixels per inch of a `.png`: it has `size x dpi` of them. 110 by default.
        theme: "light", or "dark" for pages and slides with a dark background.
        transparent: whether to leave out the background.
    """

    title: str | None
    size: tuple[float, float] | None
    dpi: float | None
    theme: str
    transparent: bool


class Style(NamedTuple):
    """How one of several curves is drawn; they also differ without colours."""

    color: str
    linestyle: Any
    marker: str


def style(number: int) -> Style:
    """The style of the curve of that number.

    >>> style(0).color, len({style(n) for n in range(36)})
    ('#004488', 36)
    """
    shift = number // len(COLORS)
    return Style(
        COLORS[number % len(COLORS)],
        DASHES[(number + shift) % len(DASHES)],
        MARKERS[number % len(MARKERS)],
    )


@dataclass
class Drawing:
    """One picture from its options to its file.

    Args:
        where: the function or command, for messages.
        path: of the file; None for no file. Its ending chooses the format.
        look: see `Look`.
        read: files that the same call reads.
        refused, missing: the classes of errors.

    Raises:
        refused: an option that is unknown or cannot be; a file that must not be written.
        missing: there is no folder for it.
    """

    where: str
    path: str | Path | None
    look: Any
    read: Sequence[Any] = ()
    refused: type[Exception] = InputError
    missing: type[Exception] = InputError
    title: str | None = field(init=False)

    def __post_init__(self) -> None:
        known = tuple(Look.__annotations__)
        for name in self.look:
            if name not in known:
                guess = names.near_matches(name, known)
                raise TypeError(f'{self.where}: there is no argument "{name}".{guess}')
        self.title = self.look.get("title")
        self._letters = 1.0
        self._dark = self._checked_theme() == "dark"
        self._transparent = bool(self.look.get("transparent"))
        self._dpi = self._checked_dpi()
        self._size = self._checked_size()
        if self.path is not None:
            self.path = outputs.require_picture(
                self.path,
                self.where,
                read=self.read,
                refused=self.refused,
                missing=self.missing,
            )

    def axes(
        self,
        count: int,
        given: Sequence[Axes] | None = None,
        *,
        columns: int | None = None,
        cell: tuple[float, float] = (4.2, 3.1),
        **shared: Any,
    ) -> tuple[Figure, list[Axes]]:
        """A new figure with `count` axes; or the user's axes and the figure they are in.

        Args:
            count: of the axes.
            given: the user's.
            columns: how many stand side by side.
            cell: inches of one of them, where the user gives no size.
            shared: as `Figure.subplots` takes it.
        """
        if given is not None:
            return self._of_the_user(count, given)
        columns = columns or self._columns(count, cell)
        rows = math.ceil(count / columns)
        usual = cell[0] * columns, cell[1] * rows
        size = self._size or usual
        self._require_pixels(size)
        self._letters = min(1.0, max(_SMALLEST, size[0] / usual[0]))
        figure = figure_class()(figsize=size, layout="constrained", dpi=self._dpi)
        axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel().tolist()
        for unused in axes[count:]:
            unused.remove()
        return figure, axes[:count]

    def done(self, figure: Figure) -> Figure:
        """Sets the title and the colours of the theme, and writes the file."""
        if self.title is not None:
            if len(figure.axes) == 1:
                figure.axes[0].set_title(self.title)
            elif self.title:
                figure.suptitle(self.title)
        if self._letters < 1:
            scale_letters(figure, self._letters)
        if self._dark:
            darken(figure)
        if self._transparent:
            figure.patch.set_alpha(0)
            for axes in figure.axes:
                axes.patch.set_alpha(0)
        if self.path is not None:
            path = Path(self.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with outputs.written_whole(path) as temporary:
                save(figure, temporary, dpi=self._dpi)
        return figure

    def _of_the_user(self, count: int, given) -> tuple[Figure, list[Axes]]:
        axes = list(np.ravel(np.asarray(given, dtype=object)))
        if len(axes) != count:
            raise self.refused(
                f"{self.where}: {count} axes are needed, but {len(axes)} were given.\n"
                f"  Fix: axes=figure.subplots({count})."
            )
        names_ = ("title", "size", "theme", "transparent")
        own = [name for name in names_ if self.look.get(name)]
        if own:
            raise self.refused(
                f"{self.where}: {' and '.join(own)} cannot be set where axes are given: "
                "the figure is yours.\n  Fix: set them at the figure, or leave out axes."
            )
        return axes[0].figure, axes

    def _columns(self, count: int, cell: tuple[float, float]) -> int:
        """How many graphs stand side by side, so that each has a shape to be read in."""
        if self._size is None:
            return 2 if count in (2, 4) else min(3, count)

        def squeezed(columns: int) -> float:
            rows = math.ceil(count / columns)
            shape = (self._size[0] / columns) / (self._size[1] / rows)
            return (
                abs(math.log(shape * cell[1] / cell[0])) + (rows * columns - count) / 9
            )

        return min(range(1, count + 1), key=squeezed)

    def _checked_theme(self) -> str:
        theme = self.look.get("theme") or "light"
        if theme not in THEMES:
            raise self.refused(
                f'{self.where}: there is no theme "{theme}".\n'
                f"  Fix: one of {', '.join(THEMES)}."
            )
        return theme

    def _checked_dpi(self) -> float:
        dpi = self.look.get("dpi")
        if dpi is None:
            return _DPI
        if not (_is_number(dpi) and 1 <= dpi <= 4800):
            raise self.refused(
                f"{self.where}: dpi={dpi!r} is out of range.\n"
                "  Fix: pixels per inch, from 1 to 4800; papers ask for 300 or 600."
            )
        return float(dpi)

    def _checked_size(self) -> tuple[float, float] | None:
        size = self.look.get("size")
        if size is None:
            return None
        try:
            width, height = size
        except (TypeError, ValueError):
            width = height = None
        if not all(_is_number(side) and 0.5 <= side <= 200 for side in (width, height)):
            raise self.refused(
                f"{self.where}: size={size!r} is no size of a picture.\n"
                "  Fix: width and height in inches, from 0.5 to 200, such as (3.4, 2.5)."
            )
        self._require_pixels((width, height))
        return float(width), float(height)

    def _require_pixels(self, size: tuple[float, float]) -> None:
        if max(size) * self._dpi >= _SIDE:
            raise self.refused(
                f"{self.where}: {size[0]:g} x {size[1]:g} inches of {self._dpi:g} dpi are "
                f"more than {_SIDE:,} pixels on a side, which matplotlib cannot draw.\n"
                "  Fix: a smaller size or dpi; or a .svg or .pdf, which need no dpi."
            )


def _is_number(value) -> bool:
    is_number = isinstance(value, (int, float, np.integer, np.floating))
    return is_number and not isinstance(value, bool) and math.isfinite(value)
