"""The command lines of the README, typed in order in the folder that its Python fills."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import larqlite as lq
from larqlite import cli
from tests.test_readme import README, blocks

ROOT = Path(__file__).resolve().parent.parent
SECTION = README.split("## On the command line")[1].split("\n## ")[0]
LINES = [
    shlex.split(line, comments=True) for line in blocks(SECTION, "sh")[0].splitlines()
]
# What a command writes if no name is given.
DEFAULTS = {
    "plot quantizer swish_sign": "swish_sign.png",
    "plot history runs/demo/history.csv": "runs/demo/history.png",
    "demo": "runs/demo/history.csv",
    "integer quantize -m clothes.keras": "clothes_i8_w4_a8.keras",
}


def outputs_of(words):
    named = [words[i + 1] for i, word in enumerate(words) if word in ("-o", "--output")]
    if words[1] == "export":
        named = words[3:4]
    text = " ".join(words[1:])
    return named or [file for begin, file in DEFAULTS.items() if text.startswith(begin)]


def test_every_file_that_a_line_reads_is_there_by_then():
    python = "\n".join(blocks(README, "python"))
    there = set(re.findall(r'"([\w./]+\.(?:keras|onnx|npz|tflite))"', python))
    assert len(LINES) == 13
    for words in LINES:
        assert words[0] == "lq"
        assert callable(cli.parse(words[1:]).run)
        written = outputs_of(words)
        files = {word for word in words[1:] if re.search(r"\.\w+$", word)}
        assert files - set(written) <= there, words
        # A name that nobody gave would not be written over.
        default = set(written) - set(words)
        assert not default & there, words
        there |= set(written)


@pytest.mark.slow
def test_all_lines_work_in_an_empty_folder(tmp_path, run_python):
    """As processes of their own; the networks are trained for one epoch."""
    code = "\n".join(blocks(README, "python"))
    few = re.sub(r"epochs=\d", "epochs=1", code)
    run_python(few, timeout=900)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for words in LINES:
        result = subprocess.run(
            [sys.executable, "-m", "larqlite", *words[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert result.returncode == 0, (words, result.stderr)
        assert result.stdout.strip()
        for file in outputs_of(words):
            assert (tmp_path / file).stat().st_size > 100, words
    assert lq.models.load(tmp_path / "clothes_i8_w4_a8.keras")
