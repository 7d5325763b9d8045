"""What the reference and larqlite.integer are both asked; the same code runs with either.

`tests/fixtures/make_integer_golden.py` keeps the reference's answers, and
`test_reference.py` compares ours. Numbers are small, so that the reference, which has its
integers in float32, is exact.
"""

import zlib
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Library:
    """One of the two: its parts, and the Keras that it is made for."""

    keras: ModuleType
    tensors: ModuleType
    layers: ModuleType
    models: ModuleType


def seeded(name: str) -> np.random.Generator:
    """Random numbers that depend on a name alone."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def integers(name: str, low: int, high: int, shape) -> np.ndarray:
    """Whole numbers from `low` to `high`, as float32."""
    return seeded(name).integers(low, high, shape, endpoint=True).astype(np.float32)


def weight(name: str, shape) -> np.ndarray:
    """A value for a variable, by what it is."""
    kind = name.rpartition("/")[2]
    rng = seeded(name)
    if kind in ("gamma", "moving_variance", "range_max"):
        return rng.uniform(0.6, 3.0, shape).astype(np.float32)
    if kind == "rescaling_rate":
        return rng.uniform(0.7, 1.3, shape).astype(np.float32)
    return rng.normal(0, 0.5, shape).astype(np.float32)


def answer(found: dict, name: str, result) -> None:
    """Takes a tensor, or a quantized tensor, or several, apart into arrays."""
    if isinstance(result, (tuple, list)):
        for i, part in enumerate(result):
            answer(found, f"{name}.{i}", part)
    elif hasattr(result, "fp"):
        answer(found, name, result.fp)
        found[f"{name}:scales"] = np.asarray(result.scales, np.float32)
    elif hasattr(result, "frac_bits"):
        values = np.asarray(result.values, np.float64)
        found[f"{name}:values"] = values.astype(np.int32)
        assert np.array_equal(values, found[f"{name}:values"]), name
        found[f"{name}:bits"] = np.int32(result.value_bits)
        found[f"{name}:frac"] = np.ravel(result.frac_bits).astype(np.int32)
    else:
        found[name] = np.asarray(result, np.float32)


def only(result):
    """The tensor without the shift, which the reference always returns beside it."""
    return result[0] if isinstance(result, tuple) else result


def tensors(library: Library) -> dict:
    """Operations on quantized tensors."""
    FixedPoint, QFloat = library.tensors.FixedPoint, library.tensors.QFloat
    found: dict = {}
    for bits in (3, 7, 10):
        top = 2**bits
        a = integers(f"a{bits}", -top - 4, top + 4, (4, 3))
        b = integers(f"b{bits}", 1, top, (4, 3))
        axis = np.array([1, 4, -2], np.float32)
        x, y = FixedPoint(a, bits, 2.0), FixedPoint(b, 5, 2.0)
        z, scales = FixedPoint(a, bits, axis), np.array([0.3, 1.7, 0.02], np.float32)
        q = QFloat(x, scales)
        for name, result in {
            "created": x,
            "sum": x + y,
            "difference": x - y,
            "sum_of_number": x + 3,
            "product": tf.multiply(x, z),
            "quotient": x / y,
            "quotient_by_number": x / 3,
            "shifted": x >> 3,
            "shifted_left": x << 2,
            "shift": x.shift(integers(f"s{bits}", -4, 4, (4, 3))),
            "abs": x.abs(),
            "sign": x.sign,
            "floor": z.floor(),
            "rescaled": only(x.rescale(1.0)),
            "rescaled_per_axis": only(z.rescale(np.array([2, 1, 0], np.float32), 8)),
            "downscaled": only(z.downscale(axis - 2)),
            "upscaled": only(z.upscale(axis + 1, bits + 3)),
            "expanded": z.expand(16),
            "aligned": z.align(x, 12),
            "promoted": x.promote(14),
            "maximum": tf.maximum(y, FixedPoint(b[::-1], 5, 2.0)),
            "sum_over_rows": tf.reduce_sum(z, axis=0),
            "maximum_over_all": tf.reduce_max(x, axis=-1),
            "greater": x > z,
            "less_or_equal": x <= z,
            "floats": z.to_float(),
            "matmul": tf.matmul(
                x.promote(16), QFloat(FixedPoint(b[:3], 7, 1.0), scales)
            ),
            "concatenated": tf.concat([x, z], axis=-1),
            "quantized": FixedPoint.quantize(a * np.float32(0.37), bits),
            "quantized_whole": FixedPoint.quantize(a, bits),
            "quantized_per_axis": FixedPoint.quantize(a * np.float32(0.37), bits, axis),
            "optimal": QFloat.optimal_scales(np.float32([0.1, 3.0, 200.0]), bits),
            "scales": QFloat.quantize_scales(scales, bits),
            "qfloat": QFloat.quantize(a, bits, scales),
            "qfloat_sum": q + QFloat(y, scales),
            "qfloat_product": tf.multiply(QFloat(x, 0.5), q),
            "to_fixed_point": q.promote(19).to_fixed_point(8),
            "qfloat_floats": q.to_float(),
        }.items():
            answer(found, f"tensors/{bits}/{name}", result)
        ranges = np.float32([0.01, 0.25, 0.26, 0.5, 0.51, 1, 1.01, 2, 3, 127, 128, 1e4])
        for clamp in (True, False):
            result = FixedPoint.max_frac_bits(bits, ranges, clamp)
            answer(found, f"tensors/{bits}/max_frac_bits_{clamp}", result)
    return found


def quantizers(library: Library) -> dict:
    """The three quantizers, of several widths and axes."""
    layers, found = library.layers, {}
    FixedPoint, QFloat = library.tensors.FixedPoint, library.tensors.QFloat
    kernel = seeded("kernel").normal(0, 0.4, (3, 3, 4, 5)).astype(np.float32)
    kernel[..., 2] = 0
    bias = seeded("bias").normal(0, 3, 5).astype(np.float32)
    for bits in (2, 3, 4, 8):
        for axis in (-1, None):
            for fp in (False, True):
                name = f"weights/{bits}/{axis}/{fp}"
                quantizer = layers.WeightQuantizer(bits, axis=axis, fp_quantizer=fp)
                answer(found, name, quantizer(tf.constant(kernel)))
        scales = QFloat.optimal_scales(np.max(np.abs(kernel), (0, 1, 2)) + 0.01, 7)
        other = QFloat(FixedPoint(integers("acc", -99, 99, (2, 5)), 23, 4.0), scales)
        answer(
            found, f"aligned/{bits}", layers.AlignedWeightQuantizer(bits)(bias, other)
        )
        x = FixedPoint(integers("out", -3000, 3000, (2, 3, 3, 5)), 23, 6.0)
        for axis in ("per-tensor", "per-axis"):
            for signed in (True, False):
                for name, inputs in (("fixed", x), ("float", QFloat(x, scales))):
                    case = f"outputs/{bits}/{axis}/{signed}/{name}"
                    quantizer = layers.OutputQuantizer(bits, signed, axis)
                    quantizer.build(inputs.shape)
                    fill(quantizer, case)
                    answer(found, case, quantizer(inputs))
    return found


def fill(layer, case: str) -> None:
    """Gives every variable of a layer its value by name."""
    for variable in layer.weights:
        name = variable.name.split(":")[0].rpartition("/")[2]
        if name == "calibrated":
            variable.assign(tf.ones_like(variable))
        else:
            variable.assign(weight(f"{case}/{name}", variable.shape))


W4 = {"weight_quantizer": {"bitwidth": 4}}
OUT = {"output_quantizer": {"bitwidth": 6, "axis": "per-axis"}}
ALL = {"output_quantizer": {"bitwidth": 6, "axis": "per-tensor"}}
IMAGE, VECTOR, TOKENS = (2, 6, 6, 4), (3, 8), (2, 5, 8)
SEPARABLE = {
    "dw_weight_quantizer": {"bitwidth": 4},
    "pw_weight_quantizer": {"bitwidth": 4},
}

# Class, arguments, configuration, shapes of the inputs, whether these are per-axis.
LAYERS = {
    "conv": ("QuantizedConv2D", {"filters": 3, "kernel_size": 3}, W4, IMAGE, 0),
    "conv_axis": (
        "QuantizedConv2D",
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
        W4 | OUT,
        IMAGE,
        1,
    ),
    "conv_transpose": (
        "QuantizedConv2DTranspose",
        {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"},
        W4 | ALL,
        IMAGE,
        0,
    ),
    "depthwise": ("QuantizedDepthwiseConv2D", {"kernel_size": 3}, W4, IMAGE, 1),
    "depthwise_out": (
        "QuantizedDepthwiseConv2D",
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        W4 | OUT,
        IMAGE,
        0,
    ),
    "depthwise_transpose": (
        "QuantizedDepthwiseConv2DTranspose",
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        W4 | ALL,
        IMAGE,
        0,
    ),
    "separable": (
        "QuantizedSeparableConv2D",
        {"filters": 3, "kernel_size": 3},
        SEPARABLE,
        IMAGE,
        0,
    ),
    "dense": ("QuantizedDense", {"units": 5}, W4, VECTOR, 1),
    "dense_out": ("QuantizedDense", {"units": 5}, W4 | ALL, VECTOR, 0),
    "relu": ("QuantizedReLU", {"max_value": 6}, OUT, IMAGE, 0),
    "relu_unbounded": ("QuantizedReLU", {"max_value": None}, {}, IMAGE, 1),
    "add": ("QuantizedAdd", {}, OUT, (IMAGE, IMAGE), 0),
    "add_axis": ("QuantizedAdd", {}, {}, (IMAGE, IMAGE), 1),
    "add_average": ("QuantizedAdd", {"average": True}, {}, (IMAGE, IMAGE), 0),
    "concatenate": ("QuantizedConcatenate", {}, None, (IMAGE, IMAGE), 1),
    "max_pool": ("QuantizedMaxPool2D", {}, None, IMAGE, 1),
    "mean": ("QuantizedGlobalAveragePooling2D", {}, ALL, IMAGE, 0),
    "flatten": ("QuantizedFlatten", {}, None, IMAGE, 0),
    "reshape": ("QuantizedReshape", {"target_shape": (9, 16)}, None, IMAGE, 0),
    "permute": ("QuantizedPermute", {"dims": (2, 1, 3)}, None, IMAGE, 1),
    "batch_normalization": ("QuantizedBatchNormalization", {}, OUT, IMAGE, 1),
    "shiftmax": ("QuantizedShiftmax", {}, {"exp_bitwidth": 6}, TOKENS, 0),
    "extract": ("QuantizedExtractToken", {"token": 1}, None, TOKENS, 0),
    "dropout": ("QuantizedDropout", {"rate": 0.5}, None, IMAGE, 1),
}


def layer_outputs(library: Library) -> dict:
    """Each layer of `LAYERS` on small integers."""
    found: dict = {}
    for case, (cls, arguments, config, shapes, per_axis) in LAYERS.items():
        if config is not None:
            arguments = {**arguments, "quant_config": config}
        layer = getattr(library.layers, cls)(**arguments)
        shapes = shapes if isinstance(shapes[0], tuple) else (shapes,)
        inputs = []
        for i, shape in enumerate(shapes):
            values = integers(f"{case}/{i}", -32, 31, shape)
            frac = integers(f"{case}/frac{i}", 1, 4, shape[-1:]) if per_axis else 3.0
            inputs.append(library.tensors.FixedPoint(values, 5, frac))
        inputs = inputs if len(inputs) > 1 else inputs[0]
        layer(inputs)
        fill(layer, case)
        answer(found, f"layers/{case}", layer(inputs))
    return found
