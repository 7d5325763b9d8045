"""The page "From C and C++": every command of it does what it shows, with the whole library."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.common.programs import needs
from tests.devices.c_library import NATIVE, ROOT
from tests.test_docs import pages

PAGE = ROOT / "docs" / "deploy" / "c_api.md"
FENCE = re.compile(r"^```(python|console|c|sh|text)\n(.*?)^```$", re.M | re.S)
NUMBER = re.compile(r"-?\d+\.\d+")

pytestmark = [pytest.mark.targets, needs("g++", "make", "pkg-config", "xxd")]


def is_like(found: str, shown: str) -> bool:
    """The same words; times and instruction sets are those of the machine."""
    texts = [re.sub(r"[\d.]+ ms( on \w+)?", "ms", text) for text in (found, shown)]
    numbers = [list(map(float, NUMBER.findall(text))) for text in texts]
    words = [NUMBER.sub("?", text) for text in texts]
    return words[0] == words[1] and numbers[0] == pytest.approx(numbers[1], rel=1e-4)


def test_every_command_of_the_page_does_what_it_shows(monkeypatch):
    blocks = FENCE.findall(PAGE.read_text())
    compared = 0
    with pages.fresh_page() as namespace:
        here = Path.cwd()
        monkeypatch.setenv("HOME", str(here))
        ignored = shutil.ignore_patterns("build", "*.so")
        shutil.copytree(NATIVE, here / "larqlite" / "native", ignore=ignored)
        shutil.copytree(ROOT / "examples", here / "larqlite" / "examples")
        version = Path("larqlite_runtime", "_version.py")
        (here / "larqlite" / version.parent).mkdir()
        shutil.copy(ROOT / version, here / "larqlite" / version)
        script = "set -e\n"
        for (kind, code), (after, shown) in zip(
            blocks, [*blocks[1:], ("", "")], strict=True
        ):
            if kind in ("python", "console"):
                lines = code if kind == "python" else code.partition("\n")[0] + "\n"
                block = pages.Block(kind, lines, 1)
                pages.shown_by(block, PAGE, namespace)
            if kind == "c":
                (here / "first.c").write_text(code)
            if kind == "sh":
                # What is exported holds for the commands behind it, too.
                script += "\n".join(re.findall(r"^export .*$", code, re.M)) + "\n"
                ran = subprocess.run(
                    ["bash", "-c", script + code],
                    capture_output=True,
                    text=True,
                    check=False,
                    env=os.environ | {"PYTHONPATH": ""},
                )
                if after == "text":
                    assert is_like(ran.stdout + ran.stderr, shown), ran
                    compared += 1
                else:
                    assert ran.returncode == 0, ran
    assert compared == 4


@needs("clang++")
def test_clang_builds_the_library_without_a_warning(tmp_path):
    command = ["make", "-s", "-C", str(NATIVE), f"BUILD={tmp_path}", "CXX=clang++"]
    ran = subprocess.run(
        [*command, "CXXFLAGS=-O1 -Werror"], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "liblarqlite.so").stat().st_size > 100_000


@needs("aarch64-linux-gnu-g++", "qemu-aarch64")
def test_a_program_for_a_raspberry_pi_is_built_here(tmp_path):
    """The library for 64-bit ARM, linked into the example, run in an emulator."""
    arm = "aarch64-linux-gnu-g++"
    command = ["make", "-s", "-C", str(NATIVE), f"BUILD={tmp_path}", f"CXX={arm}"]
    subprocess.run([*command, "AR=aarch64-linux-gnu-ar", "CXXFLAGS=-O1"], check=True)
    program = tmp_path / "classify"
    subprocess.run(
        [
            *("aarch64-linux-gnu-gcc", "-std=c11", ROOT / "examples/c/classify.c"),
            *("-I", NATIVE / "include", tmp_path / "liblarqlite.a", "-static"),
            *("-lstdc++", "-lm", "-pthread", "-o", program),
        ],
        check=True,
    )
    ran = subprocess.run(
        ["qemu-aarch64", program, "none.lqflat", "none.ppm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert 'the file "none.lqflat" is not there' in ran.stderr
