"""The kernel of a quantized layer, as the file will hold it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from larqlite import quantizers
from larqlite.models.internal import weight_bits
from larqlite.onnx_graph import (
    DOMAIN,
    MOST_BITS,
    MOST_BITS_OF_A_TABLE,
    CodebookKernel,
    PackedKernel,
    find_codes,
    find_table,
    in_table,
    on_grid,
    refuse,
    shaped_along,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from larqlite.onnx_graph import Writer

FLOAT_BITS = 32


@dataclasses.dataclass(frozen=True)
class StoredKernel:
    """A kernel `(channels_out, *size, channels_in / group)` and how it is stored.

    Attributes:
        name: of the weight in its layer, `"kernel"`.
        values: as the layer uses them, float32.
        bits: of a stored value.
        packed: its codes, or None for a float kernel.
        variable: the Keras variable.
    """

    name: str
    values: np.ndarray
    bits: int
    packed: PackedKernel | CodebookKernel | None
    variable: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values."""
        return self.values.shape

    def largest_sums(self, part: PackedKernel) -> np.ndarray:
        """For each output channel, the sum of the magnitudes of the integers of a part."""
        if part.kind == "B":
            count = self.values[:1].size
            return np.full(self.shape[0], count, np.int64)
        rows = np.abs(part.integers).reshape(self.shape[0], -1)
        return rows.sum(axis=1)


def kernel_of(
    layer: Any,
    path: str,
    name: str,
    arranged: Callable[[np.ndarray], np.ndarray],
    scale_axes: tuple[int, ...] = (0,),
) -> StoredKernel:
    """The kernel of a quantized layer.

    Args:
        layer: the layer.
        path: where it is.
        name: of the weight.
        arranged: takes Keras' array to `(channels_out, *size, channels_in / group)`.
        scale_axes: along which that may have scales.

    Raises:
        UnsupportedLayerError: its values are not finite, or do not fit its bits.
    """
    variable = getattr(layer, name)
    values = layer.quantized_weight(name).numpy()
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise refuse(
            layer,
            path,
            f"{count} of the {values.size} values of its {name} are NaN or infinite",
            "load weights of before the training diverged",
        )
    arranged_values = np.ascontiguousarray(arranged(values))
    bits = weight_bits(variable)
    if bits >= FLOAT_BITS:
        return StoredKernel(name, arranged_values, FLOAT_BITS, None, variable)
    quantizer = _quantizer_name(layer, name)
    if bits > MOST_BITS:
        raise refuse(
            layer,
            path,
            f"{quantizer} declares {bits} bits for its {name}, and kernels are packed at "
            f"1 to {MOST_BITS} bits",
            f"a quantizer of at most {MOST_BITS} bits, or none for a float kernel",
        )
    packed = find_codes(arranged_values, bits, scale_axes)
    if packed is None or packed.error:
        packed = _on_known_grid(layer, name, arranged_values, bits) or packed
    packed = packed or _in_known_table(layer, name, arranged_values, bits)
    packed = packed or find_table(arranged_values, bits)
    if packed is None:
        raise refuse(layer, path, *_misfit(values, bits, name, quantizer))
    return StoredKernel(name, arranged_values, bits, packed, variable)


def _on_known_grid(
    layer: Any, name: str, arranged_values: np.ndarray, bits: int
) -> PackedKernel | None:
    """The codes of values that are, to the last bit, multiples of the quantizer's step."""
    quantizer = getattr(layer, layer.quantized_weights[name])
    if not isinstance(quantizer, quantizers.Quantizer):
        return None
    step = quantizer.step_between(layer.latent_weight(name))
    return None if step is None else on_grid(arranged_values, bits, np.asarray(step))


def _in_known_table(
    layer: Any, name: str, arranged_values: np.ndarray, bits: int
) -> CodebookKernel | None:
    """The codes of values that are, to the last bit, those of the quantizer's table."""
    quantizer = getattr(layer, layer.quantized_weights[name])
    if not isinstance(quantizer, quantizers.Quantizer):
        return None
    table = quantizer.level_table(layer.latent_weight(name))
    return None if table is None else in_table(arranged_values, bits, np.asarray(table))


def _quantizer_name(layer: Any, name: str) -> str:
    quantizer = getattr(layer, layer.quantized_weights[name])
    return getattr(quantizer, "__name__", None) or type(quantizer).__name__


