"""The program of a Keras model, or of a file that was exported, for targets without Python."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from larqlite.errors import UnsupportedModelError
from larqlite_runtime import NoNativeStepError
from larqlite_runtime.internal import Pixels, WholeProgram, whole_program

if TYPE_CHECKING:
    import tf_keras


def program_of(
    model: tf_keras.Model | str | os.PathLike | bytes,
    where: str,
    pixels: Pixels = False,
    small: bool = False,
) -> WholeProgram:
    """The program that the kernels run, with nothing left for ONNX Runtime.

    Args:
        model: a Keras model, which is exported first and its packed layers compared, or the
            path or the bytes of a file that `lq.deploy.export` wrote.
        where: the function that asks, for messages.
        pixels: whether images are bytes p from 0 to 255. False: they are float32, as the model
            takes them; True: the model scales bytes itself, by a `Rescaling`;
            `(scale, offset)`: it is fed with `scale * p + offset`.
        small: whether memory matters more than how buffers are aligned.

    Returns:
        The program; the exported file is gone.

    Raises:
        UnsupportedModelError: it needs more than the steps of the kernels.
        LarqliteError: what `export` refuses.
        RuntimeModelError: what `larqlite_runtime.load` refuses.

    Example:
        >>> from larqlite.deploy.targets._program_of import program_of
        >>> model = tf_keras.Sequential([
        ...     lq.layers.QuantDense(3, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", input_shape=[40])])
        >>> [step.kind.name for step in program_of(model, "an example").steps]
        ['LOAD', 'CONV']
    """
    try:
        if isinstance(model, (str, os.PathLike, bytes)):
            return whole_program(model, pixels=pixels, small=small, where=where)
        with tempfile.TemporaryDirectory() as folder:
            from larqlite.deploy.exporter import export  # loads onnx

            path = Path(folder) / "model.onnx"
            export(model, path)
            return whole_program(path, pixels=pixels, small=small, where=where)
    except NoNativeStepError as error:
        raise UnsupportedModelError(f"{where}: {error}") from error
