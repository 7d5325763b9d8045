"""What is read and written around models: batches out of data, data files, saved models.

It is for the packages of larqlite, and may change without notice.
"""

from larqlite._io._batches import batches_of
from larqlite._io._data import EMBEDDED, arrays_of, read
from larqlite._io._save import save_model

__all__ = ["EMBEDDED", "arrays_of", "batches_of", "read", "save_model"]
