"""MLPerf Tiny's ResNet-8 at 4 bits, on images of CIFAR-10 that lie beside the repository."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite import qat

EACH = 50  # images of a class


@pytest.fixture(scope="module")
def shared():
    """The folder with the data."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "shared/data/cifar10_jpeg.tar.xz").exists():
            return parent / "shared/data"
    pytest.skip("needs ../shared/data/cifar10_jpeg.tar.xz and mlperf_tiny beside it")


def images_of(path, part):
    found = {}
    with tarfile.open(path) as archive:
        for member in archive:
            folder, *inside = member.name.split("/")
            if folder == part and len(inside) == 2 and inside[1].endswith(".jpg"):
                images = found.setdefault(inside[0], [])
                if len(images) < EACH:
                    content = archive.extractfile(member).read()
                    images.append(tf.io.decode_jpeg(content, channels=3).numpy())
    x = np.concatenate([found[name] for name in sorted(found)]).astype("float32")
    return x, np.repeat(np.arange(len(found)), EACH)


@pytest.mark.slow
def test_kernels_of_4_bits_cost_few_points_without_labels(shared):
    model = tf_keras.models.load_model(
        shared / "mlperf_tiny/pretrainedResnet.h5", compile=False
    )
    archive = shared / "cifar10_jpeg.tar.xz"
    (x, _), test = images_of(archive, "train"), images_of(archive, "test")

    def accuracy(model):
        return 100 * np.mean(model.predict(test[0], verbose=0).argmax(1) == test[1])

    in_float, found = accuracy(model), {}
    scheme = qat.DefaultNBitQuantizeScheme(num_bits_weight=4)
    for how in ("minmax", "auto"):
        quantized = qat.quantize_model(
            model, scheme=scheme, calibrate=x, calibration=how
        )
        found[how] = accuracy(quantized)
    assert found["auto"] >= found["minmax"]
    qat.adaround(quantized, x, batch_size=64, steps=300)
    # Of 500 images, three points are 15; half as many more for the few steps.
    assert accuracy(quantized) >= in_float - 4.5
