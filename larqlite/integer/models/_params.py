"""Where `QuantizationParams` was: pickles of earlier versions name this module."""

from larqlite.integer._quantization_params import QuantizationParams

__all__ = ["QuantizationParams"]
