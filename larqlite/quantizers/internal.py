"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.quantizers._base import adopt
from larqlite.quantizers._identifiers import unknown_quantizer
from larqlite.quantizers._learned_levels import LearnedLevels
from larqlite.quantizers._own_weights import WithWeights
from larqlite.quantizers._registered import find, known_names, on_register
from larqlite.quantizers._stochastic import Stochastic

__all__ = [
    "LearnedLevels",
    "Stochastic",
    "WithWeights",
    "adopt",
    "find",
    "known_names",
    "on_register",
    "unknown_quantizer",
]
