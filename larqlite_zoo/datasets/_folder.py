"""A folder of images: `train/<class>/xxx.jpg` and `validation/<class>/xxx.jpg`."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from larqlite.errors import ArgumentError, MissingFileError
from larqlite_zoo.datasets._broken import first_broken, without_broken
from larqlite_zoo.datasets._registered_datasets import register_dataset
from larqlite_zoo.datasets._source import Dataset, IndexedSource

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")
VALIDATION_NAMES = ("validation", "val", "test")
ON_BROKEN = ("skip", "refuse", "later")


class FolderSource(IndexedSource):
    """Files that are read when they are loaded.

    Args:
        paths: of the files.
        labels: as many integers.
    """

    def __init__(self, paths: list[str], labels: list[int]):
        self.paths, self.labels, self.size = paths, labels, len(paths)
        # On the host, once: a graph that captures them does not copy a million names.
        with tf.init_scope(), tf.device("CPU"):
            self._paths = tf.constant(paths, tf.string)
            self._labels = tf.constant(labels, tf.int64)

    def load(self, item):
        return tf.io.read_file(tf.gather(self._paths, item)), tf.gather(
            self._labels, item
        )

    def all_labels(self):
        return np.asarray(self.labels, np.int64)

    def explain(self, error):
        """The first file that cannot be decoded; looking for it takes a while."""
        if not isinstance(error, tf.errors.InvalidArgumentError):
            return None
        broken = first_broken(self.paths)
        if broken is None:
            return None
        return ArgumentError(
            f"{broken.path}: cannot be decoded: {broken.reason}.\n"
            '  Fix: remove or replace the file, or load the folder with on_broken="skip"'
            ", which leaves broken files out."
        )


@register_dataset("folder")
def folder_dataset(
    folder=None,
    on_broken: str = "skip",
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """The images of a folder, whose subfolders are the classes.

    Args:
        folder: has `train` and one of `validation`, `val`, `test`, each with a subfolder
            of images (JPEG, PNG, BMP, GIF) for each class; or has these subfolders itself.
        on_broken: what to do about files that are no images or are cut off: "skip" them
            with a warning that names some and counts all, "refuse" the folder, or leave
            it for "later", without reading every file once before the first step.
        validation_fraction: part of each class that becomes the validation split of a
            folder without `train`.
        seed: decides which.
    """
    if folder is None:
        raise ArgumentError(
            'datasets.load("folder"): which one?\n  Fix: pass folder="path/to/images" '
            "(lqz: --folder path/to/images)."
        )
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise MissingFileError(
            f"{folder}: there is no such folder.\n  Fix: pass the folder that holds "
            "train/ and validation/, or one subfolder of images for each class."
        )
    if on_broken not in ON_BROKEN:
        raise ArgumentError(
            f'datasets.load("folder"): on_broken={on_broken!r} is unknown.\n'
            f"  Fix: one of {', '.join(map(repr, ON_BROKEN))}."
        )
    train, validation = splits_of(folder, validation_fraction, seed)
    if on_broken != "later":
        refuse = on_broken == "refuse"
        train, validation = without_broken(folder, [train, validation], refuse=refuse)
        for split, part in ((train, "training"), (validation, "validation")):
            _none_is_empty(folder, split, f"unbroken {part} image")
    classes = sorted(train)
    return Dataset(
        folder.name, _source(train), _source(validation), classes, None, "imagenet"
    )


def splits_of(folder: Path, fraction: float = 0.1, seed: int = 0):
    """Two dictionaries from class to paths, with equal keys and no empty list."""
    names = _subfolders(folder)
    if "train" not in names:
        classes = _read_classes(folder)
        if not 0 < fraction < 1:
            raise ArgumentError(
                f'datasets.load("folder"): validation_fraction={fraction}.\n'
                "  Fix: a number between 0 and 1, such as 0.1."
            )
        return _divide(folder, classes, fraction, seed)
    found = [name for name in VALIDATION_NAMES if name in names]
    if not found:
        raise ArgumentError(
            f"{folder}: has train, but none of {', '.join(VALIDATION_NAMES)}.\n"
            f"  Fix: add one; or pass {folder / 'train'}, of which a part "
            "(validation_fraction=0.1) is then kept for validation."
        )
    train = _read_classes(folder / "train")
    validation = _read_classes(folder / found[0])
    for one, other, there in (
        (train, validation, "train"),
        (validation, train, found[0]),
    ):
        if alone := sorted(set(one) - set(other)):
            raise ArgumentError(
                f"{folder}: train and {found[0]} have different classes; "
                f"{_listed(alone)} only in {there}.\n"
                "  Fix: give both the same subfolders."
            )
    return train, validation


def _divide(folder: Path, classes: dict, fraction: float, seed: int):
    """Each class by the hash of its file names, so more files change little."""

    def place(path: str) -> bytes:
        inside = Path(path).relative_to(folder).as_posix()
        return hashlib.blake2b(f"{seed}/{inside}".encode()).digest()

    train, validation = {}, {}
    for name, paths in classes.items():
        if len(paths) < 2:
            raise ArgumentError(
                f"{folder / name}: one image cannot be divided into a training and a "
                "validation part.\n  Fix: add images, or remove the class."
            )
        count = min(max(round(fraction * len(paths)), 1), len(paths) - 1)
        chosen = set(sorted(paths, key=place)[:count])
        train[name] = [path for path in paths if path not in chosen]
        validation[name] = [path for path in paths if path in chosen]
    return train, validation


def _subfolders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.is_dir() and not entry.name.startswith(".")
        )


def _read_classes(folder: Path) -> dict[str, list[str]]:
    """Sorted paths of the images of each class, the classes sorted."""
    classes = {name: _images(folder / name) for name in _subfolders(folder)}
    if not classes:
        raise ArgumentError(
            f"{folder}: has no subfolders, which would be the classes.\n"
            f"  Fix: sort the images as {folder}/<class>/<image>.jpg."
        )
    _none_is_empty(folder, classes, f"image ({', '.join(ENDINGS)})")
    return classes


def _images(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.path
            for entry in entries
            if entry.name.lower().endswith(ENDINGS) and not entry.name.startswith(".")
        )


def _none_is_empty(folder: Path, classes: dict, what: str) -> None:
    if empty := [name for name, paths in classes.items() if not paths]:
        raise ArgumentError(
            f"{folder}: no {what} in {_listed(empty)}.\n"
            "  Fix: add images, or remove the class from every split."
        )


def _listed(names: list[str], most: int = 5) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _source(classes: dict[str, list[str]]) -> FolderSource:
    pairs = [
        (path, label)
        for label, name in enumerate(sorted(classes))
        for path in classes[name]
    ]
    return FolderSource([path for path, _ in pairs], [label for _, label in pairs])
