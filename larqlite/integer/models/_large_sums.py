"""Sums over an image that no accumulator holds: which they are, and what makes them fit.

A pooling adds accumulators as they come, without a rounding in between, where their sum
leaves room for the scales. With a large image it does not: few bits come in then.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tf_keras

from larqlite.graph import facts_of
from larqlite.integer._quantization_params import QuantizationParams
from larqlite.integer.layers import TensorRecorder, recording
from larqlite.integer.layers.internal import output_frac_bits
from larqlite.integer.models._attached_quantizers import output_quantizers
from larqlite.integer.models._model_graph import output_quantizers_of

MEANS = ("mean", "global mean")
_SHOWN = 5  # layers that a message names


def spare_quantizers(
    conversion, params: QuantizationParams, q_config: Mapping
) -> dict[str, str]:
    """The layers that get an output quantizer if all poolings need few bits in: by name,
    with the axis of the quantizer. A configured layer stays as its configuration says."""
    graph, classes = conversion.graph, conversion.classes
    entries = list(graph.entries())
    means = [e.name for e in entries if facts_of(e.layer, ()).pooling in MEANS]
    if not means:
        return {}
    before = output_quantizers(graph, classes, params)
    after = output_quantizers(graph, classes, params, means)
    spare = [
        entry
        for entry in entries
        if id(entry) in after.keys() - before.keys() and entry.name not in q_config
    ]
    uses = Counter(id(use.entry) for use in graph.uses)
    if any(uses[id(entry)] > 1 for entry in spare):
        return {}  # there is no one range to observe
    return {
        entry.name: after[id(entry)].config(entry.layer, params)["axis"]
        for entry in spare
    }


@contextlib.contextmanager
def shifts_of(model: tf_keras.Model) -> Iterator[dict[str, np.ndarray]]:
    """What the output quantizers shift by in the calls inside: by name of the layer, of
    those that multiply with scales before. Nothing stays recorded."""
    found: dict[str, np.ndarray] = {}
    with recording(True):
        yield found
    for name, quantizer in output_quantizers_of(model).items():
        if quantizer.qscales.value is not None:
            found[name] = quantizer.shift.value.numpy()
    for part in model.submodules:
        for value in vars(part).values():
            for recorder in value if isinstance(value, list) else [value]:
                if isinstance(recorder, TensorRecorder):
                    recorder.value = None


def saturating(model: tf_keras.Model, shifts: Mapping[str, np.ndarray]) -> list[str]:
    r"""Layers whose largest calibrated output is a product that the buffer cuts.

    An output of \(r\) is the code \(r \cdot 2^f\), which was a product of
    \(r \cdot 2^{f - s}\) before it was shifted by \(s\).
    """
    found = []
    for name, shift in shifts.items():
        quantizer = output_quantizers_of(model)[name]
        codes = quantizer.range_max.numpy() * 2.0 ** output_frac_bits(quantizer).numpy()
        if np.any(codes * 2.0**-shift > 2.0**quantizer.buffer_bitwidth):
            found.append(name)
    return found


def names_of(model: tf_keras.Model, names: Sequence[str]) -> list[str]:
    """Those of some layers that are means."""
    return [n for n in names if facts_of(model.get_layer(n), ()).pooling in MEANS]


def fix_for(layer) -> str:
    """What makes the products of a layer fit."""
    if facts_of(layer, ()).pooling in MEANS:
        return (
            'Give the layer before it an "output_quantizer" in q_config, '
            'e.g. {"bitwidth": 8}.'
        )
    return "Use fewer weight bits, or fewer bits of the input."


def warn(where: str, model: tf_keras.Model, names: Sequence[str]) -> None:
    """Says which layers saturate on what they were calibrated with."""
    if not names:
        return
    shown = ", ".join(f'"{name}"' for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    bits = output_quantizers_of(model)[names[0]].buffer_bitwidth
    warnings.warn(
        f"{where}: the accumulators of {shown}{more} times their scales do not fit into "
        f"{bits} bits on the samples, so they saturate.\n"
        f"  Fix: {fix_for(model.get_layer(names[0]))}",
        stacklevel=3,
    )
