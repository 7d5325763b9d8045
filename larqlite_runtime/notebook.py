"""What a notebook shows of a report: the tables that its text has, as HTML.

A report that derives from `ShowsTables` says in `_shown` what its tables are; its text and
its HTML are made of the same cells.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

# A cell of a column that stands to the right: a number, perhaps with a sign or a unit.
_NUMBER = re.compile(
    r"[-+]?[\d,]*\.?\d+(?:[eE][-+]?\d+)?(?: ?(?:%|us|ms|k|M|B|T|kB|MB))?"
)
# Nothing, or that nothing is known.
_EMPTY = ("", "-", "?")
# No colours but those that the notebook has, so that it is right in light and dark.
_LINE = "border-bottom:1px solid rgba(128,128,128,.35)"
_CELL = "padding:.2em .7em;vertical-align:top;white-space:pre-wrap;background:none"


@dataclass(frozen=True)
class ShownTable:
    """A table with what stands around it.

    Attributes:
        title: a line before it, or "".
        header: titles of the columns; a line break where one may break.
        rows: the cells.
        notes: lines after it.
        totals: cells of a last row.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    totals: Sequence[str] = ()

    def as_html(self) -> str:
        """The table as HTML, every text escaped.

        >>> table = ShownTable("a < b", ("layer", "bytes"), [("conv", "1,024")])
        >>> "a &lt; b" in table.as_html(), "text-align:right" in table.as_html()
        (True, True)
        """
        right = self._columns_of_numbers()
        parts = []
        if self.title:
            parts.append(f'<div style="font-weight:600">{escape(self.title)}</div>')
        if self.rows or self.totals:
            head = _row("th", self.header, right, f"{_LINE};font-weight:600")
            head = f"<thead>{head}</thead>" if any(self.header) else ""
            body = "".join(_row("td", cells, right) for cells in self.rows)
            foot = ""
            if self.totals:
                style = "border-top:1px solid rgba(128,128,128,.35);font-weight:600"
                foot = f"<tfoot>{_row('td', self.totals, right, style)}</tfoot>"
            style = "border-collapse:collapse;margin:.4em 0;font-variant-numeric:tabular-nums"
            parts.append(
                f'<table style="{style}">{head}<tbody>{body}</tbody>{foot}</table>'
            )
        style = "opacity:.85;white-space:pre-wrap"
        parts += [f'<div style="{style}">{escape(note)}</div>' for note in self.notes]
        return "\n".join(parts)

    def _columns_of_numbers(self) -> set[int]:
        columns = zip(*self.rows, strict=True)
        return {
            number
            for number, cells in enumerate(columns)
            if number
            and all(cell in _EMPTY or _NUMBER.fullmatch(cell) for cell in cells)
            and not all(cell in _EMPTY for cell in cells)
        }


class ShowsTables:
    """What is shown as tables: in a notebook as HTML, elsewhere by its `str`."""

    def _shown(self) -> Iterable[ShownTable]:
        """Its tables, in order. To be overridden."""
        raise NotImplementedError

    def _repr_html_(self) -> str | None:
        """The tables as HTML; None, so that its one line is shown, in a cell of a notebook
        that has printed them."""
        cell = _cell()
        if cell is not None and self.__dict__.get("_printed_in") == cell:
            return None
        tables = "\n".join(table.as_html() for table in self._shown())
        return f'<div style="overflow-x:auto;max-width:100%">\n{tables}\n</div>'

    def _is_printed(self) -> None:
        """To be called when its text has been printed for the user."""
        # Some of these classes are frozen dataclasses; this is no field of theirs.
        object.__setattr__(self, "_printed_in", _cell())


def _cell() -> tuple[int, int] | None:
    """Which cell runs in IPython; None elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return None if shell is None else (id(shell), shell.execution_count)


def _row(tag: str, cells: Sequence[str], right: set[int], style: str = "") -> str:
    columns = []
    for number, cell in enumerate(cells):
        side = "right" if number in right else "left"
        whole = f"text-align:{side};{_CELL}" + f";{style}" * bool(style)
        columns.append(f'<{tag} style="{whole}">{escape(cell)}</{tag}>')
    return f'<tr style="background:none">{"".join(columns)}</tr>'
