"""The C API, compiled as users compile it but for the kernels, which are those of Python."""

from __future__ import annotations

import ctypes
import functools
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from larqlite.deploy.targets.flat import _layout as layout
from larqlite_runtime.backends import _native
from tests.common.programs import needs

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
HEADER = NATIVE / "include" / "larqlite.h"
FLAGS = (
    *("-std=c++17", "-O1", "-ffp-contract=off", "-fno-exceptions", "-fno-rtti"),
    *("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"),
)
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")  # of users
SHARED = (
    *("-fPIC", "-shared", "-fvisibility=hidden", '-DLQ_VERSION="test"'),
    "-Wl,-rpath,$ORIGIN",
)
TYPES = {number: dtype.type for number, dtype in layout.DTYPES.items()}
OK, MISUSE, NO_FILE, DAMAGED, TOO_NEW, NO_MEMORY, TOO_LARGE, NO_ISA = range(8)

needs_compiler = needs("g++")
needs_kernels = pytest.mark.skipif(
    _native.library() is None, reason="no compiler: no native kernels"
)


class CTensor(ctypes.Structure):
    """`lq_tensor`."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("axes", ctypes.c_int32),
        ("shape", ctypes.c_int64 * 8),
        ("image_values", ctypes.c_int64),
        ("image_bytes", ctypes.c_int64),
    ]


@functools.cache
def folder() -> Path:
    """Holds the library until the process ends."""
    made = tempfile.TemporaryDirectory()
    folder.holds = made
    return Path(made.name)


@functools.cache
def library_path() -> Path:
    """`liblarqlite.so`, of the sources in `native/model/` and the kernels of Python."""
    kernels = Path(_native.library()._name)
    path = folder() / "liblarqlite.so"
    # A name that says nothing of Python: it stays in the programs that are linked with it.
    copied = folder() / "liblq_kernels.so"
    shutil.copy(kernels, copied)
    sources = sorted(map(str, (NATIVE / "model").glob("*.cc")))
    subprocess.run(
        ["g++", *FLAGS, *SHARED, *sources, str(copied), "-o", str(path)], check=True
    )
    return path


@functools.cache
def library() -> ctypes.CDLL:
    """The same, loaded."""
    lib, pointer = ctypes.CDLL(str(library_path())), ctypes.c_void_p
    for name in ("lq_version", "lq_error", "lq_isa"):
        getattr(lib, name).restype = ctypes.c_char_p
    lib.lq_memory.restype = ctypes.c_int64
    for name in ("lq_error", "lq_isa", "lq_memory", "lq_free", "lq_input_count"):
        getattr(lib, name).argtypes = [pointer]
    lib.lq_set_limits.argtypes = [pointer, ctypes.c_int64, ctypes.c_double]
    return lib


@functools.cache
def codes() -> dict[str, set[int]]:
    """What the header says that each function may return."""
    text, last, found = HEADER.read_text("utf-8"), set(), {}
    numbers = dict(re.findall(r"(LQ_\w+) = (\d)", text.partition("/* Types of")[0]))
    for comment, declared in re.findall(
        r"^/\*(.*?)\*/\n(LQ_API .*?;\n)(?=\n|#)", text, re.M | re.S
    ):
        said = set(re.findall(r"\bLQ_\w+", comment[comment.find("LQ_") :]))
        if comment.startswith(" The same"):
            said |= last
        last = said
        for name in re.findall(r"LQ_API int (lq_\w+)\(", declared):
            found[name] = {int(numbers[code]) for code in said & numbers.keys()}
    return found


class CModel:
    """A model of the C API, freed with this object; a code that the header does not list fails."""

    def __init__(self, data: bytes | Path | ctypes.c_void_p) -> None:
        self._lib, self._model = library(), ctypes.c_void_p()
        model = ctypes.byref(self._model)
        if isinstance(data, ctypes.c_void_p):
            name, arguments = "lq_copy", (data,)
        elif isinstance(data, Path):
            name, arguments = "lq_load_file", (str(data).encode(),)
        else:
            name, arguments = "lq_load_memory", (data, ctypes.c_size_t(len(data)))
        self.code = self._listed(name, getattr(self._lib, name)(*arguments, model))

    @staticmethod
    def _listed(name: str, code: int) -> int:
        listed = codes().get(name)
        assert listed is None or code in listed, f"larqlite.h: {name} returns {code}"
        return code

    def __del__(self) -> None:
        self._lib.lq_free(self._model)

    def copy(self) -> CModel:
        """Another model of the same network."""
        return CModel(self._model)

    @property
    def error(self) -> str:
        return self._lib.lq_error(self._model).decode()

    @property
    def isa(self) -> str:
        return self._lib.lq_isa(self._model).decode()

    def call(self, name: str, *arguments) -> int:
        """Any function of the header that takes a model first."""
        return self._listed(name, getattr(self._lib, name)(self._model, *arguments))

    def tensors(self, which: str) -> list[CTensor]:
        """`which` is "input" or "output"."""
        found = []
        for index in range(self.call(f"lq_{which}_count")):
            tensor = CTensor()
            assert self.call(f"lq_{which}", index, ctypes.byref(tensor)) == OK
            found.append(tensor)
        return found

    def run(self, inputs: dict[str, np.ndarray], batch: int) -> dict[str, np.ndarray]:
        """Outputs by name.

        Raises:
            RuntimeError: the text of the error.
        """
        fed, made = self.tensors("input"), {}
        for tensor in self.tensors("output"):
            sizes = tensor.shape[: tensor.axes]
            shape = [batch if size == -1 else size for size in sizes]
            made[tensor.name.decode()] = np.full(shape, 77, TYPES[tensor.type])
        arrays = [
            np.ascontiguousarray(inputs[tensor.name.decode()], TYPES[tensor.type])
            for tensor in fed
        ]
        code = self.call(
            "lq_run_model", batch, _pointers(arrays), _pointers(made.values())
        )
        if code != OK:
            raise RuntimeError(self.error)
        return made


def _pointers(arrays) -> ctypes.Array:
    places = [array.ctypes.data for array in arrays]
    return (ctypes.c_void_p * len(places))(*places)
