"""`make devices-setup`, and what `make test` says of what is not there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.common.programs import missing, needs, skipped

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools" / "devices_setup.sh"
THERE = "gcc-arm-none-eabi libnewlib-arm-none-eabi clang lld"


@pytest.fixture
def machine(tmp_path):
    """A machine by its programs: runs the script there, and returns code, texts and calls."""

    def program(name: str, text: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(
        installed: str, user: int = 0, is_debian: bool = True, words=(), has_lists=True
    ):
        program("id", f"echo {user}")
        # Without lists it knows no package, and `apt-get update` brings them.
        program(
            "apt-cache",
            f"[ ! -f {tmp_path}/empty ] && echo '  Depends: clang-17'",
        )
        if not has_lists:
            (tmp_path / "empty").touch()
        program(
            "dpkg-query",
            f'case " {installed} " in *" $4 "*) printf installed;; *) exit 1;; esac',
        )
        if is_debian:
            program(
                "apt-get",
                f'echo "$@" >> {tmp_path}/calls; [ "$1" != update ] || rm -f {tmp_path}/empty',
            )
            if not (tmp_path / "rm").exists():
                (tmp_path / "rm").symlink_to(shutil.which("rm"))
        program("node", "")
        if not (tmp_path / "sed").exists():
            (tmp_path / "sed").symlink_to(shutil.which("sed"))
        done = subprocess.run(
            ["/bin/bash", SCRIPT, *words],
            env={**os.environ, "PATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        calls = tmp_path / "calls"
        return done, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_root_installs_what_is_missing_and_nothing_else(machine):
    done, (update, install) = machine(THERE)
    assert done.returncode == 0, done.stderr
    assert update.split()[0] == "update"
    packages = install.split("--no-install-recommends ")[1].split()
    assert not set(packages) & set(THERE.split())
    # Of the clang that is there; Chromium is not on this machine, but Node is.
    assert {"qemu-system-arm", "libc++-17-dev-wasm32", "chromium"} <= set(packages)
    assert "nodejs" not in packages


def test_on_a_fresh_image_the_lists_of_packages_come_first(machine):
    done, (update, install) = machine(THERE, has_lists=False)
    assert update.split()[0] == "update"
    assert "libc++-17-dev-wasm32" in install.split()
    assert (done.returncode, done.stderr) == (0, "")


def test_where_the_lists_are_empty_others_are_told_that_a_version_is_a_guess(machine):
    done, calls = machine(THERE, user=1000, has_lists=False)
    assert (done.returncode, calls) == (1, [])
    assert "sudo apt-get update" in done.stderr
    done, calls = machine(THERE, words=["--list"], has_lists=False)
    assert (done.returncode, calls) == (0, [])
    assert "sudo apt-get update" in done.stderr
    assert "libc++-14-dev-wasm32" in done.stdout.splitlines()


def test_others_are_told_what_to_type_and_nothing_is_installed(machine):
    done, calls = machine(THERE, user=1000)
    assert (done.returncode, calls) == (1, [])
    assert "sudo apt-get install" in done.stderr
    assert "qemu-system-arm" in done.stderr


def test_a_machine_without_apt_is_told_the_packages(machine):
    done, _ = machine("", is_debian=False)
    assert done.returncode == 1
    assert "this is no Debian" in done.stderr
    assert "gcc-arm-none-eabi" in done.stderr


def test_where_all_is_there_nothing_is_asked_of_apt(machine):
    done, _ = machine("", words=["--list"])
    done, calls = machine(done.stdout.replace("\n", " "))
    assert (done.returncode, calls) == (0, []), done.stderr
    assert re.search(r"all \d+ packages are installed", done.stdout)


def test_a_program_that_is_missing_is_named_with_what_installs_it():
    assert missing("sh", "no-such-gcc", "/no/such/folder", "/") == [
        "no-such-gcc",
        "/no/such/folder",
    ]
    assert needs("sh").args == (False,)
    (condition,) = needs("sh", "no-such-gcc").args
    assert condition
    reason = needs("sh", "no-such-gcc").kwargs["reason"]
    assert reason == "no no-such-gcc (make devices-setup)"


def test_what_was_skipped_is_counted_by_its_reason():
    def report(why, when="setup"):
        return SimpleNamespace(longrepr=("a.py", 1, f"Skipped: {why}"), when=when)

    found = skipped([report("no b"), report("no a"), report("no b", "call")])
    assert found == ["2 tests skipped: no b", "1 test skipped: no a"]
    assert skipped([report("no x", "collect")]) == ["1 whole file skipped: no x"]


@pytest.mark.parametrize(
    ("target", "marker"),
    [
        ("test", "not slow and not targets"),
        ("test-all", "not targets"),
        ("test-oldest", "not slow and not targets"),
        ("test-targets", "targets"),
    ],
)
def test_what_runs_at_length_on_other_machines_has_a_target_of_its_own(target, marker):
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
    (command,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    (found,) = re.findall(r"-m (?!pytest|pip)(\"[^\"]*\"|\w+)", command)
    assert found.strip('"') == marker


def test_the_tests_change_nothing_of_the_system():
    """What installs is called by CI and by people, and by no test."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = re.findall(r"^(\S+):.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    by_whom = [name for name, recipe in recipes if "devices_setup" in recipe]
    assert by_whom == ["devices-setup"]
    assert "apt-get" not in text
