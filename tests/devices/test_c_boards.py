"""Networks in C on emulated boards: each step writes what it writes in the native kernels, and
floats are the same on all of them."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from larqlite.deploy.targets._boards import BOARDS, HERE, Board
from larqlite.deploy.targets.c import source_of
from larqlite.deploy.targets.c._measure import measure
from larqlite_runtime.backends import _native
from larqlite_runtime.internal import whole_program
from tests.common.programs import needs
from tests.devices.c_programs import (
    CProgram,
    Made,
    build,
    native_hashes,
    read,
    run,
)
from tests.devices.networks import NETWORKS, write

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
IN_FILES = ("codes", "integers", "kbit", "residual", "tables", "ternary")
NAMES = (*IN_FILES, *(name for name in NETWORKS if name != "zoo"))
# Those that fit into 16 KiB with a stack and with what the test itself needs.
SMALL = ("kbit", "tables", "codes", "dense", "narrow", "two_bits")
# One without floats, one with them, one of another family, one with little memory.
ALWAYS = ("cortex-m0", "cortex-m4", "rv32", "microbit")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


@cache
def file(name: str) -> bytes:
    if name in IN_FILES:
        return (GOLDEN / f"deploy_{name}.onnx").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        return write(name, Path(folder)).read_bytes()


@cache
def network(name: str, looks: bool = True) -> CProgram:
    whole = whole_program(file(name), small=True)
    shapes = [tensor.shape[1:] for tensor in whole.inputs]
    rng = np.random.default_rng(3)
    samples = [
        [rng.normal(size=shape).astype(np.float32) for shape in shapes] for _ in "ab"
    ]
    return CProgram(whole, source_of(whole, name), samples, looks)


@pytest.fixture(scope="module")
def on_host(tmp_path_factory) -> dict[str, Made]:
    found = run(HERE, [*map(network, NAMES)], tmp_path_factory.mktemp("host"))
    return dict(zip(NAMES, found, strict=True))


@needs("cc")
@pytest.mark.skipif(_native.library() is None, reason="no compiler: no native kernels")
@pytest.mark.parametrize("name", NAMES)
def test_each_step_writes_what_the_native_kernels_write(name, on_host) -> None:
    program = network(name)
    expected = [native_hashes(program, sample) for sample in program.samples]
    assert on_host[name].hashes == expected


@needs("cc")
@pytest.mark.parametrize(
    "board",
    [
        pytest.param(
            board,
            marks=[needs(*board.programs)]
            + [pytest.mark.targets] * (board.name not in ALWAYS),
            id=board.name,
        )
        for board in BOARDS.values()
    ],
)
def test_boards_give_the_same_bits(board, on_host, tmp_path) -> None:
    names = SMALL if board.name == "microbit" else NAMES
    found = run(board, [*map(network, names)], tmp_path)
    for name, made in zip(names, found, strict=True):
        assert made.hashes == on_host[name].hashes, name
        np.testing.assert_array_equal(made.outputs, on_host[name].outputs)
        assert all(count > 1000 for count in made.counts)


@pytest.fixture(scope="module")
def zoo_here(tmp_path_factory) -> Made:
    program = network("zoo")
    (made,) = run(HERE, [program], tmp_path_factory.mktemp("zoo"))
    assert made.hashes == [native_hashes(program, each) for each in program.samples]
    return made


@pytest.mark.targets
@needs("cc")
@pytest.mark.parametrize(
    "board",
    [
        pytest.param(board, marks=needs(*board.programs), id=board.name)
        for board in BOARDS.values()
        if board.name != "microbit"
    ],
)
def test_a_network_of_the_zoo(board, zoo_here, tmp_path) -> None:
    program = network("zoo")
    (made,) = run(board, [program], tmp_path)
    assert made.hashes == zoo_here.hashes
    np.testing.assert_array_equal(made.outputs, zoo_here.outputs)


@needs("arm-none-eabi-gcc", "qemu-system-arm")
def test_no_call_takes_more_stack_than_the_report_says(tmp_path) -> None:
    programs = [network(name, looks=False) for name in NAMES]
    flags = ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
    found = run(BOARDS["cortex-m4"], programs, tmp_path, *flags)
    for program, made in zip(programs, found, strict=True):
        said = measure(program.source).stack
        # What the compiler's library takes on top is not the network's: softmax sums doubles.
        assert said / 2 < made.stack <= said + 64, program.source.name


@needs("cc", "valgrind")
def test_nothing_is_read_that_was_not_written(on_host, tmp_path) -> None:
    programs = [*map(network, NAMES)]
    build(HERE, programs, tmp_path, "-g")
    command = ["valgrind", "-q", "--error-exitcode=9", str(tmp_path / "program")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, made in zip(NAMES, read(programs, tmp_path), strict=True):
        np.testing.assert_array_equal(made.outputs, on_host[name].outputs)


@pytest.mark.targets
@needs("gcc")
def test_sanitizers_find_nothing(on_host, tmp_path) -> None:
    board = Board("gcc", ("gcc",))
    found = run(board, [*map(network, NAMES)], tmp_path, *SANITIZERS, "-O1")
    for name, made in zip(NAMES, found, strict=True):
        assert made.hashes == on_host[name].hashes, name


@pytest.mark.targets
@needs("cc", "clang")
def test_clang_makes_the_same(on_host, tmp_path) -> None:
    board = Board("clang", ("clang",))
    found = run(board, [*map(network, NAMES)], tmp_path, "-O1")
    for name, made in zip(NAMES, found, strict=True):
        assert made.hashes == on_host[name].hashes, name
        np.testing.assert_array_equal(made.outputs, on_host[name].outputs)
