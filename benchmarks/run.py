"""The driver: `python benchmarks/run.py [ROW ...]` measures rows and prints a table.

A peer's side runs in an environment of its own, `.venv-bench-larq` for example, which is
created when a row first needs it. Figures are CPU time of
the worker process (all its threads), not wall time: other work on the machine then
disturbs little.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile

import engines
import machine
import report
from environments import ENVIRONMENTS
from measure import measure
from table import ROWS

RESULTS = pathlib.Path(__file__).resolve().parent / "results.json"


def main(arguments: list[str] | None = None) -> int:
    """Measure; 1 if a row could not be measured, else 0, even where reach is missed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    rows = {row.name: row for row in ROWS}
    if unknown := sorted(set(options.rows) - set(rows)):
        parser.error(f"no row named {', '.join(unknown)}; the rows: {', '.join(rows)}")
    if options.list:
        for row in ROWS:
            print(f"{row.name:30} {row.what}; reach {row.reach:.3g}")
        return 0
    facts = machine.facts()
    results, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        os.environ[engines.FOLDER] = folder  # rows share the files of their networks
        for name in options.rows or rows:
            print(f"{name} ...", file=sys.stderr, flush=True)
            try:
                results.append(measure(rows[name], options.rounds, options.only))
            except RuntimeError as error:
                print(f"{name}: {error}", file=sys.stderr)
                failed = True
    if options.json:
        print(json.dumps({"results": results, "machine": facts}, indent=1))
    else:
        report.show(results, facts)
    # A quick look (fewer rounds, one side) must not replace a measured figure.
    if options.rounds is None and options.only is None:
        report.keep(results, facts, RESULTS, list(rows))
    return int(failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{names}; default all")
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    parser.add_argument("--rounds", type=int, help="rounds in place of the row's own")
    parser.add_argument(
        "--only",
        choices=("larqlite", *ENVIRONMENTS),
        help="run this library's sides alone",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
