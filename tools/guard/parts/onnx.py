"""ONNX models that become integers, and Keras models that become QONNX."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

import larqlite as lq

from .. import onnx_text, texts
from .deploy import deploy_cases
from .deploy_graphs import cases as graphs

IMAGE, EIGHT = "float[N, 3, 12, 12] x", "float[N, 8, 12, 12] x"
ROWS = "float[N, 24] x"
AREA, FLAT = "float[N, C, H, W] y", "float[N, C] y"
PADS = "pads = [1, 1, 1, 1]"

CASES = {
    "conv": (f"y = Conv <{PADS}> (x, k3, b)", IMAGE, AREA),
    "conv_relu": ("a = Conv <strides = [2, 2]> (x, k8, b) y = Relu (a)", EIGHT, AREA),
    "conv_clip": ("a = Conv (x, k8, b) y = Clip (a, zero, six)", EIGHT, AREA),
    "conv_pool": (
        "a = Conv (x, k3, b) r = Relu (a) "
        "y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (r)",
        IMAGE,
        AREA,
    ),
    "conv_mean": ("a = Conv (x, k8, b) y = GlobalAveragePool (a)", EIGHT, AREA),
    "depthwise": (f"a = Conv <group = 8, {PADS}> (x, kd, b) y = Relu (a)", EIGHT, AREA),
    "dilated": ("y = Conv <dilations = [2, 2]> (x, k8)", EIGHT, AREA),
    "normalized": (
        "a = Conv (x, k8) n = BatchNormalization (a, g, b, m, v) y = Relu (n)",
        EIGHT,
        AREA,
    ),
    "dense": ("y = Gemm (x, w, bw)", ROWS, FLAT),
    "dense_relu_dense": (
        "a = MatMul (x, w2) r = Relu (a) y = Gemm <transB = 0> (r, w, bw)",
        ROWS,
        FLAT,
    ),
    "shortcut": (
        f"a = Conv <{PADS}> (x, k8, b) r = Relu (a) "
        f"c = Conv <{PADS}> (r, k8) s = Add (c, r) y = Relu (s)",
        EIGHT,
        AREA,
    ),
    "to_the_end": (
        f"a = Conv <{PADS}> (x, k3, b) r = Relu (a) "
        "c = Conv <strides = [2, 2]> (r, k8, b) q = GlobalAveragePool (c) "
        "f = Flatten (q) y = Gemm <transB = 1> (f, w3)",
        IMAGE,
        FLAT,
    ),
    "float_at_the_end": ("a = Conv (x, k3, b) y = Softmax (a)", IMAGE, AREA),
}
QONNX = ("chain_binary", "chain_ternary", "chain_dorefa_2", "chain_heaviside_inputs")
QONNX += ("chain_rsign", "chain_magnitude_aware", "conv2d_same_t", "depthwise2d_q")
QONNX += ("transposed2d_b", "shortcuts", "pool_between", "several_inputs_and_outputs")


def entries() -> dict:
    """An entry for each file."""
    found = {name: functools.partial(_frozen, *case) for name, case in CASES.items()}
    builders = deploy_cases() | graphs()
    for name in QONNX:
        found[f"qonnx_{name}"] = functools.partial(_qonnx, builders[name])
    return found


def _weights() -> dict[str, np.ndarray]:
    def normal(seed: int, *shape: int) -> np.ndarray:
        return (np.random.default_rng(seed).normal(size=shape) * 0.5).astype("float32")

    return {
        "k3": normal(1, 8, 3, 3, 3),
        "k8": normal(2, 8, 8, 3, 3),
        "kd": normal(3, 8, 1, 3, 3),
        "b": normal(4, 8),
        "g": normal(5, 8),
        "m": normal(6, 8),
        "v": np.abs(normal(7, 8)) + np.float32(0.1),
        "w": normal(8, 24, 7),
        "bw": normal(9, 7),
        "w2": normal(10, 24, 24),
        "w3": normal(11, 5, 8),
        "zero": np.float32(0),
        "six": np.float32(6),
    }


def _frozen(body: str, x: str, y: str):
    model = onnx.parser.parse_model(
        f'<ir_version: 9, opset_import: ["": 18]> net ({x}) => ({y}) {{ {body} }}'
    )
    used = {name for node in model.graph.node for name in node.input}
    for name, values in _weights().items():
        if name in used:
            model.graph.initializer.append(
                numpy_helper.from_array(np.asarray(values), name)
            )
    sizes = model.graph.input[0].type.tensor_type.shape.dim[1:]
    random = np.random.default_rng(12)
    samples = random.normal(size=(16, *(d.dim_value for d in sizes))) * 2 + 0.3
    samples = samples.astype("float32")
    for suffix, per_tensor in (("", False), ("per tensor ", True)):
        made = lq.integer.onnx.quantize_onnx(
            model, samples=samples, per_tensor_activations=per_tensor
        )
        yield from onnx_text.fields(made, suffix)
        session = onnxruntime.InferenceSession(made.SerializeToString())
        yield f"{suffix}outputs", texts.arrays(session.run(None, {"x": samples[:4]}))


def _qonnx(build):
    made = lq.deploy.to_qonnx(build(), "model.onnx", batch_size=2)
    yield from onnx_text.fields(made)
    yield "same in the file", str(onnx.load("model.onnx") == made)
