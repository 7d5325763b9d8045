"""The example programs in C and C++, as their users run them."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

from larqlite.deploy.targets.flat import _layout as layout
from larqlite_runtime.backends import _native
from larqlite_runtime.internal import EpilogueKind, StepKind
from tests.devices.c_library import (
    HEADER,
    OK,
    ROOT,
    WARNINGS,
    CModel,
    folder,
    library_path,
    needs_compiler,
    needs_kernels,
)
from tests.devices.c_network import picture_network
from tests.devices.flat_records import FLOAT32, flat_file, records, tensors

pytestmark = [needs_compiler, needs_kernels]


@pytest.fixture(scope="module")
def network():
    return picture_network()


def built(source: str, compiler: str, *flags: str):
    """An example program, with the library beside it."""
    program = folder() / source.replace("/", "_")
    if not program.exists():
        include = ["-I", str(HEADER.parent), str(ROOT / "examples" / source)]
        linked = [str(library_path()), "-Wl,-rpath,$ORIGIN", "-o", str(program)]
        command = [compiler, *flags, *WARNINGS, "-O1", *include, *linked, "-pthread"]
        subprocess.run(command, check=True)
    return program


def run(program, *words: object) -> subprocess.CompletedProcess:
    command = [str(program), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_example_in_c_prints_what_python_computes(network):
    home, _, answers = network
    program = built("c/classify.c", "gcc", "-std=c11")
    for number in (0, 3):
        ran = run(program, home / "net.lqflat", home / f"{number}.pgm")
        assert (ran.returncode, ran.stderr) == (0, "")
        found = re.fullmatch(
            r"label (\d+), score (\S+), ([\d.]+) ms on (\w+)\n", ran.stdout
        )
        assert int(found[1]) == answers[number].argmax()
        assert float(found[2]) == pytest.approx(
            answers[number].max(), abs=2e-6, rel=1e-5
        )
        assert found[4] == _native.choose_isa()


@pytest.fixture(scope="module")
def others(network):
    """Flat files in the same folder: a network that takes bytes, and those that examples refuse."""
    home, _, _ = network
    types = {name: layout.TYPES[np.dtype(name)] for name in ("uint8", "int32", "int64")}
    picture = tensors([0], 48, types["uint8"])
    picture["axes"], picture["size1"], picture["size2"], picture["size3"] = 4, 8, 6, 1
    # Label 1 has twice the score of label 0, the sum of all pixels.
    weights = np.zeros((48, 16), "<i4")
    weights[:, :2] = 1, 2
    conv = {
        "kernel_h": 8,
        "kernel_w": 6,
        "in_h": 8,
        "in_w": 6,
        "tap_row": 6,
        "tap_pixel": 1,
    }
    conv |= {"input__buffer": 0, "input__image": 48, "in_channels": 1, "channels": 2}
    conv |= {"weights": 1, "base": 2, "op_count": 2}
    ops = records("op", 2, kind=[EpilogueKind.TO_FLOAT, EpilogueKind.STORE])
    ops["view.buffer"][1], ops["view.image"][1] = 3, 2
    buffers = records("buffer", 4)
    buffers["type"] = types["uint8"], types["int32"], types["int32"], FLOAT32
    buffers["role"] = layout.INPUT, layout.CONSTANT, layout.CONSTANT, layout.MEMORY
    buffers["count"], buffers["at"] = (48, 768, 2, 2), (0, -1, -1 - weights.nbytes, 0)
    steps = records("step", kind=StepKind.CONV_BYTES, **conv)
    data = weights.tobytes() + bytes(8)
    scores = tensors([3], 2)
    files = {"bytes": flat_file(picture, scores, buffers, steps, ops, data=data)}
    two = np.concatenate([scores, scores])
    files["two"] = flat_file(picture, two, buffers, data=data)
    buffers["type"][3] = types["int64"]
    files["labels"] = flat_file(
        picture, tensors([3], 2, types["int64"]), buffers, data=data
    )
    buffers["type"][0] = types["int64"]
    files["row"] = flat_file(
        tensors([0], 48, types["int64"]),
        tensors([3], 2, types["int64"]),
        buffers,
        data=data,
    )
    for name, content in files.items():
        (home / f"{name}.lqflat").write_bytes(content)
        model = CModel(content)
        assert model.code == OK, model.error
    return home


NOT_RIGHT = (
    "no whole binary PGM (P5) of 6 x 8 pixels from 0 to 255\n  Fix: scale the picture"
)
PICTURES = {  # that are none for the network, and why
    "large.pgm": (b"P5\n7 8\n255\n" + bytes(56), NOT_RIGHT),
    "colours.pgm": (b"P6\n6 8\n255\n" + bytes(144), NOT_RIGHT),
    "short.pgm": (b"P5\n6 8\n255\n" + bytes(47), NOT_RIGHT),
    "dark.pgm": (b"P5\n6 8\n15\n" + bytes(48), NOT_RIGHT),
    "deep.pgm": (b"P5\n6 8\n65535\n" + bytes(96), NOT_RIGHT),
    "empty.pgm": (b"", NOT_RIGHT),
    "none.pgm": (None, "No such file or directory"),
}
REFUSED = ("two", "labels", "row")


def test_the_example_in_c_says_what_is_wrong(others):
    """On its error output, with 1; and comments in a picture are none of it."""
    program = built("c/classify.c", "gcc", "-std=c11")
    for model, message in (
        ("none.lqflat", f'classify: the file "{others}/none.lqflat" is not there'),
        ("net.onnx", "this is no flat file of larqlite"),
        ("net.onnx", "Fix: lq export MODEL FILE --to flat writes it again"),
        *((f"{name}.lqflat", "does not take one picture") for name in REFUSED),
    ):
        ran = run(program, others / model, others / "0.pgm")
        assert (ran.returncode, ran.stdout) == (1, "")
        assert message in ran.stderr
    for name, (content, message) in PICTURES.items():
        if content is not None:
            (others / name).write_bytes(content)
        ran = run(program, others / "net.lqflat", others / name)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert f"{others / name}: {message}" in ran.stderr
    assert run(program, others / "net.lqflat").returncode == 2
    pixels = np.arange(48, dtype=np.uint8)
    head = b"P5 # made by hand\n#\n6\n# columns\n8 255\n"
    (others / "comments.pgm").write_bytes(head + pixels.tobytes())
    ran = run(program, others / "bytes.lqflat", others / "comments.pgm")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith(f"label 1, score {2 * pixels.sum()}.000000, ")


def test_the_example_in_cpp_runs_pictures_on_threads(network):
    home, _, answers = network
    program = built("cpp/classify.cpp", "g++", "-std=c++17")
    pictures = [home / f"{number}.pgm" for number in range(5)]
    ran = run(program, home / "net.lqflat", 3, *pictures)
    assert (ran.returncode, ran.stderr) == (0, "")
    for line, picture, answer in zip(
        ran.stdout.splitlines(), pictures, answers, strict=True
    ):
        found = re.fullmatch(r"(.*): label (\d+), score (\S+), [\d.]+ ms", line)
        assert (found[1], int(found[2])) == (str(picture), answer.argmax())
        assert float(found[3]) == pytest.approx(answer.max(), abs=2e-6, rel=1e-5)


def test_the_example_in_cpp_says_what_is_wrong(others):
    """On its error output, with 1, and answers for the other pictures."""
    program = built("cpp/classify.cpp", "g++", "-std=c++17")
    for name, (content, _) in PICTURES.items():
        if content is not None:
            (others / name).write_bytes(content)
    good = others / "0.pgm"
    ran = run(
        program, others / "bytes.lqflat", 99, good, *map(others.joinpath, PICTURES)
    )
    assert ran.returncode == 1
    assert ran.stdout.startswith(f"{good}: label 1, score ")
    assert ran.stdout.count("\n") == 1
    for name, (_, message) in PICTURES.items():
        assert f"{others / name}: {message}" in ran.stderr
    for model in ("0.pgm", *(f"{name}.lqflat" for name in REFUSED)):
        ran = run(program, others / model, 1, good)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert "no flat file" in ran.stderr or "does not take one picture" in ran.stderr
    for threads in ("0", "-1", "2x", "two"):
        assert run(program, others / "bytes.lqflat", threads, good).returncode == 2
