"""What other packages use of the runtime beside its API; it may change without notice."""

from larqlite_runtime._load import part_loader

__all__ = ["part_loader"]
