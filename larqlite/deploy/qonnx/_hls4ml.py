"""A finished graph as hls4ml takes it, with the types that it is to be told.

References:
    hls4ml, https://github.com/fastmachinelearning/hls4ml
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper

from larqlite.deploy.qonnx._channels_last import channels_last
from larqlite.deploy.qonnx._grid import fixed
from larqlite.deploy.qonnx._hls4ml_limits import require_known
from larqlite.deploy.qonnx._hls4ml_nodes import Hls4mlRewriter
from larqlite.deploy.qonnx._levels import (
    CHANNELS_LAST,
    as_batch_normalizations,
    exact_levels,
)
from larqlite.deploy.qonnx._nodes import rewrite
from larqlite.deploy.qonnx._tidy import BROADCASTING
from larqlite.onnx_graph import OPSET, FinishedGraph, OnnxNode, Writer

# Of what has no type of its own: float weights, inputs, scales of float layers.
DEFAULT_PRECISION = "fixed<40,16>"
_AFFINE = ("BatchNormalization", "Mul", "Add", "Sub", "Div")


def for_hls4ml(finished: FinishedGraph) -> tuple[FinishedGraph, str]:
    """The graph in the form that hls4ml takes.

    Args:
        finished: with operations of `ai.larqlite`; changed in place.

    Returns:
        The graph, and what is told of it, as JSON: `layers`, the types that hls4ml's
        configuration needs; `sums`, for the nodes of packed layers their paths and the sizes
        of what they give; `outputs`, the sizes of these; `softmax`, the numbers of
        outputs of which hls4ml leaves the softmax out.

    Raises:
        UnsupportedLayerError: a layer that hls4ml does not compute, or not rightly.
    """
    graph = finished.graph
    outputs = [value.name for value in finished.outputs.values()]
    sums = {
        packed.accumulator: int(packed.largest.max(initial=1))
        for packed in graph.packed
        if packed.accumulator is not None
    }
    nodes = {tensor: graph.producer(tensor).name for tensor in sums}
    exact = exact_levels(graph, outputs)
    affine = exact.affine | as_batch_normalizations(graph, outputs)
    rewrite(graph, outputs, Hls4mlRewriter(graph, exact))
    types: dict[str, dict[str, str]] = {}
    for tensor, largest in sums.items():
        one = fixed(np.array([-largest, largest]), 0)
        types[nodes[tensor]] = dict.fromkeys(("accum", "result", "bias"), one)
    for name, (scale, offset, bits) in affine.items():
        types[name] = {"scale": fixed(scale, bits), "bias": fixed(offset, bits)}
    renamed, scales = channels_last(graph, outputs, finished.batch)
    types |= {name: {"scale": scale} for name, scale in scales.items()}
    _keep_signs_apart(graph, finished.batch)
    graph.drop_constants([name for name in graph.constants if not graph.uses(name)])
    softmaxes = _last_softmaxes(graph, list(renamed.values()))
    require_known(graph, softmaxes.values())
    names, called = _identifiers(graph, finished.inputs, finished.outputs)
    values = {
        key: dataclasses.replace(value, name=names.get(renamed[value.name], value.name))
        for key, value in finished.outputs.items()
    }
    made = dataclasses.replace(
        finished, outputs=values, versions={CHANNELS_LAST: OPSET}
    )
    told = {
        "default_precision": DEFAULT_PRECISION,
        "layers": {
            **{called[name]: {"Precision": kind} for name, kind in types.items()},
            **{called[name]: {"Skip": True} for name in softmaxes.values()},
        },
        "softmax": list(softmaxes),
        "sums": {
            called[name]: [name, *graph.shapes[names[tensor]][1:]]
            for tensor, name in nodes.items()
        },
        "outputs": [list(value.shape[1:]) for value in finished.outputs.values()],
    }
    return made, json.dumps(told, sort_keys=True)


def _last_softmaxes(graph: Writer, outputs: list[str]) -> dict[int, str]:
    """The nodes that are left to the host, by the number of the output that they give."""
    made = [graph.producer(name) for name in outputs]
    return {
        number: node.name
        for number, node in enumerate(made)
        if node is not None and node.op == "Softmax" and len(made) == 1
    }


def state_constants(model: onnx.ModelProto) -> None:
    """States the sizes of constants too, where hls4ml looks for them."""
    model.graph.value_info.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
    )


def _keep_signs_apart(graph: Writer, batch: int) -> None:
    """Puts a `Reshape` that changes nothing between a scale and a sign.

    hls4ml makes a threshold of the two, as if scales were positive.
    """
    for node in [node for node in graph.nodes if node.op == "BipolarQuant"]:
        before = graph.producer(node.inputs[0])
        if before is None or before.op not in _AFFINE:
            continue
        shape = graph.shapes[node.inputs[0]]
        sizes = graph.constant([batch, *shape[1:]], "shape")
        made = graph.tensor_name(f"{node.name}/apart:0")
        graph.shapes[made] = shape
        inputs = (node.inputs[0], sizes)
        apart = OnnxNode("Reshape", inputs, (made,), f"{node.name}/apart")
        graph.insert(apart, before=node)
        graph.redirect(node.inputs[0], made, [node])


def _identifier(name: str) -> str:
    """A name as C has it.

    >>> _identifier("block/conv:0"), _identifier("1/2")
    ('block_conv_0', 'n1_2')
    """
    made = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"n{made}" if made[:1].isdigit() else made


def _without_batch(node: OnnxNode, array: np.ndarray) -> np.ndarray:
    """A constant beside a tensor without the axis of samples, of which hls4ml knows nothing."""
    if node.op in BROADCASTING and array.ndim > 1 and len(array) == 1:
        return array[0]
    return array


def _identifiers(
    graph: Writer, inputs: Iterable[str], outputs: Iterable[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Gives every node and tensor a name of C, and every node constants of its own; the new
    names of tensors, and those of nodes, by the old ones."""
    names = {name: name for name in inputs}
    nodes, constants, shapes = graph.nodes, dict(graph.constants), dict(graph.shapes)
    # The tensors that are outputs get the names of these in the file.
    taken = {*inputs, *outputs}

    called: dict[str, str] = {}
    taken_by_nodes: set[str] = set()

    def unique(wanted: str, taken: set[str] = taken) -> str:
        made, number = wanted, 1
        while made in taken:
            number += 1
            made = f"{wanted}_{number}"
        taken.add(made)
        return made

    for node in nodes:
        graph.remove(node)
        called[node.name] = unique(_identifier(node.name), taken_by_nodes)
        # Of a `Reshape` in a stream hls4ml asks for the tensor by the name of its node.
        names |= {name: unique(called[node.name]) for name in node.outputs}
    graph.constants.clear()
    graph.shapes.clear()
    for node in nodes:
        inputs_now = []
        for number, name in enumerate(node.inputs):
            if name in constants:
                stored = unique(_identifier(f"{node.name}/input_{number}"))
                graph.constants[stored] = _without_batch(node, constants[name])
                inputs_now.append(stored)
            else:
                inputs_now.append(names[name])
        graph.insert(
            dataclasses.replace(
                node,
                name=called[node.name],
                inputs=tuple(inputs_now),
                outputs=tuple(names[name] for name in node.outputs),
            )
        )
    graph.shapes.update(
        (names[name], shape) for name, shape in shapes.items() if name in names
    )
    return names, called
