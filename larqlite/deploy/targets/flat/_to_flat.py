"""`to_flat(model, path)`: a network as a flat program file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from larqlite.deploy.targets._program_of import program_of
from larqlite.deploy.targets.flat._layout import SUFFIX
from larqlite.deploy.targets.flat._read import FlatFile, parse
from larqlite.deploy.targets.flat._write import flat_bytes
from larqlite.outputs import require, written_whole
from larqlite_runtime.internal import Pixels

if TYPE_CHECKING:
    import tf_keras

_NAME = "lq.deploy.to_flat"


def to_flat(
    model: tf_keras.Model | str | os.PathLike | bytes,
    path: str | os.PathLike,
    *,
    pixels: Pixels = False,
) -> FlatFile:
    """Writes a network as a flat file, which C, C++ and WebAssembly run without Python.

    The file holds what `lq.runtime.load` makes of a packed file: the steps of the kernels
    in their order, where each tensor lies in memory, and the weights as the kernels read them.
    Whoever loads it plans nothing. It has a version and a checksum, and its reader checks every
    place that it leads to before anything runs.

    Every packed integer is the same as anywhere else; floats are those of the portable kernels,
    bit for bit, where these run it.

    Args:
        model: a built tf_keras model, which is compared with its file first as `export`
            does, or the path (or bytes) of a file that `lq.deploy.export` wrote.
        path: of the file, `*.lqflat`. It is replaced only when all went well.
        pixels: whether images are bytes, whole numbers p from 0 to 255, which the first layer
            multiplies as integers. True where the model scales p itself (`Rescaling`), or
            `(scale, offset)` if it is fed with `scale * p + offset`.

    Returns:
        A `FlatFile`: steps, memory and sizes.

    Raises:
        UnsupportedModelError: layers that no step of the kernels computes; says which.
        UnsupportedLayerError, VerificationError: as `export` does.
        ArgumentError: `path` does not end in .lqflat, or holds something else.
        MissingFileError: the folder of `path` does not exist.
        ModelFileError: the given file is missing, damaged, or no packed model.

    Example:
        >>> model = tf_keras.Sequential([
        ...     lq.layers.QuantDense(3, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", input_shape=[40])])
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     flat = lq.deploy.to_flat(model, os.path.join(folder, "three.lqflat"))
        >>> [step.kind for step in flat.steps], flat.outputs[0].shape
        (['load', 'conv'], (None, 3))
    """
    read = [model] if isinstance(model, (str, os.PathLike)) else []
    path = require(path, (SUFFIX,), _NAME, read=read)
    content = flat_bytes(program_of(model, _NAME, pixels))
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
    return parse(content, path)
