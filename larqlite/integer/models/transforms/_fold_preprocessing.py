"""Arithmetic on a model's input becomes one Rescaling."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite.graph import LayerGraph, LayerUse
from larqlite.integer.models.transforms import _tracing
from larqlite.integer.models.transforms._surgery import (
    Surgery,
    give,
    label,
    new,
    setting,
    shape_of,
    weights_of,
)

layers = tf_keras.layers


@dataclasses.dataclass(frozen=True)
class Affine:
    """`y[..., c] = scale[c] * x[..., order[c]] + offset[c]`, in float64.

    Attributes:
        scale, offset: a number, or one for each channel.
        order: the channels of `x`; None where they keep their places.
    """

    scale: np.ndarray = dataclasses.field(default_factory=lambda: np.float64(1))
    offset: np.ndarray = dataclasses.field(default_factory=lambda: np.float64(0))
    order: np.ndarray | None = None

    def then(self, scale, offset) -> Affine:
        """This, then `scale * y + offset`."""
        return dataclasses.replace(
            self, scale=self.scale * scale, offset=self.offset * scale + offset
        )

    def reordered(self, order: np.ndarray) -> Affine:
        """This, then `y[..., order]`."""
        before = np.arange(len(order)) if self.order is None else self.order
        scale, offset = (
            v[order] if np.ndim(v) else v for v in (self.scale, self.offset)
        )
        return Affine(scale, offset, before[order])

    def after(self, first: Affine) -> Affine:
        """`first`, then this."""
        if self.order is not None:
            first = first.reordered(self.order)
        return first.then(self.scale, self.offset)


def run(graph: LayerGraph, surgery: Surgery) -> bool:
    """Makes one Rescaling of what stands between each input and the network.

    These are `Rescaling` and `Normalization` layers, and functions that add and multiply
    constants, one or one for each channel, cast, and turn round the channels: those of
    `preprocess_input`, of operators on a Keras tensor, and in a `Lambda`. Turned channels
    become turned channels of the kernel that reads them; where there is no such kernel,
    all stays as it is.
    """
    is_changed = False
    for _, edge in graph.inputs:
        chain, affine = _chain(graph, surgery, edge)
        if not chain or (len(chain) == 1 and type(chain[0].layer) is layers.Rescaling):
            continue
        affine = _with_order_in_the_kernel(graph, surgery, chain[-1], affine)
        if affine is None:
            continue
        name = label(chain[-1].entry)
        layer = layers.Rescaling(*map(_plain, (affine.scale, affine.offset)), name=name)
        for use in chain[:-1]:
            graph.remove(use)
        graph.rewire(chain[-1], new(layer), edge)
        is_changed = True
    return is_changed


def _plain(values: np.ndarray) -> float | list[float]:
    return np.asarray(values).tolist()


def _chain(graph: LayerGraph, surgery: Surgery, edge) -> tuple[list[LayerUse], Affine]:
    """The layers of one input that are affine, one after the other, and all of them."""
    chain: list[LayerUse] = []
    total = Affine()
    while True:
        readers = graph.consumers(edge)
        use = readers[0] if len(readers) == 1 else None
        if use is None or len(use.outputs) != 1 or surgery.is_shared(use.entry):
            return chain, total
        channels = shape_of(edge)[-1] if len(shape_of(edge)) > 1 else None
        affine = affine_of(use, channels)
        if affine is None or shape_of(use.outputs[0])[1:] != shape_of(edge)[1:]:
            return chain, total
        total = affine.after(total)
        chain.append(use)
        edge = use.outputs[0]


def affine_of(use: LayerUse, channels: int | None) -> Affine | None:
    """What a use computes of its one input; None if that is not affine.

    Args:
        use: of any layer.
        channels: how many there are, each of which may have numbers of its own; None
            for the same numbers for all.
    """
    layer = use.layer
    if type(layer) is layers.Rescaling:
        values = [_for_channels(v, channels) for v in (layer.scale, layer.offset)]
        return None if any(value is None for value in values) else Affine(*values)
    if type(layer) is layers.Normalization:
        return _normalization(layer, channels)
    if _tracing.is_function(layer):
        return _function(use, channels)
    return None


def _for_channels(value, channels: int | None) -> np.ndarray | None:
    """A number, or one for each channel; None for anything else."""
    if value is None:
        return None
    array = np.asarray(tf_keras.backend.get_value(value), np.float64)
    if array.size == 1:
        return np.float64(array.reshape(()))
    if array.size == channels == array.shape[-1]:
        return array.reshape(-1)
    return None


def _normalization(layer, channels: int | None) -> Affine | None:
    if not layer.built:
        return None
    if layer.input_mean is None:
        # What `adapt` or a file left in the weights: the layer may not have read them.
        mean, variance = layer.adapt_mean, layer.adapt_variance
    else:
        mean, variance = layer.mean, layer.variance
    axes = layer.axis or ()
    if len(axes) > 1 or (axes and channels is None):
        return None
    mean, variance = (_for_channels(v, channels) for v in (mean, variance))
    if mean is None or variance is None:
        return None
    deviation = np.maximum(np.sqrt(variance), tf_keras.backend.epsilon())
    if layer.invert:
        return Affine(deviation, mean)
    return Affine(1 / deviation, -mean / deviation)


def _function(use: LayerUse, channels: int | None) -> Affine | None:
    edges = list({id(edge): edge for edge in use.inputs}.values())
    if len(edges) != 1 or len(use.outputs) != 1:
        return None
    try:
        concrete = _tracing.traced(use, edges)
        ((given,), (output,)) = concrete.inputs, concrete.outputs
        return _followed(output, given, channels)
    except _tracing.Unknown:
        return None


def _followed(tensor, given, channels: int | None) -> Affine:
    """What a tensor of a trace is of what went in."""
    if tensor is given:
        return Affine()
    op = tensor.op
    if op.type in ("Identity", "StopGradient", "Snapshot"):
        return _followed(op.inputs[0], given, channels)
    if op.type == "Cast":
        if not tensor.dtype.is_floating:
            raise _tracing.Unknown
        return _followed(op.inputs[0], given, channels)
    if op.type == "Neg":
        return _followed(op.inputs[0], given, channels).then(-1.0, 0.0)
    if op.type in _BINARY and tensor.dtype.is_floating:
        return _of_constant(op, given, channels)
    if channels is not None and _turns_channels(op):
        before = _followed(op.inputs[0], given, channels)
        return before.reordered(np.arange(channels)[::-1])
    raise _tracing.Unknown


_BINARY = ("Mul", "RealDiv", "Sub", "Add", "AddV2", "BiasAdd")


def _of_constant(op, given, channels: int | None) -> Affine:
    left, right = op.inputs
    constants = [
        _for_channels(tf.get_static_value(side), channels) for side in (left, right)
    ]
    is_left = constants[0] is not None
    if is_left == (constants[1] is not None) or (is_left and op.type == "RealDiv"):
        raise _tracing.Unknown
    number = constants[0] if is_left else constants[1]
    x = _followed(right if is_left else left, given, channels)
    if op.type == "Mul":
        return x.then(number, 0.0)
    if op.type == "RealDiv":
        return x.then(1 / number, 0.0)
    if op.type == "Sub":
        return x.then(-1.0, number) if is_left else x.then(1.0, -number)
    return x.then(1.0, number)


def _turns_channels(op) -> bool:
    """Whether an operation is `x[..., ::-1]`."""
    rank = op.outputs[0].shape.rank
    if op.type == "ReverseV2":
        axes = tf.get_static_value(op.inputs[1])
        return axes is not None and [axis % rank for axis in axes] == [rank - 1]
    if op.type != "StridedSlice":
        return False
    strides = tf.get_static_value(op.inputs[3])
    if strides is None or strides[-1] != -1 or np.any(strides[:-1] != 1):
        return False
    if op.get_attr("new_axis_mask") or op.get_attr("shrink_axis_mask"):
        return False
    places = range(len(strides))
    dots = [i for i in places if op.get_attr("ellipsis_mask") >> i & 1]
    whole = op.get_attr("begin_mask") & op.get_attr("end_mask")
    is_last = len(strides) == rank or (dots and dots[0] < len(strides) - 1)
    return bool(is_last) and all(i in dots or whole >> i & 1 for i in places)


def _with_order_in_the_kernel(
    graph: LayerGraph, surgery: Surgery, last: LayerUse, affine: Affine
) -> Affine | None:
    """The same for channels in their places, when the kernel that reads them takes theirs.

    Returns:
        None if there is no such kernel.
    """
    order = affine.order
    if order is None or np.array_equal(order, np.arange(len(order))):
        return dataclasses.replace(affine, order=None)
    reader = surgery.reads_alone(graph, last)
    if reader is not None and type(reader.layer) is layers.ZeroPadding2D:
        reader = surgery.reads_alone(graph, reader)
    is_conv = reader is not None and type(reader.layer) is layers.Conv2D
    if (
        not is_conv
        or (setting(reader.entry, "groups") or 1) != 1
        or reader.layer.data_format != "channels_last"
    ):
        return None
    # y[c] meets the kernel's channel c, and is made of x[order[c]].
    places = np.argsort(order)
    kernel = np.asarray(weights_of(reader.entry)["kernel"])[..., places, :]
    give(reader.entry, {}, kernel=kernel)
    scale, offset = (
        v[places] if np.ndim(v) else v for v in (affine.scale, affine.offset)
    )
    return Affine(scale, offset)
