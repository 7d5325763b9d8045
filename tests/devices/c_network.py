"""A network of pictures, as files: what tests of the C API load."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import tf_keras

import larqlite as lq
import larqlite_runtime
from tests.devices.c_library import folder


@functools.cache
def picture_network() -> tuple[Path, np.ndarray, np.ndarray]:
    """The folder of `net.lqflat` and pictures `0.pgm`...; these; what Python answers for them."""
    home = folder() / "pictures"
    home.mkdir()
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 6, 1), name="picture"),
            lq.layers.QuantConv2D(32, 3, padding="same", name="stem", **binary),
            tf_keras.layers.BatchNormalization(name="norm", scale=False),
            lq.layers.QuantConv2D(
                36, 3, 2, input_quantizer="ste_sign", name="conv", **binary
            ),
            tf_keras.layers.BatchNormalization(name="norm_2", scale=False),
            tf_keras.layers.GlobalAveragePooling2D(name="mean"),
            tf_keras.layers.Dense(10, name="scores"),
        ]
    )
    lq.deploy.export(model, home / "net.onnx", verify=False)
    lq.deploy.to_flat(home / "net.onnx", home / "net.lqflat")
    pictures = np.random.default_rng(5).integers(0, 256, (5, 8, 6, 1)).astype(np.uint8)
    for number, picture in enumerate(pictures):
        head = b"P5\n6 8\n255\n"
        (home / f"{number}.pgm").write_bytes(head + picture.tobytes())
    answers = larqlite_runtime.load(home / "net.onnx")(pictures.astype(np.float32))
    return home, pictures.astype(np.float32), answers
