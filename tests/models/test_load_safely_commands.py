"""No command runs what a model's file carries, unless it is told to trust it."""

from __future__ import annotations

import os
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

from larqlite import cli
from larqlite_zoo import cli as zoo_cli
from tests.models.unsafe_files import H5, KERAS, edited, with_layer


def commands(kind) -> list[tuple[str, ...]]:
    """Every command that reads a model, as somebody would type it."""
    model, data = f"theirs{kind}", "data.npz"
    return [
        ("lq", "summary", model),
        ("lq", "plot", "weights", model),
        ("lq", "export", model, "out.onnx"),
        ("lq", "verify", model, "any.onnx"),
        ("lq", "benchmark", "any.onnx", "--model", model),
        ("lq", "qat", model, "--data", data),
        ("lq", "integer", "quantize", "-m", model, "--data", data),
        ("lq", "integer", "config", "-m", model),
        ("lq", "integer", "check", "-m", model),
        ("lq", "integer", "insert-rescaling", "-m", model, "-o", "o.keras", "-s", "2"),
        ("lq", "integer", "export", "-m", model, "--to", "onnx", "-o", "o.onnx"),
        ("lqz", "evaluate", model, "--dataset", "fashion_mnist_subset"),
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [KERAS, H5])
def test_no_command_runs_what_a_file_carries(
    kind, saved, marker, tmp_path, monkeypatch, capsys
):
    saved('Lambda layer "shift"', kind)
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=np.zeros((4, 3), "float32"))
    Path("any.onnx").write_bytes(b"")
    for program, *words in commands(kind):
        with pytest.raises(SystemExit) as stop:
            {"lq": cli, "lqz": zoo_cli}[program].main(words)
        message = capsys.readouterr().err
        assert stop.value.code == 2, (words, message)
        assert 'the Lambda layer "shift"' in message, (words, message)
        assert "--unsafe" in message
        assert not marker.exists(), words
    cli.main(["summary", f"theirs{kind}", "--unsafe"])
    assert "Lambda" in capsys.readouterr().out or kind
    assert marker.exists()


def test_every_command_with_a_model_can_be_told_to_trust_it():
    def classes(kind):
        for each in typing.get_args(kind) or (kind,):
            each = typing.get_args(each)[0] if typing.get_args(each) else each
            hints = typing.get_type_hints(each)
            nested = [v for k, v in hints.items() if k in ("what", "command")]
            yield from (c for inner in nested for c in classes(inner))
            if "model" in hints:
                yield each, hints

    found = list(classes(cli.Command)) + list(classes(zoo_cli.Command))
    assert len(found) >= 11
    for command, hints in found:
        assert "unsafe" in hints, command


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_module_beside_the_file_is_not_imported_by_the_command(tmp_path, marker):
    (tmp_path / "larqlite_zoo.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (tmp_path / "theirs.py").write_text(f"open({str(marker)!r}, 'w')\n")
    edited(tmp_path, KERAS, with_layer("theirs", "Layer"))
    root = Path(__file__).parents[2]
    program = "from larqlite.cli import main; main(['summary', 'edited.keras'])"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "names theirs.Layer, a module that is not imported" in ended.stderr
    assert not marker.exists()
