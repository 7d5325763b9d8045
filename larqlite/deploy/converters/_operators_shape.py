"""TensorFlow functions that move numbers, used as layers: `x[:, 1:]`, `tf.reshape(x)`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite.deploy.converters._merge import concatenated
from larqlite.deploy.converters._operator import first, integers, tensorflow
from larqlite.deploy.converters._shape import padded, sliced, tiled
from larqlite.deploy.converters._upsample import repeated
from larqlite.onnx_graph import expanded, permuted, refuse, reshaped, squeezed

if TYPE_CHECKING:
    from larqlite.onnx_graph import Value, Writer


@tensorflow("identity", "stop_gradient", "ensure_shape", "convert_to_tensor")
def convert_unchanged(graph: Writer, layer, call) -> Value:
    """The value itself."""
    return first(call)


# Shapes.


@tensorflow("reshape")
def convert_reshape(graph: Writer, layer, call) -> Value:
    """`Reshape` of each sample."""
    value = call.tensor
    batch, *sizes = integers(graph, layer, call.shape, "shape")
    wanted = math.prod(value.shape[1:])
    if batch != -1 or math.prod(sizes) != wanted:
        raise refuse(
            layer,
            graph.path,
            f"it makes {[batch, *sizes]} of {value.shape}, which does not keep the "
            "batch as the first axis",
            "-1 for the batch, and the sizes of one sample",
        )
    return reshaped(graph, value, (None, *sizes))


@tensorflow("shape", "compat.v1.shape")
def convert_shape(graph: Writer, layer, call) -> Value:
    """Never exported: sizes are fixed in the file."""
    raise refuse(
        layer,
        graph.path,
        "sizes that are computed in the network are not exported",
        "write them as numbers, and the batch of a tf.reshape as -1",
    )


@tensorflow("transpose", "compat.v1.transpose")
def convert_transpose(graph: Writer, layer, call) -> Value:
    """`Transpose`, unless the file has the axes in that order already."""
    axes = range(call.a.rank)[::-1]
    if call.perm is not None:
        axes = integers(graph, layer, call.perm, "perm")
    axes = [axis % call.a.rank for axis in axes]
    _keep_batch(graph, layer, axes[0] == 0)
    return permuted(graph, call.a, axes)


@tensorflow("expand_dims")
def convert_expand_dims(graph: Writer, layer, call) -> Value:
    """`Unsqueeze`."""
    (axis,) = integers(graph, layer, call.axis, "axis")
    _keep_batch(graph, layer, axis % (call.input.rank + 1) != 0)
    return expanded(graph, call.input, axis)


@tensorflow("squeeze", "compat.v1.squeeze")
def convert_squeeze(graph: Writer, layer, call) -> Value:
    """`Squeeze` of named axes."""
    value = call.input
    axes = integers(graph, layer, [] if call.axis is None else call.axis, "axis")
    if not axes:
        raise refuse(
            layer,
            graph.path,
            "without an axis it would drop the batch too, if that is 1",
            "name the axes: "
            f"axis={[i for i, size in enumerate(value.shape) if size == 1]}",
        )
    axes = [axis % value.rank for axis in axes]
    _keep_batch(graph, layer, 0 not in axes)
    return squeezed(graph, value, axes)


# Parts.


@tensorflow("__operators__.getitem")
def convert_getitem(graph: Writer, layer, call) -> Value:
    """`Slice`, `Squeeze` and `Unsqueeze`, as far as they are needed."""
    value = call.tensor
    spec = call.slice_spec
    spec = list(spec) if isinstance(spec, (list, tuple)) else [spec]
    ranges, gone, new = {}, [], []
    axis = 0
    for i, part in enumerate(spec):
        if part is Ellipsis:
            following = sum(later is not None for later in spec[i + 1 :])
            axis = value.rank - following
        elif part is None:
            new.append(axis - len(gone) + len(new))
        else:
            ranges[axis] = _range(graph, layer, part, value.shape[axis])
            if not isinstance(part, (dict, slice)):
                gone.append(axis)
            axis += 1
    whole_batch = ranges.pop(0, None) in (None, (0, None, 1))
    _keep_batch(graph, layer, whole_batch and 0 not in gone and 0 not in new)
    value = squeezed(graph, sliced(graph, value, ranges), gone)
    for axis in new:
        value = expanded(graph, value, axis)
    return value


def _range(graph: Writer, layer, part: Any, length: int | None):
    """Python's start, stop and step of one entry between the brackets."""
    if isinstance(part, slice):
        part = {"start": part.start, "stop": part.stop, "step": part.step}
    if not isinstance(part, dict):
        (index,) = integers(graph, layer, part, "index")
        start = index if index >= 0 or length is None else index + length
        return start, start + 1, 1
    numbers = [
        None if bound is None else integers(graph, layer, bound, "index")[0]
        for bound in (part["start"], part["stop"], part["step"])
    ]
    if length is None:
        start, stop, step = numbers
        return start or 0, stop, step or 1
    return slice(*numbers).indices(length)


@tensorflow("slice")
def convert_slice(graph: Writer, layer, call) -> Value:
    """`Slice`; a size of -1 goes to the end."""
    value = call.input_
    begin = integers(graph, layer, call.begin, "begin")
    size = integers(graph, layer, call.size, "size")
    _keep_batch(graph, layer, begin[0] == 0 and size[0] == -1)
    ranges = {
        axis: (begin[axis], begin[axis] + size[axis], 1)
        if size[axis] != -1
        else (begin[axis], value.shape[axis], 1)
        for axis in range(1, value.rank)
    }
    return sliced(graph, value, ranges)


