"""Running the demo: data, training with a progress bar, files, and the report."""

from __future__ import annotations

import datetime
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from larqlite import context, datasets, models, plot
from larqlite._demo_options import BATCH, DemoOptions
from larqlite._progress import below_lines
from larqlite.demo._deploy import Deployed, deploy_and_measure, paragraph
from larqlite.demo._network import build_network
from larqlite.errors import ArgumentError
from larqlite.outputs import JSON, record_of, require, save_model, write_json

RECORD, TWIN = "demo.json", "float_twin.json"
FLOAT_TWIN_FILE = Path(__file__).with_name(TWIN)
LEARNING_RATE = 5e-3
# For each engine that the deployed network is compared with.
SECONDS_TO_MEASURE = 1.0


@dataclass(frozen=True)
class Options(DemoOptions):
    """Train a small binary network on 8,000 real images, deploy it, and measure it.

    Raises:
        ArgumentError: fewer than one epoch, or more images than there are.
    """

    def run(self) -> None:
        """Runs the demo with these options, and prints what happens."""
        run(self)


@dataclass(frozen=True)
class Result:
    """What a run of the demo measured.

    Attributes:
        test_accuracy: share of the test images that the model, saved and loaded
            again, labels correctly.
        seconds: wall time of the whole run.
        files: what was written.
        deployed: the network as a file, verified and measured; None if that was not
            possible, or not part of the run.
    """

    test_accuracy: float
    seconds: float
    files: tuple[Path, ...] = ()
    deployed: Deployed | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same in types that JSON has, with the float twin of `float_twin()`."""
        return {
            "test_accuracy": self.test_accuracy,
            "float_twin": float_twin(),
            "seconds": self.seconds,
            "files": [str(path) for path in self.files],
            "deployed": None if self.deployed is None else self.deployed.to_dict(),
        }


def float_twin() -> dict:
    """The stored test accuracy of the float twin, and how it was measured.

    Example:
        >>> from larqlite import demo
        >>> sorted(demo.float_twin())
        ['command', 'date', 'epochs', 'seed', 'tensorflow', 'test_accuracy', 'train_images']
    """
    return json.loads(FLOAT_TWIN_FILE.read_text(encoding="utf-8"))


def run(options: Options, console: Console | None = None) -> Result:
    """Trains the network, writes the files, and prints the report.

    Args:
        options: see `Options`.
        console: where to print; the standard output by default.

    Returns:
        What was measured. The same options give the same weights on the same machine.
    """
    console = console or Console()
    start = time.perf_counter()
    tf_keras.utils.set_random_seed(options.seed)
    _require_output(options)
    if options.float_twin:
        return _measure_float_twin(options, console, start)

    paths = {
        name: options.output / name
        for name in ("model.keras", "history.csv", "curves.png", "quantizer.png")
    }
    with context.metrics_scope(["flip_ratio"]):
        model = build_network(options.input_quantizer, options.kernel_quantizer)
    options.output.mkdir(parents=True, exist_ok=True)
    write_json({"command": "lq demo", **_settings(options)}, options.output / RECORD)
    _train(model, options, console, paths["history.csv"])
    save_model(model, paths["model.keras"])
    plot.history(paths["history.csv"], path=paths["curves.png"])
    plot.quantizer(options.input_quantizer, path=paths["quantizer.png"])

    loaded = models.load(paths["model.keras"])
    costs = models.summary(
        loaded, print_fn=lambda text: console.out(text, highlight=False)
    )
    accuracy = _test_accuracy(loaded, options)
    deployed = deploy_and_measure(
        loaded, *_test_images(options), options.output, SECONDS_TO_MEASURE, console
    )
    result = Result(
        accuracy,
        time.perf_counter() - start,
        (
            *paths.values(),
            *(deployed.files if deployed else ()),
            options.output / RECORD,
        ),
        deployed,
    )
    _report(options, result, costs, console)
    return result


def _require_output(options: Options) -> None:
    """Refuses a folder that cannot be written, or holds files of no earlier demo.

    Raises:
        ArgumentError: it is such a folder.
    """
    record = options.output / (TWIN if options.float_twin else RECORD)
    require(record, JSON, "lq demo", makes_folder=True)
    names = (TWIN,) if options.float_twin else (RECORD, *_WRITTEN)
    there = [name for name in names if (options.output / name).exists()]
    # Demos of old left no record, but always these.
    earlier = set(there) >= {
        "model.keras",
        "history.csv",
        "curves.png",
        "quantizer.png",
    }
    command = str(record_of(record).get("command"))
    if there and not (earlier or command.startswith("lq demo")):
        raise ArgumentError(
            f"lq demo: {options.output} holds {there[0]}, which no demo wrote.\n"
            f"  Fix: --output {options.output / 'demo'}"
        )


def _settings(options: Options) -> dict:
    return {
        "epochs": options.epochs,
        "seed": options.seed,
        "train_images": options.train_images,
        "date": datetime.date.today().isoformat(),
        "tensorflow": tf.__version__,
    }


def _train(model, options: Options, console: Console, log: Path | None) -> None:
    (x_train, y_train), _ = datasets.load_fashion_mnist()
    test = _test_images(options)
    steps = options.train_images // BATCH
    schedule = tf_keras.optimizers.schedules.CosineDecay(
        LEARNING_RATE, options.epochs * steps
    )
    model.compile(
        tf_keras.optimizers.Adam(schedule),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    count = options.train_images
    images = datasets.to_float_images(x_train[:count])
    console.print(
        f"Fashion-MNIST: {count:,} training and {len(test[1]):,} test images; "
        f"{model.count_params():,} weights, {options.epochs} epochs"
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TimeRemainingColumn(),
    )
    with below_lines(console, *columns) as progress:
        callbacks = [_ProgressBar(progress, console)]
        if log is not None:
            callbacks.append(tf_keras.callbacks.CSVLogger(log))
        model.fit(
            _batches(images, y_train[:count], options.seed),
            epochs=options.epochs,
            validation_data=test,
            validation_batch_size=500,
            verbose=0,
            callbacks=callbacks,
        )


def _batches(images: np.ndarray, labels: np.ndarray, seed: int) -> tf.data.Dataset:
    """Shuffled batches, half of the images mirrored, anew in every epoch."""

    def mirror_half(images, labels):
        mirrored = tf.random.uniform([BATCH, 1, 1, 1], seed=seed) < 0.5
        return tf.where(mirrored, images[:, :, ::-1], images), labels

    return (
        tf.data.Dataset.from_tensor_slices((images, labels))
        .shuffle(len(images), seed=seed)
        .batch(BATCH, drop_remainder=True)
        .map(mirror_half)
        .prefetch(2)
    )


class _ProgressBar(tf_keras.callbacks.Callback):
    """One bar over all epochs, and one line after each."""

    def __init__(self, progress: Progress, console: Console):
        super().__init__()
        self.progress, self.console = progress, console

    def on_train_begin(self, logs=None):
        total = self.params["epochs"] * self.params["steps"]
        self.task = self.progress.add_task("training", total=total)

    def on_train_batch_end(self, batch, logs=None):
        self.progress.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        self.console.print(
            f"epoch {epoch + 1:2}/{self.params['epochs']}  loss {logs['loss']:.3f}"
            f"  accuracy {logs['accuracy']:.3f}"
            f"  test accuracy {logs['val_accuracy']:.3f}"
        )


def _test_images(options: Options) -> tuple[np.ndarray, np.ndarray]:
    _, (images, labels) = datasets.load_fashion_mnist()
    count = options.test_images
    return datasets.to_float_images(images[:count]), labels[:count]


def _test_accuracy(model, options: Options) -> float:
    images, labels = _test_images(options)
    logits = model.predict(images, batch_size=500, verbose=0)
    return float(np.mean(logits.argmax(axis=-1) == labels))


def _measure_float_twin(options: Options, console: Console, start: float) -> Result:
    model = build_network(tf.nn.relu, None, None)
    _train(model, options, console, log=None)
    accuracy = _test_accuracy(model, options)
    record = {
        "test_accuracy": round(accuracy, 4),
        "command": "lq demo --float-twin",
        **_settings(options),
    }
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / TWIN
    write_json(record, path)
    console.out(f"float twin: test accuracy {accuracy:.4f}\nwrote {path}")
    return Result(accuracy, time.perf_counter() - start, (path,))


def _report(options: Options, result: Result, costs, console: Console) -> None:
    twin = float_twin()
    images = f"{options.test_images:,} images"
    kibibytes = costs.deployed_bytes / 1024
    smaller = costs.memory_bits_float32 / costs.memory_bits
    width = max(len(str(path)) for path in result.files) + 4
    written = "\n".join(
        f"  {path!s:<{width}}{_WRITTEN[path.name]}" for path in result.files
    )
    tries = _tries(result, twin)
    longest = max(len(command) for command in tries) + 4
    to_try = "\n".join(f"  {key:<{longest}}{what}" for key, what in tries.items())
    deployed = "" if result.deployed is None else f"\n\n{paragraph(result.deployed)}"
    console.out(
        f"""
