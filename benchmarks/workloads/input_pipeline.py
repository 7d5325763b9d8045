"""A batch of ImageNet's training: its way from JPEG files, or the step of a network."""

import atexit
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf
import tf_keras
from PIL import Image

from larqlite_zoo.datasets import load, preprocessing
from larqlite_zoo.datasets.internal import training_batches
from larqlite_zoo.literature import BiRealNet
from workloads._base import Times, Workload

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHOTO = ROOT / "tests" / "zoo" / "photos" / "palace.jpg"
FILES = 64
# So many batches a step, since the pipeline works two batches ahead of what is asked.
BATCHES = 16


class Pipeline(Workload):
    """Runs a new iterator for each measurement: no batch is ready before it starts."""

    def measure(self, steps: int) -> Times:
        """Seconds per batch, the ones made in advance and thrown away included."""
        times = super().measure(steps)
        return Times(times.cpu / BATCHES, times.wall / BATCHES)


def prepare(library: str, part: str, batch_size: int) -> Workload:
    """One of both parts; each step handles as many images as the other's.

    Args:
        library: not used; both parts are our own.
        part: "pipeline" reads files, decodes, crops, resizes, flips and normalises;
            "bireal_net" is a training step of BiRealNet at 224x224 with Adam.
        batch_size: images of a batch.
    """
    parts = {"pipeline": _pipeline, "bireal_net": _bireal_net}
    return parts[part](batch_size)


def _pipeline(batch_size: int) -> Workload:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    _write_photos(pathlib.Path(folder))
    dataset = load("folder", folder=folder, on_broken="refuse")
    batches = training_batches(
        dataset.train, preprocessing("imagenet", 224), batch_size=batch_size, seed=0
    ).take(BATCHES)

    def step() -> None:
        for images, _ in batches:
            assert images.shape == (batch_size, 224, 224, 3)

    return Pipeline(step)


def _bireal_net(batch_size: int) -> Workload:
    model = BiRealNet(weights=None)
    model.compile(
        tf_keras.optimizers.Adam(5e-3), tf_keras.losses.SparseCategoricalCrossentropy()
    )
    rng = np.random.default_rng(1)
    batch = (
        tf.constant(rng.normal(0, 1, (batch_size, 224, 224, 3)), tf.float32),
        tf.constant(rng.integers(0, 1000, batch_size)),
    )
    train_step = tf.function(model.train_step)
    return Workload(lambda: float(train_step(batch)["loss"]))


def _write_photos(folder: pathlib.Path) -> None:
    """A real photo of 500x375 pixels, and its mirror image, as JPEG of quality 90."""
    photo = Image.open(PHOTO).convert("RGB")
    classes = (photo, photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    for label, image in enumerate(classes):
        (folder / str(label)).mkdir()
        for i in range(FILES // 2):
            image.save(folder / str(label) / f"{i}.jpg", quality=90)
