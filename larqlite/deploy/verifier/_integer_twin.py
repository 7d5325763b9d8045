"""The sums of integers that a packed layer stands for, computed by the Keras layer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from larqlite.deploy.converters import (
    channels_out_first,
    kernel_of,
    one_group_a_channel,
    transposed_channels_out_first,
)
from larqlite.deploy.verifier._result import VerificationError
from larqlite.graph import KernelAxes, class_with_facts, facts_of
from larqlite.onnx_graph import GRID_TOLERANCE

Arranged = Callable[[np.ndarray], np.ndarray]

_COMPUTED = ("call", "call_on_quantized", "convolution_op")
# What a layer does beside its sums.
_LEFT_OUT = (
    "input_quantizer",
    "activation",
    "activity_regularizer",
    "bias_regularizer",
    "bias_constraint",
)


class IntegerTwin:
    """A Keras layer of the same class, whose kernels are the integers of another's.

    Float32 sums of integers below 2^24 are exact in any order, so its outputs are the
    accumulators.

    Args:
        layer: the layer.
        path: where it is.
        steps: what its quantized input is multiplied with to become integers.
        has_borders: whether its pads count among these; else they are 0.
    """

    def __init__(
        self, layer: Any, path: str, steps: float, has_borders: bool = True
    ) -> None:
        self._steps = np.float32(steps)
        cls = class_with_facts(type(layer), _COMPUTED)
        config = cls.get_config(layer)
        config.update(dict.fromkeys(_LEFT_OUT), use_bias=False)
        for weight, role in cls.quantized_weights.items():
            prefix = weight.removesuffix("_kernel")
            config.update(
                {
                    role: None,
                    f"{prefix}_regularizer": None,
                    f"{prefix}_constraint": None,
                    f"{prefix}_initializer": "zeros",  # drawn for nothing else
                }
            )
        kernels = {
            axes.name: _integers(layer, path, axes.name, *_arrangement(axes))
            for axes in facts_of(layer, _COMPUTED).kernels
        }
        pads, no_pads = {}, {}
        if "pad_values" in config:
            no_pads = {"pad_values": 0.0}
            pads = {"pad_values": float(layer.pad_values * steps)}
            pads = pads if has_borders else no_pads
        self._sums = _with_kernels(cls, config | pads, kernels)
        self._changes = _with_kernels(
            cls,
            config | no_pads,
            {name: np.abs(kernel) for name, kernel in kernels.items()},
        )

    def __call__(self, quantized: np.ndarray) -> np.ndarray:
        """The accumulators for a quantized input, as float32."""
        return self._sums(np.rint(quantized * self._steps))

    def largest_change(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """How far accumulators can change if quantized inputs lie between two ends."""
        if np.array_equal(low, high):
            return np.float32(0)
        return self._changes(np.rint(np.abs(high - low) * self._steps))


def _with_kernels(cls: type, config: dict, kernels: dict[str, np.ndarray]) -> Callable:
    """A function that calls a new layer with these kernels."""

    @functools.cache
    def made() -> Any:
        return cls.from_config(config)

    def call(integers: np.ndarray) -> np.ndarray:
        layer = made()
        if not layer.built:
            layer.build(integers.shape)
            for name, kernel in kernels.items():
                getattr(layer, name).assign(kernel)
        return np.asarray(layer(integers))

    return call


def has_twin(layer: Any) -> bool:
    """Whether what a layer sums is known from its class."""
    kernels = facts_of(layer, _COMPUTED).kernels
    return bool(kernels) and all(axes.channels_out for axes in kernels)


def _arrangement(axes: KernelAxes) -> tuple[Arranged, int]:
    """How the file arranges a kernel, and where it takes channels out from."""
    if len(axes.channels_out) > 1:
        return one_group_a_channel, -1
    if axes.is_transposed:
        return transposed_channels_out_first, -2
    return channels_out_first, -1


def _integers(
    layer: Any, path: str, name: str, arranged: Arranged, axis: int
) -> np.ndarray:
    """The integers of a kernel, in the order that Keras has it in.

    Raises:
        VerificationError: they are not the kernel that Keras computes with.
    """
    kernel = kernel_of(layer, path, name, arranged)
    packed, largest = kernel.packed, np.abs(kernel.values).max(initial=0)
    integers = off = None
    if packed is not None and packed.is_integer:
        first = next(iter(packed.parts.values()))
        integers = first.codes.astype(np.float32)
        integers *= first.step
        integers += first.offset
        off = packed.values() - kernel.values
    if off is None or np.abs(off).max(initial=0) > 4 * GRID_TOLERANCE * largest:
        raise VerificationError(
            f'lq.deploy.verify: the {name} of "{path}" is no multiple of integers, but '
            "the file sums integers.\n  Fix: verify a file with the model that it was "
            "made of."
        )
    return np.moveaxis(integers, 0, axis).reshape(getattr(layer, name).shape)
