"""Runs one dense layer with ggml, the kernels of llama.cpp: kernels in blocks of few bits.

The library comes with llama-cpp-python and is called through ctypes: a graph of one product.
It rounds the float input to 8 bits by itself, 256 values at a time.
"""

import ctypes
import importlib.util
import pathlib
from collections.abc import Callable

import numpy as np

# Of `enum ggml_type`.
FLOAT = 0
TYPES = {"TQ1_0": 34, "TQ2_0": 35, "Q8_0": 8}
SUCCEEDED = 0


class _Settings(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("memory", ctypes.c_void_p),
        ("without_data", ctypes.c_bool),
    )


class _Plan(ctypes.Structure):
    _fields_ = (
        ("work_size", ctypes.c_size_t),
        ("work", ctypes.c_void_p),
        ("threads", ctypes.c_int),
        ("pool", ctypes.c_void_p),
        ("stops", ctypes.c_void_p),
        ("stops_with", ctypes.c_void_p),
        ("by_reference", ctypes.c_bool),
    )


def write(model, path: pathlib.Path, network: str) -> None:
    """The kernel as floats, a row for each output; `load` rounds it."""
    layer = model.layers[1]
    kernel = layer.kernel_quantizer(layer.kernel).numpy()
    with path.open("wb") as file:
        np.savez(file, kernel=kernel.T.astype("float32"), batch=network.split(":")[-1])


def load(
    path: pathlib.Path, threads: int, values: str = "TQ2_0"
) -> Callable[[np.ndarray], np.ndarray]:
    """The function of one input.

    Args:
        path: of a file of `write`.
        threads: that work on one call.
        values: of `TYPES`, what the kernel is rounded to: "TQ2_0" and "TQ1_0" are ternary
            in 2 and in 1.7 bits.
    """
    with np.load(path) as file:
        kernel, batch = np.ascontiguousarray(file["kernel"]), int(file["batch"])
    channels, features = kernel.shape
    base, cpu = _libraries()
    cpu.ggml_cpu_init()
    context = base.ggml_init(_Settings((64 << 20) + 8 * batch * features, None, False))
    new, data = base.ggml_new_tensor_2d, base.ggml_get_data
    weights = new(context, TYPES[values], features, channels)
    given = new(context, FLOAT, features, batch)
    made = base.ggml_mul_mat(context, weights, given)
    graph = base.ggml_new_graph(context)
    base.ggml_build_forward_expand(graph, made)
    base.ggml_quantize_chunk(
        *(TYPES[values], kernel.ctypes.data, data(weights)),
        *(0, channels, features, None),
    )
    plan = cpu.ggml_graph_plan(graph, threads, None)
    work = np.zeros(plan.work_size + 64, np.uint8)
    plan.work = work.ctypes.data
    x_of = _floats(data(given), (batch, features))
    y_of = _floats(data(made), (batch, channels))

    def run(x: np.ndarray) -> np.ndarray:
        x_of[:] = x
        if cpu.ggml_graph_compute(graph, ctypes.byref(plan)) != SUCCEEDED:
            raise RuntimeError("ggml did not compute its graph")
        return y_of

    run.kept = work
    return run


def _floats(address: int, shape: tuple[int, int]) -> np.ndarray:
    size = shape[0] * shape[1]
    return np.ctypeslib.as_array((ctypes.c_float * size).from_address(address)).reshape(
        shape
    )


def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """What all of ggml needs, and its kernels for processors."""
    package = importlib.util.find_spec("llama_cpp")
    folder = pathlib.Path(package.submodule_search_locations[0]) / "lib"
    base, cpu = (
        ctypes.CDLL(str(next(folder.glob(f"libggml-{name}.*"))), ctypes.RTLD_GLOBAL)
        for name in ("base", "cpu")
    )
    pointer, integer, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    declared = (
        (base.ggml_init, pointer, [_Settings]),
        (base.ggml_new_tensor_2d, pointer, [pointer, integer, size, size]),
        (base.ggml_get_data, pointer, [pointer]),
        (base.ggml_mul_mat, pointer, [pointer] * 3),
        (base.ggml_new_graph, pointer, [pointer]),
        (base.ggml_build_forward_expand, None, [pointer] * 2),
        (
            base.ggml_quantize_chunk,
            ctypes.c_size_t,
            [integer, pointer, pointer, size, size, size, pointer],
        ),
        (cpu.ggml_cpu_init, None, []),
        (cpu.ggml_graph_plan, _Plan, [pointer, integer, pointer]),
        (cpu.ggml_graph_compute, integer, [pointer, pointer]),
    )
    for function, result, arguments in declared:
        function.restype, function.argtypes = result, arguments
    return base, cpu
