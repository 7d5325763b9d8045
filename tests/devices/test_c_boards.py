"""Networks in C on emulated boards: each step writes what it writes in the native kernels, and
floats are the same on all of them."""

from __future__ import annotations

import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import larqlite as lq
from larqlite.deploy.targets._boards import BOARDS, HERE, Board
from larqlite.deploy.targets.c import source_of
from larqlite.deploy.targets.c._measure import measure
from larqlite_runtime.backends import _native
from larqlite_runtime.internal import run_program, whole_program
from tests.common.programs import needs
from tests.devices.c_programs import (
    STRICT,
    CProgram,
    Made,
    build,
    exact_words,
    native_hashes,
    read,
    run,
)
from tests.devices.networks import NETWORKS, write

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
# Where images are bytes: what the network is fed with for a byte p, as `to_c(pixels=)`.
BYTES = {"demo_of_bytes": (1 / 127.5, -1.0)}
IN_FILES = ("codes", "integers", "kbit", "residual", "scaled", "tables", "ternary")
NAMES = (*IN_FILES, *(name for name in NETWORKS if name != "zoo"), *BYTES)
# Those that fit into 16 KiB with a stack and with what the test itself needs.
SMALL = ("kbit", "tables", "codes", "dense", "narrow", "two_bits")
# One without floats, one with them, one of another family, one with little memory.
ALWAYS = ("cortex-m0", "rv32", "microbit")
# Of clang, and where Debian has the headers of C.
HEADERS = {
    "--target=arm-none-eabi -mcpu=cortex-m0": "/usr/lib/arm-none-eabi/include",
    "--target=riscv32-unknown-elf -march=rv32imc -mabi=ilp32": (
        "/usr/lib/picolibc/riscv64-unknown-elf/include"
    ),
}
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


@cache
def file(name: str) -> bytes:
    name = name.removesuffix("_of_bytes")
    if name in IN_FILES:
        return (GOLDEN / f"deploy_{name}.onnx").read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        return write(name, Path(folder)).read_bytes()


@cache
def network(name: str, looks: bool = True) -> CProgram:
    pixels = BYTES.get(name, False)
    whole = whole_program(file(name), pixels=pixels, small=True)
    rng = np.random.default_rng(3)
    samples = [
        [
            rng.integers(0, 256, tensor.shape[1:]).astype(np.uint8)
            if pixels
            else rng.normal(size=tensor.shape[1:]).astype(np.float32)
            for tensor in whole.inputs
        ]
        for _ in "ab"
    ]
    return CProgram(whole, source_of(whole, name), samples, looks)


@pytest.fixture(scope="module")
def host_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def on_host(host_folder) -> dict[str, Made]:
    found = run(HERE, [*map(network, NAMES)], host_folder)
    return dict(zip(NAMES, found, strict=True))


@needs("cc")
@pytest.mark.skipif(_native.library() is None, reason="no compiler: no native kernels")
@pytest.mark.parametrize("name", NAMES)
def test_each_step_writes_what_the_native_kernels_write(name, on_host) -> None:
    program, made = network(name), on_host[name]
    exact = exact_words(program)
    assert exact > 0
    for sample, hashes, floats in zip(
        program.samples, made.hashes, made.outputs, strict=True
    ):
        assert hashes[:exact] == native_hashes(program, sample)[:exact]
        names = [tensor.name for tensor in program.whole.inputs]
        outputs = run_program(program.whole, dict(zip(names, sample, strict=True)))
        wanted = np.concatenate([array.reshape(-1) for array in outputs.values()])
        np.testing.assert_allclose(floats, wanted, 1e-5, 1e-5 * abs(wanted).max())


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


@pytest.mark.targets
@needs("arm-none-eabi-gcc", "qemu-system-arm")
def test_no_call_takes_more_stack_than_the_report_says(tmp_path) -> None:
    programs = [network(name, looks=False) for name in NAMES]
    flags = ("-mfloat-abi=hard", "-mfpu=fpv4-sp-d16")
    found = run(BOARDS["cortex-m4"], programs, tmp_path, *flags)
    for program, made in zip(programs, found, strict=True):
        said = measure(program.source).stack
        # What the compiler's library takes on top is not the network's: softmax sums doubles.
        assert said / 2 < made.stack <= said + 64, program.source.name


@pytest.mark.targets
@needs("cc", "valgrind")
def test_nothing_is_read_that_was_not_written(on_host, tmp_path) -> None:
    programs = [*map(network, NAMES)]
    build(HERE, programs, tmp_path, "-g")
    command = ["valgrind", "-q", "--error-exitcode=9", str(tmp_path / "program")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, made in zip(NAMES, read(programs, tmp_path), strict=True):
        np.testing.assert_array_equal(made.outputs, on_host[name].outputs)


@needs("cc", "nm")
def test_nothing_is_called_but_memcpy_and_memset(on_host, host_folder) -> None:
    objects = [f"{name}.o" for name in NAMES]
    undefined = subprocess.run(
        ["nm", "-u", *objects], cwd=host_folder, capture_output=True, text=True
    )
    called = set(re.findall(r"U (\w+)", undefined.stdout))
    traces = {f"{name}_trace" for name in NAMES}
    assert traces <= called <= traces | {"memcpy", "memset"}


@needs("arm-none-eabi-gcc")
def test_the_demo_takes_the_flash_and_memory_that_are_promised(tmp_path) -> None:
    report = lq.deploy.to_c(file("demo"), tmp_path, name="demo", pixels=(1 / 127.5, -1))
    deployed = lq.models.profile(NETWORKS["demo"]()).deployed_bytes
    assert report.flash_bytes <= 1.05 * deployed + 8192
    assert report.arena_bytes <= 1.05 * report.bound_bytes
    scratch = sum(layer.scratch_bytes for layer in report.layers)
    assert report.scratch_bytes <= scratch
    assert report.ram_bytes <= 16 << 10
    assert report.worst < 2 * report.instructions


@pytest.mark.targets
@needs("clang", *HEADERS.values())
@pytest.mark.parametrize("machine", HEADERS)
@pytest.mark.parametrize("name", NAMES)
def test_clang_takes_it_for_other_machines(name, machine, tmp_path) -> None:
    source = network(name).source
    (tmp_path / f"{name}.h").write_text(source.header)
    (tmp_path / f"{name}.c").write_text(source.source)
    words = [*machine.split(), "-isystem", HEADERS[machine], "-std=c99", *STRICT]
    done = subprocess.run(
        ["clang", *words, "-O1", "-c", f"{name}.c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


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
