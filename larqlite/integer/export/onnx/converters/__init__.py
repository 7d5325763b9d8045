"""One file for each family of integer layers; each registers what it can write."""

from larqlite.integer.export.onnx.converters import (
    _activation,
    _attention,
    _conv,
    _norm,
    _pool,
    _separable,
    _shape,
    _shiftmax,
    _sign,
    _simple,
    _tokens,
)

__all__ = [
    "_activation",
    "_attention",
    "_conv",
    "_norm",
    "_pool",
    "_separable",
    "_shape",
    "_shiftmax",
    "_sign",
    "_simple",
    "_tokens",
]
