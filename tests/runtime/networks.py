"""What stock onnxruntime makes of a packed model: the outside that the runtime is held to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from larqlite import onnx_graph
from tests.runtime.files import PACKED


def stock(
    model: onnx.ModelProto,
    inputs: dict[str, np.ndarray],
    outputs: Sequence[str] | None = None,
    folds: bool = True,
) -> dict[str, np.ndarray]:
    """Runs a model with its packed nodes as functions of standard ones.

    Args:
        model: without functions.
        inputs: arrays by name.
        outputs: tensors to return; the outputs of the model by default.
        folds: whether onnxruntime may fold operations.
    """
    import onnxruntime

    model = onnx.ModelProto.FromString(model.SerializeToString())
    used = {node.op_type for node in model.graph.node if node.domain == PACKED}
    del model.functions[:]
    model.functions.extend(onnx_graph.functions_used_by(used))
    names = list(outputs or [item.name for item in model.graph.output])
    known = {item.name for item in model.graph.output}
    for name in names:
        if name not in known:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not folds:
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(names, session.run(names, inputs), strict=True))
