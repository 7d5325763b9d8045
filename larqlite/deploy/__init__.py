"""Export a trained network with its weights packed at their bit width."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from larqlite.deploy._converter_tables import activation_converter, converter
from larqlite.deploy._report import FloatRow, PackedRow, Report
from larqlite.deploy.qonnx import Hls4mlRun, check_finn, run_hls4ml, to_qonnx
from larqlite.deploy.verifier import (
    Differences,
    LayerVerification,
    OutputVerification,
    PrecisionVerification,
    Verification,
    VerificationError,
    verify,
)

if TYPE_CHECKING:
    import os

    import tf_keras

    from larqlite.deploy import targets
    from larqlite.deploy.targets import TargetRow, TargetsReport, verify_on
    from larqlite.deploy.targets.c import CLayer, CReport, to_arduino, to_c
    from larqlite.deploy.targets.flat import FlatFile, to_flat

__all__ = [
    "CLayer",
    "CReport",
    "Differences",
    "FlatFile",
    "FloatRow",
    "Hls4mlRun",
    "LayerVerification",
    "OutputVerification",
    "PrecisionVerification",
    "PackedRow",
    "Report",
    "TargetRow",
    "TargetsReport",
    "Verification",
    "VerificationError",
    "activation_converter",
    "check_finn",
    "converter",
    "export",
    "targets",
    "to_arduino",
    "to_c",
    "to_flat",
    "run_hls4ml",
    "to_qonnx",
    "verify",
    "verify_on",
]


# They bring the runtime, which who registers a converter has no need of.
_IMPORTED_WHEN_USED = {
    **dict.fromkeys(("TargetRow", "TargetsReport", "verify_on"), "targets"),
    **dict.fromkeys(("CLayer", "CReport", "to_arduino", "to_c"), "targets.c"),
    **dict.fromkeys(("FlatFile", "to_flat"), "targets.flat"),
}


def __getattr__(name: str):
    if name == "targets":
        return importlib.import_module(f"{__name__}.targets")
    if name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_IMPORTED_WHEN_USED[name]}")
    globals()[name] = found = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def export(
    model: tf_keras.Model,
    path: str | os.PathLike,
    *,
    data: Any = None,
    verify: bool = True,
) -> Report:
    r"""Writes a model as an ONNX file whose quantized kernels are packed at their width.

    A kernel of $n$ values with $k$ bits takes $\lceil n k / 8 \rceil$ bytes, so the
    weights in the file take what `lq.models.summary` calls the deployed size. The file
    runs on `larqlite.runtime` with bit-packed kernels, and on ONNX Runtime from 1.18 on:
    each packed layer is one node of the domain `ai.larqlite`, and the file defines these
    nodes by standard operations.

    Given the same input bits, the integer sums of a packed layer are those of Keras bit
    for bit. The offset of a batch normalization between a packed layer and a quantizer is
    moved by a few units in the last place, if need be, so that every sum is quantized as
    in Keras. (Where Keras multiplies with scaled kernels, as of `magnitude_aware_sign`,
    its own sums are rounded; those of the file are not.) Float outputs agree to about
    1e-6 of the largest one.

    Inputs and outputs keep Keras' names and layout; the batch stays open, all other sizes
    are fixed. Layers in training mode only (dropout, regularization) are left out.
    Quantization-aware layers (`lq.qat`) keep their weights in the bits that they have, and
    round in the same places.

    Args:
        model: a built Sequential or functional tf_keras model in float32; nested models,
            shared layers, and several inputs and outputs included. A model of Keras 3
            comes in as by `lq.models.from_keras`, here and in all that takes models.
        path: of the file, usually `*.onnx`. It is replaced only when all went well.
        data: a few inputs, in any form that `lq.deploy.verify` takes. The file is compared
            with Keras on the first 16 of them instead of random ones. Only models that
            take no random inputs need it.
        verify: whether to compare the packed layers with Keras, on two random inputs if
            there is no `data`, before the file is written. These are drawn from what the
            model states: whole numbers below the size of an `Embedding`, pixels from 0 to
            255 before a `Rescaling` by 1/255, the mean and variance of a
            `Normalization`, positive numbers where others give NaN.

    Returns:
        A `Report`: the packed layers, the layers left float, sizes, and remarks.

    Raises:
        UnsupportedLayerError: a layer or quantizer that has no exact counterpart; the
            message names it, says why, and what works instead.
        UnsupportedModelError: a subclassed model, one that leaves
            sizes open, or one that is too large for a file.
        VerificationError: a packed layer of the file would not compute what it does in
            Keras.
        UnbuiltModelError: the model has no weights yet.
        ArgumentError: it is no model, `path` is no path, the model does not run on
            `data`, or it takes no random inputs and there are none given.
        MissingFileError: the folder of `path` does not exist.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.Input((8, 8, 32)),
        ...     lq.layers.QuantConv2D(64, 3, use_bias=False, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", kernel_constraint="weight_clip"),
        ...     tf_keras.layers.BatchNormalization()])
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = lq.deploy.export(model, os.path.join(folder, "model.onnx"))
        >>> report.weight_bytes, lq.models.profile(model).deployed_bytes
        (2816, 2816)
        >>> report.packed[0].operation
        'BConv2D'

    References:
        Open Neural Network Exchange, https://onnx.ai.
    """
    from larqlite.deploy.exporter import export

    return export(model, path, data, verify)
