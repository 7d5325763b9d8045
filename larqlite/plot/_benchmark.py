"""`benchmark`: the times of engines on one network, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqlite._io import content_of
from larqlite.errors import ArgumentError
from larqlite.plot._drawing import drawing
from larqlite_runtime.benchmark_result import Benchmark, Timing, draw_timings
from larqlite_runtime.pictures import Look

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from typing_extensions import Unpack

_WHERE = "lq.plot.benchmark"
_FORMS = "the output of lq benchmark FILE --json in a .json file"


def benchmark(
    result: Any,
    axes: Sequence[Axes] | None = None,
    path: str | Path | None = None,
    **look: Unpack[Look],
) -> Figure:
    """Draws how long each engine takes, and how many times as long as the packed file.

    A bar is the median of all turns, its whisker the quartiles.

    Args:
        result: a `Benchmark` of the runtime, or the path of a `.json` file with what
            `lq benchmark FILE --json` wrote.
        axes: matplotlib axes to draw into, as a list of one; a new figure by default.
        path: also write the figure to this file; its suffix chooses the format.
        **look: see `Look`.

    Returns:
        The figure.

    Raises:
        ArgumentError: it is no benchmark, the wrong number of axes, a look that cannot
            be, or a file suffix that matplotlib cannot write.

    Example:
        >>> def row(engine, median):
        ...     return {"engine": engine, "what": "", "median": median, "low": 0.9 * median,
        ...             "high": 1.1 * median, "turns": 9, "difference": 0}
        >>> figure = lq.plot.benchmark({"file": "net.onnx", "batch": 1, "threads": 2,
        ...     "timings": [row("larqlite", 0.001), row("onnxruntime", 0.005)]})
        >>> figure.axes[0].texts[1].get_text()
        '5.00 ms, 5.0 times as long'
    """
    read = [result] if isinstance(result, (str, Path)) else []
    drawn = drawing(_WHERE, path, look, read)
    if isinstance(result, Benchmark):
        facts = result.file, result.batch, result.threads, result.timings
    else:
        facts = _facts(result)
    return draw_timings(drawn, *facts, axes=axes)


def _facts(result: Any) -> tuple[str, int, int, Sequence[Timing]]:
    """File, batch, threads and timings of what JSON has of a benchmark."""
    where = _WHERE
    try:
        if isinstance(result, (str, Path)):
            where = f'{_WHERE}: "{result}"'
            result = content_of(result, where, f"{_FORMS}.")
        timings = [Timing(**row) for row in result["timings"]]
        if timings:
            return result["file"], result["batch"], result["threads"], timings
        raise KeyError("timings")
    except (KeyError, TypeError) as error:
        raise ArgumentError(
            f"{where}: it is no benchmark of a file.\n"
            f"  Fix: what was measured, or {_FORMS}."
        ) from error
