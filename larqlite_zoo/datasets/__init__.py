"""Datasets as tf.data pipelines, and the preprocessing of images."""

from larqlite_zoo.datasets import _fashion_mnist  # noqa: F401 - registers
from larqlite_zoo.datasets._preprocessing import preprocessing
from larqlite_zoo.datasets._registry import load, names
from larqlite_zoo.datasets._source import ArraySource, Dataset, IndexedSource, Source

__all__ = [
    "load",
    "names",
    "preprocessing",
    "Dataset",
    "Source",
    "IndexedSource",
    "ArraySource",
]
