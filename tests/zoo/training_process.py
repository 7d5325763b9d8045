"""A training run as a process of its own, which may kill itself where it is told to.

`python training_process.py '{"output": ...}'` trains; `--serve` imports everything, then
forks one process for each line of JSON on its standard input, and prints the process's id,
then its exit code.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from rich.console import Console

import larqlite as lq
from larqlite_zoo import training
from larqlite_zoo.training import _files, _outputs, _saving

OPTIMIZERS = {
    "adam": training.Adam(training.Cosine(5e-3)),
    "sgd": training.SGD(training.Constant(0.05), momentum=0.9),
    "plain_sgd": training.SGD(training.Constant(0.05)),
    "bop": training.TwoOptimizers(
        training.Bop(threshold=1e-4, gamma=1e-2), training.Adam(training.Cosine(5e-3))
    ),
    "bop_and_sgd": training.TwoOptimizers(
        training.Bop(threshold=1e-4, gamma=1e-2), training.SGD(training.Constant(0.05))
    ),
    "adam_and_sgd": training.TwoOptimizers(
        training.Adam(training.Constant(1e-3)),
        training.SGD(training.Constant(0.05), momentum=0.9),
    ),
}


def recipe(
    model="tiny_dropout", optimizer="adam", epochs=3, batch_size=32, seed=1
) -> training.Recipe:
    """The recipe of the tests."""
    return training.Recipe(
        name="TrainTiny",
        model=model,
        dataset="fashion_mnist_subset",
        epochs=epochs,
        batch_size=batch_size,
        optimizer=OPTIMIZERS[optimizer],
        train_images=256,
        validation_images=96,
        seed=seed,
    )


def options(output, **changes) -> training.Options:
    """Checkpoints every three steps, results beside the output."""
    output = Path(output)
    if "results" in changes:
        changes["results"] = Path(changes["results"])
    chosen = {
        "checkpoint_steps": 3, "keep_checkpoints": 2, "progress": False,
        "results": output.parent / f"{output.name}_results",
    } | changes  # fmt: skip
    return training.Options(output=output, **chosen)


def draw_no_curves(set_attribute=setattr) -> None:
    """Runs leave an empty picture: to draw it takes a third of a run of the tests."""
    set_attribute(lq.plot, "history", lambda history, path: path.write_bytes(b""))


def die() -> None:
    """What `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arrange_death(kind: str, when: float) -> None:
    """Makes this process kill itself.

    Args:
        kind: "step": in a thread, `when` steps after the start, fractions included.
            "in_checkpoint": within the first write of a checkpoint of step `when` or
            later, when its tensors are on the disk and nothing names them.
            "before_listing": when a checkpoint is complete, but not yet listed.
            "after_row": between the row of the history and the checkpoint of its epoch.
            "before_results", "after_results": around the row of results.
    """
    if kind == "step":
        _after_step(when)
    elif kind in ("in_checkpoint", "before_listing"):
        from tensorflow.python.checkpoint import checkpoint_management
        from tensorflow.python.ops import gen_io_ops

        module, name = {
            "in_checkpoint": (gen_io_ops, "merge_v2_checkpoints"),
            "before_listing": (
                checkpoint_management,
                "update_checkpoint_state_internal",
            ),
        }[kind]
        really = getattr(module, name)

        def write(*args, **kwargs):
            text = f"{args} {kwargs}"
            step = int(text.split("ckpt-")[1].split("'")[0].split("_")[0].split('"')[0])
            if step >= when:
                die()
            return really(*args, **kwargs)

        setattr(module, name, write)
    elif kind == "after_row":
        add = _saving.History.add

        def add_and_die(self, row):
            add(self, row)
            if row["epoch"] >= when:
                die()

        _saving.History.add = add_and_die
    elif kind == "before_results":
        _outputs._append = lambda path, row: die()
    elif kind == "after_results":
        write_json = _files.write_json

        def die_instead(path, content):
            if path.name == _outputs.FINISHED:
                die()
            write_json(path, content)

        _outputs.write_json = die_instead


def _after_step(when: float) -> None:
    ended = _saving.Progress.on_train_batch_end
    began = []

    def on_train_batch_end(self, batch, logs=None):
        began.append(time.perf_counter())
        if len(began) == int(when) + 1:
            fraction = when % 1 * (began[-1] - began[max(len(began) - 2, 0)])
            threading.Timer(fraction, die).start()
        ended(self, batch, logs)

    _saving.Progress.on_train_batch_end = on_train_batch_end


def _show_steps() -> None:
    """Prints a line before each step, for one who waits for it to kill this process."""
    begin = _saving.Progress.on_train_batch_begin

    def on_train_batch_begin(self, batch, logs=None):
        print("step", flush=True)
        begin(self, batch, logs)

    _saving.Progress.on_train_batch_begin = on_train_batch_begin


def _show_replicas() -> None:
    """Prints a digest of the trainable weights of each replica here, at the end."""
    finish = _outputs.finish

    def finish_and_show(run):
        copies = [
            run.strategy.experimental_local_results(weight)
            for weight in run.trained.student.trainable_weights
        ]
        for number, values in enumerate(zip(*copies, strict=True)):
            content = b"".join(value.numpy().tobytes() for value in values)
            digest = hashlib.sha256(content).hexdigest()
            print(f"replica {number} of worker {run.shard[0]}: {digest}", flush=True)
        return finish(run)

    _outputs.finish = finish_and_show


def main(job: dict) -> None:
    """Trains as the job says."""
    from tests.zoo import tiny_models

    tiny_models.register()
    if job.get("replicas"):
        device = tf.config.list_physical_devices("CPU")[0]
        each = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(device, [each] * job["replicas"])
    training.make_deterministic()
    draw_no_curves()
    if "die" in job:
        arrange_death(*job["die"])
    if job.get("show_steps"):
        _show_steps()
    if job.get("show_replicas"):
        _show_replicas()
    training.train(
        recipe(**job.get("recipe", {})),
        options(job["output"], **job.get("options", {})),
        console=Console(width=200),
    )


def _serve() -> None:
    gc.set_threshold(20_000, 10, 10)
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _run_and_exit(json.loads(line))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run_and_exit(job: dict) -> None:
    log = os.open(job["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 1
    try:
        main(job)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Server:
    """Runs jobs in processes that start quickly, because they are forked.

    Args:
        root: the checkout.
    """

    def __init__(self, root: Path):
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(root)},
        )

    def run(self, **job) -> int:
        """The exit code of a job, negative for a signal; its output goes to `log`."""
        self.start(**job)
        return self.wait()

    def start(self, **job) -> int:
        """Starts a job, and returns the id of its process."""
        job.setdefault("log", f"{job['output']}.log")
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def wait(self) -> int:
        """The exit code of the job that was started."""
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the server."""
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        _serve()
    else:
        main(json.loads(sys.argv[1]))
