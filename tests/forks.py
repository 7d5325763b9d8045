"""A process that has imported TensorFlow and Keras, and forks one more for each snippet.

Kernels of notebooks are such forks too (`notebooks/conftest.py`).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOWHERE = Path(os.devnull)
FORCED_BY_A_TEST = ("TF_USE_LEGACY_KERAS", "TF_XLA_FLAGS", "XLA_FLAGS")

KERNEL = """
import os, sys
os.environ.clear()
os.environ.update({environment!r})
sys.argv = {words!r}
from ipykernel import kernelapp
kernelapp.launch_new_instance()
"""


def _serve() -> dict:
    """Forks a process for each line of JSON; returns its job in each of these."""
    # An import makes a million objects that stay, and so does what reads a file.
    gc.set_threshold(20_000, 10, 10)
    import tensorflow as tf
    import tf_keras

    from tests.common.one_trace import trace_once

    trace_once()
    # What TensorFlow imports at the first use.
    _ = tf.Tensor, tf.raw_ops, tf.saved_model, tf_keras.Model, tf_keras.saving
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return json.loads(line)
        os.setpgid(child, child)  # here too: it must be so before its number is told
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return {}


def _become(job: dict) -> None:
    """Makes this process the one of the job: its folder, its outputs, its `__main__`."""
    os.setpgid(0, 0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    for name, target in (("stdout", 1), ("stderr", 2)):
        with open(job[name], "a") as file:
            os.dup2(file.fileno(), target)
    os.chdir(job["cwd"])
    sys.argv = ["-c"]
    sys.path[0] = ""
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    exec(compile(job["code"], "<string>", "exec"), vars(main))


class Fork:
    """A forked process, with what Jupyter asks of a `subprocess.Popen`.

    Args:
        pid: its number, which is that of its group too.
        answers: where the exit code comes from, as a line.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int, answers):
        self.pid = pid
        self.returncode: int | None = None
        self._answers = answers

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The same once it has ended; that of a kill if what forks was ended too."""
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("the fork", timeout)
            self.returncode = int(self._answers.readline() or -signal.SIGKILL)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal to all of the process's group, if it still runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Asks the process to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process."""
        self.send_signal(signal.SIGKILL)


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
        self._last: Fork | None = None

    def start(
        self, code: str, folder: Path, stdout: Path = NOWHERE, stderr: Path = NOWHERE
    ) -> Fork:
        """A process that runs a snippet in a folder; the one before it is ended."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
            )
        if self._last is not None:
            self._last.kill()
            self._last.wait()
        job = {"code": code, "cwd": str(folder)}
        job |= {"stdout": str(stdout), "stderr": str(stderr)}
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        self._last = Fork(pid, self._process.stdout)
        return self._last

    def run(
        self, code: str, folder: Path, timeout: float
    ) -> subprocess.CompletedProcess:
        """The exit code of a snippet that runs in a folder, and what it printed."""
        printed = [folder / ".stdout", folder / ".stderr"]
        fork = self.start(code, folder, *printed)
        late = False
        try:
            fork.wait(timeout)
        except subprocess.TimeoutExpired:
            late = True
            fork.kill()
            fork.wait()
        shown = [path.read_text() for path in printed]
        for path in printed:
            path.unlink()
        if late:
            raise subprocess.TimeoutExpired("the snippet", timeout, *shown)
        return subprocess.CompletedProcess("the snippet", fork.returncode, *shown)

    @contextlib.contextmanager
    def kernels(self):
        """Inside, what Jupyter launches as a Python kernel is a fork.

        What a kernel prints outside of its cells is printed if something fails.
        """
        from jupyter_client.provisioning import local_provisioner

        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "log")

            def launch(command: list[str], *, env: dict, cwd: str, **_) -> Fork:
                words = command[command.index("ipykernel_launcher") :]
                code = KERNEL.format(environment=env, words=words)
                return self.start(code, Path(cwd), log, log)

            launch_anew = local_provisioner.launch_kernel
            local_provisioner.launch_kernel = launch
            try:
                yield
            except BaseException:
                print(log.read_text() if log.exists() else "no kernel", file=sys.stderr)
                raise
            finally:
                local_provisioner.launch_kernel = launch_anew

    def close(self) -> None:
        """Ends the process that is kept."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(60)
            self._process.stdout.close()


def environment() -> dict[str, str]:
    """The variables of a fresh process."""
    return {k: v for k, v in os.environ.items() if k not in FORCED_BY_A_TEST}


@functools.cache
def shared() -> Forks:
    """The forks of this test process."""
    forks = Forks(ROOT, environment())
    atexit.register(forks.close)
    return forks


if __name__ == "__main__":
    _job = _serve()
    if _job:
        _become(_job)
