"""The search for widths: its optimum, its costs by hand, what it keeps, what it refuses."""

import itertools
import json
import sys

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite.analysis.internal import Samples
from larqlite.errors import ArgumentError, MissingFileError
from larqlite.search import _bits, _measured
from larqlite.search._learned import learned_shares
from larqlite.search._solve import front, solve
from tests.common.eager import eagerly

X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
WIDTHS = ("int2", "int4", "int8")


@pytest.fixture(scope="module", autouse=True)
def _not_traced():
    with eagerly():
        yield


@pytest.fixture(scope="module")
def model():
    """Six layers, the outer ones of which matter most."""
    tf_keras.utils.set_random_seed(0)
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [tf_keras.Input((6,))]
        + [layers.Dense(8, "relu", name=f"dense_{i}") for i in range(5)]
        + [layers.Dense(3, name="labels")],
        name="six",
    )


@pytest.fixture(scope="module")
def pair():
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(0)
    return tf_keras.Sequential(
        [layers.Dense(8, "relu", input_shape=(6,), name="a"), layers.Dense(3, name="b")]
    )


# Of what takes no longer than it must.
QUICK = {"method": "gradients", "widths": WIDTHS, "points": 2}


@pytest.fixture(scope="module")
def labels(model):
    return np.argmax(model(X), -1)


@pytest.fixture(scope="module")
def found(model, labels):
    return lq.search.bits(model, (X, labels), 300, widths=WIDTHS, points=3)


def by_brute_force(losses, costs, budget):
    """The least loss of all choices within a budget."""
    rows = np.arange(len(losses))
    choices = itertools.product(range(losses.shape[1]), repeat=len(losses))
    kept = [np.array(c) for c in choices if costs[rows, c].sum() <= budget]
    return min((losses[rows, c].sum() for c in kept), default=None)


@pytest.mark.parametrize("seed", range(20))
def test_the_solver_finds_what_trying_all_finds(seed):
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 7), rng.integers(1, 5)
    losses = rng.normal(size=size) * 10.0 ** rng.integers(-5, 4)
    costs = rng.integers(1, 10 ** int(rng.integers(1, 7)), size).astype(float)
    losses[rng.random(size) < 0.2] = np.inf
    losses[:, 0] = np.where(np.isfinite(losses[:, 0]), losses[:, 0], 0)
    least, most = np.where(np.isfinite(losses), costs, np.inf).min(1).sum(), costs.sum()
    budget = least + (most - least) * rng.random() ** 2
    taken = solve(losses, costs, budget)
    rows = np.arange(len(losses))
    assert costs[rows, taken].sum() <= budget
    spread = np.ptp(losses[np.isfinite(losses)]) or 1
    wanted = by_brute_force(losses, costs, budget)
    assert losses[rows, taken].sum() == pytest.approx(wanted, abs=1e-6 * spread)
    assert solve(losses, costs, least * (1 - 1e-6) - 1) is None
    ends = [losses[rows, c].sum() for c in front(losses, costs, [least, budget, most])]
    assert ends == sorted(ends, reverse=True)


