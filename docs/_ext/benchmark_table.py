"""The directive `benchmark-table`: what `benchmarks/results.json` holds, as a table."""

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results.json"
HEADER = ("what", "ours", "other side", "ratio", "quartiles", "to reach")


def table_of(results: list[dict]) -> str:
    """The rows as a Markdown table, times in milliseconds of CPU where it says no more."""
    rows = [HEADER, ("---", *["---:"] * (len(HEADER) - 1)), *map(_cells, results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def machines_of(results: list[dict]) -> list[str]:
    """One line for each machine that rows were measured on."""
    lines = []
    for result in results:
        machine = result["machine"]
        packages = ", ".join(f"{k} {v}" for k, v in machine["packages"].items())
        lines.append(
            f"{machine['processor']}, {machine['cpus']} CPUs "
            f"({', '.join(machine['instruction_sets'])}), {machine['system']}, "
            f"Python {machine['python']}, {packages}"
        )
    return list(dict.fromkeys(lines))


def _cells(result: dict) -> tuple[str, ...]:
    figure = result.get("figure", "cpu")
    low, high = result.get(f"{figure}_ratio_quartiles", (None, None))
    ratio = result.get(f"{figure}_ratio")
    goal = f"{result['reach']:.3g}"
    if result["other"] is None:
        goal = f"{1e3 * result['reach']:.0f} ms"
    return (
        result["what"],
        _amount(result["ours"], figure),
        _amount(result["other"], figure),
        "–" if ratio is None else f"{ratio:.3f}",
        "–" if low is None else f"{low:.3f} to {high:.3f}",
        f"{goal} ({'reached' if result['reached'] else 'missed'})",
    )


def _amount(side: dict | None, figure: str) -> str:
    if side is None:
        return "–"
    library = side["options"].get("engine", side["library"])
    if figure == "bytes":
        return f"{side['bytes'] / 1e6:.2f} MB ({library})"
    milliseconds = 1e3 * side[figure]
    digits = 1 if milliseconds >= 10 else 3
    return f"{milliseconds:.{digits}f} ms ({library})"


class BenchmarkTable(SphinxDirective):
    """Replaces itself by the table and the machine it was measured on."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(RESULTS))
        results = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
        lines = [
            table_of(results),
            "",
            "Measured on: " + "; ".join(machines_of(results)),
        ]
        container = nodes.container()
        content = StringList("\n".join(lines).split("\n"), source=str(RESULTS))
        self.state.nested_parse(content, self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> dict:
    """Adds the directive."""
    app.add_directive("benchmark-table", BenchmarkTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
