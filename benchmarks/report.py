"""Shows results as one table and keeps them as JSON."""

import json
import pathlib

from rich.console import Console
from rich.table import Table


def show(results: list[dict], machine: dict) -> None:
    """Print the machine and one line per result, times in milliseconds of CPU."""
    console = Console(width=None if Console().is_terminal else 140)
    console.print(
        f"{machine['processor']}, {machine['cpus']} CPUs, threads {machine['threads']}, "
        f"{machine['packages']}, Python {machine['python']}",
        highlight=False,
    )
    table = Table(caption="CPU time of the whole process, medians over rounds")
    table.add_column("what")
    for name in ("ours ms", "other ms", "ratio", "quartiles", "wall", "reach", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result))
    console.print(table)


def keep(
    results: list[dict], machine: dict, path: pathlib.Path, names: list[str]
) -> None:
    """Write results and machine, in the order of `names`, all rows that exist.

    Rows that were measured earlier and not now keep their figures and machine.
    """
    earlier = json.loads(path.read_text())["results"] if path.exists() else []
    measured = {result["name"]: {**result, "machine": machine} for result in results}
    rows = {row["name"]: row for row in earlier} | measured
    kept = [rows[name] for name in names if name in rows]
    path.write_text(json.dumps({"results": kept}, indent=1) + "\n")


def _cells(result: dict) -> list[str]:
    ours, other = result["ours"], result["other"]
    low, high = result.get("cpu_ratio_quartiles", (None, None))
    verdict = {True: "reached", False: "missed", None: ""}[result["reached"]]
    reach = f"{result['reach']:.2f}"
    if other is None and result["reached"] is not None:
        reach = f"{result['reach'] * 1e3:.0f} ms"
    if result["aim"]:
        reach += f" (aim {result['aim']:.2f})"
    return [
        result["what"],
        _number(ours and ours["cpu"] * 1e3, ".1f"),
        _number(other and other["cpu"] * 1e3, ".1f"),
        _number(result.get("cpu_ratio"), ".3f"),
        f"{low:.3f}-{high:.3f}" if low is not None else "-",
        _number(result.get("wall_ratio"), ".3f"),
        reach,
        verdict,
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
