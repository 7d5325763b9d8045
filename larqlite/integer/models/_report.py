"""`data_report`: what every accumulator needs, by proof, and what saturates on samples."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from larqlite._progress import bar
from larqlite._tables import as_text
from larqlite.errors import QuantizedTypeError
from larqlite.graph import LayerCall, call_in_inference, follow, in_order, require_model
from larqlite.integer.layers import recording
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.integer.models import _samples
from larqlite.integer.models._bounds import accumulator_limit, output_limit
from larqlite.integer.models._calibrated_inputs import cut
from larqlite.integer.tensors import FixedPoint, QTensor
from larqlite.integer.tensors.internal import counting
from larqlite_runtime.notebook import ShownTable, ShowsTables

__all__ = ["DataReport", "IntegerLayerReport", "LayerReport", "data_report"]

_HEADER = (
    "layer",
    "kind",
    "input bits",
    "weight bits",
    "needed bits",
    "buffer bits",
    "shift",
    "output bits",
    "saturated",
    "clipped",
)


@dataclasses.dataclass
class IntegerLayerReport:
    """What a layer does with its integers.

    Attributes:
        name: the layer's name, after those of the models that it is in.
        kind: its class.
        input_bits: bits of its inputs, sign included.
        weight_bits: bits of its weights, by name of the quantizer.
        needed_bits: bits that its accumulator needs, sign included, for any input of
            these bits: proven from the weights where the layer has a kernel, from those
            before it and the number of its terms where it is a mean, and from the widths
            of its operands otherwise.
        buffer_bits: bits that it has; None for a layer that only moves values.
        shifts: smallest and largest shift of its output, negative to the right; None
            for an output that is not requantized.
        output_bits: bits of its outputs, sign included.
        saturated: values that did not fit on the samples: accumulators that saturated,
            and inputs of the model that were cut.
        cut: the inputs of the model among them: those that are no whole numbers of its
            range, so that fractions were dropped, or the number limited.
        clipped: outputs that its output quantizer limited.
        values: outputs that were looked at.
    """

    name: str
    kind: str
    input_bits: int | None
    weight_bits: dict[str, int]
    needed_bits: int | None
    buffer_bits: int | None
    shifts: tuple[int, int] | None
    output_bits: int | None
    saturated: int = 0
    clipped: int = 0
    values: int = 0
    cut: int = 0

    @property
    def fits(self) -> bool:
        """Whether nothing saturated on the samples and, where the needed bits are known,
        the accumulator cannot saturate, whatever the input."""
        if self.saturated:
            return False
        if self.needed_bits is None or self.buffer_bits is None:
            return True
        return self.needed_bits <= self.buffer_bits


# What it was called first.
LayerReport = IntegerLayerReport


@dataclasses.dataclass
class DataReport(ShowsTables):
    """The layers of a quantized model in order, see `IntegerLayerReport`; `str` is a table."""

    layers: list[IntegerLayerReport]

    def __getitem__(self, name: str) -> IntegerLayerReport:
        """The report of the layer of that name."""
        return {layer.name: layer for layer in self.layers}[name]

    def __str__(self) -> str:
        return as_text(self._shown())

    def _shown(self) -> list[ShownTable]:
        rows = [_cells(layer) for layer in self.layers]
        return [ShownTable("Integers, layer by layer", _HEADER, rows)]


def data_report(
    model: tf_keras.Model,
    samples: Any = None,
    num_samples: int = 64,
    batch_size: int | None = None,
) -> DataReport:
    r"""What each layer of a quantized model computes with, and what saturates.

    The bits that an accumulator needs follow from the weights: no input of the declared
    width can make it larger than \(|x|_{max} \sum |w| + |b|\).

    Args:
        model: a quantized model.
        samples: as for `calibrate`; random ones if None.
        num_samples: how many of them.
        batch_size: for arrays; 32 by default.

    Returns:
        DataReport.

    Raises:
        ArgumentError: (a `ValueError`) samples of a wrong shape, with NaN, or none.

    Example:
        >>> layer = tf_keras.layers.Dense(2, input_shape=(3,), name="fc")
        >>> model = lq.integer.models.quantize(tf_keras.Sequential([layer]))
        >>> report = lq.integer.models.data_report(model, num_samples=4)
        >>> report["fc"].buffer_bits, report["fc"].fits, report["fc"].saturated
        (28, True, 0)
    """
    require_model(model, "lq.integer.data_report", refused=QuantizedTypeError)
    if samples is None:
        samples = _samples.random_samples(model, num_samples)
    found: dict[str, IntegerLayerReport] = {}
    batches = _samples.batches(model, samples, num_samples, batch_size)
    with bar("look at the integers") as shown:
        for batch, _ in batches:
            with recording(True):
                _walk(model, batch, found)
            shown.advance(len(tf.nest.flatten(batch)[0]))
    return DataReport(list(found.values()))


def _walk(model, batch, found: dict[str, IntegerLayerReport]) -> None:
    """Calls the layers one by one, eagerly."""
    # What is proven of the accumulators on their way, by the tensors that hold them.
    proven: list[tuple[Any, int]] = []

    def apply(call: LayerCall) -> list:
        layer, given = call.layer, _flat((call.args, call.kwargs))
        with counting() as counts:
            outputs = _flat(call_in_inference(layer, call.args, call.kwargs))
        if isinstance(layer, QuantizedLayer):
            if call.path not in found:
                found[call.path] = _described(call.path, layer, given, outputs, proven)
            row = found[call.path]
            dropped = sum(cut(x, x.dtype) for x in given if tf.is_tensor(x))
            row.cut += dropped
            row.saturated += dropped
            row.saturated += counts.saturated.get("accumulator", 0)
            row.clipped += counts.saturated.get("output", 0)
            row.values += int(tf.size(_fixed(outputs[0]).values))
        return outputs

    follow(model, in_order(model, batch), apply)


def _flat(structure) -> list:
    return tf.nest.flatten(structure)


def _fixed(x):
    return getattr(x, "fp", x)


def _described(
    path: str, layer: QuantizedLayer, inputs: list, outputs: list, proven: list
) -> IntegerLayerReport:
    quantized = [_fixed(layer.gated(x)) for x in inputs if _is_input(x)]
    limits = [_limit(x, proven) for x in quantized]
    bound = accumulator_limit(layer, quantized, limits) if quantized else None
    if layer.out_quantizer is None:
        largest = output_limit(layer, bound, quantized, limits)
        if largest is not None:
            proven.append((_fixed(outputs[0]).values, largest))
    quantizer = layer.out_quantizer
    shift = quantizer.shift.value if quantizer is not None else None
    config = layer.quant_config
    return IntegerLayerReport(
        name=path,
        kind=type(layer).__name__,
        input_bits=max((_bits(x.limit) for x in quantized), default=None),
        weight_bits={
            slot: getattr(layer, slot).bitwidth for slot in layer.weight_quantizers
        },
        needed_bits=_needed_bits(layer, bound, outputs),
        buffer_bits=config.get("buffer_bitwidth"),
        shifts=None if shift is None else (int(np.min(shift)), int(np.max(shift))),
        output_bits=_bits(_fixed(outputs[0]).limit),
    )


def _is_input(x) -> bool:
    return isinstance(x, QTensor) or tf.is_tensor(x)


def _bits(limit: int) -> int:
    """Bits of integers from `-limit` to `limit - 1`, sign included."""
    return max(limit - 1, 0).bit_length() + 1


def _limit(x: FixedPoint, proven: list) -> int:
    """The largest magnitude of an input: what is proven, or what its bits hold."""
    known = (limit for values, limit in proven if values is x.values)
    return min([x.limit, *known])


def _needed_bits(layer, bound: int | None, outputs: list) -> int | None:
    if bound is not None:
        return int(bound).bit_length() + 1
    if layer.out_quantizer is None and _fixed(outputs[0]).limit is not None:
        return _bits(_fixed(outputs[0]).limit)
    return None


def _cells(layer: IntegerLayerReport) -> list[str]:
    def text(value) -> str:
        return "-" if value is None else str(value)

    shifts = layer.shifts
    shift = None
    if shifts is not None:
        shift = (
            f"{shifts[0]}" if shifts[0] == shifts[1] else f"{shifts[0]}..{shifts[1]}"
        )
    weights = "/".join(str(bits) for bits in layer.weight_bits.values()) or None
    return [
        layer.name,
        layer.kind,
        text(layer.input_bits),
        text(weights),
        text(layer.needed_bits),
        text(layer.buffer_bits),
        text(shift),
        text(layer.output_bits),
        str(layer.saturated),
        str(layer.clipped),
    ]
