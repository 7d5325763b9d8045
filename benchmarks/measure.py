"""Measures a row: two worker processes take turns, and medians tell their ratio."""

import json
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict

import environments
from rows import Row, Side

WORKER = environments.ROOT / "benchmarks" / "worker.py"


class Worker:
    """A persistent process that prepares one side of a row and times it on request."""

    def __init__(self, workload: str, side: Side, compare: bool = True):
        """Start the process; it prepares and warms up before its first answer.

        Args:
            workload: module in `workloads/`, where the side names none.
            side: what it does.
            compare: whether its first answer has the numbers that it has to find.
        """
        self.side = side
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            [environments.python_of(side.library), str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environments.variables_of(side.library),
        )
        order = {**asdict(side), "workload": side.workload or workload}
        self._send({**order, "compare": compare})

    def _send(self, order: dict) -> None:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict:
        """The next answer; a worker that died raises with the end of its log."""
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise RuntimeError(
                f"The {self.side.library} worker {self.side.options} ended with code "
                f"{self._process.returncode}. The end of its log:\n"
                f"{self._log.read()[-3000:]}"
            )
        return json.loads(line)

    def run(self, steps: int) -> dict[str, float]:
        """What the workload measures: seconds per step as `{"cpu", "wall"}`, or bytes."""
        self._send({"steps": steps})
        return self.answer()

    def close(self) -> None:
        """End the process, whether or not it still listens."""
        if self._process.poll() is None:
            self._process.communicate("\n")
        self._log.close()


def measure(row: Row, rounds: int | None = None, only: str | None = None) -> dict:
    """Time a row, the sides alternating and taking turns in going first.

    Args:
        row: what to measure.
        rounds: in place of the row's own number.
        only: leave out the sides of any other library; no ratio is computed then.

    Returns:
        Plain data: `{"name", "what", "rounds", "ours", "other", "cpu_ratio",
        "cpu_ratio_quartiles", "wall_ratio", "reach", "aim", "figure", "reached",
        "load", "date"}`; a side is `{"library", "options", "workload", "packages", "cpu",
        "wall"}` in seconds per step, or None. Where bytes are measured, "bytes" stands in
        place of "cpu" and "wall". The load is that of the last minute at the end.

    Raises:
        RuntimeError: a worker died, or a side computed other numbers than the other side
            or than its workload says.
    """
    sides = {"ours": row.ours, "other": row.other}
    sides = {
        key: side
        for key, side in sides.items()
        if side is not None and only in (None, side.library)
    }
    rounds = rounds or row.rounds
    workers: dict[str, Worker] = {}
    try:
        for key, side in sides.items():
            workers[key] = Worker(row.workload, side, row.agree is not None)
        answers = {key: worker.answer() for key, worker in workers.items()}
        if row.agree is not None:
            _must_agree(row, answers)
        times: dict[str, list[dict]] = {key: [] for key in workers}
        for i in range(rounds):
            for key in sorted(workers, reverse=i % 2 == 0):
                times[key].append(workers[key].run(row.steps))
    finally:
        for worker in workers.values():
            worker.close()
    return _result(row, sides, times)


def _must_agree(row: Row, answers: dict[str, dict]) -> None:
    """Each side with what its workload expects, and both where they expect the same."""
    for key, answer in answers.items():
        if answer["expected"]:
            _compare(row, key, answer["check"], "expected", answer["expected"])
    ours, other = answers.get("ours"), answers.get("other")
    if ours and other and ours["expected"] == other["expected"]:
        _compare(row, "ours", ours["check"], "other", other["check"])


def _compare(row: Row, one: str, ours: list, two: str, other: list) -> None:
    agreed = [
        abs(a - b) <= row.agree * max(abs(a), abs(b))
        for a, b in zip(ours, other, strict=True)
    ]
    if sum(agreed) < row.share * len(agreed):
        raise RuntimeError(
            f"{row.name}: the numbers differ, so the times do not compare.\n"
            f"  {one}: {ours}\n  {two}: {other}\n"
            f"  ours is {row.ours}, other {row.other}. Allowed is a relative difference "
            f"of {row.agree}, and {row.share:.0%} of the numbers have to keep to it."
        )


def _result(row: Row, sides: dict[str, Side], measured: dict[str, list[dict]]) -> dict:
    result: dict = {"name": row.name, "what": row.what, "steps": row.steps}
    first = next(iter(measured.values()))
    kinds = list(first[0])
    result["rounds"] = len(first)
    for key in ("ours", "other"):
        result[key] = sides.get(key) and {
            **asdict(sides[key]),
            "packages": environments.packages_of(sides[key].library),
            **{kind: _median(measured[key], kind) for kind in kinds},
        }
    result.update(reach=row.reach, aim=row.aim, figure=row.figure, reached=None)
    result["load"] = round(os.getloadavg()[0], 1)
    result["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    figure = None
    if len(sides) == 2:
        for kind in kinds:
            result[f"{kind}_ratio"] = result["ours"][kind] / result["other"][kind]
        pairs = [
            a[row.figure] / b[row.figure]
            for a, b in zip(measured["ours"], measured["other"], strict=True)
        ]
        figure = result[f"{row.figure}_ratio"]
        result[f"{row.figure}_ratio_quartiles"] = _quartiles(pairs)
    elif row.other is None:
        figure = result["ours"][row.figure]
    if figure is not None:
        result["reached"] = figure <= row.reach
    return result


def _median(times: list[dict], kind: str) -> float:
    return statistics.median(entry[kind] for entry in times)


def _quartiles(values: list[float]) -> list[float]:
    if len(values) < 2:
        return [values[0], values[0]]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return [first, third]
