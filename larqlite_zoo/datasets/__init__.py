"""Datasets as tf.data pipelines, and the preprocessing of images."""

from larqlite_zoo.datasets import (  # noqa: F401 - register
    _cifar10,
    _fashion_mnist,
    _folder,
    _tfds,
)
from larqlite_zoo.datasets._imagenet import preprocess_input
from larqlite_zoo.datasets._preprocessing import preprocessing
from larqlite_zoo.datasets._registered_datasets import load, names
from larqlite_zoo.datasets._source import ArraySource, Dataset, IndexedSource, Source

__all__ = [
    "load",
    "names",
    "preprocessing",
    "preprocess_input",
    "Dataset",
    "Source",
    "IndexedSource",
    "ArraySource",
]
