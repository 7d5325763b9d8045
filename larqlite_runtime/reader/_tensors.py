"""Stored tensors of a file as arrays, once their sizes are known to be true."""

from __future__ import annotations

import math

import numpy as np

from larqlite_runtime._errors import ModelFileError
from larqlite_runtime.reader._wire import DAMAGED

# Numbers of TensorProto.DataType that a packed model uses.
DTYPES: dict[int, np.dtype] = {
    1: np.dtype("<f4"),
    2: np.dtype("u1"),
    6: np.dtype("<i4"),
    7: np.dtype("<i8"),
    9: np.dtype("?"),
}
NUMBERS = {dtype: number for number, dtype in DTYPES.items()}
MAX_RANK = 8

# Which other field may hold the values in place of raw_data.
_TYPED = {1: "float_data", 2: "int32_data", 6: "int32_data", 7: "int64_data"}
_TYPED[9] = "int32_data"
_OTHERS = {
    3: "int8",
    4: "uint16",
    5: "int16",
    8: "string",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
}


def dtype_of(number: int, where: str) -> np.dtype:
    """The dtype of a number of TensorProto.DataType; refuses those not in `DTYPES`."""
    if number in DTYPES:
        return DTYPES[number]
    known = ", ".join(dtype.name for dtype in DTYPES.values())
    raise ModelFileError(
        f"{where} has the data type {_OTHERS.get(number, number)}; a packed model "
        f"holds {known}.\n  Fix: write the file with `lq.deploy.export(model, path)`."
    )


def to_array(tensor: dict, where: str, budget: int) -> np.ndarray:
    """The values of a decoded "Tensor" message, read-only.

    Args:
        tensor: as `decode` returns it.
        where: what it is, for messages.
        budget: most bytes that it may have.

    Raises:
        ModelFileError: its values lie in another file, are of another dtype, or are
            not as many as its sizes say.
    """
    _refuse_external(tensor, where)
    number = tensor.get("data_type", 0)
    dtype = dtype_of(number, where)
    dims = tuple(tensor.get("dims", ()))
    if len(dims) > MAX_RANK or any(dim < 1 for dim in dims):
        raise ModelFileError(
            f"{where} has the sizes {_short(dims)}; each must be at least 1, and there "
            f"may be {MAX_RANK} of them" + DAMAGED
        )
    count = math.prod(dims)
    if count * dtype.itemsize > budget:
        raise ModelFileError(
            f"{where} has the sizes {_short(dims)}, {count * dtype.itemsize} bytes, more "
            f"than the budget of {budget} bytes.\n  Fix: if the file is yours, give "
            f"`budget=` a larger number."
        )
    filled = [
        name for name in (*_TYPED.values(), "raw_data") if tensor.get(name) is not None
    ]
    fields = sorted(set(filled))
    if len(fields) != 1 or fields[0] not in ("raw_data", _TYPED[number]):
        raise ModelFileError(
            f"{where} ({dtype.name}) has its values in {' and '.join(fields) or 'no field'}"
            + DAMAGED
        )
    values = tensor[fields[0]]
    if fields[0] == "raw_data":
        array = _raw(values, dtype, count, where, dims)
    else:
        array = _typed(values, dtype, count, where, dims)
    array = array.reshape(dims)
    if dtype.kind == "f" and np.isnan(array).any():
        raise ModelFileError(
            f"{where} holds values that are no numbers (NaN), so every output would be "
            "NaN.\n  Fix: train the network again, with a smaller learning rate for "
            "instance; NaN weights are a sign that its training diverged."
        )
    array.flags.writeable = False
    return array


def _raw(values, dtype: np.dtype, count: int, where: str, dims: tuple) -> np.ndarray:
    if len(values) != count * dtype.itemsize:
        raise ModelFileError(
            f"{where} has {len(values)} bytes of values, but {count * dtype.itemsize} "
            f"by its sizes {_short(dims)} and its data type {dtype.name}" + DAMAGED
        )
    if dtype.kind == "b":
        values = _checked_bools(np.frombuffer(values, np.uint8), where)
    array = np.frombuffer(values, dtype)
    # A view of the file's bytes, if a program may read it where it lies.
    return array if array.flags.aligned else array.copy()


def _typed(values, dtype: np.dtype, count: int, where: str, dims: tuple) -> np.ndarray:
    if len(values) != count:
        raise ModelFileError(
            f"{where} has {len(values)} values, but {count} by its sizes "
            f"{_short(dims)}" + DAMAGED
        )
    if dtype.kind == "f":
        return np.array(values, dtype)
    wide = np.array(values, np.int64)
    if dtype.kind == "b":
        return _checked_bools(wide, where).astype(dtype)
    limits = np.iinfo(dtype)
    if wide.min() < limits.min or wide.max() > limits.max:
        raise ModelFileError(
            f"{where} has values outside {limits.min}..{limits.max}, the range of its "
            f"data type {dtype.name}" + DAMAGED
        )
    return wide.astype(dtype)


def _checked_bools(values: np.ndarray, where: str) -> np.ndarray:
    if ((values != 0) & (values != 1)).any():
        raise ModelFileError(f"{where} (bool) has values other than 0 and 1" + DAMAGED)
    return values


def _refuse_external(tensor: dict, where: str) -> None:
    entries = {
        item.get("key"): item.get("value") for item in tensor.get("external_data", ())
    }
    if entries or tensor.get("data_location", 0):
        raise ModelFileError(
            f"{where} has its values in another file ({entries.get('location', '')!r}); "
            "no other file is opened, because a packed model holds all of its weights."
            "\n  Fix: write the file with `lq.deploy.export(model, path)`, or bring the "
            "values into it with `onnx.save_model(onnx.load(path), new_path)`."
        )


def _short(dims: tuple) -> str:
    """Sizes as text that a hostile file can't make long."""
    text = "x".join(str(dim) for dim in dims[:MAX_RANK])
    return text + ("x..." if len(dims) > MAX_RANK else "") or "()"
