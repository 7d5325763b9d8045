"""What ranges, corrected biases and learned rounding do to MLPerf Tiny's ResNet-8.

    python -m benchmarks.post_training --model pretrainedResnet.h5 \
        --images cifar10_jpeg.tar.xz --output results/cifar10_jpeg/post_training.csv

Calibration has images of `train/` only, without labels; accuracy is that of the first images
of each class of `test/`. Each row is written when it is measured, and rows that the file has
already are not measured again.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import tarfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

import larqlite as lq

FIELDS = (
    *("api", "weight_bits", "activation_bits", "method", "accuracy", "float_accuracy"),
    *("points_under", "test_images", "samples", "steps", "seed", "seconds", "date"),
    "command",
)
# By name: how ranges are found, whether kernels are equalized, and what follows.
METHODS = {
    "extremes": {"calibration": "minmax"},
    "moving_average": {"calibration": "moving_average"},
    "auto": {"calibration": "auto"},
    "mse": {"calibration": "mse"},
    "percentile": {"calibration": "percentile"},
    "entropy": {"calibration": "entropy"},
    "equalize+mse": {"calibration": "mse", "equalize": True},
    "mse+biases": {"calibration": "mse", "then": "biases"},
    "mse+adaround": {"calibration": "mse", "then": "adaround"},
}
FEW = ("auto", "extremes", "moving_average")  # all that is measured at 8 bits
CLASSES = 10


def images_of(path: Path, part: str, each: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images of each class of a part, pixels 0 to 255, and their labels."""
    found: dict[str, list] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            folder, *inside = member.name.split("/")
            if folder != part or len(inside) != 2 or not inside[1].endswith(".jpg"):
                continue
            images = found.setdefault(inside[0], [])
            if len(images) < each:
                content = archive.extractfile(member).read()
                images.append(tf.io.decode_jpeg(content, channels=3).numpy())
    x = np.concatenate([np.stack(found[name]) for name in sorted(found)])
    return x.astype(np.float32), np.repeat(np.arange(len(found)), each)


def quantized(model, api: str, bits: tuple, how: dict, x, arguments):
    """The quantized model."""
    if how.get("equalize"):
        model = lq.qat.equalize(model)
    if api == "qat":
        scheme = lq.qat.DefaultNBitQuantizeScheme(
            num_bits_weight=bits[0], num_bits_activation=bits[1]
        )
        made = lq.qat.quantize_model(
            model, scheme=scheme, calibrate=x, calibration=how["calibration"]
        )
        if how.get("then") == "biases":
            lq.qat.correct_biases(made, x)
        elif how.get("then") == "adaround":
            steps, seed = arguments.steps, arguments.seed
            print(lq.qat.adaround(made, x, steps=steps, seed=seed))
        return made
    models = lq.integer.models
    params = models.QuantizationParams(weight_bits=bits[0], activation_bits=bits[1])
    made = models.quantize(
        model,
        qparams=params,
        samples=x,
        num_samples=len(x),
        calibration=how["calibration"],
    )
    if how.get("then") == "biases":
        models.correct_biases(model, made, x, len(x))
    elif how.get("then") == "adaround":
        print(
            models.adaround(
                model, made, x, len(x), steps=arguments.steps, seed=arguments.seed
            )
        )
    return made


def accuracy(model, x, y) -> float:
    """In percent."""
    call = tf.function(lambda batch: model(batch, training=False))
    parts = [call(x[at : at + 100]).numpy() for at in range(0, len(x), 100)]
    return 100 * float(np.mean(np.concatenate(parts).argmax(1) == y))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=1020, help="of train/")
    parser.add_argument("--test", type=int, default=2000, help="images of test/")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(METHODS), help="methods")
    parser.add_argument("--api", nargs="*", default=["qat", "integer"])
    parser.add_argument("--bits", nargs="*", default=["8/8", "4/8", "4/4"])
    arguments = parser.parse_args()
    model = tf_keras.models.load_model(arguments.model, compile=False)
    x, _ = images_of(arguments.images, "train", arguments.samples // CLASSES)
    x = x[np.random.default_rng(arguments.seed).permutation(len(x))]
    test = images_of(arguments.images, "test", arguments.test // CLASSES)
    in_float = accuracy(model, *test)
    print(f"float: {in_float:.2f} %")
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    done = set()
    if arguments.output.exists():
        with arguments.output.open(newline="") as file:
            done = {
                tuple(row[name] for name in FIELDS[:4]) for row in csv.DictReader(file)
            }
    for name, how in METHODS.items():
        for bits in [tuple(map(int, words.split("/"))) for words in arguments.bits]:
            for api in arguments.api:
                key = (api, str(bits[0]), str(bits[1]), name)
                if key in done or name not in arguments.only:
                    continue
                if bits == (8, 8) and name not in FEW:
                    continue
                started = time.perf_counter()
                made = quantized(model, api, bits, how, x, arguments)
                seconds = time.perf_counter() - started
                found = accuracy(made, *test)
                learns = how.get("then") == "adaround"
                values = (
                    *(
                        *key,
                        f"{found:.2f}",
                        f"{in_float:.2f}",
                        f"{in_float - found:.2f}",
                    ),
                    *(len(test[1]), len(x), arguments.steps if learns else ""),
                    *(arguments.seed, f"{seconds:.0f}", datetime.date.today()),
                    f"python -m benchmarks.post_training --model {arguments.model.name} "
                    f"--images {arguments.images.name} --output {arguments.output.name} "
                    f"--samples {arguments.samples} --steps {arguments.steps} "
                    f"--only {name} --api {api} --bits {bits[0]}/{bits[1]}",
                )
                _append(arguments.output, dict(zip(FIELDS, values, strict=True)))
                print(*values[:7], f"{seconds:.0f} s", flush=True)
                tf_keras.backend.clear_session()


def _append(path: Path, row: dict) -> None:
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
