"""Quantized tensors: integers, and the numbers that they stand for."""

from larqlite.integer.tensors import _dispatch as _dispatch
from larqlite.integer.tensors._fixed_point import FixedPoint
from larqlite.integer.tensors._qfloat import QFloat
from larqlite.integer.tensors._qtensor import QTensor

__all__ = ["FixedPoint", "QFloat", "QTensor"]
