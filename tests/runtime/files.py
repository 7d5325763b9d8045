"""Small packed models for the tests and the fuzzer, written without TensorFlow.

The runtime does not read function bodies, so these files have none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PACKED = "ai.larqlite"
Input = Sequence[int]


def node(op: str, inputs: str, output: str, domain: str = "", **attributes):
    """A node; inputs and outputs are words, `-` an absent one."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(
        op, names, output.split(), name=f"node/{output}", domain=domain, **attributes
    )


def packed(op: str, inputs: str, output: str, **attributes):
    """A node of the domain `ai.larqlite`."""
    return node(op, inputs, output, PACKED, **attributes)


def model(
    nodes: Sequence,
    inputs: dict[str, Input],
    outputs: dict[str, Input | None],
    constants: dict[str, np.ndarray] | None = None,
    **options,
) -> onnx.ModelProto:
    """A model; shapes of inputs and outputs without the batch."""
    graph = helper.make_graph(
        list(nodes),
        "model",
        [_value(name, shape) for name, shape in inputs.items()],
        [_value(name, shape) for name, shape in outputs.items()],
        [
            numpy_helper.from_array(np.asarray(array), name)
            for name, array in (constants or {}).items()
        ],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(PACKED, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, **options)


def _value(name: str, shape: Input | None):
    sizes = None if shape is None else ["batch", *shape]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal float32 values."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def codes(count: int, bits: int = 1, seed: int = 0) -> np.ndarray:
    """Bytes of packed weights; ternary ones (2 bits) hold no code 3."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3 if bits == 2 else 1 << bits, count)
    stream = (values[:, None] >> np.arange(bits)) & 1
    return np.packbits(stream.ravel().astype(np.uint8), bitorder="little")


def integers(*values: int) -> np.ndarray:
    """A list of int64."""
    return np.array(values, np.int64)


def convolution(weight_shape: Sequence[int], **changes) -> dict:
    """Attributes of a packed convolution with "same" padding."""
    rank = len(weight_shape) - 2
    attributes = {
        "weight_shape": list(weight_shape),
        "strides": [1] * rank,
        "dilations": [1] * rank,
        "group": 1,
        "pads": [size // 2 for size in weight_shape[1:-1]] * 2,
        "pad_value": 0.0,
        "input": "sign",
    }
    attributes |= changes
    return {key: value for key, value in attributes.items() if value is not None}


def one(op: str, shape=(4, 6, 6), constants=(), **attributes) -> onnx.ModelProto:
    """A model of one standard node; constants are its further inputs."""
    stored = {f"c{i}": np.asarray(array) for i, array in enumerate(constants)}
    return model(
        [node(op, " ".join(["x", *stored]), "y", **attributes)],
        {"x": shape},
        {"y": None},
        stored,
    )


def relu_chain(*nodes) -> onnx.ModelProto:
    chosen = nodes or (node("Relu", "x", "a"), node("Abs", "a", "y"))
    return model(chosen, {"x": (3,)}, {"y": (3,)})


def binary_block() -> onnx.ModelProto:
    """Float convolution, sign, binary convolution, normalization, sum, pooling, dense."""
    shape = (40, 3, 3, 36)
    return model(
        [
            node("Transpose", "image", "moved", perm=[0, 3, 1, 2]),
            node("Conv", "moved w0", "first", pads=[1, 1, 1, 1], strides=[2, 2]),
            node("Relu", "first", "relu"),
            packed("Sign", "relu", "signs"),
            packed("BConv2D", "signs w1", "sums", **convolution(shape)),
            node("Mul", "sums scale", "scaled"),
            node("Add", "scaled offset", "normal"),
            packed("Sign", "normal", "signs2"),
            packed("BConv2D", "signs2 w2", "sums2", **convolution((40, 3, 3, 40))),
            node("Mul", "sums2 scale", "scaled2"),
            node("Add", "scaled2 normal", "residual"),
            node("MaxPool", "residual", "pool", kernel_shape=[2, 2], strides=[2, 2]),
            node("GlobalAveragePool", "pool", "mean"),
            node("Flatten", "mean", "flat"),
            node("Gemm", "flat w3 bias", "logits"),
            node("Softmax", "logits", "labels"),
        ],
        {"image": (12, 12, 3)},
        {"labels": (5,)},
        {
            "w0": floats(36, 3, 3, 3),
            "w1": codes(math.prod(shape)),
            "scale": floats(40, 1, 1, seed=1),
            "offset": floats(40, 1, 1, seed=2),
            "w2": codes(40 * 9 * 40, seed=3),
            "w3": floats(40, 5, seed=4),
            "bias": floats(5, seed=5),
        },
    )


def ternary_block() -> onnx.ModelProto:
    """Ternary inputs and weights, groups, a transposed convolution, a 1-D one."""
    return model(
        [
            packed("Ternary", "x", "levels", threshold=0.5),
            packed(
                "TConv1D",
                "levels w0",
                "sums",
                **convolution((8, 3, 2), group=4, input="ternary", strides=[2]),
            ),
            packed("Heaviside", "sums", "steps"),
            packed(
                "TConvTranspose1D",
                "steps w1",
                "wide",
                **convolution(
                    (6, 3, 8),
                    input="heaviside",
                    pads=[0, 0],
                    strides=[2],
                    pad_value=None,
                ),
                output_padding=[0],
            ),
            node("LeakyRelu", "wide", "leaky", alpha=0.25),
            node("ReduceMean", "leaky axes", "y", keepdims=0),
        ],
        {"x": (8, 9)},
        {"y": (6,)},
        {
            "w0": codes(8 * 3 * 2, bits=2),
            "w1": codes(6 * 3 * 8, bits=2, seed=1),
            "axes": integers(2),
        },
    )


def kbit_block() -> onnx.ModelProto:
    """k-bit activations and weights, unpacked weights, dense layers, 3-D."""
    levels = {"bits": 3, "step": 2.0, "offset": -7.0, "input_steps": 3.0}
    dense = {"weight_shape": [7, 24], "input": "sign"}
    return model(
        [
            packed("Steps", "x", "levels", bits=2),
            packed(
                "QConv3D",
                "levels w0",
                "sums",
                **convolution((4, 1, 3, 2, 2), input="steps", pads=[0, 1, 0] * 2),
                **levels,
            ),
            node("Mul", "sums third", "scaled"),
            node("Clip", "scaled low high", "clipped"),
            node("Reshape", "clipped shape", "flat"),
            packed("Sign", "flat", "signs"),
            packed("BDense", "signs w1", "dense", **dense),
            packed(
                "Unpack",
                "w2",
                "kernel",
                weight_shape=[3, 7],
                bits=1,
                step=-2.0,
                offset=1.0,
            ),
            node("Transpose", "kernel", "turned", perm=[1, 0]),
            node("MatMul", "dense turned", "y"),
        ],
        {"x": (2, 2, 3, 2)},
        {"y": (3,)},
        {
            "w0": codes(4 * 1 * 3 * 2 * 2, bits=3),
            "third": np.float32(1 / 3),
            "low": np.float32(-1),
            "high": np.float32(1),
            "shape": integers(0, -1),
            "w1": codes(7 * 24),
            "w2": codes(3 * 7),
        },
    )


def moved_block() -> onnx.ModelProto:
    """Bits through a pooling, a concatenation and a shuffle of channels."""
    return model(
        [
            packed("Sign", "x", "signs"),
            packed("BConv2D", "signs w0", "left", **convolution((20, 3, 3, 8))),
            packed("BConv2D", "signs w1", "right", **convolution((36, 1, 1, 8))),
            node("MaxPool", "left", "p", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("Concat", "p right", "both", axis=1),
            node("Reshape", "both cut", "cut2"),
            node("Transpose", "cut2", "turned", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "turned whole", "shuffled"),
            node("Mul", "shuffled scale", "scaled"),
            node("Add", "scaled offset", "normal"),
            packed("Sign", "normal", "signs2"),
            packed("BConv2D", "signs2 w2", "sums", **convolution((64, 1, 1, 56))),
            node("MaxPool", "sums", "q", kernel_shape=[2, 2], strides=[2, 2]),
            packed("Sign", "q", "signs3"),
            packed("BConv2D", "signs3 w3", "y", **convolution((3, 3, 3, 64))),
        ],
        {"x": (8, 5, 4)},
        {"y": (3, 2, 2)},
        {
            "w0": codes(20 * 9 * 8),
            "w1": codes(36 * 8, seed=1),
            "cut": integers(-1, 4, 14, 5, 4),
            "whole": integers(-1, 56, 5, 4),
            "scale": floats(56, 1, 1),
            "offset": floats(56, 1, 1, seed=1),
            "w2": codes(64 * 56, seed=2),
            "w3": codes(3 * 9 * 64, seed=3),
        },
    )


SEEDS: dict[str, Callable[[], onnx.ModelProto]] = {
    "binary": binary_block,
    "ternary": ternary_block,
    "kbit": kbit_block,
    "moved": moved_block,
}
