"""What the pictures share: a drawing with the errors of larqlite, and bars by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import larqlite_runtime.outputs
from larqlite._io import content_of
from larqlite.errors import ArgumentError, MissingFileError
from larqlite_runtime.pictures import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches of a row with the name of a layer, and of what is above and below the rows.
ROW, AROUND = 0.22, 1.2


def drawing(
    where: str, path: Any, look: Mapping[str, Any], read: Sequence[Any] = ()
) -> Drawing:
    """A `Drawing` of the function `where`, which raises errors of larqlite."""
    return Drawing(where, path, look, read, ArgumentError, MissingFileError)


def content(result: Any, where: str, forms: str) -> Any:
    """A report in types that JSON knows: of a file, of a report, or as it is given.

    Args:
        result: the path of a `.json` file, an object with `to_dict`, or that already.
        where: the function, for messages.
        forms: what files hold, for messages.
    """
    if isinstance(result, (str, Path)):
        return content_of(result, f'{where}: "{result}"', f"{forms}.")
    return result.to_dict() if hasattr(result, "to_dict") else result


def require_picture(
    path: str | Path,
    where: str,
    read: Sequence[Any] = (),
    default_of: str | None = None,
) -> Path:
    """The path of a picture that may be drawn; see `larqlite.outputs.require`.

    Raises:
        ArgumentError: it must not be written, or matplotlib does not know its ending.
    """
    return larqlite_runtime.outputs.require_picture(
        path,
        where,
        read=read,
        default_of=default_of,
        refused=ArgumentError,
        missing=MissingFileError,
    )


def name_rows(axes: Sequence[Axes], names: Sequence[str]) -> None:
    """Names the rows of bars that several axes have in common, the first one on top."""
    first, *others = axes
    size = font_of_rows(first.figure, len(names))
    shown = [shortened(name) for name in names]
    first.set_yticks(range(len(names)), shown, fontsize=size)
    first.set_ylim(len(names) - 0.4, -0.6)
    for axis in others:
        axis.tick_params(labelleft=False)
    for axis in axes:
        axis.tick_params(axis="y", length=0)
        axis.spines[["top", "right"]].set_visible(False)


def shortened(name: str, limit: int = 40) -> str:
    """A path of at most so many characters; the name of the layer itself stays.

    >>> shortened("block/" * 9 + "conv")
    '...ck/block/block/block/block/block/conv'
    """
    return name if len(name) <= limit else "..." + name[3 - limit :]


def digits(value: float) -> str:
    """A number on a picture: three digits, and no more.

    >>> digits(1234.5), digits(0.98765), digits(2.0)
    ('1.23e+03', '0.988', '2')
    """
    return f"{value:.3g}"


def with_prefix(value: float, unit: str = "") -> str:
    """A count with three digits and a prefix of a thousand, a million ...

    >>> with_prefix(244520, "B"), with_prefix(116080128), with_prefix(7, "B")
    ('245 kB', '116 M', '7 B')
    """
    for power, prefix in ((12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if float(f"{value:.3g}") >= 10**power:
            return f"{value / 10**power:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()


def font_of_rows(figure: Figure, rows: int) -> float:
    """The size of letters that fit into rows of bars, in points."""
    row = 72 * (figure.get_size_inches()[1] - AROUND) / max(rows, 1)
    return min(9.0, max(3.0, 0.75 * row))
