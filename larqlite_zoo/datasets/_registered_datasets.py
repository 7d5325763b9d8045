"""The datasets by name: `load` and `names`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path

from larqlite.errors import ArgumentError, near_matches
from larqlite.internal import Registry
from larqlite_zoo.datasets._source import Dataset

LOADERS: dict[str, Callable[..., Dataset]] = Registry()


def register_dataset(name: str):
    """Decorator for a function `(folder=None, **options) -> Dataset`."""

    def register(loader: Callable[..., Dataset]):
        LOADERS[name] = loader
        return loader

    return register


def names() -> list[str]:
    """The names that `load` knows.

    >>> from larqlite_zoo import datasets
    >>> "fashion_mnist" in datasets.names()
    True
    """
    return sorted(LOADERS)


def load(name: str, *, folder: str | os.PathLike | None = None, **options) -> Dataset:
    """The training and validation images of a dataset.

    | name | train / validation | from |
    |---|---|---|
    | `fashion_mnist_subset` | 8,000 / 2,000 | the package itself |
    | `fashion_mnist` | 60,000 / 10,000 | a folder of IDX files, else TFDS |
    | `mnist` | 60,000 / 10,000 | TFDS `mnist:3.0.*` |
    | `cifar10` | 50,000 / 10,000 | its batches or class folders, else TFDS `cifar10:3.0.*` |
    | `oxford_flowers102` | 2,040 / 6,149 | TFDS `oxford_flowers102:2.*` |
    | `imagenet` | 1,281,167 / 50,000 | TFDS `imagenet2012:5.*` |
    | `folder` | yours | `train/<class>/*.jpg`, `validation/<class>/*.jpg` |

    TFDS is `tensorflow_datasets`, installed by `pip install larqlite[tfds]`.

    Args:
        name: one of the names above.
        folder: where the files are. For `fashion_mnist` the four IDX files, gzipped or
            not; without it the folder that the environment variable
            LARQLITE_FASHION_MNIST names, or the one that Debian's package
            dataset-fashion-mnist fills. For `cifar10` its binary or its pickled batches
            (of which nothing is run), or `train/<class>/*.jpg` and `test/<class>/*.jpg`,
            which are decoded once; without it the folder that LARQLITE_CIFAR10 names.
            For the datasets of TFDS its `data_dir`. For `folder` the images.
        **options: those of one dataset: `download=True` for TFDS lets it download what
            is missing; `folder` takes `on_broken`, `validation_fraction` and `seed`.

    Returns:
        A `Dataset`. Nothing is decoded yet.

    Raises:
        ArgumentError: an unknown name or option, or a folder that is no dataset.
        MissingFileError: the files are not there, or tensorflow_datasets is not.

    Example:
        >>> from larqlite_zoo import datasets
        >>> clothes = datasets.load("fashion_mnist_subset")
        >>> clothes.train.size, clothes.validation.size, clothes.num_classes
        (8000, 2000, 10)
        >>> image, label = clothes.validation.load(0)
        >>> image.shape.as_list(), clothes.class_names[int(label)]
        ([28, 28, 1], 'Ankle boot')
    """
    if name not in LOADERS:
        if Path(name).expanduser().is_dir() or os.sep in str(name):
            raise ArgumentError(
                f'datasets.load: "{name}" is a folder, not the name of a dataset.\n'
                f'  Fix: load("folder", folder={str(name)!r}); lqz: --dataset folder '
                f"--folder {name}."
            )
        raise ArgumentError(
            f'datasets.load: unknown dataset "{name}".\n'
            f" {near_matches(str(name), LOADERS)} All names: {', '.join(names())}; for "
            'images of your own "folder" (lqz: --dataset folder --folder DIR).'
        )
    loader = LOADERS[name]
    known = [key for key in inspect.signature(loader).parameters if key != "folder"]
    for key in options:
        if key not in known:
            raise ArgumentError(
                f'datasets.load("{name}"): unknown option "{key}".\n'
                f"  Fix:{near_matches(key, known)} It takes "
                f"{', '.join(['folder', *known])}."
            )
    return loader(folder=folder, **options)
