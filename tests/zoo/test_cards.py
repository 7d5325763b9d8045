"""Cards: every number has a source, and is the one the source gives."""

from __future__ import annotations

import csv
import io
import json
import re
import sys

import pytest
from rich.console import Console

import larqlite_zoo
from larqlite.errors import ArgumentError
from larqlite_zoo import _figures, _registered_models, cli, make_costs, make_measured
from larqlite_zoo._show import print_card, print_models
from tests.forks import ROOT

# Parameters, parameters after fusing (None where Larq Zoo's page gives the former
# only), size in MiB, MACs in millions: Larq Zoo 2.4.0's documentation and summaries.
LARQ_ZOO = {
    "binary_alexnet": (61_859_192, 61_848_720, 7.45, 841),
    "birealnet": (11_699_112, None, 4.00, 1810),
    "binary_resnet_e18": (11_699_368, 11_689_640, 4.00, 1810),
    "binary_densenet28": (5_150_504, None, 4.04, 3790),
    "binary_densenet37": (8_734_120, None, 5.13, 4710),
    "binary_densenet37_dilated": (8_734_120, None, 5.13, 8230),
    "binary_densenet45": (13_939_240, None, 7.35, 6670),
    "dorefanet": (62_403_912, None, 22.80, 3050),
    "meliusnet22": (6_969_672, 6_944_584, 3.88, 4760),
    "real_to_binary_net": (11_995_624, 11_986_920, 5.13, 1810),
    "xnornet": (62_396_768, 62_387_104, 22.77, 1140),
    "quicknet_small": (12_664_344, 12_655_688, 4.00, 1170),
    "quicknet": (13_243_720, 13_234_088, 4.17, 1880),
    "quicknet_large": (23_359_304, 23_342_248, 5.40, 3730),
}
FAST = ("binary_vgg_small", "vgg_small_fp")
RESULT = {
    "model": "binary_vgg_small",
    "recipe": "TrainBinaryVGGSmall",
    "dataset": "fashion_mnist",
    "top1": "91.5",
    "epochs": "3",
    "seed": "7",
    "date": "2026-01-02",
    "command": "lqz train binary_vgg_small --epochs 3",
}


@pytest.mark.parametrize("name", LARQ_ZOO)
def test_the_costs_on_a_card_are_those_of_larq_zoo(name):
    parameters, deployed, mebibytes, millions = LARQ_ZOO[name]
    costs = larqlite_zoo.card(name).costs
    assert costs.parameters == parameters
    assert deployed in (None, costs.deployed_parameters)
    assert round(costs.deployed_bytes / 2**20, 2) == mebibytes
    macs = sum(costs.macs.values())
    assert float(f"{macs / 1e6:.3g}") == millions
    assert costs.macs.keys() <= {1, 2, 32}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in larqlite_zoo.list_models()
    ],
)
def test_the_shipped_costs_are_those_of_the_model(name):
    entry = _registered_models.find(name)
    assert _figures.compute_costs(entry) == larqlite_zoo.card(name).costs


def test_costs_are_shipped_for_exactly_the_registered_models():
    shipped = json.loads(_figures.COSTS.read_text(encoding="utf-8"))
    assert sorted(shipped) == larqlite_zoo.list_models(), (
        "run: python -m larqlite_zoo.make_costs"
    )


