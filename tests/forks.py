"""A process that has imported TensorFlow and Keras, and forks one more for each snippet."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import types
from pathlib import Path


def _serve() -> dict:
    """Forks a process for each line of JSON; returns its job in each of these."""
    import tensorflow as tf
    import tf_keras

    # What TensorFlow imports at the first use.
    _ = tf.Tensor, tf.raw_ops, tf.saved_model, tf_keras.Model, tf_keras.saving
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return json.loads(line)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return {}


def _become(job: dict) -> None:
    """Makes this process the one of the job: its folder, its outputs, its `__main__`."""
    os.setsid()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for name, target in (("stdout", 1), ("stderr", 2)):
        with open(job[name], "w") as file:
            os.dup2(file.fileno(), target)
    os.chdir(job["cwd"])
    sys.argv = ["-c"]
    sys.path[0] = ""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    exec(compile(job["code"], "<string>", "exec"), vars(main))


class Forks:
    """Runs snippets in processes that start quickly, as copies of one that is kept.

    Args:
        root: the checkout, which is imported from.
        inherited: the environment of all processes.
    """

    def __init__(self, root: Path, inherited: dict[str, str]):
        self._command = [sys.executable, __file__]
        self._environment = inherited | {"PYTHONPATH": str(root)}
        self._process: subprocess.Popen | None = None

    def run(
        self, code: str, folder: Path, timeout: float
    ) -> subprocess.CompletedProcess:
        """The exit code of a snippet that runs in a folder, and what it printed."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
            )
        printed = {name: folder / f".{name}" for name in ("stdout", "stderr")}
        job = {"code": code, "cwd": str(folder)}
        job |= {name: str(path) for name, path in printed.items()}
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        late = not select.select([self._process.stdout], [], [], timeout)[0]
        if late:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        ended = int(self._process.stdout.readline())
        shown = [path.read_text() for path in printed.values()]
        for path in printed.values():
            path.unlink()
        if late:
            raise subprocess.TimeoutExpired("the snippet", timeout, *shown)
        return subprocess.CompletedProcess("the snippet", ended, *shown)

    def close(self) -> None:
        """Ends the process that is kept."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(60)
            self._process.stdout.close()


if __name__ == "__main__":
    _job = _serve()
    if _job:
        _become(_job)
