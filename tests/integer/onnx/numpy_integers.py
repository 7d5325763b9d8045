"""Quantized ONNX models in NumPy: int64 and Python's integers, nothing of float sums."""

import math

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from tests.integer.onnx import numpy_operations


def window_sums(x, kernel, strides, pads, dilations, group, border=None):
    """int64 sums of each window, the border filled with one value per channel."""
    n, channels, height, width = x.shape
    filters, per_group, kh, kw = kernel.shape
    top, left, bottom, right = pads
    size = (n, channels, height + top + bottom, width + left + right)
    padded = np.zeros(size, np.int64)
    if border is not None:
        padded[:] = border.reshape(1, -1, 1, 1)
    padded[:, :, top : top + height, left : left + width] = x
    rows = (size[2] - (kh - 1) * dilations[0] - 1) // strides[0] + 1
    columns = (size[3] - (kw - 1) * dilations[1] - 1) // strides[1] + 1
    sums = np.zeros((n, filters, rows, columns), np.int64)
    for f in range(filters):
        first = f // (filters // group) * per_group
        part = padded[:, first : first + per_group]
        for i in range(kh):
            for j in range(kw):
                a, b = i * dilations[0], j * dilations[1]
                seen = part[
                    :,
                    :,
                    a : a + (rows - 1) * strides[0] + 1 : strides[0],
                    b : b + (columns - 1) * strides[1] + 1 : strides[1],
                ]
                weights = kernel[f, :, i, j].astype(np.int64).reshape(1, -1, 1, 1)
                sums[:, f] += (seen * weights).sum(axis=1)
    return sums


def largest(x, size, strides, pads):
    """Maximum of each window, what lies outside left out."""
    low = np.iinfo(np.int64).min
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=low)
    rows = (x.shape[2] - size[0]) // strides[0] + 1
    columns = (x.shape[3] - size[1]) // strides[1] + 1
    found = np.zeros((*x.shape[:2], rows, columns), np.int64)
    for i in range(rows):
        for j in range(columns):
            a, b = i * strides[0], j * strides[1]
            window = x[:, :, a : a + size[0], b : b + size[1]]
            found[:, :, i, j] = window.max(axis=(2, 3))
    return found


def by_channel(vector, rank):
    vector = vector.astype(np.int64)
    return vector.reshape(-1, 1, 1) if rank == 4 and vector.ndim == 1 else vector


def requantized(sums, weights, kind, rank=None):
    """floor(sums * M / 2^S + 1/2), as (2 * sums * M + 2^S) >> (S + 1)."""
    multiplier = by_channel(weights["M"], rank or sums.ndim)
    shift = by_channel(weights["S_out"], rank or sums.ndim)
    return shifted_down(sums.astype(object) * multiplier.astype(object), shift, kind)


def shifted_down(total, shift, kind):
    """floor(total / 2^shift + 1/2), saturated, in Python's integers."""
    shift = np.asarray(shift).astype(object)
    exact = (2 * total.astype(object) + (1 << shift)) >> (shift + 1)
    highest = 2**15 if "To16" in kind else 2**7
    lowest = 0 if "ReLU" in kind else -highest
    return np.clip(exact, lowest, highest - 1).astype(np.int64)


def layer(node, inputs, weights):
    """What a node gives out, in int64."""
    kind = node.op_type
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for start, function in numpy_operations.KINDS.items():
        if kind.startswith(start):
            return function(kind, inputs, weights, attributes)
    if kind.startswith("QuantizedAdd"):
        shifts = [by_channel(weights[f"x{i}_shift"], inputs[0].ndim) for i in (1, 2)]
        total = (inputs[0] << shifts[0]) + (inputs[1] << shifts[1])
        down = by_channel(weights["S_out"], inputs[0].ndim)
        exact = (2 * total + (1 << down)) >> (down + 1)
        exact = np.maximum(exact, 0) if "ReLU" in kind else exact
        return np.clip(exact, -128, 127) if "Scaled" in kind else exact
    if "Dense" in kind:
        rows = inputs[0]
        if "Flatten" in kind:
            rows = rows.reshape(len(rows), -1)
        total = rows @ weights["Wi"].astype(np.int64).T
    else:
        geometry = [attributes[k] for k in ("strides", "pads", "dilations", "group")]
        border = weights.get("Xpad")
        x = inputs[0][:, :, None] if "Series" in kind else inputs[0]
        if "Transpose" in kind:
            more = attributes["output_padding"]
            total = numpy_operations.spread(x, weights["Wi"], *geometry, more)
        else:
            total = window_sums(x, weights["Wi"], *geometry, border)
    # The units of a product of rows are on the last axis, however many there are.
    rank = 2 if "Dense" in kind else total.ndim
    if "Biased" in kind:
        total = total + by_channel(weights["B"], rank)
    if "ReLU" in kind:
        total = np.maximum(total, 0)
    if "Clipped" in kind:
        limit = weights["max_value"].astype(np.int64)
        total = np.minimum(total, by_channel(limit, rank) if limit.ndim else limit)
    if "GlobalAvgPool" in kind:
        total = total.sum(axis=(2, 3), keepdims=bool(attributes["keepdims"]))
    if "MaxPool" in kind:
        pool = [attributes[f"pool_{k}"] for k in ("size", "strides", "pads")]
        total = largest(total, *pool)
    if "Scaled" in kind:
        total = requantized(total, weights, kind, 2 if "Dense" in kind else None)
    return total[:, :, 0] if "Series" in kind else total


def all_integers(model):
    """The model with the integers of every node as outputs beside its own."""
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    names = [
        node.output[0]
        for node in model.graph.node
        if node.domain == "ai.larqlite" and not node.op_type.startswith("Dequantizer")
    ]
    observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return observed, names


def run(model, x):
    """The outputs of a model in a stock ONNX Runtime."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    if not isinstance(x, dict):
        x = {session.get_inputs()[0].name: x}
    return session.run(None, x)


def assert_every_integer_is_exact(model, x):
    """Compares each node of a quantized model, fed by the node before it, with NumPy."""
    observed, names = all_integers(model)
    given = run(observed, x)[len(model.graph.output) :]
    found = dict(zip(names, given, strict=True))
    stored = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    compared = 0
    for node in model.graph.node:
        if not node.op_type.startswith("Quantized"):
            continue
        inputs = [found[t].astype(np.int64) for t in node.input if t in found]
        start = len(node.name) + 1
        weights = {t[start:]: stored[t] for t in node.input if t in stored}
        expected = layer(node, inputs, weights)
        actual = found[node.output[0]]
        if node.op_type.startswith(("QuantizedAdd", "QuantizedConv", "QuantizedDense")):
            bits = 8 if "Scaled" in node.op_type else 32
            bits = 16 if "To16" in node.op_type else bits
            assert actual.dtype == f"int{bits}"
        np.testing.assert_array_equal(actual, expected, err_msg=node.op_type)
        assert math.prod(actual.shape) > 0
        compared += 1
    assert compared
    return found
