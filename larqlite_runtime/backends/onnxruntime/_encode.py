"""Models for ONNX Runtime as bytes: nodes, constants and values in the format's messages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from larqlite_runtime.reader import encode

IR_VERSION, OPSET = 9, 18
DATA_TYPES = {
    np.dtype(name): number
    for name, number in (
        ("float32", 1),
        ("uint8", 2),
        ("int8", 3),
        ("int32", 6),
        ("int64", 7),
        ("bool", 9),
    )
}


def model_bytes(
    nodes: Sequence[dict],
    constants: Sequence[dict],
    inputs: Sequence[dict],
    outputs: Sequence[dict],
) -> bytes:
    """A model of these messages."""
    return encode(
        "Model",
        {
            "ir_version": IR_VERSION,
            "graph": {
                "node": nodes,
                "name": "segment",
                "initializer": constants,
                "input": inputs,
                "output": outputs,
            },
            "opset_import": [{"domain": "", "version": OPSET}],
        },
    )


def value(name: str, dtype: np.dtype, shape: tuple) -> dict:
    sizes = [
        {"dim_param": "batch"} if size is None else {"dim_value": size}
        for size in shape
    ]
    kind = {"elem_type": DATA_TYPES[np.dtype(dtype)], "shape": {"dim": sizes}}
    return {"name": name, "type": {"tensor_type": kind}}


def beside(name: str, array: np.ndarray) -> dict:
    """A constant whose values the session is given beside the model."""
    where = {"location": "beside", "offset": "0", "length": str(array.nbytes)}
    return {
        "dims": list(array.shape),
        "data_type": DATA_TYPES[array.dtype],
        "name": name,
        "external_data": [{"key": key, "value": value} for key, value in where.items()],
        "data_location": 1,
    }


def tensor(name: str, array: np.ndarray) -> dict:
    return {
        "dims": list(array.shape),
        "data_type": DATA_TYPES[array.dtype],
        "name": name,
        "raw_data": np.ascontiguousarray(array).tobytes(),
    }


def attribute(name: str, value) -> dict:
    if isinstance(value, bool | int | np.integer):
        return {"name": name, "i": int(value), "type": 2}
    if isinstance(value, float | np.floating):
        return {"name": name, "f": float(value), "type": 1}
    if isinstance(value, str):
        return {"name": name, "s": value, "type": 3}
    if isinstance(value, np.ndarray) and value.ndim != 1:
        return {"name": name, "t": tensor("", value), "type": 4}
    if any(isinstance(item, float | np.floating) for item in value):
        return {"name": name, "floats": [float(item) for item in value], "type": 6}
    return {"name": name, "ints": [int(item) for item in value], "type": 7}
