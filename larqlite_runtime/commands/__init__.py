"""The commands `lq run` and `lq benchmark`, which need no TensorFlow."""

from larqlite_runtime.commands._data import read
from larqlite_runtime.commands._run import HELP

__all__ = ["HELP", "read"]
