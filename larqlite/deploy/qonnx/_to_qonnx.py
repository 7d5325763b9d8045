"""`to_qonnx(model, path)`: a Keras model as an ONNX file with QONNX' quantizers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from larqlite._progress import bar
from larqlite._version import __version__
from larqlite.errors import ArgumentError, near_matches
from larqlite.from_keras import as_tf_keras
from larqlite.outputs import ONNX, require

if TYPE_CHECKING:
    import onnx
    import tf_keras

    from larqlite.onnx_graph import FinishedGraph

_NAME = "lq.deploy.to_qonnx"
# Of what a file tells hls4ml.
KEY = "larqlite.hls4ml"
FORMS = ("hls4ml", "finn")


def to_qonnx(
    model: tf_keras.Model,
    path: str | os.PathLike,
    batch_size: int = 1,
    for_: str | None = None,
) -> onnx.ModelProto:
    """Writes a model as QONNX, which compilers for FPGAs and research tools read.

    Weights are float initializers. Those of few levels, and quantized activations, pass
    through nodes of the domain `qonnx.custom_op.general`; everything else is standard
    ONNX (opset 18). Images are channels first inside, inputs and outputs as in Keras. All
    quantizers have scale 1 and zero point 0, so that sums are integers; scales follow.

    - -1 and +1: `BipolarQuant`; behind a `Sub` for `RSign`.
    - 0 and 1: `Quant` of 1 bit, unsigned; of activations, behind half of one minus the
      `BipolarQuant` of what is negated.
    - -1, 0 and +1: `Quant` of 2 bits, signed and narrow.
    - DoReFa activations of k bits: `Mul` by $2^k - 1$, `Quant` of k bits, unsigned.
    - DoReFa weights of k bits: odd integers, for which `Quant` needs k + 1 bits, signed
      and narrow.

    `Trunc` is not used: no layer drops low bits of a sum.

    Two compilers get forms of their own. In both, scale, bias and batch normalization between
    sums and a quantizer are one scale and one offset of few bits behind the point, chosen so
    that every sum is quantized as in Keras, in fixed-point arithmetic too.

    - `for_="hls4ml"`: images channels last (`qonnx.custom_op.channels_last`), signs as
      `Quant` of 2 bits, names of C, and in the metadata ("larqlite.hls4ml") the types that
      hls4ml's configuration needs; `run_hls4ml` uses them. Layers that hls4ml does not
      compute, or not rightly, are refused by name.
    - `for_="finn"`: quantizers of one bit are made of signs, and inputs say their layout. What
      `check_finn` finds is refused.

    Args:
        model: a functional or Sequential model, as for `export`.
        path: where to write the file; it is there as a whole or not at all.
        batch_size: of inputs and outputs, since these tools need all sizes.
        for_: "hls4ml" or "finn"; None for what reads all of QONNX.

    Returns:
        The model in the file.

    Raises:
        ArgumentError: `batch_size` is no positive integer, or `for_` is no such tool.
        UnsupportedLayerError: a layer that cannot be expressed exactly, or that the tool does
            not take.
        UnsupportedModelError: a model that cannot.
        MissingFileError: the folder of `path` does not exist.

    Example:
        >>> model = tf_keras.Sequential([
        ...     lq.layers.QuantDense(2, input_quantizer="ste_sign",
        ...                          kernel_quantizer="ste_sign",
        ...                          kernel_constraint="weight_clip", input_shape=(3,))])
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     made = lq.deploy.to_qonnx(model, os.path.join(folder, "model.onnx"))
        >>> [node.op_type for node in made.graph.node]
        ['BipolarQuant', 'BipolarQuant', 'MatMul', 'Add']

    References:
        QONNX, https://arxiv.org/abs/2206.07527
    """
    _require_size(batch_size)
    if for_ is not None and for_ not in FORMS:
        raise ArgumentError(
            f"{_NAME}: for_={for_!r}.{near_matches(str(for_), FORMS)}\n"
            f"  Fix: one of {', '.join(FORMS)}, or leave it out."
        )
    from larqlite.deploy.exporter import finished_graph
    from larqlite.onnx_graph import WHERE, write

    path = require(path, ONNX, _NAME)
    model = as_tf_keras(model, _NAME)
    token = WHERE.set(_NAME)
    try:
        with bar("export"):
            made = _made(finished_graph(model, batch_size), for_)
            write(made, path)
    finally:
        WHERE.reset(token)
    return made


def _made(finished: FinishedGraph, for_: str | None) -> onnx.ModelProto:
    from larqlite.deploy.qonnx._check_finn import require_finn
    from larqlite.deploy.qonnx._finn import for_finn, state_layouts
    from larqlite.deploy.qonnx._hls4ml import for_hls4ml, state_constants
    from larqlite.deploy.qonnx._nodes import Rewriter, rewrite
    from larqlite.onnx_graph import onnx_model

    metadata = {"larqlite.version": __version__}
    if for_ == "hls4ml":
        finished, metadata[KEY] = for_hls4ml(finished)
    elif for_ == "finn":
        for_finn(finished)
    else:
        names = [value.name for value in finished.outputs.values()]
        rewrite(finished.graph, names, Rewriter(finished.graph))
    made = onnx_model(finished, metadata)
    if for_ == "hls4ml":
        state_constants(made)
    elif for_ == "finn":
        state_layouts(made)
        require_finn(made)
    return made


def _require_size(batch_size: int) -> None:
    if (
        isinstance(batch_size, bool)
        or not isinstance(batch_size, int)
        or batch_size < 1
    ):
        raise ArgumentError(
            f"{_NAME}: batch_size={batch_size!r}, but tools that read QONNX need the "
            "sizes of all tensors.\n  Fix: a positive integer, e.g. batch_size=1."
        )
