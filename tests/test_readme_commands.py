"""The command lines of the README in order: each finds the files that it reads."""

import re
import shlex

from larqlite import cli
from tests.test_readme import README, blocks

SECTION = README.split("## On the command line")[1].split("\n## ")[0]
LINES = [
    shlex.split(line, comments=True) for line in blocks(SECTION, "sh")[0].splitlines()
]
# What a command writes if no name is given.
DEFAULTS = {
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
    assert len(LINES) >= 10
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
