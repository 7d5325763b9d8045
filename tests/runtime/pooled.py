"""A network whose layers are pooled before they are packed, the float one too."""

from __future__ import annotations

import numpy as np

from tests.runtime.files import codes, convolution, model
from tests.runtime.plans import node, packed


def pooled_network(window=(2, 2), size=(14, 18), channels=40):
    """Image -> float layer -> pooling -> packed -> pooling -> packed -> mean."""
    rng = np.random.default_rng(2)
    nodes = [
        node("Transpose", "image", "moved", perm=[0, 3, 1, 2]),
        node("Conv", "moved w0", "c0", pads=[1, 1, 1, 1]),
    ]
    constants = {
        "w0": (rng.integers(-4, 5, (channels, 3, 3, 3)) / 2).astype(np.float32)
    }
    last = "c0"
    for number in (1, 2):
        pool, normal = f"p{number}", f"n{number}"
        given = {"kernel_shape": list(window), "strides": list(window)}
        nodes += [
            node("MaxPool", last, pool, **given),
            node("Mul", f"{pool} a{number}", f"{normal}/times"),
            node("Add", f"{normal}/times b{number}", normal),
            packed("Sign", normal, f"s{number}"),
            packed(
                "BConv2D",
                f"s{number} w{number}",
                f"c{number}",
                **convolution((channels, 3, 3, channels)),
            ),
        ]
        scale = rng.choice([-2, -1, 0.5, 1], (channels, 1, 1))
        constants |= {
            f"a{number}": scale.astype(np.float32),
            f"b{number}": rng.normal(size=(channels, 1, 1)).astype(np.float32),
            f"w{number}": codes(9 * channels * channels, seed=number),
        }
        last = f"c{number}"
    nodes.append(node("GlobalAveragePool", last, "y"))
    return model(nodes, {"image": (*size, 3)}, {"y": None, "c2": None}, constants)
