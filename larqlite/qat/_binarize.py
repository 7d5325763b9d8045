"""`binarize(model)`: a float model becomes binary inside, with wider layers at its ends."""

from __future__ import annotations

from typing import Any

import tf_keras

from larqlite.errors import UnsupportedModelError
from larqlite.graph import LayerEntry, LayerGraph
from larqlite.qat._apply import quantize_graph
from larqlite.qat._calibrate import require_method
from larqlite.qat.graph import read
from larqlite.qat.passes import QUANT_CLASS
from larqlite.qat.schemes import BinaryScheme

__all__ = ["binarize"]


def binarize(
    model: tf_keras.Model,
    ends: Any = "int8",
    kernel_quantizer: Any = "magnitude_aware_sign",
    input_quantizer: Any = "ste_sign",
    keep: dict[Any, Any] | None = None,
    calibrate: Any = None,
    calibration: str = "auto",
) -> tf_keras.Model:
    """A copy of a float model that is binary inside: layers with kernels have 1 bit.

    The first and the last layer with a kernel, and all that lies between the binary
    ones, follow the scheme of the ends. Binary layers are larqlite's Quant layers, with
    the float kernels as latent weights; ReLUs before them are bypassed. Train the copy
    as a binarized network, then write it with `lq.deploy.export`, where a binary kernel
    takes one bit a weight and one of the ends as many as its scheme says.

    Args:
        model: a built Sequential or functional tf_keras model, or one of Keras 3
            (`lq.models.from_keras`).
        ends: scheme of the other layers, as for `quantize_apply`; "float" leaves them.
        kernel_quantizer: quantizer of the binary kernels.
        input_quantizer: quantizer of the inputs of binary layers.
        keep: further exceptions, `{pattern of layer names or class: scheme}`.
        calibrate: data to set the ranges of the ends from, as for `lq.qat.calibrate`.
        calibration: how they follow from it, likewise.

    Returns:
        A new, uncompiled model.

    Raises:
        UnsupportedModelError: no layer lies between the first and the last with a
            kernel.
        As `quantize_apply`.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.layers.Dense(16, activation="relu", input_shape=(4,), name="first"),
        ...     tf_keras.layers.Dense(16, activation="relu", name="inner"),
        ...     tf_keras.layers.Dense(2, name="last")])
        >>> lq.models.profile(lq.qat.binarize(model)).params_by_bits
        {1: 256, 8: 96, 32: 34}

    References:
        XNOR-Net, https://arxiv.org/abs/1603.05279, section 4 (first and last layers).
    """
    where = "lq.qat.binarize"
    require_method(calibration, where)
    graph = read(model, where)
    kernels = list(dict.fromkeys(_with_kernels(graph)))
    kept = dict(keep or {})
    inner = [entry.name for entry in kernels[1:-1]]
    if not inner:
        names = ", ".join(entry.name for entry in kernels) or "none"
        raise UnsupportedModelError(
            f'{where}: "{model.name}" has nothing between its first and its last layer '
            f"with a kernel ({names}).\n"
            "  Fix: say which layers: "
            'lq.qat.quantize_apply(model, {"their_names*": "binary"}).'
        )
    binary = BinaryScheme(kernel_quantizer, input_quantizer)
    scheme = {**kept, **dict.fromkeys(inner, binary), "*": ends}
    return quantize_graph(
        graph, scheme, calibrate=calibrate, calibration=calibration, where=where
    )


def _with_kernels(graph: LayerGraph) -> list[LayerEntry]:
    """The layers that have a binary counterpart, in the order of computation."""
    found = []
    for use in graph.uses:
        if use.entry.graph is not None:
            found += _with_kernels(use.entry.graph)
        elif type(use.layer) in QUANT_CLASS:
            found.append(use.entry)
    return found
