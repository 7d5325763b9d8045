"""Running the demo: data, training with a progress bar, files, and the report."""

from __future__ import annotations

import datetime
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from larqlite import context, datasets, models, plot
from larqlite.demo._network import build_network
from larqlite.demo._options import BATCH, Options

FLOAT_TWIN_FILE = Path(__file__).with_name("float_twin.json")
LEARNING_RATE = 5e-3


@dataclass(frozen=True)
class Result:
    """What a run of the demo measured.

    Attributes:
        test_accuracy: share of the test images that the model, saved and loaded
            again, labels correctly.
        seconds: wall time of the whole run.
        files: what was written.
    """

    test_accuracy: float
    seconds: float
    files: tuple[Path, ...] = ()


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
    if options.float_twin:
        return _measure_float_twin(options, console, start)

    paths = {
        name: options.output / name
        for name in ("model.keras", "history.csv", "curves.png", "quantizer.png")
    }
    with context.metrics_scope(["flip_ratio"]):
        model = build_network(options.input_quantizer, options.kernel_quantizer)
    options.output.mkdir(parents=True, exist_ok=True)
    _train(model, options, console, paths["history.csv"])
    model.save(paths["model.keras"])
    plot.history(paths["history.csv"], path=paths["curves.png"])
    plot.quantizer(options.input_quantizer, path=paths["quantizer.png"])

    loaded = models.load(paths["model.keras"])
    costs = models.summary(
        loaded, print_fn=lambda text: console.out(text, highlight=False)
    )
    result = Result(
        _test_accuracy(loaded, options),
        time.perf_counter() - start,
        tuple(paths.values()),
    )
    _report(options, result, costs, console)
    return result


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
    with Progress(*columns, console=console) as progress:
        callbacks = [_ProgressBar(progress)]
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

    def __init__(self, progress: Progress):
        super().__init__()
        self.progress = progress

    def on_train_begin(self, logs=None):
        total = self.params["epochs"] * self.params["steps"]
        self.task = self.progress.add_task("training", total=total)

    def on_train_batch_end(self, batch, logs=None):
        self.progress.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        self.progress.console.print(
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
        "epochs": options.epochs,
        "seed": options.seed,
        "train_images": options.train_images,
        "date": datetime.date.today().isoformat(),
        "tensorflow": tf.__version__,
    }
    FLOAT_TWIN_FILE.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    console.out(f"float twin: test accuracy {accuracy:.4f}, stored in the package")
    return Result(accuracy, time.perf_counter() - start, (FLOAT_TWIN_FILE,))


def _report(options: Options, result: Result, costs, console: Console) -> None:
    twin = float_twin()
    model, history, curves, picture = result.files
    images = f"{options.test_images:,} images"
    kibibytes = costs.deployed_bytes / 1024
    smaller = costs.memory_bits_float32 / costs.memory_bits
    console.out(
        f"""
Test accuracy, binary      {result.test_accuracy:.4f}   ({images})
Test accuracy, float twin  {twin["test_accuracy"]:.4f}   ({twin["epochs"]} epochs, {twin["date"]})
Deployed weights           {kibibytes:.1f} KiB, {smaller:.1f} times less than float
Time                       {result.seconds:.0f} s

Written
  {model}     the trained model
  {history}     loss, accuracy and flip ratios of every epoch
  {curves}      the same as a picture
  {picture}   {options.input_quantizer} and its pseudo-gradient

To try next
  lq demo --input-quantizer swish_sign     another pseudo-gradient
  lq demo --kernel-quantizer ste_tern      ternary kernels
  {twin["command"]}                     measure the float twin again
  lq quantizers                            all names
  lq plot weights {model}
In Python
  import larqlite as lq
  model = lq.models.load("{model}")
  lq.models.quantized_weights(model)       the binary kernels""",
        highlight=False,
    )