def test_the_script_writes_what_it_computes(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(make_costs, "COSTS", tmp_path / "costs.json")
    monkeypatch.setattr(
        make_costs, "entries", lambda: [_registered_models.find(FAST[0])]
    )
    make_costs.main()
    written = json.loads((tmp_path / "costs.json").read_text())
    shipped = json.loads(_figures.COSTS.read_text(encoding="utf-8"))
    assert written == {FAST[0]: shipped[FAST[0]]}


def test_a_model_that_the_shipped_table_lacks_is_computed(monkeypatch, tmp_path):
    expected = larqlite_zoo.card(FAST[0]).costs
    monkeypatch.setattr(_figures, "COSTS", tmp_path / "none.json")
    assert larqlite_zoo.card(FAST[0]).costs == expected


@pytest.mark.parametrize("name", larqlite_zoo.list_models())
def test_no_number_is_without_a_source(name):
    card = larqlite_zoo.card(name)
    assert card.summary.endswith(".")
    assert card.licence == "Apache-2.0"
    assert card.paper.title
    assert card.paper.url.startswith("https://")
    in_url = re.search(r"arxiv\.org/abs/(\d\d)\d\d\.", card.paper.url)
    assert 2010 <= card.paper.year <= 2026
    if in_url:  # published in the year it was put there, or later
        assert 0 <= card.paper.year - (2000 + int(in_url[1])) <= 2
    for accuracy in card.published:
        assert accuracy.source
        assert 0 < accuracy.top1 < (accuracy.top5 or 100)
    for row in card.measured:
        assert row.command
        assert row.results


def test_measured_accuracies_stand_in_the_results_files_they_name():
    for row in json.loads(_figures.MEASURED.read_text(encoding="utf-8")):
        with (ROOT / row["results"]).open(newline="") as lines:
            known = [
                (r["model"], r["dataset"], float(r["top1"]), r["command"])
                for r in csv.DictReader(lines)
            ]
        assert (row["model"], row["dataset"], row["top1"], row["command"]) in known


def results_file(path, rows):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(RESULT))
        writer.writeheader()
        writer.writerows(rows)


def test_results_become_measurements_on_the_card(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [
        RESULT | {"top1": "90.0"},
        RESULT,  # the same command again: the later row counts
        RESULT | {"command": "lqz train binary_vgg_small", "seed": "", "epochs": "5"},
        RESULT | {"model": "a_model_of_somebody"},
    ]
    results_file(tmp_path / "results" / "fashion_mnist.csv", rows)
    monkeypatch.setattr(make_measured, "MEASURED", tmp_path / "measured.json")
    monkeypatch.setattr(_figures, "MEASURED", tmp_path / "measured.json")
    make_measured.main(["results/fashion_mnist.csv"])
    short, long = larqlite_zoo.card("BinaryVGGSmall").measured
    assert (short.top1, short.seed, short.epochs) == (91.5, None, 5)
    assert (long.top1, long.seed, long.epochs) == (91.5, 7, 3)
    assert long.command == "lqz train binary_vgg_small --epochs 3"
    assert long.results == "results/fashion_mnist.csv"
    assert long.date == "2026-01-02"
    assert larqlite_zoo.card("quicknet").measured == ()
    printed = shown(print_card, larqlite_zoo.card("binary_vgg_small"))
    assert "fashion_mnist: top-1 91.5 % (3 epochs, seed 7, 2026-01-02)" in printed
    assert "91.5 fashion_mnist, measured" in shown(print_models, "binary_vgg_small")


def shown(function, argument):
    text = io.StringIO()
    function(argument, Console(file=text, width=120))
    return text.getvalue()


def test_a_card_shows_costs_sources_and_checksums():
    printed = shown(print_card, larqlite_zoo.card("quicknet"))
    for part in (
        "QuickNet (quicknet)",
        "https://arxiv.org/abs/2011.09398",
        "larqlite_zoo.sota.QuickNet()",
        "13,243,720",
        "4.17 MiB",
        "top-1 63.3 %, top-5 84.6 % (Larq Zoo",
        "8aba9e4e5f8d342faef04a0b2ae8e562da57dbb7d15162e8b3e091c951ba756c",
        "releases/download/quicknet-v1.0/quicknet_weights_notop.h5",
        "none yet",
    ):
        assert part in printed


@pytest.mark.parametrize("columns", [None, "60", "80"])
def test_no_number_of_the_lists_is_cut(columns, monkeypatch, capsys):
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for words in (["list"], ["list", "--recipes"]):
        cli.main(words)
        printed = capsys.readouterr().out
        assert "…" not in printed
        assert "..." not in printed
        for expected in ("quicknet_large", *(("3.73 B",) if len(words) == 1 else ())):
            assert expected in printed


def test_the_list_of_models_shows_one_line_for_each():
    lines = shown(print_models, "quicknet*").splitlines()
    (line,) = [line for line in lines if line.startswith("| quicknet_large")]
    assert line.strip("|").split() == [
        "quicknet_large", "224x224x3", "23.4", "M", "5.40", "MiB", "3.73", "B",
        "3.7", "B", "66.9", "imagenet",
    ]  # fmt: skip
    assert "binary_alexnet" not in "".join(lines)
    with pytest.raises(ArgumentError, match='No model matches "quikcnet"'):
        print_models("quikcnet")
