"""A QONNX file, looked through for what FINN does not take, node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from larqlite.deploy.qonnx._nodes import QONNX
from larqlite.graph import names

# Quantizers of more bits stay as they are, and no hardware is made of them.
MOST_BITS = 8
# What FINN has hardware for, or moves into what it has.
_KNOWN = names(
    "Conv MatMul Gemm Mul Add Sub Div Relu MaxPool AveragePool GlobalAveragePool Transpose "
    "Reshape Flatten Squeeze Unsqueeze Pad Concat Identity BatchNormalization Round Resize "
    "ReduceMean Softmax Quant BipolarQuant"
)


def faults_of(model: onnx.ModelProto) -> Iterator[str]:
    """A sentence for each thing that FINN would refuse."""
    return _Checked(model).faults()


class _Checked:
    """A file, looked through node by node."""

    def __init__(self, model: onnx.ModelProto):
        self._graph = model.graph
        self._constants = {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in model.graph.initializer
        }
        infos = (*model.graph.value_info, *model.graph.input, *model.graph.output)
        self._shapes = {
            info.name: [dim.dim_value for dim in info.type.tensor_type.shape.dim]
            for info in infos
        }
        self._producers = {
            output: node for node in model.graph.node for output in node.output
        }

    def faults(self) -> Iterator[str]:
        """A sentence for each fault."""
        told = {entry.tensor_name for entry in self._graph.quantization_annotation}
        for item in self._graph.input:
            if len(self._shapes[item.name]) in (3, 4) and item.name not in told:
                yield (
                    f'input "{item.name}": it has no layout, and FINN assumes that '
                    "channels come second."
                )
        for node in self._graph.node:
            name = f'{node.op_type} "{node.name}"'
            checks: list[Callable] = [self._operation]
            checks += {"Quant": [self._quant], "BipolarQuant": [self._bipolar]}.get(
                node.op_type, [self._beside, self._window]
            )
            for check in checks:
                for fault in check(node):
                    yield f"{name}: {fault}."

    def _operation(self, node: onnx.NodeProto) -> Iterator[str]:
        if node.domain not in ("", QONNX):
            yield f"it is of {node.domain}, and FINN reads images channels first"
        elif node.op_type not in _KNOWN:
            yield "FINN has no hardware for this operation, and moves it nowhere"
        for output in node.output:
            if not self._shapes.get(output) or not all(self._shapes[output]):
                yield f'the sizes of its output "{output}" are not all said'

    def _number(self, node: onnx.NodeProto, at: int) -> np.ndarray | None:
        return self._constants.get(node.input[at])

    def _quant(self, node: onnx.NodeProto) -> Iterator[str]:
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        _, zero_point, bits = (self._number(node, at) for at in (1, 2, 3))
        if zero_point is None or np.any(zero_point):
            yield "its zero point is not 0"
        if bits is None or bits.size != 1:
            yield "its number of bits is not one constant"
            return
        if node.input[0] in self._constants:
            readers = [
                n for n in self._graph.node for i in n.input if i == node.output[0]
            ]
            if len(readers) > 1:
                yield f"{len(readers)} layers share this kernel"
            return
        if given.get("rounding_mode", b"ROUND") != b"ROUND":
            yield f"rounding_mode {given['rounding_mode'].decode()}, and FINN rounds"
        if bits == 1:
            yield "one bit, which FINN takes for -1 and +1 with a threshold at 0"
        if bits > MOST_BITS:
            yield f"{int(bits)} bits, and it stays in float above {MOST_BITS}"
        before = self._producers.get(node.input[0])
        if before is not None and before.op_type == "Relu" and given.get("signed"):
            yield "it is signed behind a Relu"

    def _bipolar(self, node: onnx.NodeProto) -> Iterator[str]:
        scale = self._number(node, 1)
        if scale is None or scale.size != 1 or float(scale.ravel()[0]) != 1:
            yield "its scale is not 1"

    def _beside(self, node: onnx.NodeProto) -> Iterator[str]:
        if node.op_type not in ("Mul", "Add", "Sub", "Div"):
            return
        rank = len(self._shapes.get(node.output[0], ()))
        for name in node.input:
            array = self._constants.get(name)
            if array is not None and array.size > 1 and array.ndim < rank:
                yield f'its constant "{name}" of shape {array.shape} has not all {rank} axes'

    def _window(self, node: onnx.NodeProto) -> Iterator[str]:
        wanted = {"Conv": ("kernel_shape", "strides", "pads", "dilations", "group")}
        wanted["MaxPool"] = ("kernel_shape", "strides", "pads")
        named = {attribute.name for attribute in node.attribute}
        missing = [name for name in wanted.get(node.op_type, ()) if name not in named]
        if missing:
            yield f"it does not say {', '.join(missing)}"
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type in wanted and len(given.get("kernel_shape", (1, 1))) != 2:
            yield "a window over other than two axes, and FINN has hardware for two"
