"""Layers that Keras 3 quantized to int8 or int4, as `QuantDense` with equal levels."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import tf_keras

from larqlite.from_keras._config import arguments, arrays, refusal
from larqlite.from_keras._own_layers import AbsMaxLevels
from larqlite.layers import QuantDense

BITS = {"int8": 8, "int4": 4}
WITHOUT = frozenset(
    {"dtype", "quantization_config", "equation", "output_shape", "bias_axes"}
)


def is_quantized(layer: Any) -> bool:
    """Whether Keras 3 quantized a layer."""
    return getattr(layer, "quantization_mode", None) is not None


def quantized(layer: Any, maker: Any) -> tf_keras.layers.Layer:
    """A `QuantDense` that computes what a quantized `Dense` or `EinsumDense` does.

    Raises:
        UnsupportedLayerError: nothing here computes exactly that.
    """
    mode, kind = layer.quantization_mode, type(layer).__name__
    if mode not in BITS or kind not in ("Dense", "EinsumDense"):
        raise _refused(layer, f"is quantized to {mode}", maker.where)
    if getattr(layer, "_int4_block_size", None) not in (None, -1):
        raise refusal(
            layer,
            f"has an int4 scale for each {layer._int4_block_size} rows of its kernel, which "
            "no layer here has.",
            "quantize it with one for each output channel: layer.quantize('int4', "
            "config=keras.quantizers.Int4QuantizationConfig(block_size=-1)); or convert "
            "the model before, and quantize it here.",
            maker.where,
        )
    if kind == "EinsumDense" and not _is_dense(layer):
        raise _refused(
            layer, f"is quantized with the equation {layer.equation!r}", maker.where
        )
    if getattr(layer, "lora_enabled", False):
        raise _refused(layer, "is quantized with LoRA", maker.where)
    inputs = getattr(layer, "inputs_quantizer", None)
    levels = None
    if inputs is not None:
        if tuple(getattr(inputs, "value_range", ())) != (-127, 127):
            raise _refused(layer, f"rounds its inputs by {inputs}", maker.where)
        levels = AbsMaxLevels(8, axis=-1)
    kwargs = arguments(
        layer, QuantDense, maker.where, rename={}, neutral={}, without=WITHOUT
    )
    kwargs["name"] = maker.name_of(layer)
    if kind == "EinsumDense":
        kwargs["units"] = int(arrays([layer.kernel])[0].shape[-1])
        kwargs["use_bias"] = layer.bias is not None
    return QuantDense(
        input_quantizer=levels,
        kernel_quantizer=AbsMaxLevels(BITS[mode], axis=0),
        dtype=layer.compute_dtype,
        **kwargs,
    )


def weights(layer: Any) -> list[np.ndarray]:
    """The kernel in floats, whose levels are those that Keras 3 holds, and the bias."""
    kernel, scale = arrays([layer.kernel, layer.kernel_scale])
    kernel = kernel.astype("float32") / scale.reshape(1, -1)
    return [kernel, *([] if layer.bias is None else arrays([layer.bias]))]


def _is_dense(layer: Any) -> bool:
    """Whether an einsum multiplies the last axis with a matrix, and nothing else."""
    match = re.fullmatch(r"(\w+|\.\.\.)(\w),(\w)(\w)->(\w+|\.\.\.)(\w)", layer.equation)
    if match is None:
        return False
    before, taken, first, second, kept, given = match.groups()
    ends = layer.bias_axes in (None, given)
    return ends and (before, taken, second) == (kept, first, given)


def _refused(layer: Any, what: str, where: str) -> Exception:
    return refusal(
        layer,
        f"{what}, and nothing here computes exactly that.",
        "convert the model before layer.quantize(...), and quantize it here: lq.qat, "
        "lq.integer.",
        where,
    )
