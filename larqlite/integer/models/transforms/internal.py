"""What quantization needs of the transforms besides the public ones; may change without
notice."""

from larqlite.integer.models.transforms._quant_layers import prepared
from larqlite.integer.models.transforms._surgery import transformed

__all__ = ["prepared", "transformed"]
