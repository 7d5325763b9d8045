"""The scheme of n bits, under the name of TFMOT."""

from __future__ import annotations

from larqlite.qat._schemes import DefaultNBitQuantizeScheme

__all__ = ["DefaultNBitQuantizeScheme"]
