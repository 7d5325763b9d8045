"""From the bytes of a file to a `CheckedGraph`; sizes are bounded before anything is made."""

from larqlite_runtime.reader._budget import DEFAULT_BUDGET
from larqlite_runtime.reader._file import ModelSource, read
from larqlite_runtime.reader._wire import encode

__all__ = ["DEFAULT_BUDGET", "ModelSource", "encode", "read"]
