"""Random graphs through every back end, seed by seed, towards a total; goes on where it stopped.

    python -m tests.devices.sweep --to 10000            # runs/sweep.json holds how far it is
    python -m tests.devices.sweep --seconds 600         # stops after ten minutes
    python -m tests.devices.sweep --on portable c       # some of the back ends; a state of its own

A graph that no back end but the runtime can run, since an operation of it has no step, is counted
as refused, by the names of the operations. Exit code 1 if any bit differed, ever.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from larqlite.errors import UnsupportedModelError
from tests.common.programs import missing
from tests.devices.random_graphs import BACK_ENDS, BackEnd, GraphCase, differing

STATE = Path("runs") / "sweep.json"
CHUNK = 50


def departures(back_end: BackEnd, cases: Sequence[GraphCase]) -> list[str]:
    """What a back end gives that it should not, a line each; of a program that is not built
    or does not run, the graph that it is for."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            results = back_end.run(cases, Path(folder))
    except UnsupportedModelError as error:
        if len(cases) == 1:
            return [f"seed {cases[0].seed}: {str(error).partition('Fix:')[0].strip()}"]
        halves = cases[: len(cases) // 2], cases[len(cases) // 2 :]
        return [line for half in halves for line in departures(back_end, half)]
    pairs = zip(cases, results, strict=True)
    return [line for case, found in pairs for line in differing(case, found)]


class Sweep:
    """How far the sweep is.

    Args:
        path: of the file that holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        known = json.loads(path.read_text()) if path.exists() else {}
        self.next: int = known.get("next", 0)
        self.graphs = Counter(known.get("graphs", {}))
        self.refused = Counter(known.get("refused", {}))
        self.different: list[str] = known.get("different", [])

    def write(self) -> None:
        """Keeps it, whole or not at all."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_suffix(".part")
        content = {
            "next": self.next,
            "graphs": self.graphs,
            "refused": self.refused,
            "different": self.different,
        }
        temporary.write_text(json.dumps(content, indent=1))
        temporary.replace(self._path)

    def run(self, count: int, back_ends: Sequence[BackEnd]) -> None:
        """Takes the next graphs."""
        cases = [GraphCase(seed) for seed in range(self.next, self.next + count)]
        whole = [case for case in cases if not case.refused]
        self.refused.update(case.refused for case in cases if case.refused)
        for back_end in back_ends:
            chosen = whole if back_end.is_whole else cases
            for line in departures(back_end, chosen):
                self.different.append(f"{back_end.name}, {line}")
            self.graphs[back_end.name] += len(chosen)
        self.next += count
        self.write()

    def __str__(self) -> str:
        runs = ", ".join(f"{name} {n:,}" for name, n in self.graphs.items())
        refused = sum(self.refused.values())
        lines = [
            f"{self.next:,} random graphs; run on {runs or 'nothing'}",
            f"{refused:,} hold operations without a step of the kernels",
            f"{len(self.different):,} outputs differ",
        ]
        lines += [
            f"  {count:,}: {names}" for names, count in self.refused.most_common(5)
        ]
        return "\n".join([*lines, *(f"  {line}" for line in self.different[:20])])


def chosen(names: Sequence[str] | None) -> list[BackEnd]:
    """The back ends by these names, or all; those that lack a program are named."""
    table = {item.name: item for item in BACK_ENDS}
    found = []
    for name in names or table:
        if name not in table:
            sys.exit(f'sweep: no back end "{name}".\n  Fix: some of {", ".join(table)}')
        absent = missing(*table[name].needs)
        if absent:
            print(f"{name}: left out, no {', '.join(absent)} (make devices-setup)")
        else:
            found.append(table[name])
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Goes on with the sweep; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--to", type=int, default=10_000, metavar="COUNT")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--chunk", type=int, default=CHUNK, metavar="COUNT")
    parser.add_argument("--on", nargs="+", metavar="NAME")
    parser.add_argument("--state", type=Path, default=STATE, metavar="FILE")
    options = parser.parse_args(words)
    back_ends = chosen(options.on)
    sweep, end = Sweep(options.state), time.monotonic() + options.seconds
    while sweep.next < options.to and time.monotonic() < end:
        sweep.run(min(options.chunk, options.to - sweep.next), back_ends)
        print(
            f"{sweep.next:,} of {options.to:,}, {len(sweep.different)} differ",
            flush=True,
        )
    print(sweep)
    return int(bool(sweep.different))


if __name__ == "__main__":
    sys.exit(main())
