"""`to_flat(model, path)`: a network as one file that native code and WASM run without Python."""

from larqlite.deploy.targets.flat._layout import SUFFIX
from larqlite.deploy.targets.flat._read import (
    FlatBuffer,
    FlatFile,
    FlatStep,
    FlatTensor,
    parse,
)
from larqlite.deploy.targets.flat._to_flat import to_flat
from larqlite.deploy.targets.flat._write import flat_bytes

__all__ = [
    "SUFFIX",
    "FlatBuffer",
    "FlatFile",
    "FlatStep",
    "FlatTensor",
    "flat_bytes",
    "parse",
    "to_flat",
]
