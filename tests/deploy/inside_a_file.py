"""Tensors inside of an exported file, computed by a stock ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


def metadata(path: Path) -> dict:
    """The texts of a file, those in JSON decoded."""
    texts = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    version = texts.pop("larqlite.version")
    return {key: json.loads(text) for key, text in texts.items()} | {
        "larqlite.version": version
    }


def tensors(path: Path, inputs: dict | np.ndarray, names=()) -> dict[str, np.ndarray]:
    """The outputs of a file and those of its inner tensors that are named."""
    model = onnx.load(path)
    outputs = {output.name for output in model.graph.output}
    infos = {info.name: info for info in model.graph.value_info}
    model.graph.output.extend(infos[name] for name in names if name not in outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    if not isinstance(inputs, dict):
        inputs = {session.get_inputs()[0].name: inputs}
    found = [output.name for output in session.get_outputs()]
    return dict(zip(found, session.run(found, inputs), strict=True))


def channels_last(array: np.ndarray) -> np.ndarray:
    """`(batch, channels, ...)` as `(batch, ..., channels)`."""
    return np.moveaxis(array, 1, -1)


def folded_as_some_runtimes_do(model: onnx.ModelProto) -> list[str]:
    """Poolings whose pads some optimizers would take zeros into, which changes numbers.

    ONNX Runtime before 1.32 and onnxoptimizer do it for a `Pad` with zeros that only a
    pooling reads, or a cast in front of it; what they drop before that is looked through.
    """
    arrays = {a.name: onnx.numpy_helper.to_array(a) for a in model.graph.initializer}
    maker = {name: node for node in model.graph.node for name in node.output}

    def neutral(node: onnx.NodeProto) -> bool:
        given = [arrays[name] for name in node.input if name in arrays]
        zero = node.op_type in ("Add", "Sub") and all((a == 0).all() for a in given)
        one = node.op_type in ("Mul", "Div") and all((a == 1).all() for a in given)
        return bool(given) and (zero or one)

    found = []
    for pooling in model.graph.node:
        if pooling.op_type not in ("MaxPool", "AveragePool"):
            continue
        node = maker.get(pooling.input[0])
        while node is not None and (
            node.op_type in ("Identity", "Cast", "Transpose") or neutral(node)
        ):
            (source,) = [name for name in node.input if name not in arrays]
            node = maker.get(source)
        if node is None or node.op_type != "Pad":
            continue
        modes = [a.s for a in node.attribute if a.name == "mode"]
        value = arrays[node.input[2]] if len(node.input) > 2 else 0
        if modes in ([], [b"constant"]) and not np.any(value):
            found.append(pooling.name)
    return found
