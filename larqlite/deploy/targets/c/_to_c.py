"""`to_c`: a model, or a packed file, as one C file and its header."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from larqlite.deploy.targets._program_of import program_of
from larqlite.deploy.targets.c._algorithms import OPTIMIZE
from larqlite.deploy.targets.c._density import Samples, steps_of_zeros
from larqlite.deploy.targets.c._report import CReport, report_of
from larqlite.deploy.targets.c._source import CSource, source_of
from larqlite.deploy.targets.c._text import identifier
from larqlite.errors import ArgumentError, MissingFileError
from larqlite.outputs import require, written_whole
from larqlite_runtime.internal import Pixels, WholeProgram


def to_c(
    model: Any,
    folder: str | os.PathLike,
    *,
    name: str | None = None,
    pixels: Pixels = False,
    optimize: str = "speed",
    samples: Samples | None = None,
) -> CReport:
    """Writes a network as C99: `NAME.c` and `NAME.h`, which need nothing else.

    The C computes what `lq.runtime.load` does, one picture a call: every packed integer is
    the same, floats are summed in the order of the program. It calls no `malloc` and no
    function of `math.h`, only `memcpy` and `memset`; its tables are constants, which stay in
    flash, and all that it works on is one array whose size the header says.

    Args:
        model: a built tf_keras model, or the path (or bytes) of a file that
            `lq.deploy.export` wrote.
        folder: for the two files; it is made if there is none.
        name: of the network, which public names of C begin with: letters, digits and
            underscores. By default that of the file, or of the model.
        pixels: whether images are bytes, whole numbers p from 0 to 255, which the first layer
            multiplies as integers: far faster where a processor has no floats. True where
            the model scales p itself (`Rescaling`), or `(scale, offset)` if it is fed with
            `scale * p + offset`.
        optimize: what an algorithm is chosen for, layer by layer: "speed" for few
            instructions, "memory" for little room to work in. Both compute the same.
        samples: a few inputs `(samples, ...)`, or such arrays by name, of the type that goes
            in. Where most inputs of a packed layer are -1 on these, the others are counted,
            which takes fewer instructions on such inputs and computes the same on all.

    Returns:
        A `CReport`: flash, memory, and the layers.

    Raises:
        UnsupportedModelError: a layer that has no exact form in C; says which.
        ArgumentError: `name` is no name of C, `model` is neither, a file of that name is
            there that larqlite did not write, `optimize` is no such word, or `samples` do not
            fit the inputs.
        ModelFileError: the file is missing, damaged, or no packed model.

    Example:
        >>> model = tf_keras.Sequential([
        ...     lq.layers.QuantDense(3, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", input_shape=[40])])
        >>> report = lq.deploy.to_c(model, getfixture("tmp_path"), name="three")
        >>> [path.name for path in report.files]
        ['three.c', 'three.h']
    """
    folder = checked_folder(folder, "to_c")
    name = checked_name(model, name, "to_c")
    require_optimize(optimize, "to_c")
    whole = program_of(model, "to_c", pixels, small=True)
    source = chosen_source(whole, name, optimize, samples, "to_c")
    texts = {
        folder / f"{name}.c": source.source,
        folder / f"{name}.h": source.header,
    }
    write_files(texts, "to_c")
    return report_of(source, whole, list(texts))


def chosen_source(
    whole: WholeProgram,
    name: str,
    optimize: str,
    samples: Samples | None,
    where: str,
) -> CSource:
    """The C of a program, as users ask for it."""
    zeros = () if samples is None else steps_of_zeros(whole, samples, where)
    return source_of(whole, name, optimize=optimize, lists_zeros=zeros)


def require_optimize(optimize: str, where: str) -> None:
    """Refuses what no algorithm is chosen for."""
    if optimize not in OPTIMIZE:
        words = " or ".join(f'"{word}"' for word in OPTIMIZE)
        raise ArgumentError(
            f"{where}: optimize={optimize!r} is unknown.\n  Fix: {words}."
        )


def write_files(texts: Mapping[Path, str], where: str) -> None:
    """Writes files, all of which may be written, or none.

    Args:
        texts: by path; folders that are missing are made.
        where: the function, for messages.

    Raises:
        ArgumentError: a file is there that larqlite did not write, or nothing can be written.
        MissingFileError: a folder is there in place of a file, or a file of a folder.
        OSError: the disk is full, for one; what was there stays, and nothing else is left.
    """
    for path in texts:
        try:
            require(path, (path.suffix,), where, makes_folder=True)
        except (ArgumentError, MissingFileError) as error:
            # Their names are given by what reads them.
            what, _, _ = str(error).partition("\n")
            raise type(error)(f"{what}\n  Fix: another folder.") from error
    made: list[Path] = []
    try:
        # The old files stay until all of the new ones are there: on a full disk, for instance.
        with ExitStack() as files:
            for path, text in texts.items():
                made += _made_folders(path.parent)
                temporary = files.enter_context(written_whole(path))
                temporary.write_text(text, encoding="ascii")
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):  # somebody else may use it by now
                folder.rmdir()
        raise


def _made_folders(folder: Path) -> list[Path]:
    """Makes a folder, and those that it lies in; gives the new ones."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def checked_folder(folder: str | os.PathLike, where: str) -> Path:
    """The path of a folder."""
    try:
        return Path(os.fsdecode(folder))
    except TypeError as error:
        raise ArgumentError(
            f"{where}: {folder!r} is no path of a folder.\n"
            '  Fix: a name, such as "network_c".'
        ) from error


def checked_name(model: Any, name: str | None, where: str) -> str:
    """A name of C: what is given, or that of the model."""
    if name is None:
        if isinstance(model, (str, os.PathLike)):
            found = Path(os.fsdecode(model)).stem
        else:
            found = getattr(model, "name", None) or "network"
        return identifier(found)
    if not isinstance(name, str) or identifier(name) != name:
        raise ArgumentError(
            f"{where}: name={name!r} is no name of C.\n  Fix: letters, digits and single "
            f'underscores, such as name="{identifier(str(name))}".'
        )
    return name
