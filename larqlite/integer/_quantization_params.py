"""`QuantizationParams`: the bit widths of a quantization, and their scope."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator

from larqlite.errors import ArgumentError, QuantizedTypeError

__all__ = ["QuantizationParams", "get_quantization_params", "quantization"]

_BITS = {
    "activation_bits": (1, 16),
    "weight_bits": (1, 16),
    "output_bits": (2, 16),
    "input_weight_bits": (1, 16),
    "buffer_bits": (8, 53),
}


@dataclasses.dataclass(frozen=True)
class QuantizationParams:
    """Bit widths for a whole model; read-only, compared by value.

    Args:
        activation_bits: of what follows a ReLU; unsigned below 8 bits.
        per_tensor_activations: whether activations share one scale, instead of one per
            channel.
        weight_bits: of kernels; 1 is binary (-1, 1), 2 ternary (-1, 0, 1).
        output_bits: of the outputs of other layers, signed.
        input_weight_bits: of the kernels up to and with the first convolution (of any
            kind; both kernels of a separable one) or dense layer.
        buffer_bits: the widest integers that operations may use, sign included.

    Raises:
        ArgumentError: (a `ValueError`) a number of bits that is out of range.
        QuantizedTypeError: (a `TypeError`) one that is no integer.

    Example:
        >>> params = lq.integer.models.QuantizationParams(weight_bits=4)
        >>> params.weight_bits, params.activation_bits
        (4, 8)
    """

    activation_bits: int = 8
    per_tensor_activations: bool = False
    weight_bits: int = 8
    output_bits: int = 8
    input_weight_bits: int = 8
    buffer_bits: int = 32

    def __post_init__(self):
        for name, (least, most) in _BITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise QuantizedTypeError(
                    f"QuantizationParams: {name} is {value!r}, not an integer.\n"
                    f"  Fix: a number of bits from {least} to {most}."
                )
            if not least <= value <= most:
                raise ArgumentError(
                    f"QuantizationParams: {name} is {value}.\n"
                    f"  Fix: a number of bits from {least} to {most}."
                )


_DEFAULT = QuantizationParams()
_PARAMS = contextvars.ContextVar(
    "larqlite_quantization_params",
    default=_DEFAULT,
)


def get_quantization_params() -> QuantizationParams:
    """The quantization parameters of the scope around; the defaults outside of any.

    Example:
        >>> lq.integer.models.get_quantization_params().buffer_bits
        32
    """
    return _PARAMS.get()


@contextlib.contextmanager
def quantization(qparams: QuantizationParams) -> Iterator[QuantizationParams]:
    """Scope in which `get_quantization_params` returns `qparams`.

    Layers that are made inside take their defaults from it, such as the width of their
    buffers.

    Args:
        qparams: the parameters.

    Raises:
        QuantizedTypeError: (a `TypeError`) for anything else.

    Example:
        >>> params = lq.integer.models.QuantizationParams(buffer_bits=24)
        >>> with lq.integer.models.quantization(params):
        ...     lq.integer.models.get_quantization_params().buffer_bits
        24
    """
    if not isinstance(qparams, QuantizationParams):
        raise QuantizedTypeError(
            f"quantization: {qparams!r} is a {type(qparams).__name__}.\n"
            "  Fix: pass a QuantizationParams, e.g. QuantizationParams(weight_bits=4)."
        )
    token = _PARAMS.set(qparams)
    try:
        yield qparams
    finally:
        _PARAMS.reset(token)
