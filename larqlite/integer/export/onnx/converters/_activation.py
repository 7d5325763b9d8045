"""Activation functions as tables of integers."""

from __future__ import annotations

import numpy as np

from larqlite.integer import layers
from larqlite.integer.export._integers import Integers, integers_of, whole
from larqlite.integer.export._writer import IntegerWriter
from larqlite.integer.export.onnx._integer_converters import converts
from larqlite.integer.tensors import FixedPoint


@converts(
    layers.QuantizedActivationFunction, layers.QuantizedELU, layers.QuantizedLeakyReLU
)
def convert_table(graph: IntegerWriter, layer, x: Integers) -> Integers:
    """`IntLookup`: the table of each number of fractional bits, one after the other."""
    first, last = x.ends
    count = last - first + 1
    frac_bits, parts = np.unique(np.asarray(x.qparams.frac_bits), return_inverse=True)
    codes = np.broadcast_to(
        np.arange(first, last + 1, dtype=np.float32)[:, None], (count, len(frac_bits))
    )
    limit = x.qparams.limit
    given = FixedPoint(codes, x.qparams.value_bits, frac_bits, limit=limit)
    table = integers_of(layer.compute(given)).T
    parts = parts.reshape(np.shape(x.qparams.frac_bits))
    offsets = graph.along_channels(whole(parts * count - first), x, "offsets", "int32")
    entries = graph.exact(table.reshape(-1), "table", "int32")
    name = graph.function("IntLookup", [x.name, offsets, entries])
    low, high = (whole(end(table, axis=1)[parts]) for end in (np.min, np.max))
    return graph.like(x, name, kind="int32", low=low, high=high)
