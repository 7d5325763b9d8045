"""Files that are no packed models, but something that is known: what, and what runs them."""

from __future__ import annotations

from collections.abc import Iterable

from larqlite_runtime._errors import ModelFileError
from larqlite_runtime.format import DOMAIN
from larqlite_runtime.reader.operators import OPERATORS

_PACK_IT = (
    "lq.deploy.export(model, path) writes the packed model that this runtime takes; on "
    "the command line, lq export {source} model.onnx"
)
_ONNXRUNTIME = (
    "run it with ONNX Runtime: onnxruntime.InferenceSession({source}).run(None, inputs). "
    "This runtime takes what lq.deploy.export writes"
)

# How the bytes of a file begin, from which place on; what it is, and the way out.
_BYTES = (
    (0, b"\x89HDF\r\n\x1a\n", "a Keras model or weights (.h5)", _PACK_IT),
    (
        4,
        b"TFL3",
        "a TensorFlow Lite model",
        "run it with an interpreter of TFLite, such as ai-edge-litert (for a file of Larq "
        "Compute Engine, its own). This runtime takes what lq.deploy.export writes",
    ),
)
_INSIDE_A_ZIP = (
    (b"config.json", "a Keras model (.keras)", _PACK_IT),
    (
        b".npy",
        "NumPy's arrays (.npz)",
        "give the model first, and these as --data",
    ),
    (b"data.pkl", "a PyTorch model", "lq.deploy.export packs Keras models"),
)

_DOMAINS = {
    "qonnx.custom_op.general": "QONNX",
    "qonnx.custom_op.channels_last": "QONNX",
    "onnx.brevitas": "Brevitas",
    "finn.custom_op.general": "FINN",
    "com.brainchip": "QuantizeML",
}
_QONNX = (
    "run it with qonnx (qonnx.core.onnx_exec.execute_onnx). This runtime takes what "
    "lq.deploy.export(model, path) writes"
)


def refuse_bytes(data: bytes, source: str) -> None:
    """Refuses the bytes of a file of another known format.

    Raises:
        ModelFileError: they are.
    """
    for place, start, what, fix in _BYTES:
        if data[place : place + len(start)] == start:
            raise _refusal(what, fix, source)
    if data[:4] == b"PK\x03\x04":
        for name, what, fix in _INSIDE_A_ZIP:
            if name in data[: 1 << 16] or name in data[-(1 << 16) :]:
                raise _refusal(what, fix, source)


def refuse_model(model: dict, source: str) -> None:
    """Refuses an ONNX model that is known to be for another runtime.

    Args:
        model: decoded.
        source: the path, for messages.

    Raises:
        ModelFileError: it is.
    """
    what = _what(model)
    if what is not None:
        fix = (
            _QONNX
            if what.startswith(("a QONNX", "a Brevitas", "a FINN"))
            else (_ONNXRUNTIME)
        )
        raise _refusal(what, fix, source)


def _what(model: dict) -> str | None:
    keys = {item.get("key") for item in model.get("metadata_props", ())}
    functions = {
        item.get("name", "")
        for item in model.get("functions", ())
        if item.get("domain") == DOMAIN
    }
    if "larqlite.integer.layers" in keys or any(map(_is_integer_function, functions)):
        return "an ONNX model of integer operations (lq.integer)"
    for item in model.get("opset_import", ()):
        name = _DOMAINS.get(item.get("domain", ""))
        if name is not None:
            return f"a {name} model" if name[0] not in "AEIO" else f"an {name} model"
    nodes = _operations(model.get("graph", {}).get("node", ()))
    if "larqlite.integer.step" in keys:
        return "an ONNX model of quantized floats (lq.integer.export.to_qdq)"
    if {"QuantizeLinear", "DequantizeLinear", "QLinearConv"} & nodes - set(
        OPERATORS[""]
    ):
        return "an ONNX model of quantized floats (QuantizeLinear, DequantizeLinear)"
    return None


def _is_integer_function(name: str) -> bool:
    """Whether `lq.integer` writes a function of this name, of Keras or ONNX models."""
    if name in OPERATORS[DOMAIN]:
        return False
    parts = ("Int", "Quantized", "InputQuantizer", "Dequantizer")
    return name.startswith(parts)


def _operations(nodes: Iterable[dict]) -> set[str]:
    return {node.get("op_type", "") for node in nodes if not node.get("domain")}


def _refusal(what: str, fix: str, source: str) -> ModelFileError:
    return ModelFileError(
        f"it is {what}, no packed model.\n  Fix: {fix.format(source=source)}."
    )
