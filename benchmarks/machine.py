"""What the figures were measured on: processor, memory, versions, threads."""

import importlib.metadata
import os
import pathlib
import platform
import sys

from worker import THREADS

INSTRUCTION_SETS = (
    *("avx2", "avx512f", "avx512_vpopcntdq", "avx512_bf16", "amx_bf16"),
    *("asimd", "sve"),
)
PACKAGES = ("tensorflow", "tf-keras", "numpy", "onnxruntime", "ai-edge-litert")


def facts() -> dict:
    """Plain data about this machine and the environment of the larqlite side."""
    return {
        "processor": _cpuinfo("model name") or platform.processor(),
        "cpus": os.cpu_count(),
        "instruction_sets": [
            name for name in INSTRUCTION_SETS if name in _cpuinfo("flags").split()
        ],
        "memory_gb": round(_memory_bytes() / 2**30, 1),
        "system": platform.system(),
        "python": sys.version.split()[0],
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "threads": THREADS,
    }


def _cpuinfo(key: str) -> str:
    """The first value of a key of Linux' processor list, else an empty string."""
    source = pathlib.Path("/proc/cpuinfo")
    lines = source.read_text().splitlines() if source.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), ""
    )


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
