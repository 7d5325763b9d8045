"""One side of a benchmark: a process that prepares a workload and times it on request.

It reads one JSON object per line and answers with one: first `{"workload", "library",
"options", "compare"}`, then `{"steps"}` as often as the driver likes; an empty line ends it.
"""

import importlib
import json
import os
import sys
from dataclasses import asdict

THREADS = {"intra_op": 2, "inter_op": 1}
WARM_UP_STEPS = 2


def main() -> None:
    """Serve the driver until it says goodbye."""
    # TensorFlow and its libraries may print: keep the answers on a pipe of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    order = json.loads(sys.stdin.readline())
    workload = _prepare(order)
    for _ in range(WARM_UP_STEPS):
        workload.step()
    found = {"check": workload.check()}
    found["expected"] = workload.expected() if order["compare"] else []
    print(json.dumps(found), file=answers)
    while line := sys.stdin.readline().strip():
        measured = workload.measure(json.loads(line)["steps"])
        print(json.dumps(asdict(measured)), file=answers)


def _prepare(order: dict):
    module = importlib.import_module(f"workloads.{order['workload']}")
    if "tensorflow" in sys.modules:
        threading = sys.modules["tensorflow"].config.threading
        threading.set_intra_op_parallelism_threads(THREADS["intra_op"])
        threading.set_inter_op_parallelism_threads(THREADS["inter_op"])
    return module.prepare(order["library"], **order["options"])


if __name__ == "__main__":
    main()
