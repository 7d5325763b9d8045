"""The errors of the runtime: each says what happened, where, and how to fix it.

Every class derives from `RuntimeModelError` and from the built-in class that a
caller would expect for the case, so both kinds of `except` clause work.
"""

from __future__ import annotations


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
