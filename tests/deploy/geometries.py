"""Random quantized layers, with the shapes that they can be called on."""

from __future__ import annotations

import numpy as np
import tf_keras
from hypothesis import strategies as st

import larqlite as lq

RANKS = {"Conv": (1, 2, 3), "Depthwise": (1, 2), "Separable": (1, 2)}
CLASSES = {
    "Conv": "QuantConv{}D",
    "Depthwise": "QuantDepthwiseConv{}D",
    "Separable": "QuantSeparableConv{}D",
    "Transpose": "QuantConv{}DTranspose",
}


@st.composite
def convolutions(draw, kind: str, pad_values=(0.0, 1.0, -1.0)):
    """Arguments of a convolution of a kind, its class, and the shape of its input."""
    rank = draw(st.sampled_from(RANKS.get(kind, (1, 2, 3))))
    kernel = draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    strides, dilation = _steps(draw, kind, rank)
    paddings = ["same", "valid"]
    if rank == 1 and kind in ("Conv", "Separable"):
        paddings.append("causal")
    padding = draw(st.sampled_from(paddings))
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    smallest = extents if padding == "valid" else [1] * rank
    space = [draw(st.integers(low, 10)) for low in smallest]
    groups = draw(st.sampled_from([1, 1, 2, 3])) if kind == "Conv" else 1
    channels = groups * draw(st.sampled_from([1, 2, 5, 11]))
    arguments = {
        "kernel_size": kernel,
        "strides": strides,
        "dilation_rate": dilation,
        "padding": padding,
        "use_bias": draw(st.booleans()),
        "bias_initializer": "normal",
    }
    if kind == "Conv":
        arguments |= {"groups": groups, "filters": groups * draw(st.integers(1, 4))}
    elif kind == "Transpose":
        arguments["filters"] = draw(st.integers(1, 4))
        if draw(st.booleans()) and rank > 1:
            arguments["output_padding"] = [draw(st.integers(0, s - 1)) for s in strides]
    else:
        arguments["depth_multiplier"] = draw(st.integers(1, 3))
    if kind == "Separable":
        arguments["filters"] = draw(st.integers(1, 4))
    if kind != "Transpose" and padding == "same":
        arguments["pad_values"] = draw(st.sampled_from(pad_values))
    cls = getattr(lq.layers, CLASSES[kind].format(rank))
    return cls, arguments, (*space, channels)


def _steps(draw, kind: str, rank: int) -> tuple[list[int], list[int]]:
    """Strides and dilations that Keras computes on a CPU."""
    ones = [1] * rank
    steps = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    if kind in ("Depthwise", "Separable"):
        steps = [steps[0]] * rank
    if kind != "Transpose" and draw(st.booleans()):
        return ones, steps
    return steps, ones


def built(cls, arguments: dict, shape: tuple[int, ...], samples: int = 2):
    """A model of one layer, and inputs on which Keras can call it."""
    model = tf_keras.Sequential(
        [tf_keras.Input(shape), cls(**arguments, name="layer")], name="one"
    )
    rng = np.random.default_rng(3)
    x = (0.7 * rng.normal(size=(samples, *shape))).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = 0
    return model, x
