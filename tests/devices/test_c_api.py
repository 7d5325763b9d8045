"""The C API as its header says it is."""

from __future__ import annotations

import ctypes
import re
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from larqlite.deploy.targets.flat._write import with_checksum
from larqlite_runtime.backends import _native
from tests.common.programs import needs
from tests.devices.c_library import (
    DAMAGED,
    HEADER,
    MISUSE,
    NATIVE,
    NO_FILE,
    NO_ISA,
    OK,
    ROOT,
    TOO_LARGE,
    TOO_NEW,
    WARNINGS,
    CModel,
    library,
    library_path,
    needs_compiler,
    needs_kernels,
)
from tests.devices.c_network import picture_network

pytestmark = [needs_compiler, needs_kernels]


@pytest.fixture(scope="module")
def network():
    return picture_network()


@pytest.fixture
def data(network):
    return (network[0] / "net.lqflat").read_bytes()


def test_every_function_of_the_header_is_there_and_nothing_else(data):
    declared = set(re.findall(r"LQ_API [^;]*?(lq_\w+)\(", HEADER.read_text()))
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", library_path()],
        capture_output=True,
        text=True,
        check=True,
    )
    defined = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert {name for name in defined if not name.startswith("_")} == declared
    assert library().lq_version() == b"test"
    assert library().lq_flat_version() == int.from_bytes(data[8:12], "little")


@pytest.mark.parametrize("standard", ["c90", "c11"])
def test_the_header_is_c(standard):
    subprocess.run(
        ["gcc", f"-std={standard}", *WARNINGS, "-fsyntax-only", "-x", "c", str(HEADER)],
        check=True,
    )


@needs("make")
def test_make_knows_what_the_library_is_made_of(tmp_path):
    """Nothing is compiled: files that are later than all others stand for what it makes."""

    def make(*words: str, folder=NATIVE) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["make", "-C", folder, f"BUILD={tmp_path}", *words],
            capture_output=True,
            text=True,
            check=False,
        )

    for made in re.findall(r" -o (\S+)|rcs (\S+)", make("-n").stdout):
        path = Path("".join(made))
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert make("-q").returncode == 0
    for source in (
        "include/larqlite.h",
        "flags.txt",
        "../larqlite_runtime/_version.py",
    ):
        assert "-c model/larqlite.cc" in make("-n", "-W", source).stdout, source
    assert " native/build " in make("-n", "clean", folder=ROOT).stdout


def test_inputs_and_outputs_are_told(data):
    model = CModel(data)
    (input_,), (output,) = model.tensors("input"), model.tensors("output")
    assert input_.name == b"picture"
    assert list(input_.shape)[: input_.axes] == [-1, 8, 6, 1]
    assert (input_.image_values, input_.image_bytes) == (48, 192)
    assert (list(output.shape)[:2], output.type) == ([-1, 10], 1)
    assert model.call("lq_input", 1, ctypes.byref(input_)) == MISUSE
    assert model.error == "there is no input 1; they are counted from 0"
    assert model.call("lq_output", 0, None) == MISUSE


def test_batches_pieces_and_threads_give_the_same(network, data):
    """Many images are run in pieces, some of them on another thread."""
    _, pictures, answers = network
    x = np.tile(pictures, (60, 1, 1, 1))
    model = CModel(data)
    for threads in (1, 2):
        assert model.call("lq_set_threads", threads) == OK
        for batch in (300, 1, 7, 300):
            found = model.run({"picture": x[:batch]}, batch)["scores"]
            wanted = np.tile(answers, (60, 1))[:batch]
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_every_instruction_set_runs_and_others_are_refused(network, data):
    _, pictures, answers = network
    model = CModel(data)
    assert model.isa == _native.choose_isa()
    lib = _native.library()
    for name, number in _native.INSTRUCTION_SETS.items():
        code = model.call("lq_set_isa", name.encode())
        assert code == (OK if lib.lq_supports(number) else NO_ISA)
        if code == OK:
            assert model.isa == name
            found = model.run({"picture": pictures}, 5)["scores"]
            np.testing.assert_allclose(found, answers, rtol=1e-5, atol=1e-6)
    assert model.call("lq_set_isa", b"sse2") == MISUSE
    assert 'no instruction set "sse2"' in model.error
    assert '"portable"' in model.error


