"""ONNX Runtime's kernels for 8 bits: dense products and convolutions, floats in and out.

`write_int8` makes a file of a dense layer with an 8-bit input (MatMulInteger), or of a float
convolution with its normalization (QLinearConv); `write_2_bits` and `write_4_bits` make one
of a dense layer whose few values are blocks of MatMulNBits, which rounds its float input to
8 bits by itself.
"""

import pathlib
from collections.abc import Callable

import inputs
import numpy as np

BLOCK = 128


def write_int8(model, path: pathlib.Path, network: str) -> None:
    """The layer in front of which stands a quantizer of 8 bits, on integers."""
    if inputs.is_dense(network):
        _write_product(model, path, network)
    else:
        _write_conv(model, path, network)


def write_2_bits(model, path: pathlib.Path, network: str) -> None:
    """Ternary or binary values in two bits, products of 8-bit integers inside."""
    _write_blocks(model, path, network, bits=2)


def write_4_bits(model, path: pathlib.Path, network: str) -> None:
    """The same in four bits."""
    _write_blocks(model, path, network, bits=4)


def load(path: pathlib.Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The function of one input."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: session.run(None, {"x": x})[0]


def _write_product(model, path: pathlib.Path, network: str) -> None:
    from onnx import helper

    layer = model.layers[1]
    kernel = layer.kernel_quantizer(layer.kernel).numpy()
    arrays = {
        "scale": np.float32(1 / 255),
        "zero": np.uint8(0),
        "kernel": _as_int8(kernel),
    }
    make = helper.make_node
    nodes = [
        make("QuantizeLinear", ["x", "scale", "zero"], ["codes"]),
        make("MatMulInteger", ["codes", "kernel"], ["sums"]),
        make("Cast", ["sums"], ["floats"], to=1),
        make("Mul", ["floats", "scale"], ["y"]),
    ]
    _save(path, nodes, arrays, inputs.shape(network), kernel.shape[-1:])


def _write_blocks(model, path: pathlib.Path, network: str, bits: int) -> None:
    from onnx import helper

    layer = model.layers[1]
    kernel = _as_int8(layer.kernel_quantizer(layer.kernel).numpy())
    features, channels = kernel.shape
    codes = (kernel.T + 2 ** (bits - 1)).astype("uint8")
    codes = codes.reshape(channels, features // BLOCK, -1, 8 // bits)
    packed = (codes << np.arange(0, 8, bits, dtype="uint8")).sum(-1, dtype="uint8")
    scales = np.ones(channels * features // BLOCK, "float32")
    settings = {"K": features, "N": channels, "bits": bits, "block_size": BLOCK}
    node = helper.make_node(
        *("MatMulNBits", ["x", "packed", "scales"], ["y"]),
        domain="com.microsoft",
        # Inputs are rounded to 8 bits: the fastest of its kernels.
        accuracy_level=4,
        **settings,
    )
    arrays = {"packed": packed, "scales": scales}
    _save(path, [node], arrays, inputs.shape(network), (channels,))


def _write_conv(model, path: pathlib.Path, network: str) -> None:
    """A convolution with its normalization, each channel of the kernel with its scale.

    Activations are unsigned, for which its kernels are fastest. It moves the transposes
    away: those kernels have channels last.
    """
    from onnx import helper

    _, conv, norm = model.layers
    factor = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    kernel = conv.kernel.numpy() * factor
    shift = norm.beta.numpy() - factor * norm.moving_mean.numpy()
    steps = np.abs(kernel).max((0, 1, 2)) / 127
    images = np.concatenate([inputs.batch(network, seed) for seed in range(4)])
    given = np.float32(np.abs(images).max() / 127)
    made = np.float32(np.abs(model.predict_on_batch(images)).max() / 127)
    arrays = {
        "x_scale": given,
        "y_scale": made,
        "zero": np.uint8(128),
        "kernel": np.rint(kernel / steps).astype("int8").transpose(3, 2, 0, 1),
        "w_scale": steps.astype("float32"),
        "w_zero": np.zeros(steps.shape, "int8"),
        "bias": np.rint(shift / (given * steps)).astype("int32"),
    }
    make = helper.make_node
    quantized = ["first", "x_scale", "zero", "kernel", "w_scale", "w_zero"]
    nodes = [
        make("QuantizeLinear", ["x", "x_scale", "zero"], ["codes"]),
        make("Transpose", ["codes"], ["first"], perm=[0, 3, 1, 2]),
        make(
            *("QLinearConv", [*quantized, "y_scale", "zero", "bias"], ["sums"]),
            pads=[1, 1, 1, 1],
        ),
        make("Transpose", ["sums"], ["last"], perm=[0, 2, 3, 1]),
        make("DequantizeLinear", ["last", "y_scale", "zero"], ["y"]),
    ]
    _save(path, nodes, arrays, inputs.shape(network), model.output_shape[1:])


def _as_int8(kernel: np.ndarray) -> np.ndarray:
    integers = np.rint(kernel).astype("int8")
    np.testing.assert_array_equal(integers, kernel)
    return integers


def _save(path: pathlib.Path, nodes: list, arrays: dict, shape, rest) -> None:
    from onnx import TensorProto, helper, numpy_helper, save_model

    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "layer",
        [value("x", TensorProto.FLOAT, shape)],
        [value("y", TensorProto.FLOAT, [shape[0], *rest])],
        [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in arrays.items()
        ],
    )
    opsets = [
        helper.make_opsetid("", 18),
        helper.make_opsetid("com.microsoft", 1),
    ]
    save_model(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
