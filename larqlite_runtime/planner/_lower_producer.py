"""What makes the rows of a chain, as the fields of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from larqlite_runtime._program import NOWHERE, Kind, Op, Row, Step, View
from larqlite_runtime.planner._bit_tensors import Bits
from larqlite_runtime.planner._fusion_group import Chain
from larqlite_runtime.planner._layouts import image_of
from larqlite_runtime.planner._padding import Grid
from larqlite_runtime.planner._weight_layout import layout_of

if TYPE_CHECKING:
    from larqlite_runtime.planner._lower import Lowering


@dataclass(frozen=True)
class Fed:
    """Memory that another chain fills for this one: with bits, or with floats and borders."""

    grid: Grid
    buffer: int
    bits: Bits | None = None


def head(
    lowering: Lowering, chain: Chain, fed: Fed | None, ops: tuple[Op, ...]
) -> Step:
    """The step of a chain.

    Args:
        lowering: that knows where tensors lie.
        chain: the chain.
        fed: what its feeder made for it.
        ops: what its rows pass through.
    """
    tensor, axis = chain.tensors[0]
    size, channels = image_of(lowering.places.shape(tensor), axis)
    made = {
        "size": size,
        "channels": channels,
        "ops": ops,
        "label": ", ".join(chain.nodes),
    }
    if chain.packed is not None:
        return _sums_of_bits(lowering, chain, fed, made)
    if chain.conv is not None:
        return _sums_of_floats(lowering, chain, fed, made)
    source = lowering.view(chain.source, chain.axis)
    if chain.pool is None:
        return _load(source, made)
    return _pool(lowering, chain, source, made)


# Operations that do the same to all channels.
_ALIKE = (Row.STORE, Row.ADD_TENSOR, Row.RELU, Row.CLIP, Row.SIGN)


def _load(source: View, made: dict) -> Step:
    """Rows as they are; as one long pixel each, where that is all the same."""
    (depth, height, width), channels, ops = made["size"], made["channels"], made["ops"]
    views = [source, *(op.view for op in ops if op.view.buffer != NOWHERE)]
    if all(op.kind in _ALIKE for op in ops) and {view.pixel for view in views} == {
        channels
    }:
        made |= {"size": (depth, height, 1), "channels": width * channels}
    return Step(Kind.LOAD, input=source, **made)


def _pool(lowering: Lowering, chain: Chain, source: View, made: dict) -> Step:
    pool = chain.pool
    made["in_size"], _ = image_of(lowering.places.shape(chain.source), chain.axis)
    if pool.kind == Kind.MEAN:
        return Step(Kind.MEAN, input=source, **made)
    strides = source.depth, source.row, source.pixel
    return Step(
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
    lowering: Lowering, chain: Chain, fed: Fed | None, made: dict
) -> Step:
    conv, window = chain.conv, chain.conv.window
    if fed is not None:
        lowering.memory.use(fed.buffer)
        view = fed.grid.window_view(fed.buffer, window).moved(conv.first)
        taps = fed.grid.taps(window)
    else:
        source = lowering.view(chain.source, chain.axis)
        strides = source.depth, source.row, source.pixel
        view = source.every(*window.stride)
        taps = tuple(
            step * stride for step, stride in zip(window.dilation, strides, strict=True)
        )
    return Step(
        Kind.CONV_FLOAT,
        input=view,
        kernel=window.kernel,
        tap=taps,
        stride=window.stride,
        dilation=window.dilation,
        in_channels=conv.in_channels,
        weights=lowering.program.constant(conv.stored_weights()),
        products=conv.products,
        **made,
    )


def _sums_of_bits(lowering: Lowering, chain: Chain, fed: Fed, made: dict) -> Step:
    packed, window, program = chain.packed, chain.packed.window, lowering.program
    lowering.memory.use(fed.buffer)
    base, of_row, of_column = packed.bases()
    layout = layout_of(packed, fed.bits)
    multiplier = packed.out_channels // packed.in_channels
    return Step(
        Kind.DEPTHWISE if packed.is_depthwise else Kind.CONV,
        input=fed.grid.window_view(fed.buffer, window),
        kernel=layout.kernel,
        tap=layout.tap,
        groups=layout.groups,
        words=layout.words,
        in_channels=packed.in_channels,
        multiplier=multiplier if packed.is_depthwise else 1,
        input_planes=layout.input_planes,
        weight_planes=layout.weight_planes,
        shift=packed.shift,
        weights=program.constant(layout.weights),
        base=program.constant(base),
        row_class=-1 if of_row is None else program.constant(of_row),
        column_class=-1 if of_column is None else program.constant(of_column),
        column_classes=base.shape[1],
        products=packed.products,
        **made,
    )
