"""Fashion-MNIST: the subset in the package, and the whole from its IDX files."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np

import larqlite as lq
from larqlite.errors import ArgumentError, MissingFileError
from larqlite_zoo.datasets._registered_datasets import register_dataset
from larqlite_zoo.datasets._source import ArraySource, Dataset
from larqlite_zoo.datasets._tfds import tfds_dataset

VARIABLE = "LARQLITE_FASHION_MNIST"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
FILES = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
UNSIGNED_BYTE = 8


@register_dataset("fashion_mnist_subset")
def fashion_mnist_subset(folder=None) -> Dataset:
    """The 8,000 and 2,000 images of `larqlite.datasets`."""
    if folder is not None:
        raise ArgumentError(
            f'datasets.load("fashion_mnist_subset"): folder={str(folder)!r}, but these '
            'images are part of the package.\n  Fix: leave folder away, or load "'
            'fashion_mnist".'
        )
    return _dataset("fashion_mnist_subset", *lq.datasets.load_fashion_mnist())


@register_dataset("fashion_mnist")
def fashion_mnist(folder=None, download: bool = False) -> Dataset:
    """All 70,000 images, from IDX files or else through tensorflow_datasets."""
    folder = folder or os.environ.get(VARIABLE)
    if folder is None and not DEBIAN_FOLDER.is_dir():
        return tfds_dataset("fashion_mnist", None, download=download)
    folder = Path(folder or DEBIAN_FOLDER).expanduser()
    splits = []
    for images, labels in FILES:
        splits.append((_read(folder, images), _read(folder, labels)))
        if len(splits[-1][0]) != len(splits[-1][1]):
            raise ArgumentError(
                f"{folder}: {images} has {len(splits[-1][0])} images, but {labels} "
                f"{len(splits[-1][1])} labels.\n  Fix: copy the four files again."
            )
    return _dataset("fashion_mnist", *splits)


def _dataset(name: str, train, validation) -> Dataset:
    classes = lq.datasets.FASHION_MNIST_CLASSES
    train, validation = ArraySource(*train), ArraySource(*validation)
    return Dataset(name, train, validation, classes, train.images.shape[1:], "small")


def _read(folder: Path, name: str) -> np.ndarray:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return read_idx(path)
    raise MissingFileError(
        f'datasets.load("fashion_mnist"): {folder} has neither {name} nor {name}.gz.\n'
        "  Fix: for images in folders of your own the dataset is called folder (lqz: "
        "--dataset folder); for this one pass the folder with the four IDX files as "
        f"folder=, or in the environment variable {VARIABLE}; on Debian and Ubuntu, "
        "`apt install dataset-fashion-mnist` provides them."
    )


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """The bytes of an IDX file, the format of MNIST, gzipped or not.

    The file begins with two zeros, the code 8 for bytes and the number of axes; then the
    length of each axis as a big-endian int32; then the bytes.

    Args:
        path: the file; a name that ends with ".gz" is unpacked.

    Returns:
        uint8 array with the axes that the file says.

    Raises:
        ArgumentError: the file is no IDX file of bytes, or it is cut off.

    References:
        http://yann.lecun.com/exdb/mnist/
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArgumentError(
            f"{path}: a damaged gzip file ({error}).\n  Fix: copy the file again."
        ) from error
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise ArgumentError(
            f"{path}: no IDX file of bytes, for it begins with {content[:4].hex()}.\n"
            "  Fix: pass the folder with Fashion-MNIST's own four files."
        )
    start = 4 + 4 * content[3]
    shape = struct.unpack_from(f">{content[3]}I", content.ljust(start, b"\0"), 4)
    if len(content) != start + int(np.prod(shape)):
        raise ArgumentError(
            f"{path}: {shape} bytes are announced, {len(content) - start} are there.\n"
            "  Fix: copy the file again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
