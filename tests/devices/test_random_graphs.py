"""Random graphs on every back end, many of them in one program, to the bit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from larqlite.errors import UnsupportedModelError
from tests.common.programs import needs
from tests.devices import sweep
from tests.devices.keras_graphs import drawn
from tests.devices.random_graphs import (
    BACK_ENDS,
    BackEnd,
    GraphCase,
    by_algorithms,
    differing,
    runnable,
)

# Of the cores the smallest one; the others in `make test-targets`.
ALWAYS = ("c", "c:cortex-m0", "wasm")


def on_each(back_ends):
    return pytest.mark.parametrize(
        "back_end",
        [
            pytest.param(item, marks=needs(*item.needs), id=item.name)
            for item in back_ends
        ],
    )


# Of graphs in which something was once wrong: an output that is part of the input as it is;
# one that is part of a concatenation to which something is added; factors of 0.
FOUND = (80, 541, 1444)


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """The first graphs that kernels run from end to end, those in which a sweep found something,
    and networks of Keras."""
    of_keras = drawn(8, tmp_path_factory.mktemp("keras"))
    return [*runnable(12 - len(FOUND)), *map(GraphCase, FOUND), *of_keras]


def require_the_same(back_end, cases, folder) -> None:
    found = back_end.run(cases, folder)
    lines = [
        line
        for case, arrays in zip(cases, found, strict=True)
        for line in differing(case, arrays)
    ]
    assert not lines, "\n".join(lines)


@on_each([item for item in BACK_ENDS if item.name in ALWAYS])
def test_twenty_graphs_in_one_program_give_what_onnxruntime_or_the_kernels_give(
    back_end, twenty, tmp_path
):
    require_the_same(back_end, twenty, tmp_path)


ALGORITHMS = ("dense", "tree", "sets", "pixel_sets", "words")


@needs("cc")
def test_graphs_by_algorithms_by_turns(twenty, tmp_path):
    require_the_same(by_algorithms(ALGORITHMS), twenty, tmp_path)


@pytest.mark.targets
@needs("cc")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_two_hundred_graphs_by_an_algorithm(algorithm, tmp_path):
    cases = runnable(200)
    for first in range(0, len(cases), 50):
        folder = tmp_path / str(first)
        folder.mkdir()
        some = cases[first : first + 50]
        require_the_same(by_algorithms([algorithm]), some, folder)


@pytest.mark.targets
@on_each(BACK_ENDS)
def test_five_hundred_graphs(back_end, tmp_path):
    cases = runnable(500)
    for first in range(0, len(cases), 50):
        folder = tmp_path / str(first)
        folder.mkdir()
        require_the_same(back_end, cases[first : first + 50], folder)


@pytest.fixture(scope="module")
def of_keras(tmp_path_factory):
    return drawn(500, tmp_path_factory.mktemp("keras"))


@pytest.mark.targets
@on_each([item for item in BACK_ENDS if item.name in (*ALWAYS, "c:rv32")])
def test_five_hundred_networks_of_keras(back_end, of_keras, tmp_path):
    for first in range(0, len(of_keras), 50):
        folder = tmp_path / str(first)
        folder.mkdir()
        require_the_same(back_end, of_keras[first : first + 50], folder)


def test_one_wrong_bit_is_a_difference(twenty):
    case = twenty[0]
    found = {name: array.copy() for name, array in case.wanted.items()}
    assert differing(case, found) == []
    name, array = next(iter(found.items()))
    array.flat[-1] = np.nextafter(array.flat[-1], np.float32(np.inf))
    assert differing(case, found) == [
        f"{case.said}, {name}: 1 of {array.size} values differ"
    ]
    assert len(differing(case, {})) == len(case.wanted)


def test_the_sweep_goes_on_where_it_stopped_and_forgets_no_difference(
    tmp_path, monkeypatch, capsys
):
    """On a back end that is wrong for one graph, and does not build another."""

    def run(cases, folder):
        if 3 in [case.seed for case in cases]:
            raise UnsupportedModelError("cc ends with 1\n  Fix: see what it says")
        return [{} if case.seed == 1 else case.wanted for case in cases]

    monkeypatch.setattr(sweep, "BACK_ENDS", [BackEnd("wrong", run)])
    words = ["--state", str(tmp_path / "state.json"), "--chunk", "2", "--to"]
    assert sweep.main([*words, "2"]) == 1
    assert sweep.main([*words, "5"]) == 1
    state = json.loads((tmp_path / "state.json").read_text())
    assert (state["next"], state["graphs"]) == (5, {"wrong": 5})
    assert "wrong, seed 3: cc ends with 1" in state["different"]
    found = {line.split(",")[1].partition(":")[0] for line in state["different"]}
    assert found == {" seed 1", " seed 3"}
    assert "5 random graphs; run on wrong 5" in capsys.readouterr().out
