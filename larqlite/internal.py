"""What `larqlite_zoo` uses of larqlite beside its API; it may change without notice."""

from larqlite._copies import copy_of
from larqlite._progress import bar, below_lines
from larqlite._registration import Registry, register_object

__all__ = ["Registry", "bar", "below_lines", "copy_of", "register_object"]
