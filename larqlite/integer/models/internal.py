"""What exports and commands need of integer models; may change without notice."""

from larqlite.integer.models._calibrated_inputs import cut, known_ends, readers_of
from larqlite.integer.models._check import float_layers_of

__all__ = ["cut", "float_layers_of", "known_ends", "readers_of"]
