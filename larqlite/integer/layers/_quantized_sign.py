"""Integer versions of larqlite's binary and ternary activation quantizers."""

from __future__ import annotations

import tensorflow as tf

from larqlite._gradients import custom_gradient
from larqlite.errors import ArgumentError
from larqlite.integer.layers._base import QuantizedLayer
from larqlite.integer.layers._layer_classes import quantizes
from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from larqlite.integer.tensors.internal import exp2
from larqlite.quantizers import ApproxSign, SteSign, SteTern, SwishSign

__all__ = [
    "QuantizedApproxSign",
    "QuantizedSign",
    "QuantizedSwishSign",
    "QuantizedTernary",
]


class _QuantizedQuantizer(QuantizedLayer):
    """Base class: codes out of integers, with the pseudo-gradient of the quantizer that
    the concrete class derives from too."""

    requires_aligned_inputs = False
    gives_few_bits = True

    def codes_of(
        self, fp: FixedPoint, scales: tf.Tensor, values: tf.Tensor
    ) -> tf.Tensor:
        """float32 codes for the values of `fp`; every concrete layer has its own."""
        raise NotImplementedError

    def compute(self, inputs: QTensor) -> FixedPoint:
        """The codes."""
        fp = getattr(inputs, "fp", inputs)
        scales = inputs.scales if isinstance(inputs, QFloat) else tf.constant(1.0)

        @custom_gradient
        def coded(values):
            def gradient(upstream):
                scale = exp2(-fp.frac_bits) * scales
                x = tf.cast(values, tf.float32) * scale
                return tf.cast(self.pull_back(x, upstream) * scale, values.dtype)

            return self.codes_of(fp, scales, values), gradient

        return FixedPoint(coded(fp.values), 1, tf.constant(0, tf.int32), limit=1)


class _QuantizedSign(_QuantizedQuantizer):
    def codes_of(self, fp, scales, values):
        return tf.where(values < 0, -1.0, 1.0)


@quantizes(SteSign)
class QuantizedSign(_QuantizedSign, SteSign):
    r"""The sign of integers, never zero: `ste_sign` on a quantized input.

    $$ y = \begin{cases} -1 & x < 0 \\ +1 & x \geq 0 \end{cases} $$

    Its gradient is that of `lq.quantizers.SteSign`, whose place it takes.

    Input: FixedPoint or QFloat of any shape. Output: FixedPoint, 1 value bit, no
    fractional bits.

    Args:
        clip_value: bound of |x| up to which gradients pass; None passes all.
        **kwargs: those of a Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([-3, 0, 5], value_bits=7, frac_bits=3)
        >>> lq.integer.layers.QuantizedSign()(x).values.numpy()
        array([-1.,  1.,  1.], dtype=float32)

    References:
        Binarized Neural Networks, https://arxiv.org/abs/1602.02830, eq. 1 and 4.
    """


@quantizes(ApproxSign)
class QuantizedApproxSign(_QuantizedSign, ApproxSign):
    """`QuantizedSign` with the gradient of `lq.quantizers.ApproxSign`.

    Args:
        **kwargs: those of a Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([-3, 0, 5], value_bits=7, frac_bits=3)
        >>> lq.integer.layers.QuantizedApproxSign()(x).values.numpy()
        array([-1.,  1.,  1.], dtype=float32)

    References:
        Bi-Real Net, https://arxiv.org/abs/1808.00278, section 3.2.
    """


@quantizes(SwishSign)
class QuantizedSwishSign(_QuantizedSign, SwishSign):
    """`QuantizedSign` with the gradient of `lq.quantizers.SwishSign`.

    Args:
        beta: that of the quantizer.
        **kwargs: those of a Keras layer.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([-3, 0, 5], value_bits=7, frac_bits=3)
        >>> lq.integer.layers.QuantizedSwishSign()(x).values.numpy()
        array([-1.,  1.,  1.], dtype=float32)

    References:
        BNN+, https://arxiv.org/abs/1812.11800, eq. 6.
    """


@quantizes(SteTern)
class QuantizedTernary(_QuantizedQuantizer, SteTern):
    r"""Ternary codes of integers: `ste_tern` on a quantized input.

    $$ y = \begin{cases} +1 & v \geq t \\ 0 & |v| < t \\ -1 & v \leq -t \end{cases}
       \qquad t = \lceil \Delta \cdot 2^{f} / s \rceil $$

    for integers $v$ with $f$ fractional bits and the scale $s$: the threshold is an
    integer too. Its gradient is that of `lq.quantizers.SteTern`, whose place it takes.

    Input: FixedPoint or QFloat of any shape. Output: FixedPoint, 1 value bit, no
    fractional bits.

    Args:
        threshold_value: $\Delta$, >= 0.
        ternary_weight_networks: must be False: a threshold that follows the data is no
            integer.
        clip_value: bound of |x| up to which gradients pass; None passes all.
        **kwargs: those of a Keras layer.

    Raises:
        ArgumentError: `ternary_weight_networks=True`.

    Example:
        >>> x = lq.integer.tensors.FixedPoint([-3, 0, 2, 4], value_bits=7, frac_bits=4)
        >>> lq.integer.layers.QuantizedTernary(threshold_value=0.15)(x).values.numpy()
        array([-1.,  0.,  0.,  1.], dtype=float32)

    References:
        Ternary Weight Networks, https://arxiv.org/abs/1605.04711, eq. 6.
    """

    def __init__(
        self,
        threshold_value: float = 0.05,
        ternary_weight_networks: bool = False,
        clip_value: float | None = 1.0,
        **kwargs,
    ):
        super().__init__(threshold_value, ternary_weight_networks, clip_value, **kwargs)
        if ternary_weight_networks:
            raise ArgumentError(
                f"{self.where}: ternary_weight_networks=True makes the threshold follow "
                "the data, which integers cannot.\n"
                f"  Fix: a threshold_value, such as {threshold_value}."
            )

    @staticmethod
    def refuses(layer) -> str | None:
        """Why a float layer has no integer form, or None."""
        if layer.ternary_weight_networks:
            return "its ternary_weight_networks=True makes a threshold of the data"
        return None

    def codes_of(self, fp, scales, values):
        least = least_beyond(self.threshold_value, scales, fp.frac_bits)
        least = tf.cast(least, values.dtype)
        above = tf.cast(values >= least, tf.float32)
        return above - tf.cast(values <= -least, tf.float32)


def least_beyond(threshold: float, scales, frac_bits) -> tf.Tensor:
    """The least integer that stands for a threshold or more, in a float64 tensor.

    Args:
        threshold: a number; what float32 makes of it counts.
        scales: that the integers stand for, float32.
        frac_bits: their fractional bits, int32.
    """
    threshold = tf.cast(tf.constant(threshold, tf.float32), tf.float64)
    ratio = threshold / tf.cast(scales, tf.float64)
    return tf.math.ceil(ratio * exp2(frac_bits, tf.float64))
