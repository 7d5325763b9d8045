"""Runs a plain network with OpenVINO, binary convolutions as its kernels for bits.

No front end of OpenVINO makes a BinaryConvolution, so the graph is built here. What it needs
to be right and fast: the sign in front is a FakeQuantize of two levels whose outputs are 0
and 1; with -1 and +1 the sums are wrong and nothing says so. It is `x > threshold`, so the
threshold of sign(0) = +1 lies just below 0. There is one for each channel: a transpose goes
past a single one and then meets bits, which no kernel can transpose. Kernels are constants of
type u1, bits from the lowest up. Channels are last in what goes in and comes out, as they are
inside.
"""

import os
import pathlib
from collections.abc import Callable

import numpy as np
import plain_networks

# The largest number below 0 that is no denormal.
BELOW_ZERO = -np.finfo(np.float32).tiny


def load(
    path: pathlib.Path, threads: int, precision: str = "f32", isa: str | None = None
) -> Callable[[np.ndarray], np.ndarray]:
    """The function of one input.

    Args:
        path: of a file of `plain_networks`.
        threads: that work on one call.
        precision: "f32", or "default" for what OpenVINO takes by itself, which is bfloat16
            where the processor has it.
        isa: "avx2" for kernels without AVX-512.
    """
    if isa is not None:
        # Read when the library is loaded.
        os.environ["ONEDNN_MAX_CPU_ISA"] = {"avx2": "AVX2"}[isa]
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    if precision != "default":
        settings["INFERENCE_PRECISION_HINT"] = precision
    nodes = plain_networks.read(path)
    model = _channels_last(_graph(nodes))
    compiled = openvino.Core().compile_model(model, "CPU", settings)
    _must_count_bits(compiled)
    request = compiled.create_infer_request()

    def run(x: np.ndarray) -> np.ndarray:
        # Given to `infer`, the input would cost 30 us more.
        request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
        request.infer(share_outputs=True)
        return request.get_output_tensor().data

    return run


def _graph(nodes: list[dict]):
    """The graph, with channels behind the batch; it uses arrays of the nodes."""
    import openvino

    tensors, parameters = {}, []
    for node in nodes:
        given = [tensors[name] for name in node["inputs"]]
        made = _BUILDERS[node["op"]](openvino.opset13, node, given)
        if node["op"] == "input":
            parameters.append(made)
        tensors[node["output"]] = made
    return openvino.Model([made], parameters)


def _channels_last(model):
    from openvino.preprocess import PrePostProcessor

    has_image = len(model.outputs[0].shape) == 4
    around = PrePostProcessor(model)
    around.input().tensor().set_layout(_layout("NHWC"))
    around.input().model().set_layout(_layout("NCHW"))
    if has_image:
        around.output().tensor().set_layout(_layout("NHWC"))
        around.output().model().set_layout(_layout("NCHW"))
    return around.build()


def _layout(text: str):
    import openvino

    return openvino.Layout(text)


def _must_count_bits(compiled) -> None:
    """Refuses a graph whose binary convolutions became something slower."""
    for node in compiled.get_runtime_model().get_ordered_ops():
        facts = node.get_rt_info()
        kind = facts["layerType"].get() if "layerType" in facts else ""
        made = facts["primitiveType"].get() if "primitiveType" in facts else ""
        if kind == "BinaryConvolution" and not made.startswith("jit"):
            raise RuntimeError(f"OpenVINO runs a binary convolution as {made}.")


def _input(ops, node, given):
    height, width, channels = node["shape"]
    return ops.parameter([1, channels, height, width], np.float32)


def _binary_conv(ops, node, given):
    import openvino

    kernel = node["kernel"].transpose(3, 2, 0, 1)
    limits = np.full((1, kernel.shape[1], 1, 1), BELOW_ZERO, np.float32)
    zero, one = np.zeros((1, 1, 1, 1), "float32"), np.ones((1, 1, 1, 1), "float32")
    bits = ops.fake_quantize(given[0], limits, limits, zero, one, 2)
    packed = np.packbits(kernel.ravel(), bitorder="little")
    node["packed"] = packed  # the constant is this array, not a copy of it
    shape, kind = openvino.Shape(kernel.shape), openvino.Type.u1
    constant = openvino.op.Constant(openvino.Tensor(packed, shape, kind))
    return ops.binary_convolution(
        *(bits, constant, node["strides"], *node["pads"], [1, 1]),
        mode="xnor-popcount",
        pad_value=node["pad_value"],
    )


def _conv(ops, node, given):
    kernel = np.ascontiguousarray(node["kernel"].transpose(3, 2, 0, 1))
    return ops.convolution(given[0], kernel, node["strides"], *node["pads"], [1, 1])


def _affine(ops, node, given):
    scale, shift = (node[name].reshape(1, -1, 1, 1) for name in ("scale", "shift"))
    return ops.add(ops.multiply(given[0], scale), shift)


def _max_pool(ops, node, given):
    pool = ops.max_pool(given[0], node["strides"], [1, 1], *node["pads"], node["size"])
    return pool.output(0)


def _mean_pool(ops, node, given):
    return ops.avg_pool(given[0], node["strides"], *node["pads"], node["size"], True)


def _global_mean(ops, node, given):
    return ops.reduce_mean(given[0], np.array([2, 3]), keep_dims=False)


def _flatten(ops, node, given):
    return ops.reshape(given[0], np.array([1, -1]), special_zero=False)


def _dense(ops, node, given):
    product = ops.matmul(given[0], node["kernel"], False, False)
    return ops.add(product, node["bias"].reshape(1, -1))


_BUILDERS = {
    "input": _input,
    "binary_conv": _binary_conv,
    "conv": _conv,
    "affine": _affine,
    "max_pool": _max_pool,
    "mean_pool": _mean_pool,
    "global_mean": _global_mean,
    "flatten": _flatten,
    "dense": _dense,
    "add": lambda ops, node, given: ops.add(*given),
    "relu": lambda ops, node, given: ops.relu(given[0]),
    "softmax": lambda ops, node, given: ops.softmax(given[0], -1),
}
