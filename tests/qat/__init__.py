"""Tests of quantization-aware training."""
