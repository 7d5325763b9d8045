"""In which order the file holds a tensor, and how arrays and tensors meet there."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.onnx_graph._refusal import refuse

if TYPE_CHECKING:
    from larqlite.onnx_graph._writer import Shape, Value, Writer

# For each graph: whether the first value of a layer with weights was moved.
_FIRST_USES: weakref.WeakKeyDictionary[Writer, dict[str, bool]] = (
    weakref.WeakKeyDictionary()
)


def as_in_first_use(graph: Writer, value: Value) -> Value:
    """A value stored in the order of the layer's first use, so that its weights fit."""
    uses = _FIRST_USES.setdefault(graph, {})
    if value.rank < 3 or uses.setdefault(graph.path, value.is_moved) == value.is_moved:
        return value
    return graph.channels_last(value) if value.is_moved else graph.channels_first(value)


def output_shape(layer: Any, shape: Shape) -> Shape:
    """What a layer makes of an input of this shape, batch first."""
    import tensorflow as tf

    return tuple(tf.TensorShape(layer.compute_output_shape(shape)).as_list())


def spatial_shape(value: Value) -> tuple[int, ...]:
    """Sizes without batch and channels of a value that is stored channels first."""
    return value.stored_shape[2:]


def beside(value: Value, array: Any) -> np.ndarray:
    """An array that NumPy would broadcast against the Keras tensor, for the stored one."""
    array = np.asarray(array)
    array = array.reshape((1,) * (value.rank - array.ndim) + array.shape)
    if value.is_moved:
        array = np.moveaxis(array, -1, 1)
    leading = next((i for i, size in enumerate(array.shape) if size != 1), array.ndim)
    return array.reshape(array.shape[leading:])


def along(value: Value, array: Any, axes: Sequence[int]) -> np.ndarray:
    """An array whose axes are those axes of the Keras tensor, for the stored one."""
    axes = [axis % value.rank for axis in axes]
    shape = [1] * value.rank
    for axis in axes:
        shape[axis] = value.shape[axis]
    order = np.argsort(axes)
    return beside(value, np.transpose(np.asarray(array), order).reshape(shape))


def in_keras_order(graph: Writer, value: Value) -> Value:
    """A value whose numbers follow each other in the file as they do in Keras."""
    return value if _is_the_same_in_both(value.shape) else graph.channels_last(value)


def reshaped(
    graph: Writer, value: Value, shape: Shape, is_moved: bool | None = None
) -> Value:
    """The numbers of a value, in Keras' order, in another shape.

    Args:
        graph: the graph.
        value: what is reshaped.
        shape: in Keras, batch first.
        is_moved: whether to store it channels first, which takes one pixel or one
            channel; by default where that is possible.
    """
    if is_moved is None:
        is_moved = _is_the_same_in_both(shape)
    source = in_keras_order(graph, value)
    target = dataclasses.replace(source, shape=tuple(shape), is_moved=is_moved)
    if target.stored_shape == source.stored_shape:
        return target
    sizes = graph.constant([0, *target.stored_shape[1:]])
    name = graph.node("Reshape", [source.name, sizes])
    return graph.value(name, shape, is_moved=is_moved, levels=value.levels)


def permuted(graph: Writer, value: Value, order: Sequence[int]) -> Value:
    """A value with its Keras axes in another order, the batch still first."""
    shape = tuple(value.shape[axis] for axis in order)
    stored = [value.stored_axis(axis) for axis in order]
    moved = [stored[0], stored[-1], *stored[1:-1]]
    in_place = list(range(value.rank))
    for axes, is_moved in ((stored, False), (moved, True)):
        if axes == in_place and (value.rank > 2 or not is_moved):
            return dataclasses.replace(value, shape=shape, is_moved=is_moved)
    name = graph.node(
        "Transpose", [value.name], perm=moved if value.is_moved else stored
    )
    return graph.value(name, shape, like=value, levels=value.levels)


def without_axes(
    graph: Writer,
    name: str,
    value: Value,
    axes: Sequence[int],
    levels: str | None = None,
) -> Value:
    """The value of a node that took Keras axes out of the stored tensor of `value`."""
    gone = {axis % value.rank for axis in axes}
    shape = tuple(size for axis, size in enumerate(value.shape) if axis not in gone)
    is_moved = value.is_moved and value.rank - 1 not in gone and len(shape) > 2
    return graph.value(name, shape, is_moved=is_moved, levels=levels)


def squeezed(graph: Writer, value: Value, axes: Sequence[int]) -> Value:
    """A value without some Keras axes of one element."""
    if not axes:
        return value
    stored = graph.constant(stored_axes(value, axes))
    name = graph.node("Squeeze", [value.name, stored])
    return without_axes(graph, name, value, axes, value.levels)


def expanded(graph: Writer, value: Value, axis: int) -> Value:
    """A value with a new axis of one element, `axis` of the result in Keras' order."""
    axis %= value.rank + 1
    if axis == value.rank and value.is_moved:
        value = graph.channels_last(value)
    shape = (*value.shape[:axis], 1, *value.shape[axis:])
    # Next to `(batch, channels)` the new axis may as well come after the channels.
    is_moved = value.is_moved or (value.rank == 2 and axis == 1)
    position = axis + 1 if is_moved else axis
    name = graph.node("Unsqueeze", [value.name, graph.constant([position])])
    return graph.value(name, shape, is_moved=is_moved, levels=value.levels)


def stored_axes(value: Value, axes: Sequence[int]) -> list[int]:
    """The axes of the file, ascending, that are these axes in Keras."""
    return sorted(value.stored_axis(axis) for axis in axes)


def in_one_order(graph: Writer, values: Sequence[Value]) -> list[Value]:
    """Values of the same rank, all stored channels first or none."""
    if len({value.is_moved for value in values}) == 1:
        return list(values)
    return [graph.channels_first(value) for value in values]


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape of an elementwise operation on tensors of these shapes, batch first."""
    return (None, *np.broadcast_shapes(*(shape[1:] for shape in shapes)))


def same_rank(graph: Writer, layer: Any, values: Sequence[Value]) -> None:
    """Refuses values of different ranks, whose batches NumPy would not line up."""
    if len({value.rank for value in values}) > 1:
        shapes = " and ".join(str(value.shape) for value in values)
        raise refuse(
            layer,
            graph.path,
            f"it combines tensors of the shapes {shapes}, which broadcasting lines up at "
            "their last axes, not at the batch",
            "give them the same number of axes with tf_keras.layers.Reshape",
        )


def _is_the_same_in_both(shape: Shape) -> bool:
    """Whether a tensor with channels first is one with channels last in memory."""
    return len(shape) > 2 and (shape[-1] == 1 or all(size == 1 for size in shape[1:-1]))
