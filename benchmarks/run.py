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
from workloads import peak

QUICK_ROUNDS = 3
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
        os.environ[engines.PYTHON] = sys.executable
        # Rows share the files of their networks.
        os.environ[engines.FOLDER] = _files(options.files) or folder
        # Shares of a peak are of this run: the machine may be slower today.
        facts["peaks"] = peak.rates() if options.only is None else {}
        for name in options.rows or rows:
            print(f"{name} ...", file=sys.stderr, flush=True)
            try:
                results.append(measure(rows[name], options.rounds, options.only))
            except RuntimeError as error:
                print(f"{name}: {error}", file=sys.stderr)
                failed = True
                continue
            # A quick look (fewer rounds, one side) must not replace a measured figure.
            # What is measured is there, even if the run is ended before its last row.
            if options.rounds is None and options.only is None:
                report.keep(results, facts, RESULTS, list(rows))
    if options.json:
        print(json.dumps({"results": results, "machine": facts}, indent=1))
    else:
        report.show(results, facts)
    return int(failed)


def _files(folder: str | None) -> str | None:
    if folder is None:
        return None
    path = pathlib.Path(folder).resolve()
    path.mkdir(parents=True, exist_ok=True)
    return str(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"{names}; default all")
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    parser.add_argument("--rounds", type=int, help="rounds in place of the row's own")
    parser.add_argument(
        "--quick",
        action="store_const",
        const=QUICK_ROUNDS,
        dest="rounds",
        help=f"the same as --rounds {QUICK_ROUNDS}: a look, which is not kept",
    )
    parser.add_argument(
        "--files",
        metavar="FOLDER",
        help="keep the files of the networks there, for the next run of the same commit",
    )
    parser.add_argument(
        "--only",
        choices=("larqlite", *ENVIRONMENTS),
        help="run this library's sides alone",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, no table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
