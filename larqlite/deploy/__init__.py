"""Export a trained network with its weights packed at their bit width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from larqlite.deploy._registry import activation_converter, converter
from larqlite.deploy._report import PackedRow, Report

if TYPE_CHECKING:
    import os

    import tf_keras

__all__ = ["PackedRow", "Report", "activation_converter", "converter", "export"]


def export(model: tf_keras.Model, path: str | os.PathLike) -> Report:
    """Writes a model as an ONNX file.

    Packed kernels lie in it at their bit width.
    """
    from larqlite.deploy._export import export

    return export(model, path)
