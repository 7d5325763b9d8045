"""Quantizers with k bits, and the one that leaves its input as it is."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from larqlite.errors import ArgumentError, near_matches
from larqlite.math import ops_of, sign
from larqlite.primitives import other_axes
from larqlite.quantizers._base import Quantizer
from larqlite.quantizers._registered import register

__all__ = ["AbsmaxInt8", "DoReFa", "IntSymmetric", "NoOp"]

MODES = ("activations", "weights")
_SMALLEST = float(np.finfo(np.float32).tiny)


def require_bits(where: str, argument: str, bits) -> None:
    if not isinstance(bits, int) or isinstance(bits, bool) or bits < 1:
        raise ArgumentError(
            f"{where}: {argument} must be a positive integer (bits), got {bits!r}."
        )


@register("dorefa", aliases=("dorefa_quantizer", "DoReFaQuantizer"))
class DoReFa(Quantizer):
    r"""k-bit quantization of activations in [0, 1], or of weights in [-1, 1].

    With $n = 2^k - 1$ and rounding half to even, `mode="activations"`:

    $$ q(x) = \frac{1}{n} \mathrm{round}(n \cdot \mathrm{clip}(x, 0, 1)) \qquad
       \frac{\partial q}{\partial x} =
       \begin{cases} 1 & 0 \leq x \leq 1 \\ 0 & \text{else} \end{cases} $$

    `mode="weights"`, with $m = \max |\tanh x|$ over the tensor:

    $$ q(x) = \frac{2}{n}
       \mathrm{round}\left(n \left(\frac{\tanh x}{2 m} + \frac{1}{2}\right)\right) - 1
       \qquad
       \frac{\partial q}{\partial x} = \frac{1}{m \cosh^2 x} $$

    Precision: k bits.

    Args:
        k_bit: number of bits, >= 1.
        mode: "activations" or "weights".
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: an unknown mode, or `k_bit` is not a positive integer.

    Example:
        >>> lq.quantizers.DoReFa(2)(tf.constant([-1.0, 0.4, 0.9])).numpy()
        array([0.        , 0.33333334, 1.        ], dtype=float32)

    References:
        DoReFa-Net, https://arxiv.org/abs/1606.06160, eq. 5, 9 and 11.
    """

    def __init__(self, k_bit: int = 2, mode: str = "activations", **kwargs):
        super().__init__(**kwargs)
        require_bits(self._where(), "k_bit", k_bit)
        self.k_bit = k_bit
        self.mode = mode
        self._weights_mode()

    @property
    def precision(self) -> int:
        return self.k_bit

    @property
    def codes_dtype(self) -> str:
        return "int8" if self.k_bit < 8 else "int16" if self.k_bit < 16 else "int32"

    def forward(self, x):
        n, ops = 2**self.k_bit - 1, ops_of(x)
        if ops.bytes_of(x) < 4 and self.k_bit > 8:  # n is not exact in 16 bits
            return ops.like(self.forward(ops.float32(x)), x)
        if not self._weights_mode():
            return ops.round(ops.clip(x, 0, 1) * n) / n
        x = ops.tanh(x)
        x = ops.divide_no_nan(x, 2 * ops.max(ops.abs(x))) + 0.5
        return 2 * (ops.round(x * n) / n) - 1

    def derivative(self, x):
        if not self._weights_mode():
            return (x >= 0) & (x <= 1)
        ops = ops_of(x)
        x = ops.tanh(x)
        return ops.divide_no_nan(1 - x * x, ops.max(ops.abs(x)))

    def codes(self, quantized):
        n = 2**self.k_bit - 1
        if self._weights_mode():
            quantized = (quantized + 1) / 2
        return tf.round(quantized * n)

    def _weights_mode(self) -> bool:
        if self.mode not in MODES:
            raise ArgumentError(
                f"{self._where()}: mode must be one of {MODES}, got {self.mode!r}."
                f"{near_matches(str(self.mode), MODES)}"
            )
        return self.mode == "weights"

    def get_config(self) -> dict:
        return {**super().get_config(), "k_bit": self.k_bit, "mode": self.mode}


@register("int_symmetric")
class IntSymmetric(Quantizer):
    r"""k-bit integers around zero, times a scale that the largest weight says, for kernels.

    With $n = 2^{k-1} - 1$, over each channel of `axis`, or over the tensor:

    $$ q(w) = s \, \mathrm{round}\left(\frac{w}{s}\right) \qquad s = \frac{\max|w|}{n} \qquad
       \frac{\partial q}{\partial w} = 1 $$

    with rounding half to even, so the integers go from $-n$ to $n$, and nothing is cut off.
    The gradient of $s$ is not taken. Precision: k bits (and one scale, or one a channel).

    Args:
        bits: k, >= 2.
        axis: of the channels that have a scale each: the last one, which is that of output
            channels but in transposed convolutions (there -2); None for one scale.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: `bits` is no integer of 2 or more.

    Example:
        >>> kernel = tf.constant([[0.875, -0.5], [-0.3, 0.25]])
        >>> lq.quantizers.IntSymmetric(3, axis=None)(kernel * 12 / 7).numpy().tolist()
        [[1.5, -1.0], [-0.5, 0.5]]

    References:
        Quantizing deep convolutional networks for efficient inference,
        https://arxiv.org/abs/1806.08342, section 2.2 (symmetric), 3.1.1 (per channel).
    """

    gradient_everywhere = True

    def __init__(self, bits: int = 4, axis: int | None = -1, **kwargs):
        super().__init__(**kwargs)
        require_bits(self._where(), "bits", bits)
        if bits == 1:
            raise ArgumentError(
                f"{self._where()}: bits=1 leaves no integer but 0.\n"
                '  Fix: bits=2 (-1, 0 and 1), or a sign, e.g. "magnitude_aware_sign".'
            )
        self.bits, self.axis = bits, axis

    @property
    def precision(self) -> int:
        return self.bits

    @property
    def codes_dtype(self) -> str:
        return "int8" if self.bits < 8 else "int16" if self.bits < 16 else "int32"

    def forward(self, x):
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # levels are not exact in 16 bits
            return ops.like(self.forward(ops.float32(x)), x)
        scale = self.scale(x)
        return scale * ops.round(ops.divide_no_nan(x, scale))

    def derivative(self, x):
        return ops_of(x).ones_like(x)

    def pull_back(self, x, dy):
        return dy

    def scale(self, x: tf.Tensor) -> tf.Tensor:
        """s: a scalar, or with size 1 along all axes but `axis`; `x` has 32 bits or more."""
        ops, axes = ops_of(x), None
        if self.axis is not None and len(x.shape):
            axes = other_axes(len(x.shape), self.axis)
        return ops.max(ops.abs(x), axes) / (2 ** (self.bits - 1) - 1)

    def step_between(self, x):
        return tf.reshape(self.scale(x), [-1])

    def codes(self, quantized):
        return tf.round(tf.math.divide_no_nan(quantized, self.scale(quantized)))

    def get_config(self) -> dict:
        return {**super().get_config(), "bits": self.bits, "axis": self.axis}


@register("absmax_int8")
class AbsmaxInt8(Quantizer):
    r"""8-bit integers, times a scale of each token that its largest magnitude says.

    With the largest magnitude along the last axis, of each token (or pixel, or row):

    $$ q(x) = s \, \mathrm{round}\left(\frac{x}{s}\right) \qquad
       s = \frac{\max|x|}{127} \qquad \frac{\partial q}{\partial x} = 1 $$

    with rounding half to even. The gradient of $s$ is not taken; a token of zeros stays as
    it is. Nothing is learned and nothing of the batch is looked at, so a token has the same
    values in any company. Precision: 8 bits (and a scale for each token, computed as it
    runs).

    Args:
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> tokens = tf.constant([[127.0, -50.4, 0.3], [0.0, 254.0, 3.5]])
        >>> lq.quantizers.AbsmaxInt8()(tokens).numpy().tolist()
        [[127.0, -50.0, 0.0], [0.0, 254.0, 4.0]]

    References:
        BitNet b1.58, https://arxiv.org/abs/2402.17764, section 2; BitNet,
        https://arxiv.org/abs/2310.11453, eq. 4 and 5.
    """

    precision = 8
    codes_dtype = "int16"
    gradient_everywhere = True

    def forward(self, x):
        ops = ops_of(x)
        if ops.bytes_of(x) < 4:  # levels are not exact in 16 bits
            return ops.like(self.forward(ops.float32(x)), x)
        scale = self.scale(x)
        return scale * ops.round(x / scale)

    def derivative(self, x):
        return ops_of(x).ones_like(x)

    def pull_back(self, x, dy):
        return dy

    def scale(self, x: tf.Tensor) -> tf.Tensor:
        """s, with size 1 on the last axis; `x` has 32 bits or more."""
        ops = ops_of(x)
        largest = ops.max(ops.abs(x), [-1] if len(x.shape) else None)
        # That of zeros is the smallest normal number.
        return ops.clip(largest / 127, _SMALLEST, math.inf)

    def codes(self, quantized):
        return tf.round(quantized / self.scale(quantized))


@register(aliases=("NoOpQuantizer",))
class NoOp(Quantizer):
    r"""Leaves its input as it is: $q(x) = x$, and marks it with a precision.

    For kernels that an optimizer such as Bop keeps binary by itself.

    Args:
        precision: bits of the values, >= 1.
        **kwargs: `metrics`, and those of a Keras layer.

    Raises:
        ArgumentError: `precision` is not a positive integer.

    Example:
        >>> layer = lq.layers.QuantDense(16, kernel_quantizer=lq.quantizers.NoOp(precision=1))
        >>> layer.build((None, 4))
        >>> layer.kernel.precision
        1

    References:
        Latent weights do not exist, https://arxiv.org/abs/1906.02107.
    """

    def __init__(self, precision: int, **kwargs):
        super().__init__(**kwargs)
        require_bits(self._where(), "precision", precision)
        self.precision = precision

    def call(self, inputs):
        return ops_of(inputs).identity(inputs)

    def forward(self, x):
        return x

    @property
    def codes_dtype(self) -> str | None:
        return "int8" if self.precision == 1 else None

    def codes(self, quantized):
        return sign(quantized) if self.precision == 1 else quantized

    def derivative(self, x):
        return ops_of(x).ones_like(x)

    def get_config(self) -> dict:
        return {**super().get_config(), "precision": self.precision}
