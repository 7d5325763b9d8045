"""What is read for a model: batches out of data that users hand in, data files, labels.

It is for the packages of larqlite, and may change without notice.
"""

from larqlite._io._batches import batches_of, labelled_batches_of
from larqlite._io._data import EMBEDDED, arrays_of, content_of, read
from larqlite._io._labels import Lesson, class_numbers, gives_probabilities, lesson

__all__ = [
    "EMBEDDED",
    "Lesson",
    "arrays_of",
    "batches_of",
    "class_numbers",
    "content_of",
    "gives_probabilities",
    "labelled_batches_of",
    "lesson",
    "read",
]
