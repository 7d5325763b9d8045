"""Random networks whose floats are exact: they give the same bits however they are run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from tests.runtime import files, random_nodes as nodes
from tests.runtime.random_network import Network

_OPS: tuple[Callable[[Network], None], ...] = (
    *(nodes.conv, nodes.conv, nodes.conv, nodes.scale, nodes.activation),
    *(nodes.residual, nodes.residual, nodes.gate, nodes.pool, nodes.concatenation),
    *(nodes.part, nodes.wider, nodes.float_conv, nodes.float_quantizer, nodes.turned),
    *(nodes.improvement, nodes.improvement),
)

# Packed layers, and what moves values between them.
MOVES: tuple[Callable[[Network], None], ...] = (
    *(nodes.wide_conv, nodes.wide_conv, nodes.wide_conv, nodes.conv, nodes.scale),
    *(nodes.concatenation, nodes.concatenation, nodes.shuffle, nodes.shuffle),
    *(nodes.largest, nodes.largest, nodes.part, nodes.activation, nodes.improvement),
)


def random_network(
    seed: int, length: int = 8, ops: Sequence[Callable[[Network], None]] = _OPS
) -> tuple[onnx.ModelProto, list[str]]:
    """A network and the names of its accumulators; the same for the same seed.

    Args:
        seed: of the random numbers.
        length: nodes, or groups of nodes, that are tried.
        ops: of which they are.
    """
    rng = np.random.default_rng(seed)
    rank = int(rng.choice([1, 2, 2, 2, 3]))
    net = Network(rng, rank)
    sizes = {1: (8,), 2: (8, 4), 3: (2, 4, 4)}[rank]
    channels = net.one_of(1, 3, 8, 33)
    if rng.random() < 0.5:
        given = (*sizes, channels)
        order = [0, rank + 1, *range(1, rank + 1)]
        net.keep(net.add("Transpose", ["x"], perm=order), (channels, *sizes), 2, 2)
    else:
        given = (channels, *sizes)
        net.keep("x", given, 2, 2)
    for _ in range(length):
        net.one_of(*ops)(net)
    nodes.conv(net)
    last = net.tensors[-1]
    outputs = {last.name: last.shape}
    if rng.random() < 0.5:
        outputs |= nodes.tail(net, last)
    outputs.pop("x", None)
    for tensor in net.tensors[-2:]:
        if rng.random() < 0.3 and tensor.name != "x":
            outputs[tensor.name] = tensor.shape
    outputs = outputs or nodes.tail(net, last)
    model = files.model(net.nodes, {"x": given}, outputs, net.constants)
    return model, net.accumulators


def random_input(model: onnx.ModelProto, batch: int, seed: int = 0) -> dict:
    """What such a network is fed."""
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    values = np.random.default_rng(seed).integers(-8, 9, (batch, *shape[1:]))
    return {"x": (values / 4).astype(np.float32)}
