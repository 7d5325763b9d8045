"""One weight as it is deployed, and the sums over the weights of a layer or model."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any


@dataclasses.dataclass(frozen=True)
class WeightProfile:
    """One weight tensor as it is deployed.

    Attributes:
        name: those of the layer and of the variable, e.g. `"conv/kernel"`.
        shape: its sizes.
        dtype: dtype in which Keras keeps it.
        count: number of values.
        bits: bits of one deployed value.
        trainable: whether training changes it.
        fused: whether it stands for the scale or offset that several trained
            weights of a batch normalization become.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    count: int
    bits: int
    trainable: bool
    fused: bool = False

    @property
    def memory_bits(self) -> int:
        """`count * bits`, exact."""
        return self.count * self.bits

    @property
    def deployed_bytes(self) -> int:
        """`ceil(count * bits / 8)`: each tensor packed for itself, not padded."""
        return -(-self.memory_bits // 8)


class WeightSums:
    """What a layer and a model both answer about their weights."""

    @property
    def _weights(self) -> Iterable[WeightProfile]:
        raise NotImplementedError

    @property
    def params(self) -> int:
        """Number of deployed weights."""
        return sum(weight.count for weight in self._weights)

    @property
    def trainable_params(self) -> int:
        """Number of deployed weights that training changes."""
        return sum(weight.count for weight in self._weights if weight.trainable)

    @property
    def non_trainable_params(self) -> int:
        """Number of deployed weights that training leaves alone."""
        return self.params - self.trainable_params

    @property
    def params_by_bits(self) -> dict[int, int]:
        """Number of deployed weights per bit width, ascending."""
        counts = Counter()
        for weight in self._weights:
            counts[weight.bits] += weight.count
        return dict(sorted(counts.items()))

    @property
    def memory_bits(self) -> int:
        """Bits of all deployed weights, exact."""
        return sum(weight.memory_bits for weight in self._weights)

    @property
    def memory_bits_8bit_fp(self) -> int:
        """`memory_bits` if every weight of more than 8 bits had 8."""
        return sum(weight.count * min(weight.bits, 8) for weight in self._weights)

    @property
    def memory_bits_float32(self) -> int:
        """`memory_bits` if every weight had 32."""
        return 32 * self.params

    @property
    def deployed_bytes(self) -> int:
        """Bytes of the weights in a packed file."""
        return sum(weight.deployed_bytes for weight in self._weights)

    def _sums_as_dict(self) -> dict[str, Any]:
        return {
            "params": self.params,
            "trainable_params": self.trainable_params,
            "non_trainable_params": self.non_trainable_params,
            "params_by_bits": {str(k): v for k, v in self.params_by_bits.items()},
            "memory_bits": self.memory_bits,
            "memory_bits_8bit_fp": self.memory_bits_8bit_fp,
            "memory_bits_float32": self.memory_bits_float32,
            "deployed_bytes": self.deployed_bytes,
        }
