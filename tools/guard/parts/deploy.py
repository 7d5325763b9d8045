"""Packed files: what is exported, what they compute on each kernel, what verify says."""

from __future__ import annotations

import functools
import json

import onnx

import larqlite as lq
import larqlite_runtime

from .. import models, onnx_text, texts
from ..models import L, Q, low_bit, row
from . import deploy_float, deploy_graphs

FILE = "model.onnx"
KERNELS = (None, "avx2", "portable", "numpy")


def entries() -> dict:
    """A packed file for each network."""
    found = deploy_cases() | deploy_graphs.cases() | deploy_float.cases()
    return {name: functools.partial(_frozen, build) for name, build in found.items()}


def _frozen(build, **options):
    model = build()
    whole = getattr(build, "whole", False)
    arrays = models.inputs_of(model, whole=whole)
    yield "summary", texts.printed(lq.models.summary, model)
    report = lq.deploy.export(model, FILE)
    yield "report", str(report)
    if hasattr(report, "to_dict"):  # not in commits of long ago
        yield "report data", json.dumps(report.to_dict(), indent=1)
    yield from onnx_text.fields(onnx.load(FILE))
    yield "verify", str(lq.deploy.verify(model, FILE, models.given(arrays)))
    yield "keras", texts.arrays(model.predict(models.given(arrays), verbose=0))
    yield from run(FILE, arrays)


def run(file: str, arrays: list, kernels=KERNELS):
    """What the runtime makes of a file: outputs of each kernel, steps, memory."""
    for kernel in kernels:
        packed = larqlite_runtime.load(file, threads=1, isa=kernel)
        outputs = texts.arrays(packed.run(models.given(arrays)))
        yield f"outputs {kernel or 'default'}", [packed.isa, *outputs]
        if kernel is None:
            yield "runtime", [repr(packed), *map(str, packed.inputs + packed.outputs)]
            yield (
                "memory",
                [f"{key}: {value}" for key, value in packed.memory().items()],
            )
            yield "memory of 5", str(packed.memory(batch=5))
            yield "float layers", str(getattr(packed, "float_layers", "no such name"))
        if kernel in (None, "numpy"):
            profile = packed.profile(models.given(arrays), repeat=1)
            yield (
                f"steps {kernel or 'default'}",
                [
                    f"{step.kind} {step.path} {step.products} {step.layer}"
                    for step in profile.steps
                ],
            )