def _misfit(
    values: np.ndarray, bits: int, name: str, quantizer: str
) -> tuple[str, str]:
    levels = np.unique(np.abs(values))
    shown = ", ".join(f"{level:.6g}" for level in levels[:4])
    more = ", ..." if len(levels) > 4 else ""
    what = f"{'two' if bits == 1 else 2**bits} levels in each output channel"
    if bits > MOST_BITS_OF_A_TABLE:
        what = f"{2**bits} evenly spaced levels"
    fix = "declare the precision that the values need"
    if quantizer == "NoOp":
        fix += (
            ", or train with an optimizer that keeps the kernel at this precision (Bop), "
            "starting from quantized values"
        )
    return (
        f"{quantizer} declares {bits} bit{'s' * (bits > 1)} ({what}), but its {name} has "
        f"the magnitudes {shown}{more}",
        fix,
    )


def stored_codes(
    graph: Writer, kernel: StoredKernel, streams: tuple[int, ...] = (0,)
) -> str:
    """The packed codes of a part of a kernel.

    Args:
        graph: the graph.
        kernel: of a layer.
        streams: the numbers of the bits that the part is the exclusive or of, if the kernel
            has a table; its codes are one stream if it has none.
    """
    packed, count = kernel.packed, kernel.values.size
    if isinstance(packed, PackedKernel):
        return graph.weight(
            graph.path,
            kernel.name,
            packed.packed(),
            bits=kernel.bits,
            count=count,
            variable=kernel.variable,
        )
    prefix = f"{graph.path}/{kernel.name}"
    graph.tables[f"{prefix}/bit_"] = -(-count * kernel.bits // 8)
    stored = [
        graph.weight(
            graph.path, f"{kernel.name}/bit_{bit}", packed.packed(bit), 1, count
        )
        for bit in streams
    ]
    name = stored[0]
    for number, other in enumerate(stored[1:], 1):
        bits = "_".join(map(str, streams[: number + 1]))
        name = graph.node("BitwiseXor", [name, other], name=f"{prefix}/bits_{bits}")
    return name


def grid_attributes(part: PackedKernel) -> dict[str, Any]:
    """What `Unpack` and the k-bit nodes say of the codes."""
    return {
        "bits": part.bits,
        "step": float(part.step),
        "offset": float(part.offset),
    }


def float_values(graph: Writer, kernel: StoredKernel, order: tuple[int, ...]) -> str:
    """A tensor with the values of a kernel, its axes in another order.

    A packed kernel is unpacked by nodes; a float one is an initializer.
    """
    if kernel.packed is None:
        array = np.ascontiguousarray(kernel.values.transpose(order))
        return graph.weight(graph.path, kernel.name, array, variable=kernel.variable)
    prefix, rank = f"{graph.path}/{kernel.name}", kernel.values.ndim
    names = []
    for streams, part in kernel.packed.parts.items():
        more = "" if not names else "_" + "_".join(map(str, streams))
        name = graph.node(
            "Unpack",
            [stored_codes(graph, kernel, streams)],
            name=f"{prefix}/unpacked{more}",
            domain=DOMAIN,
            weight_shape=list(kernel.shape),
            **grid_attributes(part),
        )
        graph.shapes[name] = kernel.shape
        if part.scale is not None:
            beside = shaped_along(part.scale, part.scale_axis, rank)
            stored = graph.scale(graph.path, f"{kernel.name}/scale{more}", beside)
            name = graph.node("Mul", [name, stored], name=f"{prefix}/scaled{more}")
            graph.shapes[name] = kernel.shape
        names.append(name)
    name = names[0]
    for other in names[1:]:
        name = graph.node("Add", [name, other], name=f"{prefix}/sum")
        graph.shapes[name] = kernel.shape
    if kernel.packed.center is not None:
        axis = getattr(kernel.packed, "scale_axis", 0)
        beside = shaped_along(kernel.packed.center, axis, rank)
        stored = graph.scale(graph.path, f"{kernel.name}/center", beside)
        name = graph.node("Add", [name, stored], name=f"{prefix}/centered")
        graph.shapes[name] = kernel.shape
    turned = graph.node("Transpose", [name], perm=list(order), name=f"{prefix}/turned")
    graph.shapes[turned] = tuple(kernel.shape[axis] for axis in order)
    return turned
