"""The producer of a group as the fields of a step."""

from __future__ import annotations

from dataclasses import dataclass

from larqlite_runtime._program import (
    HALF_CONVS,
    INTEGER_SUMS,
    NOWHERE,
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    StepKind,
    TensorView,
)
from larqlite_runtime.planner._bit_tensors import Bits
from larqlite_runtime.planner._buffer_table import BufferTable
from larqlite_runtime.planner._fusion_group import FusionGroup, RearrangedNode
from larqlite_runtime.planner._layouts import image_of
from larqlite_runtime.planner._padding import PaddedTensor
from larqlite_runtime.planner._weight_layout import WeightLayout, layout_of
from larqlite_runtime.planner.producers import Numbers, Packed, SumForm


@dataclass(frozen=True)
class GroupInput:
    """Memory that another group fills for this one: with bits, or with floats and borders."""

    padded: PaddedTensor
    buffer: int
    bits: Bits | None = None


def producer_step(
    buffers: BufferTable,
    group: FusionGroup,
    group_input: GroupInput | None,
    ops: tuple[EpilogueOp, ...],
) -> KernelStep:
    """The step of a group.

    Args:
        buffers: where tensors lie.
        group: the group.
        group_input: what another group makes for it.
        ops: what its rows pass through.
    """
    tensor, axis = group.tensors[0]
    size, channels = image_of(buffers.shape(tensor), axis)
    made = {
        "size": size,
        "channels": channels,
        "ops": ops,
        "nodes": tuple(group.nodes),
    }
    if group.packed is not None:
        return _sums_of_integers(buffers, group, group_input, made)
    if group.conv is not None:
        return _sums_of_floats(buffers, group, group_input, made)
    source = buffers.view(group.source, group.axis)
    if group.pool is None:
        return _load(source, made)
    return _pool(buffers, group, source, made)


def rearranged_step(buffers: BufferTable, item: RearrangedNode) -> KernelStep:
    """The step; what it does not write are zeros from the beginning on."""
    assignment, moved = buffers.assignment, item.moved
    read, written = (
        assignment.available(name)
        for name in (item.node.inputs[0], item.node.outputs[0])
    )
    read = assignment.copies.get(read, read)
    views = [
        TensorView(buffers.buffer(key), first, assignment.elements(key), *strides)
        for key, first, strides in (
            (read, moved.first, moved.source),
            (written, moved.last, moved.target),
        )
    ]
    return KernelStep(
        StepKind.LOAD,
        size=moved.size,
        channels=moved.channels,
        input=views[0],
        ops=(EpilogueOp(EpilogueKind.STORE, view=views[1]),),
        nodes=(item.node.name,),
    )


# Operations that do the same to all channels.
_ALIKE = (
    EpilogueKind.STORE,
    EpilogueKind.ADD_TENSOR,
    EpilogueKind.MULTIPLY_TENSOR,
    EpilogueKind.DIVIDE_TENSOR,
    EpilogueKind.SQUARE_ROOT,
    EpilogueKind.FLOOR,
    EpilogueKind.RELU,
    EpilogueKind.SIGMOID,
    EpilogueKind.TANH,
    EpilogueKind.ELU,
    EpilogueKind.CLIP,
    EpilogueKind.SIGN,
    EpilogueKind.PACK_BF16,
    EpilogueKind.PACK_PIXELS,
)


def _load(source: TensorView, made: dict) -> KernelStep:
    """Rows as they are; as one long pixel each, where that is all the same."""
    (depth, height, width), channels, ops = made["size"], made["channels"], made["ops"]
    views = [source, *(op.view for op in ops if op.view.buffer != NOWHERE)]
    if all(op.kind in _ALIKE for op in ops) and {view.pixel for view in views} == {
        channels
    }:
        made |= {"size": (depth, height, 1), "channels": width * channels}
    return KernelStep(StepKind.LOAD, input=source, **made)


def _pool(
    buffers: BufferTable, group: FusionGroup, source: TensorView, made: dict
) -> KernelStep:
    pool = group.pool
    made["in_size"], _ = image_of(buffers.shape(group.source), group.axis)
    if pool.kind == StepKind.MEAN:
        return KernelStep(StepKind.MEAN, input=source, **made)
    strides = source.depth, source.row, source.pixel
    return KernelStep(
        pool.kind,
        input=source.every(*pool.stride),
        kernel=pool.kernel,
        tap=tuple(
            step * stride for step, stride in zip(pool.dilation, strides, strict=True)
        ),
        stride=pool.stride,
        pad=pool.pad,
        dilation=pool.dilation,
        **made,
    )


