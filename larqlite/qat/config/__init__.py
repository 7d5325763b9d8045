"""Which tensors of a layer are quantized, and by what."""

from larqlite.graph import resolve
from larqlite.qat.config._config import (
    LayerQuantizeConfig,
    NoOpQuantizeConfig,
    QuantizeConfig,
    asked,
)

__all__ = [
    "LayerQuantizeConfig",
    "NoOpQuantizeConfig",
    "QuantizeConfig",
    "asked",
    "resolve",
]