def deploy_cases() -> dict:
    """Each packed operation, alone and in a row with normalizations."""
    dorefa, ternary = lq.quantizers.DoReFa, lq.quantizers.SteTern
    k_bit = low_bit(lambda: dorefa(3, mode="weights"), lambda: dorefa(2))
    sign = low_bit()
    tern = low_bit("ste_tern")
    depth, two = ("depthwise",), ("depthwise", "pointwise")

    def conv(filters, *arguments, **options):
        return Q.QuantConv2D(filters, *arguments, **(sign | options))

    def norm():
        return L.BatchNormalization()

    def case(shape, *makers):
        return lambda: row(shape, *(make() for make in makers))

    def chain(kernel, inputs, **options):
        arguments = lambda: low_bit(kernel, inputs, **options)  # noqa: E731
        return case(
            (7, 6, 33),
            lambda: Q.QuantConv2D(16, 3, name="first", **arguments()),
            norm,
            lambda: Q.QuantConv2D(9, 3, padding="same", name="second", **arguments()),
            norm,
            lambda: L.Flatten(),
            lambda: Q.QuantDense(5, name="dense", **arguments()),
        )

    quantizers = {
        "binary": ("ste_sign", "ste_sign"),
        "approx_sign": ("approx_sign", "approx_sign"),
        "swish_sign": ("swish_sign", "swish_sign"),
        "heaviside_inputs": ("ste_sign", "ste_heaviside"),
        "ternary_kernel": ("ste_tern", "ste_sign"),
        "ternary": (
            lambda: ternary(threshold_value=0.5),
            lambda: ternary(threshold_value=0.5),
        ),
        "ternary_weight_networks": (
            lambda: ternary(ternary_weight_networks=True),
            "ste_sign",
        ),
        "dorefa_1": (lambda: dorefa(1, mode="weights"), lambda: dorefa(1)),
        "dorefa_2": (lambda: dorefa(2, mode="weights"), lambda: dorefa(2)),
        "dorefa_4": (lambda: dorefa(4, mode="weights"), lambda: dorefa(4)),
        "dorefa_6": (lambda: dorefa(6, mode="weights"), lambda: dorefa(6)),
        "binary_kernel_2_bit_inputs": ("ste_sign", lambda: dorefa(2)),
        "magnitude_aware": ("magnitude_aware_sign", "ste_sign"),
        "adabin": ("adabin_weights", "adabin_activations"),
        "rsign": ("ste_sign", "rsign"),
    }
    convolutions = {
        "conv1d": ((9, 6), Q.QuantConv1D, (4, 3), {}),
        "conv1d_causal": ((9, 6), Q.QuantConv1D, (4, 3), {"padding": "causal"}),
        "conv2d_same": ((7, 6, 9), Q.QuantConv2D, (5, 3), {"padding": "same"}),
        "conv2d_pad_one": (
            (7, 6, 9),
            Q.QuantConv2D,
            (5, 3),
            {"padding": "same", "pad_values": 1.0},
        ),
        "conv2d_pad_minus_one": (
            (7, 6, 9),
            Q.QuantConv2D,
            (5, 3),
            {"padding": "same", "pad_values": -1.0},
        ),
        "conv2d_strided": (
            (8, 7, 9),
            Q.QuantConv2D,
            (5, (3, 2)),
            {"padding": "same", "strides": 2},
        ),
        "conv2d_strided_valid": ((8, 7, 9), Q.QuantConv2D, (5, 3), {"strides": 2}),
        "conv2d_dilated": ((9, 8, 5), Q.QuantConv2D, (5, 3), {"dilation_rate": 2}),
        "conv2d_grouped": (
            (7, 6, 12),
            Q.QuantConv2D,
            (6, 3),
            {"groups": 3, "padding": "same"},
        ),
        "conv2d_pointwise": ((5, 4, 70), Q.QuantConv2D, (40, 1), {"use_bias": True}),
        "conv2d_wide": ((6, 6, 64), Q.QuantConv2D, (64, 3), {"padding": "same"}),
        "conv3d": ((5, 4, 6, 6), Q.QuantConv3D, (4, 3), {"padding": "same"}),
        "depthwise1d": ((9, 6), Q.QuantDepthwiseConv1D, (3,), {}),
        "depthwise2d": (
            (9, 8, 6),
            Q.QuantDepthwiseConv2D,
            (3,),
            {"depth_multiplier": 2, "padding": "same"},
        ),
        "separable1d": ((9, 6), Q.QuantSeparableConv1D, (4, 3), {}),
        "separable2d": ((9, 8, 6), Q.QuantSeparableConv2D, (4, 3), {"padding": "same"}),
        "transposed1d": (
            (5, 6),
            Q.QuantConv1DTranspose,
            (4, 3),
            {"padding": "same", "strides": 2},
        ),
        "transposed2d": (
            (5, 4, 6),
            Q.QuantConv2DTranspose,
            (4, 3),
            {"padding": "same", "strides": 2},
        ),
        "transposed2d_output_padding": (
            (4, 3, 6),
            Q.QuantConv2DTranspose,
            (4, 3),
            {"strides": 2, "output_padding": 1},
        ),
        "transposed3d": (
            (3, 4, 2, 6),
            Q.QuantConv3DTranspose,
            (4, 3),
            {"padding": "same", "strides": 2},
        ),
    }
    found = {f"chain_{name}": chain(*pair) for name, pair in quantizers.items()}

    def alone(shape, cls, arguments, options, kernel, inputs):
        roles = depth if "Depthwise" in cls.__name__ else ("kernel",)
        roles = two if "Separable" in cls.__name__ else roles
        return lambda: row(
            shape,
            cls(*arguments, name="layer", **(low_bit(kernel, inputs, roles) | options)),
        )

    pairs = [("ste_sign", "ste_sign"), ("ste_tern", "ste_heaviside")]
    pairs.append((lambda: dorefa(3, mode="weights"), lambda: dorefa(2)))
    letters = {"b": pairs[0], "t": pairs[1], "q": pairs[2]}
    for position, (name, what) in enumerate(convolutions.items()):
        # Each geometry in one letter, the first of a kind in all three.
        some = (
            "btq"
            if name in ("conv2d_same", "depthwise2d", "transposed2d")
            else ("btq"[position % 3])
        )
        for letter in some:
            found[f"{name}_{letter}"] = alone(*what, *letters[letter])
    found |= {
        "dense_of_8_bits": case(
            (20,),
            lambda: Q.QuantDense(
                7, **low_bit(lambda: dorefa(8, mode="weights"), lambda: dorefa(8))
            ),
        ),
        "dense_of_a_sequence": case((5, 20), lambda: Q.QuantDense(7, **k_bit)),
        "dense_float_inputs": case(
            (20,), lambda: Q.QuantDense(7, kernel_quantizer="ste_sign", use_bias=False)
        ),
        "dense_of_signs_of_sums": case(
            (40,),
            lambda: Q.QuantDense(33, **sign),
            norm,
            lambda: Q.QuantDense(4, **tern),
        ),
        "sums_into_sums": case(
            (20,),
            lambda: Q.QuantDense(7, **sign),
            lambda: Q.QuantDense(3, kernel_quantizer="ste_sign", use_bias=False),
        ),
        "input_is_wide": case(
            (6, 6, 3),
            lambda: conv(40, 3, input_quantizer=None),
            norm,
            lambda: conv(8, 3),
        ),
        "activation_inside": case(
            (6, 6, 9), lambda: conv(5, 3, activation="relu", use_bias=True), norm
        ),
    }
    return found
