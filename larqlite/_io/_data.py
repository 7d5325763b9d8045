"""What users name: files of arrays, the images that come with larqlite, files of figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from larqlite.datasets import load_fashion_mnist, to_float_images
from larqlite.errors import ArgumentError, MissingFileError
from larqlite_runtime import arrays as data_files
from larqlite_runtime.arrays import LabeledArrays, Shape

EMBEDDED = "fashion_mnist"


def arrays_of(
    data: str | Path, where: str, flag: str = "--data "
) -> np.ndarray | dict[str, np.ndarray]:
    """The arrays that a file holds; "fashion_mnist" stands for those in the package.

    Args:
        data: a path, or the word.
        where: the command, for messages.
        flag: what stands before the path there.

    Raises:
        MissingFileError: there is no such file.
        ArgumentError: it holds no arrays of numbers.
    """
    if str(data) == EMBEDDED:
        (x, y), (x_test, y_test) = load_fashion_mnist()
        x, x_test = to_float_images(x), to_float_images(x_test)
        return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}
    where = f"{where}: {flag}{data}"
    path = Path(data)
    how = f'{data_files.HOW}; or name "{EMBEDDED}", which is in the package'
    return data_files.load_arrays(path, where, how, ArgumentError, MissingFileError)


def read(
    data: str | Path,
    names: Sequence[str],
    where: str,
    part: Literal["train", "test"] = "test",
    *,
    shapes: Sequence[Shape] | None = None,
    joined: bool = False,
    flag: str = "--data ",
) -> LabeledArrays:
    """Inputs of a model, and labels; see `larqlite_runtime.arrays.inputs_of`.

    Messages name the data with the flag before them, if a command has one.

    Raises:
        MissingFileError, ArgumentError: as `arrays_of`; or no arrays fit the model.
    """
    return data_files.inputs_of(
        arrays_of(data, where, flag),
        names,
        f"{where}: {flag}{data}",
        part,
        shapes=shapes,
        joined=joined,
        refused=ArgumentError,
    )


def content_of(
    path: str | Path, where: str, fix: str, suffixes: tuple[str, ...] = (".json",)
) -> Any:
    """What a `.json` file says, or the text of a `.csv` file.

    Args:
        path: of the file.
        where: what errors begin with.
        fix: which files would do.
        suffixes: of those that are read.

    Raises:
        ArgumentError: there is no such file, it has another suffix, or it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ArgumentError(f"{where}: there is no such file.\n  Fix: {fix}")
    if path.suffix not in suffixes:
        raise ArgumentError(
            f'{where}: cannot read "{path.suffix}" files.\n  Fix: {fix}'
        )
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else text
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArgumentError(
            f"{where}: not a {path.suffix} file ({error}).\n  Fix: {fix}"
        ) from error
