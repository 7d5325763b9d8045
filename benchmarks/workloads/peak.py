"""What one core can do at most: products in registers, bytes read from a cache or memory.

`peaks.cc` has the loops; the first who needs it compiles it into the folder of the run.
"""

import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import engines
import numpy as np

from workloads._base import Workload

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "peaks.cc"
COMPILERS = ("c++", "g++", "clang++")
# Products of an instruction, 10 ms of them or so, and the name of their unit.
PRODUCTS = {
    "popcount": 10_000_000_000,
    "vpdpbusd": 2_000_000_000,
    "vpmaddubsw": 2_000_000_000,
    "vdpbf16ps": 1_000_000_000,
    "fma": 500_000_000,
    "fma_avx2": 500_000_000,
}
# Bytes that are read again and again: half a level-2 cache of 1 MiB, a part of a level-3
# cache, and more than any cache holds.
READS = {"L2": 512 << 10, "L3": 8 << 20, "memory": 256 << 20}
TRIES = 5


def prepare(library: str, kind: str, amount: int) -> Workload:
    """So many products, or bytes, as fast as one core can.

    Args:
        library: of no account.
        kind: of `PRODUCTS` or `READS`.
        amount: at least so many in a step.

    Raises:
        RuntimeError: no compiler, or the processor lacks the instruction.
    """
    work = _work(_library(), kind)
    done = work(amount)
    if not done:
        raise RuntimeError(f"this processor has no {kind}")
    # The loops do whole turns: a little more than was asked for would count as slow.
    if done > 1.02 * amount:
        raise RuntimeError(f"{amount} is too little for {kind}: {done} were done")
    return Workload(lambda: work(amount))


def rates() -> dict[str, float]:
    """GMAC/s of each instruction that is there, and GB/s of reads; {} with no compiler."""
    try:
        lib = _library()
    except RuntimeError:
        return {}
    found = {}
    for kind in (*PRODUCTS, *READS):
        work, best = _work(lib, kind), 0.0
        for _ in range(TRIES):
            start = time.process_time()
            done = work(PRODUCTS.get(kind, READS["memory"]))
            best = max(best, done / max(time.process_time() - start, 1e-9))
        if best:
            found[kind] = round(best / 1e9, 1)
    return found


def _work(lib: ctypes.CDLL, kind: str):
    if kind in PRODUCTS:
        return lambda amount: lib.peak_products(kind.encode(), amount)
    data = np.ones(READS[kind], np.uint8)
    return lambda amount: lib.peak_read(data.ctypes.data, data.size, amount)


def _library() -> ctypes.CDLL:
    path = pathlib.Path(os.environ[engines.FOLDER]) / "peaks.so"
    if not path.exists():
        _compile(path)
    lib = ctypes.CDLL(str(path))
    lib.peak_products.argtypes = [ctypes.c_char_p, ctypes.c_int64]
    lib.peak_read.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    lib.peak_products.restype = lib.peak_read.restype = ctypes.c_int64
    return lib


def _compile(path: pathlib.Path) -> None:
    compiler = next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        raise RuntimeError(
            f"none of {', '.join(COMPILERS)} is there to compile peaks.cc"
        )
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = pathlib.Path(folder) / path.name
        command = [compiler, "-O2", "-std=c++17", "-shared", "-fPIC", "-o", str(part)]
        subprocess.run([*command, str(SOURCE)], check=True)
        part.rename(path)