def _sums_of_floats(
    buffers: BufferTable, group: FusionGroup, group_input: GroupInput | None, made: dict
) -> KernelStep:
    conv, window = group.conv, group.conv.window
    if group_input is not None:
        buffers.live.use(group_input.buffer)
        view = group_input.padded.window_view(group_input.buffer, window).moved(
            conv.first
        )
        taps = group_input.padded.taps(window)
    else:
        source = buffers.view(group.source, group.axis)
        strides = source.depth, source.row, source.pixel
        view = source.every(*window.stride)
        taps = tuple(
            step * stride for step, stride in zip(window.dilation, strides, strict=True)
        )
    made |= {
        "input": view,
        "kernel": window.kernel,
        "tap": taps,
        "stride": window.stride,
        "dilation": window.dilation,
        "in_channels": conv.in_channels,
        "products": conv.products,
    }
    constant = buffers.program.constant
    kind = _FLOAT_SUMS[conv.numbers]
    is_half = kind in HALF_CONVS
    made["weights"] = constant(
        conv.half_weights(taps[2]) if is_half else conv.stored_weights()
    )
    if conv.is_depthwise:
        made["in_channels"] = conv.groups
        multiplier = made["channels"] // conv.groups
        return KernelStep(StepKind.DEPTHWISE_FLOAT, multiplier=multiplier, **made)
    if kind not in INTEGER_SUMS:
        return KernelStep(kind, groups=conv.groups, **made)
    sums = conv.sums
    if kind == StepKind.CONV_BYTES:
        made |= {"in_size": window.size, "pad": window.before}
    return KernelStep(
        kind,
        base=constant(sums.starts),
        row_class=-1 if sums.of_row is None else constant(sums.of_row),
        column_class=-1 if sums.of_column is None else constant(sums.of_column),
        column_classes=sums.starts.shape[1],
        **made,
    )


_FLOAT_SUMS = {
    Numbers.FLOAT32: StepKind.CONV_FLOAT,
    Numbers.BF16: StepKind.CONV_BF16,
    Numbers.PIXELS: StepKind.CONV_PIXELS,
    Numbers.BYTES: StepKind.CONV_BYTES,
}
# By whether each channel has filters of its own.
_SUMS = {
    SumForm.PLANES: (StepKind.CONV, StepKind.DEPTHWISE),
    SumForm.CODES: (StepKind.CONV_CODES, StepKind.DEPTHWISE_CODES),
    SumForm.LOOKUPS: (StepKind.CONV_LOOKUPS,),
}


def _sums_of_integers(
    buffers: BufferTable, group: FusionGroup, group_input: GroupInput, made: dict
) -> KernelStep:
    packed, window, program = group.packed, group.packed.window, buffers.program
    buffers.live.use(group_input.buffer)
    starts = packed.accumulator_starts()
    layout = layout_of(packed, group_input.bits)
    multiplier = packed.out_channels // packed.in_channels
    return KernelStep(
        _SUMS[packed.form][packed.is_depthwise],
        input=group_input.padded.window_view(group_input.buffer, window),
        kernel=layout.kernel,
        tap=layout.tap,
        groups=layout.groups,
        words=layout.words,
        in_channels=packed.in_channels,
        multiplier=multiplier if packed.is_depthwise else 1,
        input_planes=layout.input_planes,
        weight_planes=layout.weight_planes,
        shift=0 if packed.takes_codes else packed.shift,
        weight_bits=layout.weight_bits,
        weight_step=layout.weight_step,
        weight_offset=layout.weight_offset,
        weights=program.constant(layout.weights),
        base=program.constant(starts.base),
        row_class=-1 if starts.of_row is None else program.constant(starts.of_row),
        column_class=(
            -1 if starts.of_column is None else program.constant(starts.of_column)
        ),
        column_classes=starts.base.shape[1],
        products=packed.products,
        **(
            made
            if starts.inside is None
            else made | _inside(packed, layout, program.constant(starts.inside))
        ),
    )


def _inside(packed: Packed, layout: WeightLayout, inside_base: int) -> dict:
    """The fields that tell which taps lie in borders, and what sums without them begin with.

    An axis of one tap whose place planes of weights take has no borders: all its taps are
    inside.
    """
    window, inside = packed.window, {}
    for axis, name in enumerate(("d", "h", "w")):
        is_of_planes = layout.kernel[axis] != window.kernel[axis]
        inside[name] = (
            (window.out[axis] + layout.kernel[axis], 1, 0, 1)
            if is_of_planes
            else (
                window.size[axis],
                window.stride[axis],
                window.before[axis],
                window.dilation[axis],
            )
        )
    in_size, stride, pad, dilation = zip(*inside.values(), strict=True)
    return {
        "inside_base": inside_base,
        "in_size": in_size,
        "stride": stride,
        "pad": pad,
        "dilation": dilation,
    }
