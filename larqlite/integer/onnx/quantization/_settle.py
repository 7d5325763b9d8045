"""What layers agree on before they are quantized: types, one scale or several, powers of two."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from larqlite.errors import UnsupportedModelError
from larqlite.integer.onnx.layers import (
    InputQuantizer,
    OnnxLayer,
    QuantizedAdd,
    QuantizedConcat,
    QuantizedConv2D,
    QuantizedDense1D,
    QuantizedFunction,
    QuantizedSum,
    TensorShape,
)
from larqlite.integer.onnx.quantization._float_graph import FloatGraph
from larqlite.integer.onnx.quantization._patterns import Block, OnnxPartition
from larqlite.integer.onnx.quantization._prepare import FUNCTION
from larqlite_runtime.names import unique_name

__all__ = ["Settled", "settled"]


class Settled:
    """The layers of a partition, built, and what is asked of the tensors between them.

    Attributes:
        layers: by the tensor that they give out.
        summed: tensors whose scale has to be a power of two.
        one_scale: those whose channels have to have one scale.
    """

    def __init__(self, layers: dict[str, OnnxLayer]):
        self.layers = layers
        self.summed: set[str] = set()
        self.one_scale: set[str] = set()


def settled(
    graph: FloatGraph,
    partition: OnnxPartition,
    weight_bits: int = 8,
    input_weight_bits: int = 8,
) -> Settled:
    """Builds the layers of a partition, with types and sizes.

    Args:
        graph: of the float model, which knows the bits of activations.
        partition: its blocks; sums become others where their inputs cannot be aligned.
        weight_bits: of the codes of kernels.
        input_weight_bits: of those that take an input of the model.

    Raises:
        UnsupportedModelError: a layer of one's own that gives out another shape than the
            float model, or takes no integers of 16 bits.
    """
    makers = {block.output: block for block in partition.blocks}
    for block in partition.blocks:
        of_input = bool(set(block.inputs) & set(partition.starts))
        block.layer.weight_bits = input_weight_bits if of_input else weight_bits
        block.layer.output_bits = graph.activation_bits
    if graph.activation_bits == 8:
        _widen(partition, makers)
    for block in partition.blocks:
        if isinstance(block.layer, QuantizedAdd) and not _aligns(graph, block, makers):
            activation = block.layer.activation
            block.layer = QuantizedSum(activation=activation, name=block.layer.name)
            block.layer.output_bits = graph.activation_bits
    while True:
        found = Settled(_built(graph, partition))
        found.one_scale = _one_scale(partition, found.layers)
        changed = [
            block.layer
            for block in partition.blocks
            if isinstance(block.layer, QuantizedConcat)
            and block.output in found.one_scale
            and not block.layer.gives_one_scale
        ]
        for layer in changed:
            layer.gives_one_scale = True
        if not changed:
            break
    found.summed = {
        tensor
        for block in partition.blocks
        if isinstance(block.layer, QuantizedAdd)
        for tensor in block.inputs
    }
    return found


def _widen(partition: OnnxPartition, makers: dict[str, Block]) -> None:
    """Lets layers give 16 bits to the functions that alone take what they give."""
    taken: dict[str, list[Block]] = {}
    for block in partition.blocks:
        for tensor in block.inputs:
            taken.setdefault(tensor, []).append(block)
    for tensor, takers in taken.items():
        maker = makers.get(tensor)
        only_functions = all(isinstance(b.layer, QuantizedFunction) for b in takers)
        if maker is not None and maker.layer.can_widen and only_functions:
            maker.layer.output_bits = 16


def _aligns(graph: FloatGraph, block: Block, makers: dict[str, Block]) -> bool:
    """Whether the inputs of a sum are of 8 bits, with scales that can be powers of two."""
    if graph.activation_bits == 16:
        return False
    for tensor in block.inputs:
        maker = makers.get(tensor)
        if maker is None:
            continue
        layer = maker.layer
        is_own = not type(layer).__module__.startswith(OnnxLayer.__module__[:-6])
        gives_powers = isinstance(layer, (QuantizedAdd, QuantizedDense1D))
        gives_powers |= hasattr(layer, "set_geometry")
        if layer.output_bits != 8 or not (is_own or gives_powers):
            return False
    return True


def _one_scale(partition: OnnxPartition, layers: dict[str, OnnxLayer]) -> set[str]:
    """The tensors whose channels must have one scale, from the last layer to the first."""
    found: set[str] = set()
    for block in reversed(partition.blocks):
        passes = block.layer.keeps_scale and block.output in found
        if block.layer.needs_one_scale or passes:
            found.update(block.inputs)
    return found


def _built(graph: FloatGraph, partition: OnnxPartition) -> dict[str, OnnxLayer]:
    """The layers by the tensor that they give out, with types and sizes."""
    taken: dict[str, list[Block]] = {}
    for block in partition.blocks:
        for tensor in block.inputs:
            taken.setdefault(tensor, []).append(block)
    names = _Names(graph)
    layers: dict[str, OnnxLayer] = {}
    images = set()
    for start in partition.starts:
        is_image = graph.activation_bits == 8 and all(
            _takes_images(block) for block in taken[start]
        )
        if is_image:
            images.add(start)
        entry = helper.make_tensor_value_info(
            start, TensorProto.FLOAT, graph.shape(start)
        )
        name = names.new("input_quantizer")
        layer = InputQuantizer(entry, input_signed=not is_image, name=name)
        layer.output_bits = graph.activation_bits
        layer.build(*layer.input)
        layers[start] = layer
    for block in partition.blocks:
        layer = block.layer
        if images & set(block.inputs) and not layer.input_conv:
            layer.take_image()
        name = layer.name or block.nodes[-1].name or layer.base_name
        if not isinstance(layer, QuantizedFunction):
            name = layer.name or block.nodes[0].name or layer.base_name
        layer.name = names.new(name)
        inputs = [layers[tensor].output for tensor in block.inputs]
        _require_narrow(layer, inputs)
        layer.build(*inputs, downscale=bool(taken.get(block.output)))
        _require_size(graph, block, layer.output)
        layers[block.output] = layer
    return layers


def _require_narrow(layer: OnnxLayer, inputs: list[TensorShape]) -> None:
    """Asserts that layers of one's own get the 8 bits that they were written for."""
    is_ours = layer.can_widen or layer.keeps_scale or isinstance(layer, QuantizedAdd)
    if not is_ours and any(tensor.dtype == np.int16 for tensor in inputs):
        raise UnsupportedModelError(
            f'{FUNCTION}: the layer "{layer.name}" ({layer.op_type}) of your own would get '
            "integers of 16 bits.\n"
            "  Fix: can_widen = True in its class if it takes them, or activation_bits=8."
        )