Test accuracy, binary      {result.test_accuracy:.4f}   ({images})
Test accuracy, float twin  {twin["test_accuracy"]:.4f}   ({twin["epochs"]} epochs, {twin["date"]})
Deployed weights           {kibibytes:.1f} KiB, {smaller:.1f} times less than float
Time                       {result.seconds:.0f} s{deployed}

Written
{written}

To try next
{to_try}
In Python
  import larqlite as lq
  model = lq.models.load("{result.files[0]}")
  lq.models.quantized_weights(model)       the binary kernels""",
        highlight=False,
    )


_WRITTEN = {
    "model.keras": "the trained model",
    "history.csv": "loss, accuracy and flip ratios of every epoch",
    "curves.png": "the same as a picture",
    "quantizer.png": "the input quantizer and its pseudo-gradient",
    "model.onnx": "the packed model, which needs no TensorFlow",
    "images.npz": "some test images",
    "benchmark.png": "how fast the packed model is",
    RECORD: "how it was made, which a next run may replace",
}


def _tries(result: Result, twin: dict) -> dict[str, str]:
    """Commands, and what they do."""
    model = result.files[0]
    tries = {
        "lq demo --input-quantizer swish_sign": "another pseudo-gradient",
        "lq demo --kernel-quantizer ste_tern": "ternary kernels",
        twin["command"]: "measure the float twin again",
        "lq quantizers": "all names",
        f"lq plot weights {model}": "the latent weights",
    }
    if result.deployed is not None:
        file, data, _ = result.deployed.files
        tries |= {
            f"lq run {file} --data {data}": "labels and times",
            f"lq benchmark {file} --model {model}": "with the time of each step",
        }
    return tries
