"""The largest value that an accumulator can reach, by proof from the weights."""

from __future__ import annotations

import numpy as np

from larqlite.integer import layers
from larqlite.integer.tensors import FixedPoint

# Layers with one kernel: the axes of it that are added up, and that of the input
# channels.
_KERNELS = (
    (layers.QuantizedConv2DTranspose, (0, 1, 3), 3),
    (layers.QuantizedConv2D, (0, 1, 2), 2),
    (layers.QuantizedConv1D, (0, 1), 1),
    (layers.QuantizedDense, (0,), 0),
    (layers.QuantizedDepthwiseConv2D, (0, 1), 2),
    (layers.QuantizedDepthwiseConv2DTranspose, (0, 1), 2),
)


def accumulator_limit(layer, inputs: list[FixedPoint]) -> int | None:
    r"""The largest \(|x|_{max} \sum |w| + |b|\) of any output channel.

    Args:
        layer: a quantized layer, whose weights were recorded.
        inputs: its inputs.

    Returns:
        An integer, or None for a layer without a kernel of its own.
    """
    for cls, summed, channels in _KERNELS:
        if not isinstance(layer, cls):
            continue
        kernel = _codes(layer.weight_quantizer.qweights.value)
        if kernel is None:
            return None
        largest = _largest_inputs(inputs[0])
        if largest.size > 1 and kernel.shape[channels] == largest.size:
            shape = [1] * kernel.ndim
            shape[channels] = -1
            reach = np.abs(kernel) * largest.reshape(shape)
        else:
            reach = np.abs(kernel) * np.max(largest)
        return int(np.max(reach.sum(axis=summed) + _largest_bias(layer)))
    return None


def _largest_inputs(x: FixedPoint) -> np.ndarray:
    """The largest magnitudes of the channels of `x`, after they are aligned."""
    frac_bits = np.ravel(x.frac_bits.numpy()).astype(np.int64)
    shifts = frac_bits.max() - frac_bits
    return np.array([x.limit << int(shift) for shift in shifts], dtype=object)


def _largest_bias(layer) -> int:
    if not layer.use_bias:
        return 0
    codes = _codes(layer.bias_quantizer.qweights.value)
    return 0 if codes is None else int(np.max(np.abs(codes)))


def _codes(recorded) -> np.ndarray | None:
    if recorded is None:
        return None
    return (
        getattr(recorded, "fp", recorded).values.numpy().astype(np.int64).astype(object)
    )