@tensorflow("reverse")
def convert_reverse(graph: Writer, layer, call) -> Value:
    """`Slice` with step -1."""
    value = call.tensor
    axes = [i % value.rank for i in integers(graph, layer, call.axis, "axis")]
    _keep_batch(graph, layer, 0 not in axes)
    return sliced(graph, value, {i: (value.shape[i] - 1, -1, -1) for i in axes})


@tensorflow("split")
def convert_split(graph: Writer, layer, call) -> list[Value]:
    """`Split`."""
    value = call.value
    (axis,) = integers(graph, layer, call.axis, "axis")
    axis %= value.rank
    _keep_batch(graph, layer, axis != 0)
    sizes = integers(graph, layer, call.num_or_size_splits, "num_or_size_splits")
    if np.ndim(call.num_or_size_splits) == 0:
        sizes = [value.shape[axis] // sizes[0]] * sizes[0]
    if -1 in sizes:
        sizes[sizes.index(-1)] = value.shape[axis] - sum(sizes) - 1
    return parts(graph, value, sizes, axis)


@tensorflow("unstack")
def convert_unstack(graph: Writer, layer, call) -> list[Value]:
    """`Split`, and `Squeeze` of each part."""
    value = call.value
    axis = call.axis % value.rank
    _keep_batch(graph, layer, axis != 0)
    ones = [1] * value.shape[axis]
    return [squeezed(graph, part, [axis]) for part in parts(graph, value, ones, axis)]


@tensorflow("gather", "compat.v1.gather")
def convert_gather(graph: Writer, layer, call) -> Value:
    """`Gather` of fixed positions along an axis."""
    value = call.params
    axis = call.batch_dims if call.axis is None else call.axis
    (axis,) = integers(graph, layer, axis, "axis")
    axis %= value.rank
    _keep_batch(graph, layer, axis != 0 and not call.batch_dims)
    indices = integers(graph, layer, call.indices, "indices")
    shape = (*value.shape[:axis], len(indices), *value.shape[axis + 1 :])
    inputs = [value.name, graph.constant(indices)]
    name = graph.node("Gather", inputs, axis=value.stored_axis(axis))
    taken = graph.value(name, shape, like=value, levels=value.levels)
    return taken if np.ndim(call.indices) else squeezed(graph, taken, [axis])


def parts(graph: Writer, value: Value, sizes: list[int], axis: int) -> list[Value]:
    """Consecutive parts of a value along an axis of the Keras tensor."""
    if len(sizes) == 1:
        return [value]
    names = graph.node(
        "Split",
        [value.name, graph.constant(sizes)],
        outputs=len(sizes),
        axis=value.stored_axis(axis),
    )
    shape = list(value.shape)
    values = []
    for name, size in zip(names, sizes, strict=True):
        shape[axis] = size
        values.append(graph.value(name, tuple(shape), like=value, levels=value.levels))
    return values


# More than there was.


@tensorflow("concat")
def convert_concat(graph: Writer, layer, call) -> Value:
    """`Concat`."""
    (axis,) = integers(graph, layer, call.axis, "axis")
    return concatenated(graph, layer, call.values, axis)


@tensorflow("stack")
def convert_stack(graph: Writer, layer, call) -> Value:
    """`Concat` along a new axis."""
    rank = call.values[0].rank
    axis = call.axis % (rank + 1)
    _keep_batch(graph, layer, axis != 0)
    values = [expanded(graph, value, axis) for value in call.values]
    return concatenated(graph, layer, values, axis)


@tensorflow("tile")
def convert_tile(graph: Writer, layer, call) -> Value:
    """`Tile`."""
    counts = integers(graph, layer, call.multiples, "multiples")
    _keep_batch(graph, layer, counts[0] == 1)
    return tiled(graph, call.input, dict(enumerate(counts[1:], 1)))


@tensorflow("repeat")
def convert_repeat(graph: Writer, layer, call) -> Value:
    """`Resize` that repeats each number."""
    counts = integers(graph, layer, call.repeats, "repeats")
    axis = 0 if call.axis is None else call.axis % call.input.rank
    _keep_batch(graph, layer, axis != 0)
    if len(counts) > 1:
        raise refuse(
            layer,
            graph.path,
            "it repeats each position differently",
            "repeats=<number>",
        )
    return repeated(graph, call.input, {axis: counts[0]})


@tensorflow("pad", "compat.v1.pad")
def convert_pad(graph: Writer, layer, call) -> Value:
    """`Pad` with a number, or mirrored."""
    pairs = np.reshape(integers(graph, layer, call.paddings, "paddings"), (-1, 2))
    _keep_batch(graph, layer, not pairs[0].any())
    mode = call.mode.lower()
    if mode not in ("constant", "reflect"):
        raise refuse(
            layer, graph.path, f'mode="{call.mode}"', '"CONSTANT" or "REFLECT"'
        )
    amounts = {axis: tuple(map(int, pair)) for axis, pair in enumerate(pairs)}
    return padded(graph, call.tensor, amounts, float(call.constant_values), mode)


def _keep_batch(graph: Writer, layer, is_kept: bool) -> None:
    if not is_kept:
        raise refuse(
            layer,
            graph.path,
            "it changes the batch, which stays the first axis of every tensor",
            "leave the first axis as it is",
        )
