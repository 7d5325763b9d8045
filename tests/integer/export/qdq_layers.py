"""A QDQ file against its model, each layer on the integers that the file itself gives it.

QuantizeLinear rounds ties to even, the integer model up, so at a tie the file's integer is
one below. What later layers make of that one step has no bound but their own slopes. Here
every layer gets what the file's layers before it gave out, so whatever differs is its own:
an integer of the file has to be the number before rounding, rounded to either side at a
tie, and what is not rounded has to be the same number.
"""

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from onnx import numpy_helper

from larqlite.graph import follow
from larqlite.integer.export import to_qdq
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from tests.integer.layers import numpy_layers

# Of a step: 128 of them, as the sum of 27 float32 numbers, each off by 2^-24 of it.
_OF_SUMS = 2e-4


def require_same_but_for_ties(model, samples, proto=None):
    """Compares the file of a functional model with it, layer by layer.

    Args:
        model: an integer model without models inside.
        samples: one batch, an array or a list of them.
        proto: the file; that of `to_qdq` by default.

    Returns:
        How many integers were compared, and how many of them differ, by a tie.
    """
    arrays = samples if isinstance(samples, list) else [samples]
    outputs, codes = _run(proto or to_qdq(model), arrays)
    values = [
        tf.cast(array, tensor.dtype)
        for tensor, array in zip(model.inputs, arrays, strict=True)
    ]
    count = different = 0

    def apply(call):
        nonlocal count, different
        layer = call.layer
        results = layer(*call.args, **call.kwargs)
        if getattr(layer, "out_quantizer", None) is None:
            return results
        wanted = results.values.numpy().astype(np.int64)
        found = _nearest(codes[layer.name], wanted, layer.name)
        inputs = tf.nest.map_structure(layer.gated, call.args[0])
        exact = _before_rounding(layer.out_quantizer, layer.compute(inputs))
        off = np.abs(found - exact)
        assert off.max() <= 0.5 + _OF_SUMS, (layer.name, off.max())
        count, different = count + found.size, different + np.sum(found != wanted)
        return FixedPoint(
            tf.constant(found, tf.float32), results.value_bits, results.frac_bits
        )

    for value, found in zip(follow(model, values, apply), outputs, strict=True):
        value = value.to_float() if isinstance(value, QTensor) else value
        off = np.abs(np.asarray(value, np.float64) - found)
        assert off.max() <= 1e-5 * max(np.ptp(value), np.max(np.abs(value)))
    return count, int(different)


def _before_rounding(quantizer, x):
    """The numbers that an `OutputQuantizer` rounds, float64, in steps of its result."""
    fp = getattr(x, "fp", x)
    ranges = quantizer.range_max.numpy()
    shifts = numpy_layers.max_frac_bits(quantizer.value_bits, ranges)
    shifts = shifts - fp.frac_bits.numpy().astype(np.int64)
    factors = np.float64(1)
    if isinstance(x, QFloat):
        bits = quantizer.scale_bits
        scales = x.scales.numpy() * quantizer.rescaling_rate.numpy()
        exponents = numpy_layers.max_frac_bits(bits, scales, clamp=False)
        factors = np.rint(np.ldexp(scales.astype(np.float64), exponents))
        factors = np.clip(factors, 0, 2**bits - 1)
        shifts = shifts - exponents
    exact = fp.values.numpy().astype(np.float64) * np.ldexp(factors, shifts)
    low = 0 if quantizer.after_relu else -(2**quantizer.value_bits)
    return np.clip(exact, low, 2**quantizer.value_bits - 1)


def _run(proto, arrays):
    """The outputs of a file, and the integers of its layers: by name of the layer, those
    that are stored, and where a maximum of them follows, that."""
    shown, names = onnx.ModelProto(), {}
    shown.CopyFrom(proto)
    held = {i.name: numpy_helper.to_array(i) for i in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] not in held:
            layer = node.input[0].rpartition("/")[0]
            scale = float(held[node.input[1]])
            pairs = names.setdefault(layer, [])
            pairs.append((node.input[0], 1))
            pairs += [
                (reader.output[0], scale)
                for reader in proto.graph.node
                if reader.op_type == "MaxPool" and reader.input[0] == node.output[0]
            ]
    wanted = {name for pairs in names.values() for name, _ in pairs}
    wanted -= {info.name for info in proto.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {
        info.name: array.astype(np.float32)
        for info, array in zip(session.get_inputs(), arrays, strict=True)
    }
    found = dict(
        zip(
            (info.name for info in session.get_outputs()),
            session.run(None, feeds),
            strict=True,
        )
    )
    codes = {
        layer: [found[name].astype(np.float64) / scale for name, scale in pairs]
        for layer, pairs in names.items()
    }
    return [found[info.name] for info in proto.graph.output], codes


def _nearest(candidates, wanted, name):
    """Of some tensors, stored channels last or first, the one that is meant."""
    fitting = [
        array
        for stored in candidates
        for array in (stored, np.moveaxis(stored, 1, -1))
        if array.shape == wanted.shape
    ]
    assert fitting, (name, [array.shape for array in candidates], wanted.shape)
    best = min(fitting, key=lambda array: np.sum(array != wanted))
    integers = np.rint(best)
    assert np.abs(best - integers).max() < 1e-3, name
    return integers.astype(np.int64)
