"""Starts the workers of a cluster on 127.0.0.1 as processes of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.zoo import training_process

ROOT = Path(__file__).resolve().parents[2]


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(job: dict, count: int = 2, **different) -> list[subprocess.Popen]:
    """Starts workers that all have the same job.

    Args:
        job: of `training_process`.
        count: how many workers.
        **different: a field of the job, as a list with one value for each worker.
    """
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(count)]}
    script = str(Path(training_process.__file__))
    processes = []
    for index in range(count):
        own = job | {name: values[index] for name, values in different.items()}
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, script, json.dumps(own)],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ
                | {"PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(config)},
            )
        )
    return processes


def ends(processes: list[subprocess.Popen], timeout: float = 400) -> list[str]:
    """What the workers printed, once all of them have ended."""
    try:
        return [process.communicate(timeout=timeout)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