def test_on_six_layers_it_finds_the_best_of_all_729_networks(model, labels, found):
    report = lq.analysis.sensitivity(
        model, (X, labels), WIDTHS, method="measured", calibrate=X
    )
    noise, costs = (np.zeros((6, 3)) for _ in range(2))
    for row, column in itertools.product(range(6), range(3)):
        cell = report.cell(report.layers[row], WIDTHS[column])
        noise[row, column] = 10 ** (-cell.sqnr_db / 10)
        inputs = 6 if row == 0 else 8
        outputs = 3 if row == 5 else 8
        bits = (2, 4, 8)[column]
        costs[row, column] = -(-inputs * outputs * bits // 8) + 4 * outputs  # and bias
    wanted = by_brute_force(noise, costs, 300)
    within = [point for point in found.points if point.cost <= 300]
    solved = min(within, key=lambda point: point.noise)
    assert solved.noise == pytest.approx(wanted, rel=1e-6)
    taken = [WIDTHS.index(width) for width in solved.widths.values()]
    assert costs[range(6), taken].sum() == solved.cost
    assert found.best.accuracy == max(point.accuracy for point in within)
    costs = [point.cost for point in found.points]
    noises = [point.noise for point in found.points]
    assert costs == sorted(costs)
    assert noises == sorted(noises, reverse=True)


def test_the_best_network_trains_on_exports_and_verifies(found, labels, tmp_path):
    network = found.model()
    network.compile("adam", tf_keras.losses.SparseCategoricalCrossentropy(True))
    before = network.get_weights()
    network.train_on_batch(X, labels)
    changed = zip(before, network.get_weights(), strict=True)
    assert any((a != b).any() for a, b in changed)
    report = lq.deploy.export(network, tmp_path / "best.onnx")
    assert report.weight_bytes == found.best.cost
    assert report.float_layers == ()
    assert lq.deploy.verify(network, tmp_path / "best.onnx", X).exact


def test_inputs_have_the_bits_of_what_a_scheme_quantizes_them_with():
    words = {"int4": 4, "int4/8": 8, "binary": 1, "ternary": 2, "binary/8": 8}
    words |= {"int4/float": None, "float": None}
    assert {word: _bits._activation_bits(word) for word in words} == words


def test_bit_operations_and_ace_are_those_by_hand():
    model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(16,), name="a")])
    x = np.random.default_rng(1).normal(size=(16, 16)).astype("float32")
    ace = lq.search.bits(model, x, 1e9, "ace", widths=("int4",)).best
    assert ace.cost == 16 * 4 * 4 * 4
    bops = lq.search.bits(model, x, 1e9, "bops", widths=("int4",)).best
    assert bops.cost == pytest.approx(64 * (16 + 8 + 4))  # log2 of 16 products is 4


def test_what_is_found_is_kept_and_a_stopped_search_goes_on(
    pair, tmp_path, monkeypatch
):
    data, folder = X, tmp_path / "kept"
    whole = lq.search.bits(pair, data, 100, **QUICK)
    calls = []

    def stopping(*args, **kwargs):
        calls.append(args[2])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return lq.analysis.sensitivity(*args, **kwargs)

    monkeypatch.setattr(_bits, "sensitivity", stopping)
    with pytest.raises(KeyboardInterrupt):
        lq.search.bits(pair, data, 100, **QUICK, folder=folder)
    again = lq.search.bits(pair, data, 100, **QUICK, folder=folder)
    assert calls == [("int2",), ("int4",), ("int8",), ("int8",)]
    assert again.to_dict() == whole.to_dict()
    # Another budget needs nothing that is known.
    lq.search.bits(pair, data, 90, **QUICK, folder=folder)
    assert len(calls) == 4
    with pytest.raises(ArgumentError, match="of a search with another data"):
        lq.search.bits(pair, X[:24], 100, **QUICK, folder=folder)
    (folder / "search.json").write_text("[1]")
    with pytest.raises(ArgumentError, match="no search wrote it"):
        lq.search.bits(pair, data, 100, **QUICK, folder=folder)
    assert (folder / "search.json").read_text() == "[1]"


