"""The C API as its header says it is, and the example programs in C and C++."""

from __future__ import annotations

import ctypes
import re
import subprocess
import threading

import numpy as np
import pytest
import tf_keras

import larqlite as lq
import larqlite_runtime
from larqlite.deploy.targets.flat._write import with_checksum
from larqlite_runtime.backends import _native
from tests.devices.c_library import (
    DAMAGED,
    HEADER,
    MISUSE,
    NO_FILE,
    NO_ISA,
    OK,
    ROOT,
    TOO_LARGE,
    TOO_NEW,
    CModel,
    folder,
    library,
    library_path,
    needs_compiler,
    needs_kernels,
)

pytestmark = [needs_compiler, needs_kernels]
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network of pictures: its flat file, what Python makes of some, and these as files."""
    home = tmp_path_factory.mktemp("c_api")
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = tf_keras.Sequential(
        [
            tf_keras.Input((8, 6, 1), name="picture"),
            lq.layers.QuantConv2D(32, 3, padding="same", name="stem", **binary),
            tf_keras.layers.BatchNormalization(name="norm", scale=False),
            lq.layers.QuantConv2D(
                36, 3, 2, input_quantizer="ste_sign", name="conv", **binary
            ),
            tf_keras.layers.BatchNormalization(name="norm_2", scale=False),
            tf_keras.layers.GlobalAveragePooling2D(name="mean"),
            tf_keras.layers.Dense(10, name="scores"),
        ]
    )
    lq.deploy.export(model, home / "net.onnx", verify=False)
    lq.deploy.to_flat(home / "net.onnx", home / "net.lqflat")
    pictures = np.random.default_rng(5).integers(0, 256, (5, 8, 6, 1)).astype(np.uint8)
    for number, picture in enumerate(pictures):
        head = b"P5\n6 8\n255\n"
        (home / f"{number}.pgm").write_bytes(head + picture.tobytes())
    answers = larqlite_runtime.load(home / "net.onnx")(pictures.astype(np.float32))
    return home, pictures.astype(np.float32), answers


@pytest.fixture
def data(network):
    return (network[0] / "net.lqflat").read_bytes()


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


def test_the_example_in_c_shows_errors(network):
    home, _, _ = network
    program = built("c/classify.c", "gcc", "-std=c11")
    ran = run(program, home / "none.lqflat", home / "0.pgm")
    assert ran.returncode == 1
    assert 'classify: the file "' in ran.stderr
    ran = run(program, home / "net.onnx", home / "0.pgm")
    assert "this is no flat file of larqlite" in ran.stderr
    assert "Fix: lq export MODEL FILE --to flat writes it again" in ran.stderr
    (home / "large.pgm").write_bytes(b"P5\n7 8\n255\n" + bytes(56))
    ran = run(program, home / "net.lqflat", home / "large.pgm")
    assert "no PGM or PPM of 6 x 8 pixels and 1 channels" in ran.stderr


def test_the_example_in_cpp_runs_pictures_on_threads(network):
    home, _, answers = network
    program = built("cpp/classify.cpp", "g++", "-std=c++17")
    pictures = [home / f"{number}.pgm" for number in range(5)]
    ran = run(program, home / "net.lqflat", 3, *pictures, home / "none.pgm")
    assert (ran.returncode, ran.stderr) == (0, "")
    *lines, last = ran.stdout.splitlines()
    for line, picture, answer in zip(lines, pictures, answers, strict=True):
        found = re.fullmatch(r"(.*): label (\d+), score (\S+), [\d.]+ ms", line)
        assert (found[1], int(found[2])) == (str(picture), answer.argmax())
        assert float(found[3]) == pytest.approx(answer.max(), abs=2e-6, rel=1e-5)
    assert last.endswith("no picture of the size that the network takes")
    ran = run(program, home / "0.pgm", 1, home / "0.pgm")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "no flat file" in ran.stderr


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


def test_a_file_of_the_first_operations_is_read_by_later_libraries(data, network):
    """Kinds keep their numbers, so that a file without later ones says an earlier ABI."""
    _, pictures, answers = network
    earlier = with_checksum(data[:12] + (8).to_bytes(4, "little") + data[16:])
    model = CModel(earlier)
    assert model.code == OK, model.error
    found = model.run({"picture": pictures}, 5)["scores"]
    np.testing.assert_allclose(found, answers, rtol=1e-5, atol=1e-6)
