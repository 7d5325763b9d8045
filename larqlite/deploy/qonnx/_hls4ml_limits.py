"""What hls4ml does not compute, or not rightly: refused by name before a file is written."""

from __future__ import annotations

from collections.abc import Callable, Collection

from larqlite.errors import UnsupportedLayerError
from larqlite.graph import names
from larqlite.onnx_graph import WHERE, OnnxNode, Writer

# What its reader of ONNX takes, version 1.3.0.
_KNOWN = names(
    "Quant BipolarQuant Conv MatMul BatchNormalization MaxPool Add Sub Mul Div Max Min "
    "Concat Relu Softmax Reshape Flatten Transpose Pad Identity"
)
# What it has, but reads from a table, or with a parameter of 8 bits.
_ROUGH = names("Softmax Sigmoid Tanh LeakyRelu Elu Selu Softplus Softsign PRelu")
_FIXES = {
    "Clip": "a quantizer right behind it, which clips by itself, or a ReLU without a maximum",
    "ConvTranspose": "an upsampling of zeros and a convolution are none of it either; keep "
    "the layer on the processor: export the model in parts",
}
_IN_PARTS = (
    "another layer, or the model in parts: tf_keras.Model(model.input, some_layer.output) "
    'with for_="hls4ml"'
)


def require_known(graph: Writer, left_out: Collection[str]) -> None:
    """Raises UnsupportedLayerError for the first node that hls4ml does not take.

    Args:
        graph: with channels last.
        left_out: names of nodes that it does not compute.
    """
    for node in graph.nodes:
        check = _CHECKS.get(node.op)
        found = None
        if node.op in _ROUGH:
            if node.name not in left_out:
                found = (
                    f"hls4ml computes {node.op} from a table, other than Keras does",
                    "a ReLU; or, at the end, a model without it, which is computed from the "
                    "outputs: tf_keras.Model(model.input, model.layers[-2].output)",
                )
        elif node.op not in _KNOWN:
            fix = _FIXES.get(node.op, _IN_PARTS)
            found = f"it becomes {node.op}, which hls4ml has no layer for", fix
        elif check is not None:
            found = check(graph, node)
        if found is not None:
            why, fix = found
            raise UnsupportedLayerError(
                f'{WHERE.get()}: for_="hls4ml": "{node.name}": {why}.\n  Fix: {fix}.'
            )


def _convolution(graph: Writer, node: OnnxNode) -> tuple[str, str] | None:
    given = node.attributes
    rank = len(given["kernel_shape"])
    if rank > 2:
        return f"a convolution over {rank} axes, and hls4ml has 1 and 2", _IN_PARTS
    if set(given["dilations"]) != {1}:
        return (
            f"dilation_rate={tuple(given['dilations'])}, for which hls4ml takes another "
            "output size than ONNX",
            "dilation_rate=1 with a larger kernel",
        )
    channels = graph.shapes[node.inputs[0]][-1]
    filters = graph.shapes[node.outputs[0]][-1]
    is_depthwise = given["group"] == channels == filters
    if given["group"] != 1 and not is_depthwise:
        return (
            f"{given['group']} groups for {channels} channels and {filters} filters, and "
            "hls4ml has one group, or one for each channel with one filter",
            "groups=1, or a depthwise convolution with depth_multiplier=1",
        )
    return None


def _pooling(graph: Writer, node: OnnxNode) -> tuple[str, str] | None:
    if len(node.attributes["kernel_shape"]) == 2:
        return None
    return (
        "a pooling over one axis, of which hls4ml's reader takes the channels for the length",
        "MaxPooling2D on images with a height of 1",
    )


def _product(graph: Writer, node: OnnxNode) -> tuple[str, str] | None:
    made = graph.producer(node.inputs[1])
    is_quantized = made is not None and made.op == "Quant"
    if node.inputs[1] in graph.constants or is_quantized:
        return None
    return "a product of two tensors, neither of which is a weight", _IN_PARTS


def _quotient(graph: Writer, node: OnnxNode) -> tuple[str, str] | None:
    if node.inputs[1] in graph.constants:
        return None
    return "a division by a tensor", "a product with a constant"


def _sum(graph: Writer, node: OnnxNode) -> tuple[str, str] | None:
    shapes = [graph.shapes.get(name) for name in node.inputs]
    if any(name in graph.constants for name in node.inputs) or shapes[0] == shapes[1]:
        return None
    return (
        f"it combines tensors of the sizes {shapes[0][1:]} and {shapes[1][1:]}, and hls4ml's "
        "layer reads one as if it were as large as the other",
        "tensors of one size",
    )


_CHECKS: dict[str, Callable[[Writer, OnnxNode], tuple[str, str] | None]] = {
    "Conv": _convolution,
    "MaxPool": _pooling,
    "MatMul": _product,
    "Div": _quotient,
    **dict.fromkeys(("Add", "Sub", "Mul", "Max", "Min"), _sum),
}
