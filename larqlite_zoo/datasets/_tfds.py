"""The datasets that come through tensorflow_datasets."""

from __future__ import annotations

from larqlite_zoo.datasets._source import Dataset


def tfds_dataset(name: str, folder, download: bool = False) -> Dataset:
    """To be written."""
    raise NotImplementedError
