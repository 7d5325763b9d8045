"""Figures that papers take and notebooks show: fonts embedded, text as text, no dates."""

from __future__ import annotations

import contextlib
import functools
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite_runtime import _svg_fonts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SETTINGS = {
    "pdf.fonttype": 42,  # TrueType, which journals ask for; 3 is refused by many
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # text stays text; its letters are embedded below
    "svg.hashsalt": "larqlite",  # the same picture is the same file
}
_WITHOUT_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
_LOCK = threading.Lock()


@functools.cache
def figure_class() -> type[Figure]:
    """The class of our figures: as matplotlib's, fit for papers and notebooks."""
    from matplotlib.figure import Figure

    class PaperFigure(Figure):
        """A figure whose files papers take, and that a notebook shows without pyplot."""

        def savefig(self, fname: Any, **options: Any) -> None:
            """As in matplotlib; text of `.svg` and `.pdf` stays text, with its fonts."""
            save(self, fname, **options)

        def _repr_png_(self) -> bytes:
            stream = io.BytesIO()
            self.savefig(stream, format="png")
            return stream.getvalue()

    return PaperFigure


def save(figure: Figure, file: Any, **options: Any) -> None:
    """Writes a figure: fonts embedded, text as text, and no date in it.

    Args:
        figure: any figure of matplotlib.
        file: a path, or a stream of bytes.
        options: as `Figure.savefig` takes them.
    """
    from matplotlib.figure import Figure

    kind = options.get("format") or (
        Path(file).suffix[1:] if isinstance(file, (str, Path)) else "png"
    )
    kind = kind.lower()
    options["metadata"] = {
        **_WITHOUT_DATE.get(kind, {}),
        **(options.get("metadata") or {}),
    } or None
    with _settings():
        if kind != "svg":
            Figure.savefig(figure, file, **options)
            return
        stream = io.BytesIO()
        Figure.savefig(figure, stream, **{**options, "format": "svg"})
    content = _svg_fonts.embedded(stream.getvalue())
    if isinstance(file, (str, Path)):
        Path(file).write_bytes(content)
    else:
        file.write(content)


def scale_letters(figure: Figure, factor: float) -> None:
    """Makes all texts smaller: those there are, and those of ticks to come."""
    from matplotlib.axis import Tick
    from matplotlib.text import Text

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            sizes = [label.get_fontsize() for label in axis.get_ticklabels()]
            if sizes:
                axis.set_tick_params(labelsize=factor * sizes[0])
    of_ticks = {id(t) for tick in figure.findobj(Tick) for t in tick.findobj(Text)}
    for text in figure.findobj(Text):
        if id(text) not in of_ticks:
            text.set_fontsize(factor * text.get_fontsize())


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Those that matplotlib reads while it writes a file, and only from its own table."""
    import matplotlib as mpl

    with _LOCK:
        before = {name: mpl.rcParams[name] for name in _SETTINGS}
        mpl.rcParams.update(_SETTINGS)
        try:
            yield
        finally:
            mpl.rcParams.update(before)
