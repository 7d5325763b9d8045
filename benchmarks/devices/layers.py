"""A binary 3x3 layer as C, with inputs of some density, and a `main` that checks its bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from larqlite.deploy.targets.c._layer import Memory
from larqlite.deploy.targets.c._source import WrittenStep, file_text, write_steps
from larqlite.deploy.targets.c._text import table
from larqlite_runtime.backends.numpy import _kernels
from larqlite_runtime.format import pack
from larqlite_runtime.internal import StepKind, WholeProgram, whole_program


@dataclass(frozen=True)
class LayerProgram:
    """A layer in C.

    Attributes:
        text: of the C file.
        made: the step.
        products: nominal ones of an image, those with borders included.
    """

    text: str
    made: WrittenStep
    products: int


def layer_file(channels: int, size: int, folder: Path) -> Path:
    """An exported network: a 3x3 layer with a border of zeros and a normalization, and a reader."""
    import tf_keras

    import larqlite as lq

    tf_keras.utils.set_random_seed(1)
    binary = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "padding": "same",
        "use_bias": False,
    }
    model = tf_keras.Sequential(
        [
            tf_keras.Input((size, size, channels)),
            lq.layers.QuantConv2D(channels, 3, pad_values=0.0, **binary),
            tf_keras.layers.BatchNormalization(),
            lq.layers.QuantConv2D(8, 1, **binary),
            tf_keras.layers.GlobalAveragePooling2D(),
        ]
    )
    rng = np.random.default_rng(0)
    scale, offset, mean = (rng.normal(size=channels) for _ in range(3))
    model.layers[1].set_weights([scale, offset, mean, rng.random(channels) + 0.1])
    path = folder / f"layer_{channels}_{size}.onnx"
    lq.deploy.export(model, path)
    return path


def layer_program(
    path: Path, algorithm: str | None = None, density: float = 0.5
) -> LayerProgram:
    """The first layer of sums of bits of a file.

    Args:
        path: of the file.
        algorithm: to take; the one that is chosen by default.
        density: share of the inputs that are -1.
    """
    whole = whole_program(path, small=True)
    step = next(step for step in whole.steps if step.kind == StepKind.CONV)
    offsets = {
        number: buffer.offset // 4
        for number, buffer in enumerate(whole.buffers)
        if buffer.constant is None and not buffer.external
    }
    memory = Memory(whole.buffers, offsets)
    named = {1: algorithm} if algorithm else {}
    (made,) = write_steps((step,), memory, named)
    words = whole.arena // 4
    buffers = _buffers(whole, step, density)
    start = np.zeros(words, np.uint32)
    image = buffers[step.input.buffer]
    begin = offsets[step.input.buffer]
    start[begin : begin + image.size] = image
    _kernels.run([step], buffers, 1)
    (op,) = step.ops
    expected = buffers[op.view.buffer].view(np.uint32)
    text = file_text("#include <stdint.h>", memory, words, [made])
    text += table("start_words", start, "uint32_t", "the arena before")
    text += table("expected", expected, "uint32_t", "what the layer makes")
    text += (
        "int main(void) {\n"
        f"  static void (*volatile layer)(void) = {made.call.partition('(')[0]};\n"
        "  memcpy(arena, start_words, sizeof start_words);\n  layer();\n"
        f"  return memcmp(arena + {offsets[op.view.buffer]}, expected, sizeof expected) != 0;\n"
        "}\n"
    )
    products = int(np.prod(step.size)) * step.channels * step.taps * step.in_channels
    return LayerProgram(text, made, products)


def _buffers(whole: WholeProgram, step, density: float) -> list[np.ndarray]:
    """All buffers; that of the input holds random bits inside of its borders."""
    rng = np.random.default_rng(0)
    buffers = []
    for buffer in whole.buffers:
        held = np.zeros(buffer.count, buffer.dtype)
        if buffer.constant is not None:
            held = buffer.constant.reshape(-1)
        buffers.append(held)
    _, height, width = step.size
    bits = rng.random((height, width, step.in_channels)) < density
    image = buffers[step.input.buffer].view(np.uint32)
    view = step.input
    first = view.offset + sum(
        pad * (tap // dilation)
        for pad, tap, dilation in zip(step.pad, step.tap, step.dilation, strict=True)
    )
    for y in range(height):
        for x in range(width):
            at = first + y * view.row + x * view.pixel
            image[at : at + step.words] = pack(bits[y, x])
    buffers[view.buffer] = image
    return buffers
