"""An integer tensor between two layers: how it is stored, its bounds, and its quantization
parameters."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from larqlite.integer.tensors import FixedPoint, QFloat, QTensor
from larqlite.onnx_graph import Value

KINDS = ("int8", "uint8", "int32", "int64")


@dataclasses.dataclass(frozen=True)
class TensorQParams:
    """The quantization parameters of a tensor: what its integers stand for in Keras.

    Attributes:
        value_bits, limit: of the FixedPoint.
        frac_bits: int32, a scalar or one for each channel.
        scales: float32, a scalar or one for each channel; None for a FixedPoint.
    """

    value_bits: int
    limit: int
    frac_bits: np.ndarray
    scales: np.ndarray | None = None

    @classmethod
    def of(cls, tensor: QTensor) -> TensorQParams:
        """That of a Keras tensor."""
        fp = getattr(tensor, "fp", tensor)
        scales = tensor.scales.numpy() if isinstance(tensor, QFloat) else None
        return cls(fp.value_bits, fp.limit, fp.frac_bits.numpy(), scales)


@dataclasses.dataclass(frozen=True)
class Integers(Value):
    """A tensor of integers in the file.

    Attributes:
        kind: how it is stored, one of `KINDS`.
        low, high: proven bounds, arrays of Python integers: one, or one for each channel.
        qparams: what the integers stand for; None while a layer is being written.
    """

    kind: str = "int32"
    low: np.ndarray = dataclasses.field(default_factory=lambda: whole(0))
    high: np.ndarray = dataclasses.field(default_factory=lambda: whole(0))
    qparams: TensorQParams | None = None

    def __post_init__(self):
        super().__post_init__()
        # NumPy makes a plain number of what is computed of arrays of no axes.
        for end in ("low", "high"):
            object.__setattr__(self, end, whole(getattr(self, end)))

    @property
    def most(self) -> np.ndarray:
        """The largest magnitude, one or one for each channel."""
        return whole(np.maximum(-self.low, self.high))

    @property
    def ends(self) -> tuple[int, int]:
        """The bounds of all channels."""
        return int(np.min(self.low)), int(np.max(self.high))

    def probe(self) -> QTensor:
        """A Keras tensor of one sample with the same quantization parameters, of zeros."""
        shape = [1 if size is None else size for size in self.shape]
        qparams = self.qparams
        fp = FixedPoint(
            tf.zeros(shape),
            qparams.value_bits,
            tf.constant(qparams.frac_bits, tf.int32),
            limit=qparams.limit,
        )
        return fp if qparams.scales is None else QFloat(fp, qparams.scales)


def whole(values) -> np.ndarray:
    """Integers of any size as an array of Python integers."""
    array = np.asarray(values)
    return np.array(array.astype(object) if array.ndim else int(array), dtype=object)


def integers_of(tensor: QTensor) -> np.ndarray:
    """The integers of a Keras tensor, int64."""
    return getattr(tensor, "fp", tensor).values.numpy().astype(np.int64)


def smallest_kind(low: int, high: int) -> str:
    """The type of fewest bits that holds all integers from `low` to `high`.

    >>> smallest_kind(-128, 127), smallest_kind(0, 255), smallest_kind(-1, 255)
    ('int8', 'uint8', 'int32')
    """
    for kind in KINDS:
        info = np.iinfo(kind)
        if info.min <= low and high <= info.max:
            return kind
    raise OverflowError(f"integers from {low} to {high} do not fit into 64 bits")


def of_plain(value_bits: int) -> TensorQParams:
    """What plain integers stand for: themselves."""
    return TensorQParams(value_bits, 2**value_bits, np.int32(0))


def bias_of(quantizer, weights, other: QTensor) -> np.ndarray:
    """The integers of a bias that is aligned on an accumulator, one for each channel."""
    aligned = integers_of(quantizer(weights, other))
    return np.broadcast_to(whole(aligned), (other.shape[-1],))
