"""The device or devices that a run uses: TensorFlow's own strategies."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator

import tensorflow as tf

from larqlite.errors import ArgumentError, LarqliteError

LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


class WorkerLostError(LarqliteError, RuntimeError):
    """Another worker of the cluster ended or cannot be reached."""


def strategy(name: str) -> tf.distribute.Strategy:
    """The strategy of that name; for several workers, always the same object.

    Args:
        name: "none" for one device, "mirrored" for all GPUs (or the logical CPUs) of this
            machine, "multi_worker" for the machines that `TF_CONFIG` lists. The last one
            waits until all of them have been started, and must be asked for before
            TensorFlow has computed anything.

    Raises:
        ArgumentError: "multi_worker" without a `TF_CONFIG` that names this worker.
    """
    if name == "none":
        return tf.distribute.get_strategy()
    if name == "mirrored":
        devices = tf.config.list_logical_devices("GPU")
        devices = devices or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if name == "multi_worker":
        return _multi_worker(os.environ.get("TF_CONFIG", ""))
    raise ArgumentError(
        f'strategy "{name}" is unknown.\n  Fix: none, mirrored or multi_worker.'
    )


@functools.cache
def _multi_worker(config: str) -> tf.distribute.Strategy:
    _check_cluster(config)
    return tf.distribute.MultiWorkerMirroredStrategy()


def shard_of(used: tf.distribute.Strategy) -> tuple[int, int]:
    """`(i, n)`: this process is worker `i` of `n`; worker 0 is the chief."""
    resolver = used.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 0, 1
    order = _workers(resolver.cluster_spec().as_dict())
    return order.index((resolver.task_type, resolver.task_id)), len(order)


def check_batch(batch_size: int, used: tf.distribute.Strategy) -> None:
    """Raises ArgumentError where a batch cannot be dealt out equally to all replicas."""
    replicas = used.num_replicas_in_sync
    if batch_size % replicas:
        raise ArgumentError(
            f"a batch of {batch_size} images cannot be dealt out equally to {replicas} "
            f"replicas.\n  Fix: --batch-size {max(batch_size // replicas, 1) * replicas}."
        )


def require_same_step(used: tf.distribute.Strategy, step: int, folder) -> None:
    """Makes sure that all workers go on at the same step.

    Raises:
        ArgumentError: they do not, so they do not see the same files.
    """
    worker, workers = shard_of(used)
    if workers == 1:
        return

    @tf.function
    def gathered():
        return tf.distribute.get_replica_context().all_gather(
            tf.constant([step]), axis=0
        )

    steps = used.experimental_local_results(used.run(gathered))[0].numpy().tolist()
    if len(set(steps)) > 1:
        raise ArgumentError(
            f"{folder}: the workers would go on at different steps: {steps}; worker "
            f"{worker} at {step}.\n  Fix: an output folder (--output) that all workers "
            "share."
        )


@contextlib.contextmanager
def losses_named(used: tf.distribute.Strategy, folder) -> Iterator[None]:
    """Says in plain words what TensorFlow says when another worker has gone.

    Raises:
        WorkerLostError: an operation over several workers was broken off.
    """
    try:
        yield
    except LOST as error:
        worker, workers = shard_of(used)
        if workers == 1:
            raise
        raise WorkerLostError(
            f"worker {worker} of {workers}: another worker has ended, or cannot be "
            f"reached ({str(error).splitlines()[0]}).\n  Fix: see what that one says; then "
            f"start all workers again, and they go on from the last checkpoint in {folder}."
        ) from error


def _workers(cluster: dict) -> list[tuple[str, int]]:
    return [
        (kind, number)
        for kind in ("chief", "worker")
        for number in range(len(cluster.get(kind, ())))
    ]


def _check_cluster(text: str) -> None:
    fix = (
        "\n  Fix: on worker i set TF_CONFIG="
        '\'{"cluster": {"worker": ["host0:port", "host1:port"]}, '
        '"task": {"type": "worker", "index": i}}\'.'
    )
    if not text:
        raise ArgumentError(f"--strategy multi_worker needs TF_CONFIG.{fix}")
    try:
        config = json.loads(text)
        kind, index = config["task"]["type"], config["task"]["index"]
        config["cluster"][kind][index]
        known = (kind, index) in _workers(config["cluster"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ArgumentError(
            f"TF_CONFIG={text} does not say which worker this is "
            f"({type(error).__name__}: {error}).{fix}"
        ) from error
    if not known:
        raise ArgumentError(
            f'TF_CONFIG={text}: a task of type "{kind}" and index {index} does not '
            f"train.{fix}"
        )
