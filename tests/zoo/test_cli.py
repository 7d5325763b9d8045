"""The command `lqz`: what it lists, and how it answers a mistake."""

import json
import re
import subprocess
import sys

import pytest

import larqlite as lq
from larqlite_zoo import datasets, training


def test_list_shows_what_the_models_cost_and_reach(lqz):
    printed = lqz("list quicknet*")
    assert re.search(r"quicknet .*13\.2 M .*4\.17 MiB .*1\.88 B.*63\.3", printed)
    assert "quicknet_large" in printed
    assert "birealnet" not in printed


def test_list_as_json_has_the_cards(lqz):
    rows = json.loads(lqz("list quicknet --json"))
    (row,) = rows
    assert row["costs"]["parameters"] == 13_243_720
    assert row["recipe"] == "TrainQuickNet"
    assert (row["family"], row["published"][0]["top1"]) == ("sota", 63.3)


def test_list_recipes_has_every_name_with_its_models(lqz):
    printed = lqz("list --recipes")
    for name in training.recipe_names():
        assert re.search(rf"^\| {name} ", printed, re.MULTILINE)
    assert re.search(
        r"TrainXNORNet +xnornet +imagenet +100 +1200 +Adam 0.001, x0.5", printed
    )
    assert "github.com/liuzechun/ReActNet" in printed


def test_list_recipes_by_a_part_of_a_name_or_of_a_model(lqz):
    rows = json.loads(lqz("list *quicknet_l* --recipes --json"))
    assert [row["name"] for row in rows] == ["TrainQuickNetLarge"]
    stages = json.loads(lqz("list trainr2b --recipes --json"))[0]["stages"]
    assert [stage["epochs"] for stage in stages] == [100, 75, 75, 75]
    assert stages[0]["optimizer"].startswith("SGD 0.1")


def test_list_datasets_has_each_with_a_description(lqz):
    rows = json.loads(lqz("list --datasets --json"))
    assert [row["name"] for row in rows] == datasets.names()
    assert "fashion_mnist_subset" in lqz("list --datasets *subset*")


def test_card_in_words_and_as_json(lqz):
    printed = lqz("card QuickNet")
    for expected in ("13,243,720", "arxiv.org/abs/2011.09398", "TrainQuickNet"):
        assert expected in printed
    assert json.loads(lqz("card quicknet --json"))["costs"]["macs"]["32"] == 29_651_712


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train quicknt", 'Did you mean "quicknet"'),
        ("train TrainQuickNt --epochs 1", 'Did you mean "TrainQuickNet"'),
        ("train quicknet --epoch 3", r"--epochs"),
        ("train quicknet --binary.learning-rat 3", r"--binary\.learning-rate"),
        ("train quicknet --epochs many", "many"),
        ("train quicknet --epochs 0", r"TrainQuickNet: --epochs 0"),
        ("train quicknet --precision float8", "mixed_bfloat16"),
        ("train quicknet --optimizer adamm", 'Did you mean "adam"'),
        ("train birealnet --schedule steps --at-epochs 3", "as many of"),
        (
            "train quicknet --no-deterministic --dataset fashion_mnst",
            'Did you mean "fashion_mnist"',
        ),
        ("train --dataset mnist quicknet", "comes first"),
        ("train quicknet --import no_such_module", 'no module "no_such_module"'),
        ("train", "NAME"),
        ("list quicknt", 'Did you mean "quicknet"'),
        ("list trainquiknet --recipes", 'Did you mean "TrainQuickNet"'),
        ("card quicknt", 'Did you mean "quicknet"'),
        ("evaluate quicknet", "on which images"),
        ("evaluate quicknt --dataset mnist", 'Did you mean "quicknet"'),
        ("evaluate reactnet18 --dataset fashion_mnist_subset", "no weights"),
        ("evaluate missing.keras --dataset fashion_mnist_subset", "no such file"),
        ("paint", "list, card, train, sweep, evaluate"),
        ("", "list, card, train, sweep, evaluate"),
    ],
)
def test_a_mistake_gets_one_message_and_exit_code_2(
    refused, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert re.search(message, refused(arguments))
    assert not list(tmp_path.iterdir())


def test_version_is_that_of_the_package(lqz):
    assert lqz("--version") == f"larqlite_zoo {lq.__version__}\n"


def test_a_closed_pipe_is_no_error_and_tensorflow_is_quiet(tmp_path):
    command = [sys.executable, "-m", "larqlite_zoo", "list", "--recipes", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as process:
        assert process.stdout.read(1) == b"["
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=240) == 0
    assert errors == b""
