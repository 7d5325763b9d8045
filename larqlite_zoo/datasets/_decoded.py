"""Small images in class folders, decoded once into one array file, and read from there."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf

from larqlite.errors import ArgumentError
from larqlite.outputs import written_whole
from larqlite_zoo._cache import CACHE_VARIABLE, cache_directory
from larqlite_zoo.datasets._broken import first_broken
from larqlite_zoo.datasets._folder import splits_of
from larqlite_zoo.datasets._preprocessing import decode

Split = tuple[np.ndarray, np.ndarray]


def decoded_folder(
    folder: Path, classes: tuple[str, ...], shape: tuple[int, int, int], name: str
) -> tuple[list[Split], bool]:
    """The images of both splits and their labels, and whether they were JPEGs.

    They are decoded the first time, and kept as `<name>-<hash>.npy` in the folder of
    fetched files. The hash is that of the names, sizes and times of all files, so a folder
    that has changed is decoded anew.

    Args:
        folder: has `train` and one of `validation`, `val`, `test`, each with the classes.
        classes: their names; the labels are the positions here.
        shape: of every image.
        name: of the dataset.

    Returns:
        uint8 images `(count, height, width, channels)` and int64 labels, for training and
        for validation.

    Raises:
        ArgumentError: other classes, an image that cannot be decoded, or of another shape.
    """
    splits = splits_of(folder)
    if sorted(splits[0]) != sorted(classes):
        raise ArgumentError(
            f'datasets.load("{name}"): {folder / "train"} has the folders '
            f"{', '.join(sorted(splits[0]))}, but the classes are {', '.join(classes)}.\n"
            '  Fix: rename the folders, or load("folder", folder=...) (lqz: --dataset '
            "folder)."
        )
    labels = [
        np.repeat(np.arange(len(classes)), [len(split[each]) for each in classes])
        for split in splits
    ]
    paths = [path for split in splits for each in classes for path in split[each]]
    images = _kept(folder, paths, shape, name)
    border = len(labels[0])
    splits = [(images[:border], labels[0]), (images[border:], labels[1])]
    return splits, any(path.lower().endswith((".jpg", ".jpeg")) for path in paths)


def _kept(folder: Path, paths: list[str], shape, name: str) -> np.ndarray:
    """The images from the array file, which is made if it is not there."""
    file = cache_directory() / "decoded" / f"{name}-{_hash_of(folder, paths)}.npy"
    if file.is_file():
        try:
            images = np.load(file, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            warnings.warn(f"{file}: damaged ({error}); decoding again.", stacklevel=2)
        else:
            if images.shape == (len(paths), *shape) and images.dtype == np.uint8:
                return images
            warnings.warn(
                f"{file}: holds {images.dtype} {images.shape}; decoding again.",
                stacklevel=2,
            )
    images = _decode(paths, shape)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as temporary, temporary.open("wb") as opened:
            np.save(opened, images)
    except OSError as error:
        warnings.warn(
            f"{file}: the decoded images cannot be kept ({error.strerror}), so they are "
            "decoded again each time.\n  Fix: a folder that can be written, in the "
            f"environment variable {CACHE_VARIABLE}.",
            stacklevel=2,
        )
    return images


def _hash_of(folder: Path, paths: list[str]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in map(Path, paths):
        status = path.stat()
        inside = path.relative_to(folder).as_posix()
        digest.update(f"{inside}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _decode(paths: list[str], shape) -> np.ndarray:
    images = np.empty((len(paths), *shape), np.uint8)

    def pixels(path):
        return decode(tf.io.read_file(path), shape[-1])

    decoded = tf.data.Dataset.from_tensor_slices(paths).map(
        pixels, num_parallel_calls=tf.data.AUTOTUNE
    )
    try:
        for place, image in enumerate(decoded.as_numpy_iterator()):
            if image.shape != tuple(shape):
                raise ArgumentError(
                    f"{paths[place]}: has {' x '.join(map(str, image.shape))} pixels and "
                    f"channels, not {' x '.join(map(str, shape))}.\n"
                    "  Fix: images of one size; for others the dataset is called folder."
                )
            images[place] = image
    except tf.errors.InvalidArgumentError as error:
        broken = first_broken(paths)
        if broken is None:
            raise
        raise ArgumentError(
            f"{broken.path}: cannot be decoded: {broken.reason}.\n"
            "  Fix: replace the file."
        ) from error
    return images
