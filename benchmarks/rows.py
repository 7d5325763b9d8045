"""What a row of the table is: two sides of one workload, and what to reach."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Side:
    """One worker process: a library and the options of the row's workload.

    Args:
        library: "larqlite" or a peer of `environments.py`, each in an environment of
            its own.
        options: keyword arguments of the workload's `prepare`.
        workload: in place of the row's: a row may hold what the machine can do at most
            against a network.
    """

    library: str
    options: dict = field(default_factory=dict)
    workload: str | None = None


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what `run.py NAME` calls it.
        what: the line in words.
        workload: module in `workloads/`.
        ours: the measured side.
        other: the side it is compared with, or None for a time in seconds.
        reach: the largest ratio `ours / other` (or seconds) that is good enough.
        aim: the ratio hoped for, where it differs.
        steps: steps per round and side.
        rounds: rounds; each runs both sides once.
        agree: largest relative difference between the sides' checked numbers, and from
            what the workload says they have to be, or None where they compute something
            different.
        share: the part of these numbers that has to agree.
        figure: what the ratio is of: "cpu", "wall" or "bytes".
    """

    name: str
    what: str
    workload: str
    ours: Side
    other: Side | None
    reach: float
    aim: float | None = None
    steps: int = 1
    rounds: int = 15
    agree: float | None = 1e-3
    share: float = 1.0
    figure: str = "cpu"
