"""CIFAR-10: from its binary or pickled batches, from images in class folders, or from TFDS."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from larqlite.errors import ArgumentError, MissingFileError
from larqlite_zoo.datasets._decoded import decoded_folder
from larqlite_zoo.datasets._registered_datasets import register_dataset
from larqlite_zoo.datasets._source import ArraySource, Dataset
from larqlite_zoo.datasets._tfds import tfds_dataset

VARIABLE = "LARQLITE_CIFAR10"
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SHAPE = (32, 32, 3)
PIXELS = 32 * 32 * 3
# Of an unpacked archive: the folder inside it, and how the names of its files end.
BATCHES = {"cifar-10-batches-bin": ".bin", "cifar-10-batches-py": ""}
FILES = (tuple(f"data_batch_{number}" for number in range(1, 6)), ("test_batch",))


@register_dataset("cifar10")
def cifar10(folder=None, download: bool = False) -> Dataset:
    """60,000 images, from its batches (binary or pickled), class folders, or TFDS.

    Args:
        folder: has the binary batches (`data_batch_1.bin` ... `test_batch.bin`), or the
            pickled ones (`data_batch_1` ... `test_batch`), or one of the folders
            `cifar-10-batches-bin` and `cifar-10-batches-py` that hold them; or
            `train/<class>/*.jpg` and `test/<class>/*.jpg` with the ten classes by name; or
            is the `data_dir` of TFDS. Images of class folders are decoded once, into the
            folder of fetched files (LARQLITE_ZOO_CACHE).
        download: let TFDS download and prepare what is missing.
    """
    folder = folder or os.environ.get(VARIABLE)
    if folder is None:
        return tfds_dataset("cifar10", None, download=download)
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise MissingFileError(
            f'datasets.load("cifar10"): there is no folder {folder}.\n'
            "  Fix: pass the folder with data_batch_1.bin or data_batch_1 and its like, "
            "or with train/<class>/ and test/<class>/."
        )
    for inside, ending in BATCHES.items():
        for place in (folder, folder / inside):
            if (place / f"{FILES[0][0]}{ending}").is_file():
                read = _binary if ending else _pickled
                return _dataset(_split(place, names, ending, read) for names in FILES)
    if (folder / "train").is_dir():
        splits, are_jpegs = decoded_folder(folder, CLASSES, SHAPE, "cifar10")
        return _dataset(splits, "jpeg" if are_jpegs else "")
    if download or any((folder / "cifar10").glob("3.*")):
        return tfds_dataset("cifar10", folder, download=download)
    raise MissingFileError(
        f'datasets.load("cifar10"): {folder} has neither data_batch_1.bin nor '
        f"data_batch_1, no train/{CLASSES[0]}/, and no cifar10/3.*/ of TFDS.\n"
        "  Fix: pass the folder that has one of them; download=True lets TFDS fetch the "
        "images into it."
    )


def _dataset(splits, variant: str = "") -> Dataset:
    train, validation = (ArraySource(*split) for split in splits)
    facts = list(CLASSES), SHAPE, "small", variant
    return Dataset("cifar10", train, validation, *facts)


def _split(folder: Path, names, ending: str, read: Callable) -> tuple:
    """`(images, labels)` of some files in turn."""
    parts = []
    for name in names:
        path = folder / f"{name}{ending}"
        if not path.is_file():
            raise MissingFileError(
                f'datasets.load("cifar10"): {folder} has no {path.name}.\n'
                "  Fix: unpack the archive again."
            )
        pixels, labels = read(path)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(CLASSES):
            raise ArgumentError(
                f"{path}: has labels from {labels.min()} to {labels.max()}, but CIFAR-10 "
                "has 10 classes.\n  Fix: copy the file again; CIFAR-100 is another "
                "dataset."
            )
        # One colour after the other, each row by row.
        parts.append((pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels))
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return images, labels


def _binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A label and 3,072 bytes, again and again."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    if not len(content) or len(content) % (1 + PIXELS):
        raise ArgumentError(
            f"{path}: {len(content):,} bytes, which are no whole images of 1 + {PIXELS:,} "
            "bytes.\n  Fix: copy the file again."
        )
    rows = content.reshape(-1, 1 + PIXELS)
    return rows[:, 1:], rows[:, 0].astype(np.int64)


def _pickled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A pickled dictionary with the pixels, `data`, and the numbers of the classes."""
    try:
        batch = _OnlyArrays(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except Exception as error:  # bytes that are no pickle fail in any way
        raise ArgumentError(
            f"{path}: is read as a pickled batch, and {str(error).rstrip('.')}.\n"
            "  Fix: copy the file of the archive cifar-10-python.tar.gz again; nothing of "
            "this one was run."
        ) from error
    entries = batch if isinstance(batch, dict) else {}
    entries = {
        key.decode() if isinstance(key, bytes) else key: value
        for key, value in entries.items()
    }
    pixels, labels = entries.get("data"), entries.get("labels")
    pixels = getattr(pixels, "array", None)
    labels = getattr(labels, "array", labels)
    try:
        labels = np.asarray(labels, np.int64)
        if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS):
            raise TypeError
    except (AttributeError, TypeError, ValueError):
        found = ", ".join(f"{key!r}" for key in entries) or type(batch).__name__
        raise ArgumentError(
            f"{path}: no batch of CIFAR-10; it holds {found}, but 'data', uint8 "
            f"(images, {PIXELS:,}), and as many 'labels' are needed.\n"
            "  Fix: copy the file of the archive cifar-10-python.tar.gz again."
        ) from None
    return pixels, labels


class _Type:
    """Stands for a type of NumPy in a pickle, as a name that does nothing."""


class _PickledDtype:
    """What a pickle says of a dtype: its name, such as "u1"."""

    def __init__(self, name, *flags):
        self.name = name.decode() if isinstance(name, bytes) else name
        if self.name not in ("u1", "i4", "i8"):
            raise pickle.UnpicklingError(f"an array of the dtype {self.name!r}")
        self.order = "<"

    def __setstate__(self, state):
        order = state[1].decode() if isinstance(state[1], bytes) else state[1]
        self.order = ">" if order == ">" else "<"


class _PickledArray:
    """What a pickle says of an array, made of its bytes without NumPy's help."""

    def __init__(self, *of_nothing):
        self.array = np.zeros(0, np.uint8)

    def __setstate__(self, state):
        _, shape, dtype, is_fortran, content = state
        numbers = np.frombuffer(content, f"{dtype.order}{dtype.name}")
        self.array = numbers.reshape(shape, order="F" if is_fortran else "C")


def _latin1(text: str, encoding: str) -> bytes:
    """How protocol 2 writes the bytes of Python 3."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


class _OnlyArrays(pickle.Unpickler):
    """Reads numbers, bytes, lists, dictionaries and arrays, and runs nothing."""

    KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy", "ndarray"): _Type,
        ("numpy", "dtype"): _PickledDtype,
        ("_codecs", "encode"): _latin1,
    }

    def find_class(self, module: str, name: str):
        known = self.KNOWN.get((module, name))
        if known is None:
            raise pickle.UnpicklingError(
                f"wants {module}.{name}, but a batch has only arrays, numbers and bytes"
            )
        return known

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("wants something outside of the file")
