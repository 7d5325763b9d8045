"""`check_finn(file)`: what FINN would refuse of a QONNX file, or compute otherwise."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from larqlite.errors import ArgumentError, UnsupportedModelError

if TYPE_CHECKING:
    import onnx


def check_finn(file: str | os.PathLike | onnx.ModelProto) -> tuple[str, ...]:
    """What FINN would refuse, leave in float, or compute otherwise, of a QONNX file.

    It is read from the nodes, without FINN: zero points that are not 0, quantizers of one
    bit that are none of signs, scales of signs, roundings, widths above 8 bits, kernels that
    two layers share, constants beside images that do not have all axes, windows without
    their attributes, channels last, sizes that are missing, and operations that neither FINN
    nor QONNX has.

    Args:
        file: a file, or what `to_qonnx` returned.

    Returns:
        A sentence for each, with the name of the node; none if there is nothing.

    Raises:
        ArgumentError: it is no ONNX file.

    Example:
        >>> model = tf_keras.Sequential([
        ...     lq.layers.QuantDense(2, input_quantizer="ste_sign",
        ...                          kernel_quantizer="ste_sign",
        ...                          kernel_constraint="weight_clip", input_shape=(3,))])
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.onnx")
        ...     made = lq.deploy.to_qonnx(model, path, for_="finn")
        >>> lq.deploy.check_finn(made)
        ()
    """
    import onnx

    from larqlite.deploy.qonnx._finn_faults import faults_of

    model = file
    if not isinstance(file, onnx.ModelProto):
        from larqlite.onnx_graph import fault_of

        fault = (
            fault_of(Path(file)) if os.path.isfile(file) else "there is no such file"
        )
        if fault is not None:
            raise ArgumentError(
                f"lq.deploy.check_finn: {file}: {fault}.\n"
                '  Fix: lq.deploy.to_qonnx(model, path, for_="finn").'
            )
        model = onnx.load(file)
    return tuple(faults_of(model))


def require_finn(model: onnx.ModelProto) -> None:
    """Raises UnsupportedModelError if FINN would not take a file."""
    faults = check_finn(model)
    if faults:
        listed = "".join(f"\n  {fault}" for fault in faults)
        raise UnsupportedModelError(
            f'lq.deploy.to_qonnx: for_="finn": FINN would not take it:{listed}\n'
            "  Fix: other layers there, or without for_ for tools that read all of QONNX."
        )
