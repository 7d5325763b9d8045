"""Damaged flat files in WebAssembly: an error or a run, and never a module that ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.devices.test_flat_fuzz import sound
from tests.devices.web_runtime import FLAGS, WEB, needs_node

__all__ = ["sound"]
PROGRAM = Path(__file__).with_name("fuzz_web.mjs")

pytestmark = needs_node


def counts(sound, count: int, seed: int) -> dict[str, int]:
    """How many files ran, were refused, or ended the module."""
    command = ["node", *FLAGS, PROGRAM, WEB, sound, str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout)
    assert found["ended"] == 0, done.stderr[-3000:]
    return found


def test_damaged_files_are_refused_or_run(sound):
    found = counts(sound, 500, 0)
    assert min(found["ran"], found["refused"]) > 80


@pytest.mark.targets
def test_many_damaged_files_are_refused_or_run(sound):
    found = counts(sound, 20_000, 1)
    assert min(found["ran"], found["refused"]) > 2000