def test_widths_are_learned_towards_the_budget(pair, tmp_path):
    """A budget that 8 bits fit in leaves the loss alone to choose; one below steers."""
    labels = np.argmax(pair(X), -1)
    given = Samples.of(pair, (X, labels), None, 16, "test")
    members = {"a": ["a"], "b": ["b"]}
    costs = np.array([[1.0, 4.0], [1.0, 4.0]])

    def shares(room):
        words = ("int2", "int8")
        return learned_shares(
            pair, members, words, costs, room, given, given, 40, 0, "test"
        )

    tight, wide = shares(2.0), shares(8.0)
    np.testing.assert_allclose(tight.sum(1), 1, rtol=1e-5)
    assert (tight * costs).sum() < (wide * costs).sum() - 1
    assert (tight * costs).sum() < 3
    options = {"method": "learned", "steps": 4, "points": 2, "batch_size": 16}
    data = (X, labels)
    found = lq.search.bits(pair, data, 90, widths=WIDTHS, folder=tmp_path, **options)
    again = lq.search.bits(pair, data, 90, widths=WIDTHS, folder=tmp_path, **options)
    assert found.best.cost <= 90
    assert again.to_dict() == found.to_dict()
    with pytest.raises(ArgumentError, match="no labels that are classes"):
        lq.search.bits(pair, X, 90, widths=WIDTHS, **options)
    with pytest.raises(ArgumentError, match="'binary' has no such form"):
        lq.search.bits(pair, data, 90, widths=("binary", "int8"), **options)


def test_layers_of_one_shape_are_measured_once(model, tmp_path, monkeypatch):
    measured = []

    def latency(network, inputs):
        measured.append(network)
        return 1.0 + len(measured) / 1000

    monkeypatch.setitem(_measured._MEASURES, "latency_ms", latency)
    monkeypatch.setattr(_bits, "whole_latency", lambda path: 6.5)
    found = lq.search.bits(
        *(model, X, 7.0, "latency_ms"),
        widths=("int8", "float"),
        points=2,
        folder=tmp_path,
    )
    assert found.unit == "ms"
    assert found.float_cost == 6.5
    # Three shapes: the first layer, four alike, the last one.
    assert len(measured) == 6
    kept = json.loads((tmp_path / "search.json").read_text())["measured"]
    assert len(kept) == 6


def test_latency_is_that_of_the_file_in_the_runtime():
    model = tf_keras.Sequential([tf_keras.layers.Dense(4, input_shape=(16,), name="a")])
    x = np.random.default_rng(1).normal(size=(16, 16)).astype("float32")
    found = lq.search.bits(
        model, x, 1e3, "latency_ms", widths=("int8", "float"), points=2
    )
    assert 0 < found.best.cost < 50


def test_what_cannot_be_is_refused_with_a_fix_that_works(pair, monkeypatch):
    def search(*args, **kwargs):
        return lq.search.bits(pair, X, *args, **QUICK | kwargs)

    with pytest.raises(ArgumentError, match="there is no cost 'byte'"):
        search(100, "byte")
    with pytest.raises(ArgumentError, match="budget=0"):
        search(0)
    with pytest.raises(ArgumentError, match="points=1"):
        search(100, points=1)
    with pytest.raises(ArgumentError, match="keep has 'c'") as caught:
        search(100, keep={"c": "int8"})
    assert "a, b" in str(caught.value)
    # What cannot be is said before anything is measured.
    with monkeypatch.context() as patched:
        patched.setattr(_bits, "sensitivity", None)
        patched.setitem(sys.modules, "scipy", None)
        with pytest.raises(MissingFileError, match="needs SciPy"):
            search(100)
    with pytest.raises(ArgumentError, match="nothing fits") as caught:
        search(10)
    least = float(str(caught.value).rpartition("budget=")[2].split()[0])
    assert search(least).best.cost == least
    settled = search(100, keep={"b": "int8", "a": "int2"}).best.widths
    assert settled == {"a": "int2", "b": "int8"}
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ArgumentError, match="no arm-none-eabi-gcc"):
        search(1e9, "c_instructions")


def test_the_table_and_the_picture_show_every_point(found):
    text = str(found)
    assert text.count("\n|") >= len(found.points)
    assert f"* {found.best.cost:,.0f}" in text
    figure = found.plot()
    costs, values = figure.axes[0].lines[0].get_data()
    assert list(costs) == [point.cost for point in found.points]
    np.testing.assert_allclose(values, [100 * p.accuracy for p in found.points])
    assert len(figure.axes[1].texts) == 6 * len(found.points)
