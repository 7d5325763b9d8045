"""Sessions of ONNX Runtime, or of NumPy where it is not installed: it is an extra."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from larqlite_runtime._errors import MissingOnnxRuntimeError, quoted
from larqlite_runtime._graph import GraphNode
from larqlite_runtime.backends.numpy import NumpySession, SegmentNode, cannot_run
from larqlite_runtime.backends.onnxruntime._segment import SegmentModel

# ONNX Runtime before 1.32 moves zeros around an image into the pads of a pooling behind
# them, where they are no zeros. Files of earlier versions of larqlite have such a pair.
_CHANGES_POOLINGS = "Pad_Fusion"
INSTALL = (
    'pip install "larqlite-runtime[onnxruntime]"; where larqlite came out of a checkout, '
    "pip install onnxruntime"
)
_NAME = "onnxruntime"
_SHOWN = 3  # nodes that a message names


def is_installed() -> bool:
    """Whether there is an ONNX Runtime; it is not imported."""
    if _NAME in sys.modules:
        return sys.modules[_NAME] is not None
    return importlib.util.find_spec(_NAME) is not None


def imported(what: str) -> ModuleType:
    """The package.

    Args:
        what: needs it; the beginning of the message.

    Raises:
        MissingOnnxRuntimeError: it is not installed.
    """
    if not is_installed():
        raise MissingOnnxRuntimeError(
            f"{what} needs ONNX Runtime, which is not installed here.\n  Fix: {INSTALL}"
        )
    return importlib.import_module(_NAME)


def session(segment: SegmentModel, nodes: Sequence[GraphNode], threads: int) -> Any:
    """A session that runs nodes of a file; one of NumPy if there is no ONNX Runtime.

    Args:
        segment: the nodes as a model of their own.
        nodes: of the file.
        threads: of the session.

    Raises:
        MissingOnnxRuntimeError: ONNX Runtime is not installed, and NumPy can't do it.
    """
    if not is_installed() and not cannot_run(segment.nodes):
        return NumpySession(segment.nodes, segment.values)
    onnxruntime = imported(_float_part(segment))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if segment.constants:
        values = onnxruntime.OrtValue.ortvalue_from_numpy
        options.add_external_initializers(
            list(segment.constants), [values(a) for a in segment.constants.values()]
        )
    pools = any(node.op in ("MaxPool", "AveragePool") for node in nodes)
    return onnxruntime.InferenceSession(
        segment.model,
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=[_CHANGES_POOLINGS] if pools else [],
    )


def _float_part(segment: SegmentModel) -> str:
    """Which nodes of the file it is that need it, in a few words."""
    named = list(dict.fromkeys(map(_in_the_file, cannot_run(segment.nodes))))
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    return (
        "the part of the file that computes in float, "
        f"{', '.join(named[:_SHOWN])}{more},"
    )


def _in_the_file(node: SegmentNode) -> str:
    """The node of the file behind a node of a segment, and what it is made of there."""
    if node.source is None:
        return node.op
    name, op = node.source.name, node.source.op
    return f"{quoted(name)} ({op if op == node.op else f'{op}, made of {node.op}'})"
