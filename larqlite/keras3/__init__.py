"""Low-bit layers and quantizers for Keras 3, on TensorFlow, JAX and PyTorch.

A binary network can be trained where the rest of a project is, in Keras 3, and brought in by
`lq.models.from_keras` to be counted, exported and verified. Levels, pseudo-gradients,
arguments and configurations are those of `lq.layers` and `lq.quantizers`.

Every registered quantizer is here by the name of its class, such as `lq.keras3.SteSign`, and
those that are registered later too. The back end is Keras': `KERAS_BACKEND=jax` in the environment
before TensorFlow is imported, which imports Keras.
"""

from __future__ import annotations

import inspect
from typing import Any

from larqlite.errors import near_matches
from larqlite.keras3._layers import (
    QuantConv2D,
    QuantDense,
    QuantDepthwiseConv2D,
    WeightClip,
)
from larqlite.keras3._quantizers import QuantizerOfKeras3, get, quantizer_class
from larqlite.quantizers import entries

__all__ = [
    "QuantConv2D",
    "QuantDense",
    "QuantDepthwiseConv2D",
    "QuantizerOfKeras3",
    "WeightClip",
    "get",
]


def _classes() -> dict[str, type]:
    targets = (entry.target for entry in entries())
    return {cls.__name__: cls for cls in targets if inspect.isclass(cls)}


def __getattr__(name: str) -> Any:
    classes = _classes()
    if name in classes:
        return quantizer_class(classes[name])
    raise AttributeError(
        f"module 'larqlite.keras3' has no attribute {name!r}."
        f"{near_matches(name, [*classes, *__all__])}"
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *_classes()})
