"""What is read for a model: batches out of data that users hand in, and data files.

It is for the packages of larqlite, and may change without notice.
"""

from larqlite._io._batches import batches_of
from larqlite._io._data import EMBEDDED, arrays_of, content_of, read

__all__ = ["EMBEDDED", "arrays_of", "batches_of", "content_of", "read"]
