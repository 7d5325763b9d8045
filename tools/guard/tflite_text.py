"""A TFLite file as text: every tensor as the interpreter tells of it, and what comes out."""

from collections.abc import Iterator

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from .texts import array


def fields(content: bytes, inputs, prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Pairs of a field and its lines; `inputs` is an array, or a list of them."""
    given = inputs if isinstance(inputs, list) else [inputs]
    interpreter = Interpreter(model_content=bytes(content), num_threads=1)
    wanted = sorted(interpreter.get_input_details(), key=lambda detail: detail["name"])
    for detail, values in zip(wanted, given, strict=True):
        interpreter.resize_tensor_input(detail["index"], values.shape)
    yield f"{prefix}tensors", [_tensor(d) for d in interpreter.get_tensor_details()]
    interpreter.allocate_tensors()
    for detail, values in zip(wanted, given, strict=True):
        interpreter.set_tensor(detail["index"], _as_codes(values, detail))
    interpreter.invoke()
    yield (
        f"{prefix}outputs",
        [
            f"{d['name']}: {array(interpreter.get_tensor(d['index']))}"
            for d in interpreter.get_output_details()
        ],
    )


def _as_codes(values: np.ndarray, detail: dict) -> np.ndarray:
    dtype = detail["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero = detail["quantization"]
    if not scale:
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    codes = np.round(values / scale) + zero
    return np.clip(codes, limits.min, limits.max).astype(dtype)


def _tensor(detail: dict) -> str:
    found = detail["quantization_parameters"]
    quantized = ""
    if len(found["scales"]):
        quantized = (
            f" scales {array(found['scales'])} zeros {array(found['zero_points'])}"
        )
        quantized += f" axis {found['quantized_dimension']}"
    shape = list(map(int, detail["shape_signature"]))
    return f"{detail['name']}: {np.dtype(detail['dtype']).name}{shape}{quantized}"
