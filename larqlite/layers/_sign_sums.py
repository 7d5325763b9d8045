"""Convolutions of signs, summed as 8-bit integers in training steps on a CPU.

Sums of -1, 0 and +1 are integers, which float32 holds exactly up to 2^24 whatever the
order. 8-bit products give the same numbers in half the time or less, for the forward pass
of training; gradients are not integers and are computed as ever.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf
from tf_keras.src.engine.base_layer_utils import call_context

from larqlite._gradients import custom_gradient
from larqlite.layers._padding import same_padding
from larqlite.quantizers import (
    ApproxSign,
    EDESign,
    MagnitudeAwareSign,
    ReCU,
    RSign,
    SteHeaviside,
    SteSign,
    SteTern,
    StochasticSign,
    StochasticTernary,
    SwishSign,
    XnorScale,
)

__all__ = ["conv_of_signs", "has_integer_sums"]

# Exact types: a subclass may compute something else.
_LEVELS = {
    *(ApproxSign, EDESign, SteSign, SteTern, SwishSign),
    *(StochasticSign, StochasticTernary),
}
_INPUTS = {*_LEVELS, RSign, SteHeaviside}
_KERNELS = {*_LEVELS, MagnitudeAwareSign, ReCU, XnorScale}

_MOST_TERMS = 2**23  # inputs count as 0, 1, 2
_MOST_TAPS = 25  # copies of an image
_FEWEST_CHANNELS = 32  # bytes copied at a time
_LIKELY_BATCH = 16  # where it is not known before the step runs


def has_integer_sums(layer: Any, inputs: tf.Tensor) -> bool:
    """Whether a 2D convolution's sums are integers, and faster computed as such.

    Only in a training step that is a `tf.function` in float32 on a machine with CPUs alone,
    without XLA and `tf.distribute`, and in no SavedModel: those run on other machines.

    Args:
        layer: a QuantConv2D, called at present.
        inputs: its quantized inputs, not padded.
    """
    return (
        type(layer).__module__.startswith("larqlite.")
        and type(layer.input_quantizer) in _INPUTS
        and type(layer.kernel_quantizer) in _KERNELS
        and getattr(layer.kernel, "quantizer", None) is layer.kernel_quantizer
        and inputs.dtype == layer.kernel.dtype == tf.float32
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and {*layer.dilation_rate} == {1}
        and not tf.is_tensor(layer.pad_values)
        and layer.pad_values in (-1, 0, 1)
        and _is_faster(layer, inputs.shape)
        and _in_a_step_on_cpus()
        and _sums_are_right()
    )


def _is_faster(layer: Any, shape: tf.TensorShape) -> bool:
    """By the times of both ways on x86 processors with and without VNNI."""
    if None in shape[1:].as_list():
        return False
    outputs = layer.compute_output_shape(shape)
    taps, channels = np.prod(layer.kernel_size), shape[-1]
    rows = (shape[0] or _LIKELY_BATCH) * outputs[1] * outputs[2]
    return (
        channels >= _FEWEST_CHANNELS
        and taps <= _MOST_TAPS
        and taps * channels <= _MOST_TERMS
        # Putting the kernel in order costs as much as 200 rows of products, copying
        # the image and casting the sums as much as 50 columns.
        and 200 / max(rows, 1) + 50 / layer.filters <= 0.85
    )


def _in_a_step_on_cpus() -> bool:
    call = call_context()
    return (
        call.training is True
        and not call.saving
        and not tf.executing_eagerly()
        and tf.compat.v1.executing_eagerly_outside_functions()
        and tf.__internal__.get_enclosing_xla_context() is None
        and not tf.distribute.has_strategy()
        and {device.device_type for device in tf.config.list_logical_devices()}
        == {"CPU"}
    )


@functools.cache
def _sums_are_right() -> bool:
    """Whether this TensorFlow has 8-bit products on this machine: tried once, in 0.1 s.

    A build without oneDNN has the operation by name only, and so has
    `TF_ENABLE_ONEDNN_OPTS=0`.
    """
    rng = np.random.default_rng(0)
    left = rng.integers(0, 3, (33, 257)).astype("uint8")
    right = rng.integers(-1, 2, (257, 65)).astype("int8")
    with tf.init_scope(), tf.device("CPU:0"):
        try:
            sums = tf.function(_products)(tf.constant(left), tf.constant(right))
        except tf.errors.OpError:
            return False
    return np.array_equal(sums, left.astype(int) @ right.astype(int))


def _products(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """The int32 product of a uint8 and an int8 matrix.

    Without VNNI oneDNN adds pairs of products in 16 bits: no matter for levels up to 2.
    """
    sums, _, _ = tf.raw_ops.QuantizedMatMulWithBias(
        a=tf.bitcast(left, tf.quint8),
        b=tf.bitcast(right, tf.qint8),
        bias=tf.zeros(right.shape[1]),
        min_a=0.0,
        max_a=255.0,
        min_b=-127.0,
        max_b=127.0,
        Toutput=tf.qint32,
        input_quant_mode="SCALED",
    )
    return tf.bitcast(sums, tf.int32)


def conv_of_signs(
    x: tf.Tensor,
    kernel: tf.Tensor,
    strides: tuple[int, int],
    padding: str,
    *,
    scaled: bool = False,
) -> tf.Tensor:
    """`tf.nn.conv2d(x, kernel, strides, padding)` of levels -1, 0 and +1, with gradients.

    Args:
        x: float32 `(batch, height, width, channels_in)` of -1, 0 and +1.
        kernel: float32 `(height, width, channels_in, filters)`, of these levels too.
        strides: along height and width.
        padding: "SAME" or "VALID".
        scaled: whether the kernel is of -1 and +1 times one number for each filter.

    Returns:
        Float32 `(batch, new_height, new_width, filters)`: bit for bit the convolution, whose
        sums of n terms need n <= 2^23. Where the kernel is scaled, the exact sum is
        multiplied with the number, so the result is off by at most 2^-24 of itself. A NaN
        of `x` makes all of it NaN, one of `kernel` its filter.
    """

    @custom_gradient
    def convolved(x, kernel):
        geometry = {"strides": [1, *strides, 1], "padding": padding}

        def pull_back(dy):
            return (
                tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, **geometry
                ),
                tf.raw_ops.Conv2DBackpropFilter(
                    input=x,
                    filter_sizes=tf.constant(kernel.shape.as_list()),
                    out_backprop=dy,
                    **geometry,
                ),
            )

        if not scaled:
            return _sums(x, kernel, strides, padding), pull_back
        sums = _sums(x, tf.sign(kernel), strides, padding)
        return sums * tf.abs(kernel[0, 0, 0]), pull_back

    return convolved(x, kernel)


def _sums(x: tf.Tensor, kernel: tf.Tensor, strides, padding: str) -> tf.Tensor:
    *size, channels, filters = kernel.shape.as_list()
    windows, outputs = _windows(x, size, strides, padding)
    rows = tf.reshape(tf.concat(windows, -1), [-1, len(windows) * channels])
    columns = tf.reshape(tf.cast(kernel, tf.int8), [-1, filters])
    sums = tf.cast(_products(rows, columns), tf.float32)

    # Integers have no NaN: what the casts lost is put back.
    total = tf.reduce_sum(x)
    lost = tf.where(tf.math.is_nan(total), total, 0.0)
    sums += lost - tf.reduce_sum(kernel, [0, 1, 2])
    return tf.reshape(sums, [tf.shape(x)[0], *outputs, filters])


def _windows(x: tf.Tensor, size, strides, padding: str):
    """What each tap of a kernel sees, as bytes, and the height and width of that.

    One more than the levels, since oneDNN's left matrix is of unsigned bytes.
    """
    around, outputs, kept, phases = [], [], [], []
    for length, taps, stride in zip(x.shape[1:3], size, strides, strict=True):
        before, after = 0, 0
        if padding == "SAME":
            before, after = same_padding(length, taps, stride, 1)
        outputs.append((before + length + after - taps) // stride + 1)
        # Whole strides: a reshape then parts rows by their phase, and each window is one
        # piece of a phase. A slice with steps would copy byte by byte.
        whole = (taps - 1) // stride + outputs[-1]
        kept.append(min(length, whole * stride - before))
        around.append((before, whole * stride - before - kept[-1]))
        phases += [whole, stride]
    image = tf.bitcast(tf.cast(x[:, : kept[0], : kept[1]], tf.int8) + 1, tf.uint8)
    zero = tf.constant(1, tf.uint8)
    image = tf.pad(image, [(0, 0), *around, (0, 0)], constant_values=zero)
    image = tf.reshape(image, [tf.shape(x)[0], *phases, x.shape[-1]])
    height, width = outputs
    windows = []
    for i in range(size[0]):
        for j in range(size[1]):
            (top, y), (left, x) = divmod(i, strides[0]), divmod(j, strides[1])
            windows.append(image[:, top : top + height, y, left : left + width, x])
    return windows, outputs