def _takes_images(block: Block) -> bool:
    """Whether a block can take uint8 images with zero points."""
    kernel = block.layer.weights.get("kernel")
    if not isinstance(block.layer, QuantizedConv2D) or kernel is None:
        return False
    return kernel.shape[1] in (1, 3) and block.layer.attributes["group"].i == 1


def _require_size(graph: FloatGraph, block: Block, found: TensorShape) -> None:
    wanted = graph.shape(block.output)
    fits = wanted is None or (
        len(wanted) == len(found.shape)
        and all(
            None in pair or pair[0] == pair[1]
            for pair in zip(wanted, found.shape, strict=True)
        )
    )
    if not fits or found.dtype == np.float32:
        raise UnsupportedModelError(
            f'{FUNCTION}: the layer "{block.layer.name}" ({block.layer.op_type}) gives out '
            f"{found.dtype} of shape {found.shape} in the place of {wanted}.\n"
            "  Fix: return the integer dtype and the sizes of its output from __build__."
        )


class _Names:
    """Names of nodes that no node has yet."""

    def __init__(self, graph: FloatGraph):
        tensors = {t for node in graph.nodes for t in [*node.inputs, *node.outputs]}
        self._taken = tensors

    def new(self, wanted: str) -> str:
        name = unique_name(wanted, self._taken, first=2)
        self._taken.add(name)
        return name