def test_copies_run_on_threads_of_their_own(network, data):
    _, pictures, answers = network
    first = CModel(data)
    copies = [first.copy() for _ in range(4)]
    del first  # the weights stay for the others
    failed = []

    def work(model):
        for number in range(60):
            batch = 1 + number % 5
            found = model.run({"picture": pictures[:batch]}, batch)["scores"]
            if not np.allclose(found, answers[:batch], rtol=1e-5, atol=1e-6):
                failed.append(number)

    threads = [threading.Thread(target=work, args=(model,)) for model in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_files_that_are_none_are_refused_with_their_reason(network, data, tmp_path):
    home, _, _ = network
    for made, code, message in (
        (tmp_path / "none", NO_FILE, "is not there, or cannot be read"),
        (tmp_path, NO_FILE, "is not there, or cannot be read"),
        (b"", DAMAGED, "this is no flat file of larqlite"),
        ((home / "net.onnx").read_bytes(), DAMAGED, "this is no flat file of larqlite"),
        (data[:-1], DAMAGED, f"has {len(data) - 1} bytes of {len(data)}"),
        (
            data[:300] + b"!" + data[301:],
            DAMAGED,
            "its checksum is not that of its bytes",
        ),
        (data[:8] + b"\2" + data[9:], TOO_NEW, "this library reads up to 1 with"),
    ):
        model = CModel(made)
        assert model.code == code, model.error
        assert message in model.error
        # A model that was not loaded answers nothing, and keeps its reason.
        assert model.call("lq_input_count") == 0
        assert model.call("lq_reserve", 1) == MISUSE
        assert message in model.error


def test_misuse_is_told_and_changes_nothing(network, data):
    _, pictures, answers = network
    model = CModel(data)
    one = ctypes.c_void_p * 1
    good, bad = one(pictures.ctypes.data), one(pictures.ctypes.data + 1)
    scores = np.zeros((5, 10), np.float32)
    out = one(scores.ctypes.data)
    for arguments, message in (
        ((1, None, out), "null pointer"),
        ((1, good, None), "null pointer"),
        ((0, good, out), "a batch has at least one image"),
        ((1, one(None), out), 'the memory of the input "picture" is a null pointer'),
        ((1, bad, out), 'of the input "picture" does not begin at a multiple'),
        ((1, good, bad), "does not begin at a multiple"),
    ):
        assert model.call("lq_run_model", *arguments) == MISUSE
        assert message in model.error
    assert model.call("lq_set_threads", 0) == MISUSE
    assert model.call("lq_set_limits", 0, 1.0) == MISUSE
    assert model.call("lq_run_model", 5, good, out) == OK
    assert model.error == ""
    np.testing.assert_allclose(scores, answers, rtol=1e-5, atol=1e-6)
    assert library().lq_load_memory(data, ctypes.c_size_t(len(data)), None) == MISUSE
    assert library().lq_error(None) == b"there is not enough memory for a model"
    library().lq_free(None)


def test_limits_refuse_what_needs_more(data):
    model = CModel(data)
    assert model.call("lq_reserve", 1) == OK
    used = model.call("lq_memory")
    assert used > 0
    assert model.call("lq_set_limits", used, 600.0) == OK
    assert model.call("lq_reserve", 1) == OK
    assert model.call("lq_reserve", 100_000) == OK  # in pieces, with the same memory
    assert model.call("lq_set_limits", used // 2, 600.0) == OK
    assert model.call("lq_reserve", 1) == TOO_LARGE
    assert f"needs more than the {used // 2} bytes" in model.error
    assert model.call("lq_set_limits", 1 << 30, 1e-9) == OK
    assert model.call("lq_reserve", 1) == TOO_LARGE
    assert "would take longer for an image" in model.error


def test_memory_is_there_for_smaller_batches(data):
    """However they are cut in pieces: one batch is more than a cache holds, not twice as much."""
    for threads in (1, 3):
        model = CModel(data)
        assert model.call("lq_set_threads", threads) == OK
        for largest in (int(200 * 1.5**n) for n in range(10)):
            assert model.call("lq_reserve", largest) == OK
            used = model.call("lq_memory")
            for batch in range(1, largest, largest // 16):
                assert model.call("lq_reserve", batch) == OK
                assert model.call("lq_memory") == used


def test_a_file_of_the_first_operations_is_read_by_later_libraries(data, network):
    """Kinds keep their numbers, so that a file without later ones says an earlier ABI."""
    _, pictures, answers = network
    earlier = with_checksum(data[:12] + (8).to_bytes(4, "little") + data[16:])
    model = CModel(earlier)
    assert model.code == OK, model.error
    found = model.run({"picture": pictures}, 5)["scores"]
    np.testing.assert_allclose(found, answers, rtol=1e-5, atol=1e-6)
