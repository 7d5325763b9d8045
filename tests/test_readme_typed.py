"""The README typed in order, line by line, into an environment that has only the package."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from tests.test_readme import README, blocks
from tests.test_readme_commands import LINES, outputs_of

ROOT = Path(__file__).resolve().parent.parent
# From installed to a file that is verified.
MOST_SECONDS = 60


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The folder of programs of a new environment, made as the README says."""
    folder = tmp_path_factory.mktemp("bare")
    source = folder / "checkout"
    ignored = shutil.ignore_patterns(".*", "*.so", "build", "*.egg-info", "runs")
    shutil.copytree(ROOT, source, ignore=ignored, symlinks=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    programs = folder / "venv" / Path(sysconfig.get_path("scripts")).name
    pip = [programs / "python", "-m", "pip", "install", "--quiet"]
    installed = subprocess.run(
        [*pip, "--constraint", "constraints.txt", "."],
        cwd=source,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert installed.returncode == 0, installed.stderr
    return programs


def typed(words, folder, environment):
    """What a program prints; it must succeed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def seconds_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.slow
def test_every_line_works_and_the_first_file_is_there_within_a_minute(bare, tmp_path):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "LARQLITE", "TF_"))
    }
    environment["PATH"] = f"{bare}{os.pathsep}{os.environ['PATH']}"
    first, *others = blocks(README, "python")
    began, worked = time.monotonic(), seconds_of_children()
    printed = typed([bare / "python", "-c", first], tmp_path, environment)
    took = time.monotonic() - began
    assert "4 packed layers, each given its input in Keras: as in Keras" in printed
    # Where other processes have the cores, those of this one are what is counted.
    assert min(took, seconds_of_children() - worked) < MOST_SECONDS
    accuracy = float(printed.split("val_accuracy: ")[-1].split()[0])
    assert accuracy > 0.7  # two epochs end between 0.76 and 0.84

    everything = "\n".join([first, *others])
    typed([bare / "python", "-c", everything], tmp_path, environment)
    for words in LINES:
        assert typed([bare / words[0], *words[1:]], tmp_path, environment).strip()
        for file in outputs_of(words):
            assert (tmp_path / file).stat().st_size > 100, words
