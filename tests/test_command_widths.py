"""Commands on terminals of 60 and 200 columns, in a pipe, and without colours."""

import io
import re

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite import cli
from larqlite_runtime import tables
from larqlite_zoo import cli as zoo_cli

# What they print has no times, so that it is the same again.
LINES = (
    "lq quantizers",
    "lq summary net.keras",
    "lq verify net.keras net.onnx --samples 2",
    "lq explain net.onnx",
    "lqz list",
    "lqz list --recipes",
    "lqz list --datasets",
    "lqz card quicknet",
)
TIMED = ("lq benchmark net.onnx --seconds 0.02 --threads 1",)
# Addresses, paths and commands are longer than a narrow terminal, and stay whole.
LONG = re.compile(r"https?://|sha-?256|^  (lqz?|python|results)\b", re.I)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("widths")
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    layers = [
        lq.layers.QuantDense(
            32, input_quantizer="ste_sign", **binary,
            name=f"a_rather_long_name_of_a_layer_{i}_that_somebody_gave_to_it",
        )
        for i in range(2)
    ]  # fmt: skip
    model = tf_keras.Sequential([tf_keras.Input((32,)), *layers], name="net")
    model.save(folder / "net.keras")
    lq.deploy.export(model, folder / "net.onnx", verify=False)
    np.savez(folder / "data.npz", x=np.ones((4, 32), "float32"))
    return folder


@pytest.fixture
def printed(folder, monkeypatch):
    """What a line prints on a terminal of so many columns, or in a pipe (None)."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def run(line, columns):
        stream = io.StringIO() if columns is None else Terminal()
        monkeypatch.setenv("COLUMNS", str(columns or 40))
        monkeypatch.setattr("sys.stdout", stream)
        program, *words = line.split()
        {"lq": cli.main, "lqz": zoo_cli.main}[program](words)
        return re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue())

    return run


def numbers(text):
    return set(re.findall(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.])\d", text))


@pytest.mark.parametrize("line", LINES)
def test_on_a_narrow_terminal_no_line_is_too_long_and_no_number_is_cut(printed, line):
    piped, narrow, wide = (printed(line, columns) for columns in (None, 60, 200))
    for text, columns in ((narrow, 60), (wide, 200)):
        for row in text.splitlines():
            assert len(row) <= columns or LONG.search(row), row
    if not line.startswith("lqz card"):  # its addresses are broken
        assert numbers(piped) <= numbers(narrow)
        assert numbers(piped) <= numbers(wide)


@pytest.mark.parametrize("line", TIMED)
def test_tables_of_times_fit_too(printed, line):
    for row in printed(line, 60).splitlines():
        assert len(row) <= 60, row


@pytest.mark.parametrize("line", LINES)
def test_in_a_pipe_every_column_is_there_in_full(printed, line):
    """Whatever COLUMNS says."""
    text = printed(line, None)
    assert "..." not in text.replace("...)", "")
    if line == "lq summary net.keras":
        head = next(row for row in text.splitlines() if "Input prec." in row)
        assert "Memory" in head
    if "net." in line:
        assert "a_rather_long_name_of_a_layer_1_that_somebody_gave_to_it" in text
    if line == "lqz list":
        rows = [row for row in text.splitlines() if row.startswith("| quicknet ")]
        assert len(rows) == 1
        assert len(rows[0]) > 80


@pytest.mark.parametrize("line", [*LINES, *TIMED])
def test_without_colours_nothing_is_coloured(folder, monkeypatch, line):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    program, *words = line.split()
    {"lq": cli.main, "lqz": zoo_cli.main}[program](words)
    # Bold and dim letters are no colours.
    styles = set(re.findall(r"\x1b\[([\d;]*)m", stream.getvalue()))
    assert not {part for style in styles for part in style.split(";")} - {
        "", "0", "1", "2", "22",
    }  # fmt: skip


def test_a_word_that_is_longer_than_a_column_is_broken_a_number_is_not(monkeypatch):
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "48")
    rows = [("a" * 60, "1,234,567,890.125")]
    text = tables.text(("layer", "bytes"), rows)
    assert "1,234,567,890.125" in text
    assert max(map(len, text.splitlines())) <= 48
    assert "".join(re.findall("a+", text)) == "a" + "a" * 60  # that of "layer" too
