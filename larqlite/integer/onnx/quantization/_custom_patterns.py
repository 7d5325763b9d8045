"""Patterns of one's own for the quantization of ONNX models: their scope, their errors."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
from collections.abc import Callable, Iterator, Mapping

from larqlite.errors import ArgumentError, LarqliteError

__all__ = ["Mismatch", "PatternError", "custom_pattern_scope", "custom_patterns"]

Patterns = tuple[tuple[tuple[str, ...], Callable], ...]

_PATTERNS: contextvars.ContextVar[Patterns] = contextvars.ContextVar(
    "larqlite_onnx_patterns", default=()
)


class PatternError(LarqliteError, RuntimeError):
    """A custom pattern whose function cannot be called or gives back no layer."""


class Mismatch(Exception):
    """The reason why nodes that match a pattern are not quantized by it."""


def custom_patterns() -> Patterns:
    """The patterns of the scopes that are open here, the innermost first."""
    return _PATTERNS.get()


@contextlib.contextmanager
def custom_pattern_scope(
    patterns: Mapping[str | tuple[str, ...], Callable],
) -> Iterator[None]:
    """Quantizes sequences of operations by layers of one's own, within the scope.

    They are tried before those of larqlite, in the order given. Scopes inside others add
    to them and are tried first; each scope ends with its block, in its own thread or task.

    Args:
        patterns: by the types of the operations in their order, `("Conv", "Sigmoid")`,
            the function that turns them into a layer: `function(block_nodes, graph)`
            takes the list of NodeProtos and the GraphProto, and returns an `OnnxLayer`.
            A convolution of single channels is called `"DepthwiseConv"`, `Clip` from
            zero also `"Relu"`, a `MatMul` with weights also `"Gemm"`.

    Raises:
        ArgumentError: a pattern that is no sequence of names.
        PatternError: a function that does not take two arguments.

    >>> from larqlite.integer.onnx.quantization import custom_pattern_scope
    >>> with custom_pattern_scope({("Sigmoid",): lambda block_nodes, graph: None}):
    ...     pass
    """
    if not isinstance(patterns, Mapping):
        raise ArgumentError(
            f"custom_pattern_scope: patterns is a {type(patterns).__name__}.\n"
            '  Fix: a dictionary, e.g. {("Sigmoid",): function}.'
        )
    own = tuple((_names(key), _callable(key, value)) for key, value in patterns.items())
    token = _PATTERNS.set(own + _PATTERNS.get())
    try:
        yield
    finally:
        _PATTERNS.reset(token)


def _names(pattern) -> tuple[str, ...]:
    names = (pattern,) if isinstance(pattern, str) else pattern
    is_sequence = isinstance(names, (tuple, list)) and names
    if not is_sequence or not all(isinstance(n, str) and n for n in names):
        raise ArgumentError(
            f"custom_pattern_scope: the pattern {pattern!r} is no sequence of operation "
            'types.\n  Fix: a tuple of strings, e.g. ("Conv", "Sigmoid").'
        )
    return tuple(names)


def _callable(pattern, function) -> Callable:
    try:
        inspect.signature(function).bind(None, None)
    except (TypeError, ValueError) as error:
        raise PatternError(
            f"custom_pattern_scope: {function!r} of the pattern {pattern!r} cannot be "
            f"called with two arguments: {error}\n"
            "  Fix: def function(block_nodes, graph): return an OnnxLayer."
        ) from error
    return function
