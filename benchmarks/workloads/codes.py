"""Sums of 8-bit inputs and kernels of few bits, 2048 x 2048, beside what a core can do."""

import ctypes
import ctypes.util

import numpy as np

from larqlite_runtime._program import (
    EpilogueKind,
    EpilogueOp,
    KernelStep,
    StepKind,
    TensorView,
    aligned,
)
from larqlite_runtime.backends import _native
from larqlite_runtime.backends._c_structures import CBuffer, c_steps
from workloads._base import Workload

FEATURES = CHANNELS = 2048
# One look at the peak: 20 x 1000 x 12 instructions of 64 products.
PEAK_PRODUCTS = 20 * 1000 * 12 * 64
# What is read cold lies in so many bytes, far more than caches hold.
COLD_BYTES = 200 << 20


def prepare(library: str, what: str, isa: str, **options):
    """One of the sides.

    Args:
        library: "larqlite".
        what: "step", of a kind; "peak": products of bytes in registers, one call of
            `lq_peak_of_codes` for 0 seconds; "read": as many bytes as weights, from
            memory; "int8": ONNX Runtime's product of int8 matrices.
        isa: the instruction set.
        **options: of the function of that name.
    """
    make = {"step": _step, "peak": _peak, "read": _read, "int8": _int8}[what]
    return make(isa, **options)


def _peak(isa: str, products: int) -> Workload:
    lib, number = _native.library(), _native.INSTRUCTION_SETS[isa]
    # One look takes 65 us: too short to be a measure of what takes milliseconds.
    looks = max(1, round(products / PEAK_PRODUCTS))

    def run() -> None:
        for _ in range(looks):
            lib.lq_peak_of_codes(number, 0.0)

    return Workload(run, share=products / (looks * PEAK_PRODUCTS))


def _int8(isa: str, batch: int) -> Workload:
    import onnx
    import onnxruntime

    rng = np.random.default_rng(0)
    weights = rng.integers(-1, 2, (FEATURES, CHANNELS), "int8")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "product",
        [value("x", onnx.TensorProto.UINT8, [batch, FEATURES])],
        [value("y", onnx.TensorProto.INT32, [batch, CHANNELS])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    fed = {"x": rng.integers(0, 256, (batch, FEATURES), "uint8")}
    return Workload(lambda: session.run(None, fed))


def _copies(size: int, cold: bool) -> int:
    return max(1, COLD_BYTES // size) if cold else 1


def _read(isa: str, size: int) -> Workload:
    """Bytes are looked through by the C library, which stops at none of them."""
    find = ctypes.CDLL(ctypes.util.find_library("c")).memchr
    find.restype = ctypes.c_void_p
    find.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    arrays = [np.ones(size, "uint8") for _ in range(_copies(size, True))]
    turn = iter(range(1 << 60))

    def run() -> None:
        array = arrays[next(turn) % len(arrays)]
        find(array.ctypes.data, 2, size)

    return Workload(run)


def _step(
    isa: str,
    kind: str,
    batch: int,
    bits: int = 1,
    planes: int = 8,
    cold: bool = False,
) -> Workload:
    """A dense layer whose sums are stored as integers.

    Args:
        isa: the instruction set.
        kind: of the step: "CONV_CODES", "CONV_LOOKUPS", or "CONV", which counts bits.
        batch: images.
        bits: of a weight.
        planes: of the input, where bits are counted.
        cold: whether every call has other weights, which lie in memory.
    """
    lib, number = _native.library(), _native.INSTRUCTION_SETS[isa]
    rng = np.random.default_rng(0)
    counted = kind == "CONV"
    words = planes * FEATURES // 32 if counted else FEATURES // 4
    taps = {
        "words": FEATURES // 32 if counted else words,
        "input_planes": planes if counted else 1,
        "weight_planes": bits if counted else 1,
        "weight_bits": 0 if counted else bits,
        "weight_step": 1,
        "weight_offset": -1,
    }
    step = KernelStep(
        kind=StepKind[kind],
        size=(1, 1, 1),
        channels=CHANNELS,
        input=TensorView(0, 0, *[words] * 4),
        ops=(
            EpilogueOp(EpilogueKind.STORE_INT, view=TensorView(3, 0, *[CHANNELS] * 4)),
        ),
        weights=1,
        base=2,
        **taps,
    )
    steps = c_steps([step])
    size = lib.lq_weights_size(ctypes.byref(steps[0]))
    shared = {
        0: rng.integers(0, 2**32, batch * words, "uint32"),
        2: np.zeros(CHANNELS, "int32"),
        3: np.zeros(batch * CHANNELS, "int32"),
    }
    weights = rng.integers(0, 2**32, size // 4, "uint32")
    # As a program holds them.
    every = [aligned(size).view("uint32") for _ in range(_copies(size, cold))]
    for stored in every:
        stored[:] = weights

    def buffers(stored: np.ndarray) -> ctypes.Array:
        arrays = [shared[0], stored, shared[2], shared[3]]
        return (CBuffer * 4)(*(CBuffer(a.ctypes.data, a.nbytes) for a in arrays))

    bound = [buffers(stored) for stored in every]
    failed = lib.lq_check(ctypes.byref(steps[0]), bound[0], 4, batch)
    if failed:
        raise RuntimeError(f"the step fails check {failed}")
    turn = iter(range(1 << 60))

    # The buffers are addresses of these arrays.
    def run(kept: list = every) -> None:
        lib.lq_run(
            steps, 1, bound[next(turn) % len(bound)], 4, batch, batch, 1, number, None
        )

    return Workload(run, lambda: [float(shared[3].sum())])
