"""Bars of long work: on a terminal, after a second, gone afterwards, and nowhere else."""

import io
import os
import re
import time

import numpy as np
import pytest
import tf_keras
from rich.console import Console
from rich.progress import BarColumn

import larqlite as lq
from larqlite import _progress
from larqlite._progress import bar, below_lines
from larqlite_runtime import progress

# What is left on a terminal after a line is taken away, or moved over.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


def terminal_of_errors(monkeypatch):
    """An error stream that is a terminal, on which bars are drawn at once.

    A fixture would be too early: pytest sets the streams when the test begins.
    """
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(_progress, "DELAY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def drawn(stream):
    return CONTROL.sub("", stream.getvalue())


def wait_for(text, stream):
    end = time.monotonic() + 30
    while text not in drawn(stream) and time.monotonic() < end:
        time.sleep(0.01)
    return text in drawn(stream)


def test_a_bar_shows_how_much_is_done_and_goes_away(monkeypatch):
    terminal = terminal_of_errors(monkeypatch)
    with bar("calibrate", 100) as shown:
        shown.advance(40)
        assert wait_for("40 of 100 samples", terminal)
        with bar("convert"):  # of work within this one, below it
            assert wait_for("convert", terminal)
    # The cursor is back at the beginning of an empty line.
    assert re.search(r"\x1b\[2K(\x1b\[\?25h|\r)*$", terminal.getvalue())


def test_work_of_less_than_a_second_has_none(monkeypatch):
    terminal = terminal_of_errors(monkeypatch)
    monkeypatch.setattr(_progress, "DELAY", 60.0)
    with bar("calibrate", 100) as shown:
        shown.advance(100)
    assert terminal.getvalue() == ""


def test_none_where_it_is_not_wanted_nor_without_a_terminal(monkeypatch):
    terminal = terminal_of_errors(monkeypatch)
    with lq.context.progress_scope(False), bar("calibrate", 100) as shown:
        shown.advance(40)
    assert terminal.getvalue() == ""
    pipe = io.StringIO()
    monkeypatch.setattr("sys.stderr", pipe)
    with bar("calibrate", 100) as shown, progress.line("benchmark", delay=0.0) as tell:
        shown.advance(40)
        tell(0.5)
        time.sleep(0.05)
    assert pipe.getvalue() == ""


@pytest.mark.parametrize(
    "what", [("quantize", "calibrate"), ("export", "verify"), ("load",)], ids=" ".join
)
def test_functions_that_take_long_have_one(what, tmp_path, monkeypatch):
    told = []

    class Told(_progress.Bar):
        def __init__(self, progress, what, total, unit):
            told.append(what)
            super().__init__(progress, what, total, unit)

    monkeypatch.setattr(_progress, "Bar", Told)
    layers = [
        tf_keras.layers.Dense(3, input_shape=(4,), activation="relu", name="fc"),
        tf_keras.layers.Dense(2, name="labels"),
    ]
    model = tf_keras.Sequential(layers, name="net")
    x = np.random.default_rng(0).integers(0, 256, (64, 4)).astype("uint8")
    if "load" in what:
        model.save(tmp_path / "net.h5")
        lq.models.load(tmp_path / "net.h5")
    elif "export" in what:
        binary = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
        packed = lq.layers.QuantDense(3, **binary, kernel_constraint="weight_clip")
        model = tf_keras.Sequential([tf_keras.Input((4,)), packed])
        lq.deploy.export(model, tmp_path / "net.onnx")
    else:
        lq.integer.models.quantize(model, samples=x)
    assert set(what) <= set(told)


def test_a_line_without_rich_has_the_share_and_the_time():
    stream = Terminal()
    with progress.line("benchmark", stream, delay=0.0) as tell:
        tell(0.5)
        assert wait_for("benchmark  [############............]  50 %", stream)
    assert stream.getvalue().endswith("\r\x1b[K")


def test_bars_below_lines_are_on_their_terminal_or_on_that_of_errors(monkeypatch):
    terminal = terminal_of_errors(monkeypatch)
    lines = io.StringIO()
    for console, stream in (
        (Console(file=lines), terminal),
        (Console(file=Terminal(), force_terminal=True), None),
    ):
        with below_lines(console, "{task.description}", BarColumn()) as shown:
            shown.add_task("training", total=2)
            console.print("epoch 1")
            shown.refresh()
        stream = stream or console.file
        assert "training" in drawn(stream)
    assert lines.getvalue() == "epoch 1\n"


def test_a_closed_stream_is_no_terminal():
    stream = open(os.devnull)  # noqa: SIM115
    stream.close()
    assert not progress.is_terminal(stream)
    assert not progress.is_terminal(None)
