"""Shows results as one table and keeps them as JSON."""

import json
import pathlib

from rich.console import Console
from rich.table import Table
from workloads.peak import READS


def show(results: list[dict], machine: dict) -> None:
    """Print the machine and one line per result."""
    console = Console(width=None if Console().is_terminal else 140)
    console.print(
        f"{machine['processor']}, {machine['cpus']} CPUs, threads {machine['threads']}, "
        f"{machine['packages']}, Python {machine['python']}",
        highlight=False,
    )
    if machine["peaks"]:
        console.print(f"Peaks of one core: {peaks_in_words(machine['peaks'])}")
    table = Table(
        caption="Milliseconds of CPU of the whole process (of the clock where the line "
        "says so), medians over rounds"
    )
    table.add_column("what")
    for name in ("ours", "other", "ratio", "quartiles", "wall", "reach", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_cells(result))
    console.print(table)


def peaks_in_words(peaks: dict[str, float]) -> str:
    """Each with its unit: reads are named by where the bytes are."""
    return ", ".join(
        f"{kind} {rate:.4g} {'GB/s read' if kind in READS else 'GMAC/s'}"
        for kind, rate in peaks.items()
    )


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
    figure = result.get("figure", "cpu")
    low, high = result.get(f"{figure}_ratio_quartiles", (None, None))
    verdict = {True: "reached", False: "missed", None: ""}[result["reached"]]
    reach = f"{result['reach']:.3g}"
    if result["other"] is None and result["reached"] is not None:
        reach = f"{result['reach'] * 1e3:.0f} ms"
    if result["aim"]:
        reach += f" (aim {result['aim']:.3g})"
    return [
        result["what"],
        _amount(result["ours"], figure),
        _amount(result["other"], figure),
        _number(result.get(f"{figure}_ratio"), ".3f"),
        f"{low:.3f}-{high:.3f}" if low is not None else "-",
        _number(result.get("wall_ratio"), ".3f"),
        reach,
        verdict,
    ]


def _amount(side: dict | None, figure: str) -> str:
    if side is None:
        return "-"
    if figure == "bytes":
        return f"{side['bytes'] / 1e6:.2f} MB"
    milliseconds = side[figure] * 1e3
    return f"{milliseconds:.1f}" if milliseconds >= 10 else f"{milliseconds:.3f}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
