"""Which layers of a file compute in float, and why, told without running anything."""

from __future__ import annotations

import os
from collections.abc import Mapping

from larqlite_runtime._graph import CheckedGraph, GraphNode
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.planner import Subgraph, partition_nodes
from larqlite_runtime.reader import DEFAULT_BUDGET, ModelSource

_PRODUCTS = frozenset(("Conv", "ConvTranspose", "Gemm", "MatMul"))


def float_layers(path_or_bytes: str | os.PathLike | bytes) -> dict[str, str]:
    """The nodes of a file that multiply in float, and why.

    These are the float layers, and packed ones whose kernel is unpacked, or that no
    kernel of this runtime can run. The same on every CPU; `Model.float_layers` has it for
    a loaded model.

    Args:
        path_or_bytes: path of a file that `lq.deploy.export` wrote, or its bytes.

    Returns:
        The reasons by name of the node, which is or begins with that of the layer.

    Raises:
        ModelFileError: the file is missing, damaged, or no packed model.

    Example:
        >>> layer = lq.layers.QuantDense(3, input_shape=[8], name="dense")
        >>> path = getfixture("tmp_path") / "model.onnx"
        >>> _ = lq.deploy.export(tf_keras.Sequential([layer]), path)
        >>> lq.runtime.float_layers(path)
        {'dense': 'its weights are float32'}
    """
    graph = ModelSource(path_or_bytes, DEFAULT_BUDGET)()
    subgraph = Subgraph(graph, list(graph.inputs), list(graph.outputs))
    why = partition_nodes(subgraph).why_float
    return reasons(
        graph, {subgraph.nodes[number].name: text for number, text in why.items()}
    )


def reasons(graph: CheckedGraph, packed: Mapping[str, str]) -> dict[str, str]:
    """The nodes of a graph that multiply in float, and why.

    Args:
        graph: a checked model.
        packed: why packed nodes are computed in float, by name.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    found = {}
    for node in graph.nodes:
        if node.name in packed:
            found[node.name] = packed[node.name]
        elif not node.domain and node.op in _PRODUCTS:
            found[node.name] = _why(graph, node, makers)
    return found


def _why(graph: CheckedGraph, node: GraphNode, makers: Mapping[str, GraphNode]) -> str:
    weight = node.inputs[1]
    while weight in makers:
        maker = makers[weight]
        if maker.domain == DOMAIN and maker.op == "Unpack":
            return (
                "its input, kernel or pads are not the whole numbers that packed nodes "
                "sum, so its kernel is unpacked"
            )
        weight = next(iter(maker.inputs), "")
    if weight in graph.constants:
        return "its weights are float32"
    return "it multiplies tensors of the network"
