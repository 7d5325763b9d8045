"""Optimizers that train binary weights, and that give each variable its own optimizer."""

from larqlite.optimizers._bop import Bop
from larqlite.optimizers._bop_second_order import Bop2ndOrder
from larqlite.optimizers._case import CaseOptimizer

__all__ = ["Bop", "Bop2ndOrder", "CaseOptimizer"]
