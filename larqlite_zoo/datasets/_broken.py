"""Finds image files that cannot be decoded, before a run or after it failed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from larqlite.errors import ArgumentError
from larqlite_zoo.datasets._preprocessing import decode

NAMED = 5
END_OF_JPEG = b"\xff\xd9"


class Broken(NamedTuple):
    """A file, and what TensorFlow says about it."""

    path: str
    reason: str


def without_broken(folder: Path, splits: list[dict], *, refuse: bool) -> list[dict]:
    """The splits without files that are no images or are cut off.

    Of a JPEG that ends as it should only the header is read; anything else is decoded.

    Args:
        folder: for the message.
        splits: dictionaries from class to paths.
        refuse: raise instead of leaving files out.

    Raises:
        ArgumentError: there is a broken file, and `refuse` is True.
    """
    paths = [path for split in splits for files in split.values() for path in files]
    broken = _fail(paths, _quick_shape)
    if not broken:
        return splits
    reasons = [f"    {path}: {_reason(path)}" for path in broken[:NAMED]]
    if len(broken) > NAMED:
        reasons.append(f"    and {len(broken) - NAMED} more")
    found = f"{folder}: {len(broken)} of {len(paths)} images cannot be read"
    if refuse:
        raise ArgumentError(
            "\n".join([f"{found}:", *reasons])
            + '\n  Fix: replace or remove them, or pass on_broken="skip".'
        )
    warnings.warn("\n".join([f"{found} and are skipped:", *reasons]), stacklevel=4)
    lost = set(broken)
    return [
        {
            name: [path for path in files if path not in lost]
            for name, files in s.items()
        }
        for s in splits
    ]


def first_broken(paths: list[str]) -> Broken | None:
    """The first of the files that cannot be decoded, or None."""
    broken = _fail(paths, _shape, most=1)
    return Broken(broken[0], _reason(broken[0])) if broken else None


def _quick_shape(path: tf.Tensor) -> tf.Tensor:
    content = tf.io.read_file(path)
    is_whole_jpeg = tf.io.is_jpeg(content) & (
        tf.strings.substr(content, -2, 2) == END_OF_JPEG
    )
    return tf.cond(
        is_whole_jpeg,
        lambda: tf.image.extract_jpeg_shape(content),
        lambda: tf.shape(decode(content, 3)),
    )


def _shape(path: tf.Tensor) -> tf.Tensor:
    return tf.shape(decode(tf.io.read_file(path), 3))


def _fail(paths: list[str], shape_of, most: int | None = None) -> list[str]:
    """The paths for which `shape_of` raises inside a graph, or the first of them."""

    # The shape comes along, since what nobody asks for is not computed.
    done = (
        tf.data.Dataset.from_tensor_slices(paths)
        .enumerate()
        .map(
            lambda position, path: (position, shape_of(path)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .ignore_errors()
    )
    failed, expected = [], 0
    for position, _ in done.as_numpy_iterator():
        failed += paths[expected:position]
        expected = position + 1
        if most and len(failed) >= most:
            return failed[:most]
    return failed + paths[expected:]


def _reason(path: str) -> str:
    try:
        content = Path(path).read_bytes()
        if not content:
            return "an empty file"
        decode(content, 3)
    except OSError as error:
        return str(error.strerror)
    except tf.errors.InvalidArgumentError as error:
        return (
            error.message.split("}} ")[-1].split("\n")[0].split(" [Op:")[0].strip(". ")
        )
    return "damaged"
