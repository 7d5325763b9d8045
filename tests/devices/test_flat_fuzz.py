"""Damaged flat files: a clean error or a run, nothing else; some here, many under sanitizers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from larqlite.deploy.targets.flat import flat_bytes
from larqlite_runtime.internal import StepKind, whole_program
from tests.common.programs import needs
from tests.devices.c_library import (
    FLAGS,
    NATIVE,
    folder,
    library_path,
    needs_compiler,
    needs_kernels,
)
from tests.devices.flat_steps import flat_of_step
from tests.runtime import random_networks
from tests.runtime.steps import Case, random_case

pytestmark = [needs_compiler, needs_kernels]
SEEDS = (3, 14, 20, 22, 27)  # of networks
SMALL = 20_000  # bytes of a step's file
TEST = NATIVE / "test_flat.cc"
# check.cc with numbers of 128 bits, beside the usual one.
WIDE = (
    *("-DLQ_WIDE_OF_128_BITS", "-Dlq_check=lq_check_of_128_bits"),
    "-Dlq_weights_size=lq_weights_size_of_128_bits",
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Steps of every kind, and networks, each behind its size."""
    files = []
    for kind in StepKind:
        made = (random_case(seed, kind) for seed in range(40))
        steps = (flat_of_step(Case(each.step, each.buffers, 1))[0] for each in made)
        files += [data for data in steps if len(data) < SMALL][:4]
    for seed in SEEDS:
        network = random_networks.random_network(seed)[0].SerializeToString()
        files.append(flat_bytes(whole_program(network)))
    path = tmp_path_factory.mktemp("fuzz") / "sound"
    path.write_bytes(b"".join(len(data).to_bytes(8, "little") + data for data in files))
    return path


def counts(ran: subprocess.CompletedProcess) -> dict[str, int]:
    """How many files became what, as the program says."""
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-3000:]
    words = "ran|damaged|too new|too large|other|steps agree"
    found = re.findall(rf"(\d+) ({words})\b", ran.stdout)
    return {word: int(count) for count, word in found}


def wide_check(where, compiler="g++", *flags: str):
    """The object file of the check with numbers of 128 bits."""
    made = where / "check_of_128_bits.o"
    command = [
        compiler,
        "-std=c++17",
        *flags,
        *WIDE,
        "-c",
        NATIVE / "check.cc",
        "-o",
        made,
    ]
    subprocess.run(command, check=True)
    return made


def built(where):
    """The test, with the kernels of Python."""
    program = where / "test_flat"
    if program.exists():
        return program
    sources = [TEST, wide_check(where), *sorted((NATIVE / "model").glob("*.cc"))]
    kernels = library_path().with_name("liblq_kernels.so")
    flags = [flag for flag in FLAGS if flag not in ("-fno-rtti", "-Wconversion")]
    subprocess.run(
        ["g++", *flags, *sources, kernels, "-Wl,-rpath,$ORIGIN", "-o", program],
        check=True,
    )
    return program


def test_damaged_files_are_refused_or_run(sound):
    """And damaged steps are judged with numbers of 64 bits as with those of 128."""
    command = [built(folder()), sound, "800", "0"]
    found = counts(subprocess.run(command, capture_output=True, text=True, check=False))
    # Neither all refused nor all sound; and those behind the checksum are met.
    assert found["ran"] > 80
    assert found["damaged"] > 200
    assert found["other"] < 20
    assert found["steps agree"] == 4000


@pytest.mark.targets
def test_many_damaged_files_under_the_sanitizers(sound, tmp_path):
    """Address and undefined behaviour, kernels and all."""
    program = tmp_path / "test_flat"
    sources = [
        TEST,
        *sorted(
            path for path in NATIVE.glob("*.cc") if not path.name.startswith("test_")
        ),
        *sorted((NATIVE / "model").glob("*.cc")),
    ]
    flags = [
        "-O1",
        "-ffp-contract=off",
        "-pthread",
        "-g",
        "-fsanitize=address,undefined",
    ]
    flags.append("-fno-sanitize-recover=all")
    wide = wide_check(tmp_path, "g++", *flags)
    subprocess.run(
        ["g++", "-std=c++17", *flags, *sources, wide, "-o", program], check=True
    )
    command = [program, sound, "20000", "1"]
    found = counts(subprocess.run(command, capture_output=True, text=True, check=False))
    assert sum(found.values()) - found["steps agree"] == 20000
    assert found["steps agree"] == 100_000
    assert found["ran"] > 2000


@pytest.mark.targets
@needs("clang++", "wasm-ld", "node", "/usr/include/wasm32-wasi")
def test_many_damaged_files_where_addresses_have_32_bits(sound, tmp_path):
    """WebAssembly: no trap, both forms of the check agree, and each file becomes what it does
    on this machine."""
    program, objects = tmp_path / "test_flat.wasm", []
    flags = ["--target=wasm32-wasi", "-O1", "-ffp-contract=off", "-fno-exceptions"]
    flags += [
        "-fno-rtti",
        "-fno-threadsafe-statics",
        "-DLQ_NO_THREADS",
        "-DLQ_NO_CLOCK",
    ]
    others = ("test_", "avx", "amx", "neon", "wasm")
    kernels = [path for path in NATIVE.glob("*.cc") if not path.name.startswith(others)]
    for source in (TEST, *kernels, *(NATIVE / "model").glob("*.cc")):
        objects.append(tmp_path / f"{source.stem}.o")
        command = ["clang++", "-std=c++17", *flags, "-c", source, "-o", objects[-1]]
        subprocess.run(command, check=True)
    wide = wide_check(tmp_path, "clang++", *flags)
    linked = ["-Wl,-z,stack-size=1048576", "-o", program]
    subprocess.run(["clang++", flags[0], *objects, wide, *linked], check=True)
    start = ["node", "--no-warnings", Path(__file__).with_name("run_wasi.mjs")]
    words = ["20000", "1", "0", "portable"]
    there = [*start, program, sound.parent, "/files/sound", *words]
    here = [built(folder()), sound, *words]
    found, wanted = (
        counts(subprocess.run(command, capture_output=True, text=True, check=False))
        for command in (there, here)
    )
    assert found == wanted
