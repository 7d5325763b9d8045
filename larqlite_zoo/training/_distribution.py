"""The device or devices that a run uses: TensorFlow's own strategies."""

from __future__ import annotations

import json
import os

import tensorflow as tf

from larqlite.errors import ArgumentError


def strategy(name: str) -> tf.distribute.Strategy:
    """The strategy of that name.

    Args:
        name: "none" for one device, "mirrored" for all GPUs (or the logical CPUs) of this
            machine, "multi_worker" for the machines that `TF_CONFIG` lists.

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
        _check_cluster(os.environ.get("TF_CONFIG", ""))
        return tf.distribute.MultiWorkerMirroredStrategy()
    raise ArgumentError(
        f'strategy "{name}" is unknown.\n  Fix: none, mirrored or multi_worker.'
    )


def shard_of(used: tf.distribute.Strategy) -> tuple[int, int]:
    """`(i, n)`: this process is worker `i` of `n`."""
    resolver = used.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 0, 1
    workers = resolver.cluster_spec().as_dict()
    order = [
        (kind, number)
        for kind in ("chief", "worker")
        for number in range(len(workers.get(kind, ())))
    ]
    return order.index((resolver.task_type, resolver.task_id)), len(order)


def check_batch(batch_size: int, used: tf.distribute.Strategy) -> None:
    """Raises ArgumentError where a batch cannot be dealt out equally to all replicas."""
    replicas = used.num_replicas_in_sync
    if batch_size % replicas:
        raise ArgumentError(
            f"a batch of {batch_size} images cannot be dealt out equally to {replicas} "
            f"replicas.\n  Fix: --batch-size {max(batch_size // replicas, 1) * replicas}."
        )


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
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ArgumentError(
            f"TF_CONFIG={text} does not say which worker this is "
            f"({type(error).__name__}: {error}).{fix}"
        ) from error
