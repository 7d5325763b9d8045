"""`lq sensitivity` and `lq diagnose` say what the functions find, and draw it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from larqlite import cli
from tests.analysis.sick_networks import X, Y, dense, layers, stack
from tests.common.eager import eagerly


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=X, y=Y)
    return tmp_path


def test_sensitivity_prints_tables_and_draws_them(here, capsys):
    stack(layers.Dense(8, name="first")).save("net.keras")
    words = ["sensitivity", "net.keras", "data.npz", "--widths", "int2/float"]
    with eagerly():
        cli.main([*words, "-o", "widths.png"])
    said = capsys.readouterr().out
    assert "one layer at a width (measured / from gradients)" in said
    assert "points of accuracy lost" in said
    assert "int2/float" in said
    assert (here / "widths.png").stat().st_size > 1000


def test_diagnose_names_the_illness_and_ends_with_1(here, capsys):
    dense(np.sign).save("net.keras")
    words = ["diagnose", "net.keras", "data.npz", "--steps", "2"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "-o", "ill.svg"])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "saturated latents" in said
    assert "wrote ill.svg" in said
    with pytest.raises(SystemExit) as ended:
        cli.main([*words[:3], "--steps", "0", "--json"])
    assert ended.value.code == 1
    found = json.loads(capsys.readouterr().out)
    assert found["findings"][0]["figure"] == 1.0
    assert found["wrote"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sensitivity net.keras lost.npz", "lq sensitivity: lost.npz"),
        ("diagnose net.keras data.npz -o ill.txt", "ill.txt"),
        ("diagnose net.keras data.npz --steps -1", "--steps -1 is out of range"),
        ("sensitivity net.keras data.npz --widths int99", "unknown scheme 'int99'"),
    ],
)
def test_mistakes_are_answered_with_the_words_of_the_command(here, capsys, words, said):
    stack(layers.Dense(8, name="first")).save("net.keras")
    with pytest.raises(SystemExit) as ended:
        cli.main(words.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert not (here / "ill.txt").exists()
