"""Every network of the zoo at its smallest, as C: no warning, and the labels of the runtime."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_runtime
import larqlite_zoo
from larqlite.deploy.targets.c import _layer, source_of
from larqlite.deploy.targets.c._text import comment
from larqlite_runtime.internal import whole_program
from tests.common.programs import needs
from tests.deploy.test_export_zoo import SIDES, built, centred, images_of
from tests.devices.c_programs import STRICT

# Bytes of tables that gcc does not read as text: of a network of floats it takes gigabytes.
LARGE = 1 << 20
FLAGS = ("-std=c99", "-O1", "-ffp-contract=off", "-fPIC")

pytestmark = [pytest.mark.targets, needs("gcc")]


class TablesBeside:
    """Writes large tables as files that an assembler takes in, so that memory does not grow.

    Args:
        folder: for them.
        usual: the function that writes tables in C.
    """

    def __init__(self, folder: Path, usual) -> None:
        self._folder, self._usual = folder, usual
        self.lines = [".section .rodata"]

    def __call__(self, name: str, array: np.ndarray, ctype: str, said: str) -> str:
        of_ctype = (
            np.float32 if ctype == "float" else np.dtype(ctype.removesuffix("_t"))
        )
        values = np.ascontiguousarray(array, of_ctype)
        if values.nbytes < LARGE:
            return self._usual(name, array, ctype, said)
        (self._folder / f"{name}.bin").write_bytes(values.tobytes())
        self.lines += [".balign 4", f".globl {name}", f'{name}: .incbin "{name}.bin"']
        return f"{comment(said)}\nextern const {ctype} {name}[{values.size}];\n"


def library_of(path: Path, folder: Path, monkeypatch) -> ctypes.CDLL:
    """The C of a file as a library; every warning is an error."""
    tables = TablesBeside(folder, _layer.table)
    monkeypatch.setattr(_layer, "table", tables)
    source = source_of(whole_program(path, small=True), "net")
    (folder / "net.h").write_text(source.header, encoding="ascii")
    (folder / "net.c").write_text(source.source, encoding="ascii")
    (folder / "tables.s").write_text("\n".join([*tables.lines, ""]))
    command = ["gcc", *FLAGS, *STRICT, "-shared", "net.c", "tables.s", "-o", "net.so"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]
    return ctypes.CDLL(str(folder / "net.so"))


@pytest.mark.parametrize("name", larqlite_zoo.list_models())
def test_a_network_of_the_zoo_as_c(name, tmp_path, monkeypatch) -> None:
    shape = larqlite_zoo.card(name).input_shape
    tf_keras.backend.clear_session()
    model = built(name, SIDES.get(name, 32 if shape[0] > 32 else None))
    x = images_of(model, 3)
    path = tmp_path / "net.onnx"
    lq.deploy.export(centred(model, x), path, verify=False)
    expected = larqlite_runtime.load(path).run(x)
    (expected,) = expected.values()
    library = library_of(path, tmp_path, monkeypatch)
    # Every step writes the integers that the native kernels write.
    assert library.net_self_test() == 0
    found = np.zeros_like(expected)
    for image, out in zip(np.ascontiguousarray(x), found, strict=True):
        pointers = (ctypes.c_void_p(array.ctypes.data) for array in (image, out))
        library.net_run(*pointers)
    np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))
