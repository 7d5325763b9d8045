"""The errors of the runtime, and how their messages write names and shapes.

Each says what happened, where, and how to fix it. Every class derives from
`RuntimeModelError` and from the built-in class that a caller would expect for the case, so
both kinds of `except` clause work.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST = 80  # characters of a name


class RuntimeModelError(Exception):
    """Base class of every error that the runtime raises on purpose."""


class ModelFileError(RuntimeModelError, ValueError):
    """A file that is not a packed model, is damaged, or asks for too much."""


class MissingModelFileError(ModelFileError, FileNotFoundError):
    """A path at which there is no file."""


class ArgumentError(RuntimeModelError, ValueError):
    """An argument that makes no sense: no threads, an empty batch."""


class InputError(RuntimeModelError, ValueError):
    """An input of a shape that the model does not take."""


class InputTypeError(InputError, TypeError):
    """An input of a dtype or class that the model does not take."""


class NativeError(RuntimeModelError, RuntimeError):
    """Native kernels that are asked for and missing, or that refused a program."""


class NoNativeStepError(NativeError):
    """A file with nodes that no step of the kernels computes, where nothing else may run."""


class MissingOnnxRuntimeError(RuntimeModelError, ImportError):
    """A file with a part that only ONNX Runtime runs, where that is not installed."""


def quoted(name: object, mark: str = '"', longest: int = LONGEST) -> str:
    """A name in quotation marks, at most `longest` characters of it, on one line.

    >>> quoted("conv")
    '"conv"'
    """
    text = str(name)
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return f"{mark}{text}{mark}"


def shape_text(shape: Sequence[int | None]) -> str:
    """Sizes as a reader knows them.

    >>> shape_text((None, 3, 4))
    '(batch, 3, 4)'
    """
    sizes = ["batch" if length is None else quoted(length, "") for length in shape[:8]]
    sizes += ["..."] * (len(shape) > 8)
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"
