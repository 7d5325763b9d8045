"""Between the sums of a packed layer and the quantizers that read them: one affine
function of few bits, in place of scale, bias, batch normalization and clipping."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from larqlite.deploy.exporter import (
    DownstreamQuantizer,
    crossings_of,
    downstream_quantizers,
    in_keras,
    rising,
    through_maxima,
)
from larqlite.deploy.qonnx._grid import ScaleAndOffset, on_grid
from larqlite.graph import names
from larqlite.onnx_graph import DOMAIN, OnnxNode, Writer
from larqlite_runtime.format import QUANTIZERS

if TYPE_CHECKING:
    from larqlite.deploy.converters import PackedLayer
    from larqlite.onnx_graph import Normalization

_KEEPING = names(
    "Identity Transpose Reshape Flatten Squeeze Unsqueeze MaxPool GlobalMaxPool"
)
_CLIPPING = names("Clip Relu Sub")
# Behind the point of scales and offsets that are no multiples of anything.
_FLOAT_BITS = 24
CHANNELS_LAST = "qonnx.custom_op.channels_last"
# The lowest level, and the step to the next, of what a quantizer gives.
_GRIDS = {"Sign": (-1, 2), "Heaviside": (0, 1), "Ternary": (-1, 1), "Steps": (0, 1)}


@dataclasses.dataclass
class _Place:
    """Sums, and all that lies between them and quantizers that are alike.

    Attributes:
        packed: the layer.
        normalization: behind it, or None.
        source: the tensor of sums, or of their maxima.
        output: what the affine function gives.
        inner: nodes from `source` to `output`.
        quantizers: that read it in the end.
        clipping: nodes in front of them that only clip or shift.
    """

    packed: PackedLayer
    normalization: Normalization | None
    source: str
    output: str
    inner: list[OnnxNode]
    quantizers: list[OnnxNode] = dataclasses.field(default_factory=list)
    clipping: list[OnnxNode] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class ExactLevels:
    """What was rewritten.

    Attributes:
        quantizers: names of quantizers that read numbers whose rounding is their level.
        affine: by the name of a normalizing node its function.
    """

    quantizers: frozenset[str]
    affine: dict[str, ScaleAndOffset]


def exact_levels(graph: Writer, outputs: Sequence[str]) -> ExactLevels:
    """Rewrites a finished graph wherever sums of integers end in quantizers that are alike.

    The node that remains is a `BatchNormalization` of scale and offset on a grid.

    Args:
        graph: the graph; changed in place.
        outputs: names of the model's outputs.
    """
    quantizers: set[str] = set()
    affine: dict[str, ScaleAndOffset] = {}
    for place in _places(graph, frozenset(outputs)):
        found = _affine_of(graph, place)
        if found is None:
            continue
        name = _apply(graph, place, found)
        affine[name] = found
        if not any(node.outputs[0] in outputs for node in place.quantizers):
            _quantize_at_once(graph, place)
        quantizers.update(node.name for node in place.quantizers)
    return ExactLevels(frozenset(quantizers), affine)


def _places(graph: Writer, outputs: frozenset[str]) -> Iterator[_Place]:
    normalized = {}
    for normalization in graph.normalizations:
        chain = through_maxima(graph, normalization.source)
        normalized.setdefault(chain[-1], []).append((normalization, chain))
    for packed in graph.packed:
        if packed.accumulator is None or packed.is_moved or not packed.is_linear:
            continue
        steps = [packed.accumulator, packed.scaled, packed.biased]
        last = next(filter(None, reversed(steps)))
        found = normalized.get(last, [])
        if len(found) > 1:
            continue
        normalization, chain = found[0] if found else (None, [last])
        if len(chain) > 1 and last != packed.accumulator:
            continue
        source = packed.accumulator if len(chain) == 1 else chain[0]
        output = last if normalization is None else normalization.output
        inner = _between(graph, source, output)
        if output == source or inner is None:
            continue
        place = _Place(packed, normalization, source, output, inner)
        passed = {output, *(node.outputs[0] for node in inner)}
        if _collect(graph, place, output, passed) and not passed & outputs:
            yield place


def _between(graph: Writer, source: str, output: str) -> list[OnnxNode] | None:
    """The nodes of a chain; None if anybody else reads what is in it."""
    nodes: list[OnnxNode] = []
    tensor = source
    while tensor != output:
        users = graph.consumers(tensor)
        if len(users) != 1 or users[0].op not in ("Mul", "Add"):
            return None
        nodes.append(users[0])
        tensor = users[0].outputs[0]
    return nodes


def _collect(graph: Writer, place: _Place, tensor: str, passed: set[str]) -> bool:
    """Whether all that reads a tensor is a quantizer in the end."""
    users = graph.consumers(tensor)
    for user in users:
        if user.domain == DOMAIN and user.op in QUANTIZERS:
            place.quantizers.append(user)
            continue
        is_clipping = user.op in _CLIPPING and user.inputs[0] == tensor
        if is_clipping:
            place.clipping.append(user)
        passed.add(user.outputs[0])
        if user.domain or not (is_clipping or user.op in _KEEPING):
            return False
        if not _collect(graph, place, user.outputs[0], passed):
            return False
    return bool(users)


def _affine_of(graph: Writer, place: _Place) -> ScaleAndOffset | None:
    found = downstream_quantizers(graph, place.output)
    if len(found) > 1:
        return None
    quantizer = found[0] if found else DownstreamQuantizer(place.quantizers[0])
    if _grid(quantizer.node) is None:
        return None
    kinds = {(n.op, *sorted(n.attributes.items())) for n in place.quantizers}
    if len(kinds) > 1:
        return None

    def keras(sums: np.ndarray) -> np.ndarray:
        return in_keras(place.packed, place.normalization, sums)

    largest = place.packed.largest.astype(np.int64)
    if not _clipping_does_nothing(graph, place, quantizer, keras(_ends(largest))):
        return None
    direction = rising(keras, largest)
    first = crossings_of(keras, quantizer, largest, direction)
    node = quantizer.node
    lowest, step = _grid(node)
    ends = keras(np.stack([largest, -largest])).astype(np.float64)
    slope = (
        np.abs(ends[0] - ends[1]) / np.maximum(2 * largest, 1) * _levels_in_one(node)
    )
    return on_grid(first, largest, direction, slope, lowest, step)


def _ends(largest: np.ndarray) -> np.ndarray:
    """Many sums of each channel, from the lowest to the highest."""
    rows = np.linspace(-1, 1, 2 * min(int(largest.max(initial=1)), 2000) + 1)
    return np.rint(rows[:, None] * largest)


def _clipping_does_nothing(
    graph: Writer, place: _Place, quantizer: DownstreamQuantizer, values: np.ndarray
) -> bool:
    """Whether each quantizer gives the same levels without what clips in front of it."""
    clipped = values
    for node in place.clipping:
        if node.op == "Sub":
            continue
        bounds = [graph.constants.get(name) for name in node.inputs[1:] if name]
        low, high = bounds if len(bounds) == 2 else (0, np.inf)
        if low is None or high is None:
            return False
        clipped = np.clip(clipped, low, high)
    shifted = [node for node in place.clipping if node.op == "Sub"]
    if shifted and (len(place.clipping) > 1 or quantizer.shift is None):
        return False
    return bool((quantizer.codes(clipped) == quantizer.codes(values)).all())


def _grid(node: OnnxNode) -> tuple[int, int] | None:
    """The lowest level of a quantizer and the step to the next; None of one from outside."""
    if node.op == "Integers":
        return int(node.attributes["low"]), 1
    return _GRIDS.get(node.op)


def _levels_in_one(node: OnnxNode) -> float:
    """How many levels a quantizer has between 0 and 1."""
    if node.op == "Ternary":
        return 1 / max(2 * abs(node.attributes["threshold"]), 1e-3)
    if node.op == "Steps":
        return float(2 ** node.attributes["bits"] - 1)
    return 1.0


def _apply(graph: Writer, place: _Place, affine: ScaleAndOffset) -> str:
    name = place.inner[-1].name
    sums = graph.producer(place.packed.accumulator)
    is_last = sums.op.endswith("Dense") and len(graph.shapes[place.output]) > 2
    for tensor in [node.outputs[0] for node in place.clipping]:
        node = graph.producer(tensor)
        graph.remove(node)
        graph.redirect(tensor, node.inputs[0])
    following = graph.nodes[graph.position(place.inner[-1]) + 1]
    for node in place.inner:
        graph.remove(node)
    node = batch_normalization(graph, place.source, place.output, name, affine, is_last)
    graph.insert(node, before=following)
    return name


def _quantize_at_once(graph: Writer, place: _Place) -> None:
    """Puts one quantizer right behind the affine function, in place of those that come
    later: levels are moved and pooled as what they are made of."""
    given = [node.outputs[0] for node in place.quantizers]
    first = graph.producer(given[0])
    levels = graph.tensor_name(f"{first.name}/at_once:0")
    graph.shapes[levels] = graph.shapes[place.output]
    for tensor in given:
        node = graph.producer(tensor)
        graph.remove(node)
        graph.redirect(tensor, node.inputs[0])
    graph.redirect(place.output, levels)
    node = dataclasses.replace(first, inputs=(place.output,), outputs=(levels,))
    graph.insert(node, after=graph.producer(place.output))
    place.quantizers = [node]


def batch_normalization(
    graph: Writer,
    source: str,
    output: str,
    name: str,
    affine: ScaleAndOffset,
    is_last: bool,
) -> OnnxNode:
    """A node that multiplies by the scale and adds the offset, and does nothing else: its
    mean is 0, its variance 1, its epsilon 0.

    Args:
        graph: that gets its constants.
        source, output: tensors.
        name: of the node.
        affine: scale and offset.
        is_last: whether channels are the last of more than two axes.
    """
    count = affine.scale.size
    arrays = {
        "scale": affine.scale,
        "offset": affine.offset,
        "mean": np.zeros(count),
        "variance": np.ones(count),
    }
    stored = [
        graph.constant(array.astype(np.float32).ravel(), f"{name}/{what}")
        for what, array in arrays.items()
    ]
    return OnnxNode(
        "BatchNormalization",
        (source, *stored),
        (output,),
        name,
        CHANNELS_LAST if is_last else "",
        {"epsilon": 0.0, "momentum": 0.9},
    )


def as_batch_normalizations(
    graph: Writer, outputs: Sequence[str]
) -> dict[str, ScaleAndOffset]:
    """Makes one node of each scale and offset that are left of a batch normalization, and of
    those in front of it: hls4ml would make one of them itself, of the types of the last.

    What only signs read is divided by the magnitude of its scale, so that a comparison is
    left of it.

    Args:
        graph: the graph; changed in place.
        outputs: names of the model's outputs.

    Returns:
        By the name of a node its function, as it is to be told: with 24 bits behind the point.
    """
    found = {}
    for normalization in graph.normalizations:
        total = graph.producer(normalization.output)
        if total is None or total.op != "Add":
            continue
        shape = graph.shapes[normalization.output]
        axis = len(shape) - graph.constants[normalization.scale].ndim
        count = shape[axis]
        scale, offset, source = np.ones(count), np.zeros(count), normalization.output
        nodes = []
        while (step := _affine_step(graph, source, axis, outputs, nodes)) is not None:
            node, factor, summand = step
            offset = offset + scale * summand
            scale = scale * factor
            nodes.append(node)
            source = node.inputs[0]
        if len(nodes) < 2:
            continue
        if _is_read_by_signs(graph, normalization.output, outputs):
            magnitude = np.where(scale == 0, 1, np.abs(scale))
            scale, offset = scale / magnitude, offset / magnitude
        function = ScaleAndOffset(scale, offset, _FLOAT_BITS)
        for node in nodes[1:]:
            graph.remove(node)
        is_last = axis == len(shape) - 1 and axis > 1
        made = (source, normalization.output, total.name)
        graph.replace(total, batch_normalization(graph, *made, function, is_last))
        before = graph.producer(source)
        if before is None or before.op not in ("Mul", "Add", "Sub", "Div"):
            found[total.name] = function
    return found


def _affine_step(
    graph: Writer,
    tensor: str,
    axis: int,
    outputs: Sequence[str],
    later: Sequence[OnnxNode],
) -> tuple[OnnxNode, np.ndarray, np.ndarray] | None:
    """A product with, or a sum of, a number for each channel, that nobody else reads."""
    node = graph.producer(tensor)
    if node is None or node.op not in ("Mul", "Add") or node.domain:
        return None
    array = graph.constants.get(node.inputs[1])
    count = graph.shapes[tensor][axis]
    is_shared = later and (graph.uses(tensor) > 1 or tensor in outputs)
    if array is None or array.size not in (1, count) or is_shared:
        return None
    own_axis = len(graph.shapes[tensor]) - array.ndim
    if array.size > 1 and (own_axis != axis or array.shape[0] != count):
        return None
    values = np.broadcast_to(array.ravel(), (count,)).astype(np.float64)
    if node.op == "Mul":
        return node, values, np.zeros(count)
    return node, np.ones(count), values


def _is_read_by_signs(graph: Writer, tensor: str, outputs: Sequence[str]) -> bool:
    users = graph.consumers(tensor)
    if tensor in outputs or not users:
        return False
    return all(
        (user.op == "Sign" and user.domain == DOMAIN)
        or (user.op in _KEEPING and _is_read_by_signs(graph, user.outputs[0], outputs))
        for user in users
    )
