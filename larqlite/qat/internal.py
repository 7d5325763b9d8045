"""What other packages of larqlite use of this one; it may change without notice."""

from larqlite.qat._annotate import QuantizeAnnotate

__all__ = ["QuantizeAnnotate"]
