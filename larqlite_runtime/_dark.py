"""Pictures for dark pages: greys turned around, colours light enough to be seen."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of the lines of a grid, on white paper.
GRID = "#d9d9d9"
# The background of a dark page, and how light what stands on it is.
DARK = "#131416"
_TEXT = 0.87


def darken(figure: Figure) -> None:
    """Gives a figure that was drawn for white paper the colours for a dark page.

    Greys are turned around; colours keep their hue, and become as light as it takes to be
    seen. A transparent background stays so.
    """
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Tick
    from matplotlib.figure import FigureBase

    for axes in figure.axes:  # ticks are made again and again, of these colours
        text, grid = _in_the_dark("black"), _in_the_dark(GRID)
        axes.tick_params(which="both", color=text, labelcolor=text, grid_color=grid)
    of_ticks = {
        id(part) for tick in figure.findobj(Tick) for part in tick.findobj(Artist)
    }
    for artist in figure.findobj(Artist):
        # The colours of a figure and of axes are those of their patches.
        if id(artist) in of_ticks or isinstance(artist, (FigureBase, Axes)):
            continue
        ways = [name for name in _COLORED if hasattr(artist, f"set_{name}")]
        ways = [name for name in ways if hasattr(artist, f"get_{name}")]
        # First all are read: some of them stand for one another.
        before = {name: getattr(artist, f"get_{name}")() for name in ways}
        for name, color in before.items():
            getattr(artist, f"set_{name}")(_in_the_dark(color))


_COLORED = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")


def _in_the_dark(color: Any) -> Any:
    from matplotlib import colors

    if color is None or (isinstance(color, str) and color in ("none", "auto")):
        return color
    table = np.atleast_2d(colors.to_rgba_array(color))
    changed = [_lightened(row) for row in table.tolist()]
    single = isinstance(color, str) or np.ndim(color) == 1
    return changed[0] if single and changed else changed


def _lightened(color: Sequence[float]) -> tuple[float, float, float, float]:
    red, green, blue, alpha = color
    hue, light, saturation = colorsys.rgb_to_hls(red, green, blue)
    if max(red, green, blue) - min(red, green, blue) < 0.03:  # a grey
        low, high = _grey_of(DARK), _TEXT
        grey = high - (high - low) * light
        if light > 0.99:
            from matplotlib.colors import to_rgb

            return (*to_rgb(DARK), alpha)
        return grey, grey, grey, alpha
    while _luminance(red, green, blue) < 0.3 and light < 0.95:
        light += 0.01
        red, green, blue = colorsys.hls_to_rgb(hue, light, saturation)
    return red, green, blue, alpha


def _grey_of(color: str) -> float:
    from matplotlib.colors import to_rgb

    return sum(to_rgb(color)) / 3


def _luminance(*channels: float) -> float:
    """Relative luminance of sRGB, as WCAG defines it."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
