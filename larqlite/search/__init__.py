"""The right bits for each layer: a search under a budget."""

from larqlite.search._bits import bits
from larqlite.search._result import BitsPoint, BitsSearch

__all__ = ["BitsPoint", "BitsSearch", "bits"]
