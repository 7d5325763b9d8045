"""Integer models of a small CNN: making one, its first call, its file, and its inference.

Run as a program, it does the first three once, in a process that has imported everything.
"""

import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from workloads._base import Times, Workload

MODULES = {"larqlite": "larqlite.integer.models", "quantizeml": "quantizeml.models"}
KERAS = {"larqlite": "tf_keras", "quantizeml": "keras"}
FILTERS = (16, 32, 32, 64, 40)
SAMPLES, BATCH = 256, 64


class Once(Workload):
    """Measures in child processes, each of which does its part for the first time."""

    def measure(self, steps: int) -> Times:
        """Seconds of the part over `steps` fresh processes."""
        runs = [self.step() for _ in range(steps)]
        cpu, wall = (sum(column) / steps for column in zip(*runs, strict=True))
        return Times(cpu, wall)


def prepare(library: str, part: str, batch_size: int = 64, call: str = "function"):
    """One piece of work on the same network with the same weights.

    Args:
        library: "larqlite" or "quantizeml"; whose Keras a float network has, too.
        part: "quantize", "first_call" or "save_and_load", each in a process of its own;
            "inference" of the quantized network, "frozen" with its integers as constants
            (larqlite), and "float" of the network itself.
        batch_size: images of a call.
        call: "function", a compiled function of the model, or "predict", the model's
            `predict_on_batch`.
    """
    if part in ("inference", "frozen", "float"):
        return _inference(library, part, batch_size, call)
    command = [sys.executable, "-m", "workloads.integer", library]
    folder = pathlib.Path(__file__).resolve().parent.parent
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))

    def run() -> dict:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        return json.loads(done.stdout.splitlines()[-1])

    return Once(lambda: run()[part], lambda: run()["check"])


def _network(library: str):
    """57,058 parameters, of which the seeded values do not depend on the library."""
    keras = importlib.import_module(KERAS[library])
    layers = keras.layers
    inputs = x = keras.Input((32, 32, 3))
    for i, filters in enumerate(FILTERS):
        x = layers.Conv2D(filters, 3, padding="same", name=f"conv_{i}")(x)
        x = layers.BatchNormalization(name=f"bn_{i}")(x)
        x = layers.ReLU(name=f"relu_{i}")(x)
        if i in (1, 3):
            x = layers.MaxPooling2D(name=f"pool_{i}")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(inputs, layers.Dense(10, name="logits")(x))
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(_value(rng, variable.name, variable.shape))
    return model


def _value(rng, name: str, shape) -> np.ndarray:
    """What a trained network could have there."""
    if "kernel" in name:
        return rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape)
    if "gamma" in name or "variance" in name:
        return rng.uniform(0.5, 1.5, shape)
    return rng.normal(0, 0.1, shape)


def _images(count: int) -> np.ndarray:
    """Integers from 0 to 255, as floats."""
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (count, 32, 32, 3)).astype(np.float32)


def _quantized(library: str, network):
    quantize = importlib.import_module(MODULES[library]).quantize
    return quantize(
        network, samples=_images(SAMPLES), num_samples=SAMPLES, batch_size=BATCH
    )


def _inference(library: str, part: str, batch_size: int, call: str) -> Workload:
    tensorflow = importlib.import_module("tensorflow")
    model = _network(library)
    if part != "float":
        model = _quantized(library, model)
    if part == "frozen":
        model = importlib.import_module(MODULES[library]).freeze(model)
    images = tensorflow.constant(_images(batch_size))
    function = tensorflow.function(lambda x: model(x, training=False))

    def step() -> None:
        if call == "predict":
            model.predict_on_batch(images)
        else:
            function(images).numpy()

    return Workload(step)


def _once(library: str) -> dict:
    """`[CPU, wall]` seconds of the three parts, and what the network answers."""
    tensorflow = importlib.import_module("tensorflow")
    threads = importlib.import_module("worker").THREADS
    threading = tensorflow.config.threading
    threading.set_intra_op_parallelism_threads(threads["intra_op"])
    threading.set_inter_op_parallelism_threads(threads["inter_op"])
    models = importlib.import_module(MODULES[library])
    network, images = _network(library), _images(8)
    found = {}

    def timed(part: str, work):
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        found[part] = time.process_time() - cpu, time.perf_counter() - wall
        return result

    model = timed("quantize", lambda: _quantized(library, network))
    answer = timed("first_call", lambda: model(images).numpy())

    def save_and_load(path: str):
        model.save(path)
        return models.load_model(path)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.h5")
        loaded = timed("save_and_load", lambda: save_and_load(path))
        np.testing.assert_array_equal(loaded(images), answer)
    return {**found, "check": [float(value) for value in answer.ravel()]}


if __name__ == "__main__":
    print(json.dumps(_once(sys.argv[1])))
