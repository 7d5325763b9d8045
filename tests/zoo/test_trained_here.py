"""Weights trained here: their hashes, where they are found, and how they get onto a card."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import larqlite as lq
import larqlite_zoo
from larqlite.errors import ArgumentError, DownloadError, MissingFileError
from larqlite_zoo import _card, _download, _registered_models, make_weights
from tools.release import trees

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "larqlite_zoo_weights"
ROWS = json.loads(_card.TRAINED.read_text(encoding="utf-8"))
ROW = {
    "model": "binary_vgg_small",
    "recipe": "TrainBinaryVGGSmall",
    "dataset": "toys",
    "top1": 12.5,
    "run": "ab12cd34",
    "command": "lqz train binary_vgg_small",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, as `lqz train` leaves it, and what its network answers."""
    folder = tmp_path_factory.mktemp("run")
    model = larqlite_zoo.get("binary_vgg_small", input_shape=(8, 8, 1), num_classes=10)
    rng = np.random.default_rng(3)
    model.set_weights([rng.random(w.shape) for w in model.get_weights()])
    model.save_weights(folder / "binary_vgg_small_weights.h5")
    record = {"row": ROW, "weights": "binary_vgg_small_weights.h5"}
    (folder / "finished.json").write_text(json.dumps(record))
    return folder, model(images()).numpy()


def images():
    return np.random.default_rng(4).random((2, 8, 8, 1), dtype=np.float32)


@pytest.fixture
def trained(run, tmp_path, monkeypatch):
    """The run on a card: its file is in the folder that is returned."""
    folder, table = tmp_path / "weights", tmp_path / "trained.json"
    make_weights.main([str(run[0]), "--to", str(folder), "--table", str(table)])
    monkeypatch.setattr(_card, "TRAINED", table)
    monkeypatch.setattr(_download, "CHECKOUT", folder)
    monkeypatch.setattr(
        _registered_models, "_entries", dict(_registered_models._entries)
    )
    entry = _registered_models.find("binary_vgg_small")
    _registered_models.register_model(
        entry.name, summary=entry.summary, paper=entry.paper,
        input_shape=entry.input_shape, num_classes=10, recipe=entry.recipe,
    )(entry.build)  # fmt: skip
    return folder


def built(weights="toys"):
    model = larqlite_zoo.get(
        "binary_vgg_small", input_shape=(8, 8, 1), num_classes=10, weights=weights
    )
    return model(images()).numpy()


def test_the_files_of_the_repository_are_those_of_the_table():
    rows = ROWS
    assert rows
    folder = ROOT / "weights"
    assert {row["file"] for row in rows} == {path.name for path in folder.glob("*.h5")}
    with (ROOT / "results" / "fashion_mnist.csv").open(newline="") as file:
        measured = {row["run"]: float(row["top1"]) for row in csv.DictReader(file)}
    for row in rows:
        content = (folder / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert measured[row["run"]] == row["top1"]
    total = sum(path.stat().st_size for path in folder.glob("*.h5"))
    assert total <= make_weights.MOST_BYTES
    assert "Apache-2.0" in (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "row", ROWS, ids=[f"{row['model']}-{row['word']}" for row in ROWS]
)
def test_weights_trained_here_know_the_images_that_come_with_larqlite(row):
    _, (x, y) = lq.datasets.load_fashion_mnist()
    x, y = x[:500], y[:500]
    model = larqlite_zoo.get(
        row["model"], input_shape=(28, 28, 1), num_classes=10, weights=row["word"]
    )
    prepare = larqlite_zoo.datasets.preprocessing("small")
    prepared = np.stack(
        [prepare(image[..., None], None, training=False) for image in x]
    )
    answers = np.argmax(model(prepared, training=False), axis=-1)
    # 500 images: three standard deviations around what the run measured on 10,000.
    expected = row["top1"] / 100
    spread = (expected * (1 - expected) / len(y)) ** 0.5
    assert abs(np.mean(answers == y) - expected) < 3 * spread


def test_weights_of_a_run_are_found_in_a_checkout_by_their_word(trained, run):
    np.testing.assert_array_equal(built(), run[1])
    (file,) = larqlite_zoo.card("binary_vgg_small").weights
    assert (file.dataset, file.top1) == ("toys", 12.5)
    content = (trained / "binary_vgg_small_TrainBinaryVGGSmall_toys.h5").read_bytes()
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    text = str(larqlite_zoo.card("binary_vgg_small")._repr_html_())
    assert "top-1 12.5 %, measured with this file" in text


def test_weights_are_found_in_the_installed_package(
    trained, run, tmp_path, monkeypatch
):
    trained.rename(tmp_path / PACKAGE)
    (tmp_path / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    np.testing.assert_array_equal(built(), run[1])


def test_without_the_package_it_is_named(trained, tmp_path):
    trained.rename(tmp_path / "elsewhere")
    with pytest.raises(
        DownloadError, match=r"(?s)not installed.*Fix: pip install larqlite-zoo-weights"
    ):
        built()


def test_an_older_package_is_named(trained, tmp_path, monkeypatch):
    trained.rename(tmp_path / "elsewhere")
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        DownloadError, match=r"(?s)lacks it.*Fix: pip install --upgrade"
    ):
        built()


def test_a_damaged_file_is_never_loaded(trained):
    path = trained / "binary_vgg_small_TrainBinaryVGGSmall_toys.h5"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DownloadError, match="is not the published file"):
        built()


def test_an_older_package_does_not_hide_the_right_file(
    trained, run, tmp_path, monkeypatch
):
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "__init__.py").touch()
    (file,) = trained.glob("*.h5")
    (tmp_path / PACKAGE / file.name).write_bytes(b"an older network")
    monkeypatch.syspath_prepend(str(tmp_path))
    np.testing.assert_array_equal(built(), run[1])


def test_a_second_run_under_another_word_leaves_the_first_as_it_is(
    trained, run, tmp_path
):
    """A word has a file of its own, and a file that no word has any more goes."""
    table, second = tmp_path / "trained.json", tmp_path / "second"
    second.mkdir()
    weights = run[0] / "binary_vgg_small_weights.h5"
    (second / weights.name).write_bytes(weights.read_bytes() + b"another")

    def add(recipe, *words):
        record = {"row": ROW | {"recipe": recipe}, "weights": weights.name}
        (second / "finished.json").write_text(json.dumps(record))
        target = ["--to", str(trained), "--table", str(table)]
        make_weights.main([str(second), *target, *words])
        rows = json.loads(table.read_text())
        assert {row["file"] for row in rows} == {p.name for p in trained.glob("*.h5")}
        for row in rows:
            content = (trained / row["file"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == row["sha256"]
        return [row["word"] for row in rows]

    assert add("TrainBinaryVGGSmall", "--word", "again") == ["again", "toys"]
    assert add("Another") == ["again", "toys"]


def test_a_word_that_is_none_is_refused_with_those_that_there_are(trained):
    with pytest.raises(ArgumentError, match=r"(?s)\"toys\", None, or a path"):
        built("toyz")


def test_a_run_that_is_not_finished_gives_no_weights(run, tmp_path):
    with pytest.raises(MissingFileError, match=r"(?s)no finished run.*Fix:"):
        make_weights.add(tmp_path, tmp_path / "weights", tmp_path / "table.json")
    record = {"row": ROW, "weights": None}
    (tmp_path / "finished.json").write_text(json.dumps(record))
    with pytest.raises(MissingFileError, match=r"(?s)saved no weights.*Fix:"):
        make_weights.add(tmp_path, tmp_path / "weights", tmp_path / "table.json")
    assert not (tmp_path / "weights").exists()


def test_a_run_again_replaces_its_row_and_too_much_is_refused(
    trained, run, tmp_path, monkeypatch
):
    table = tmp_path / "trained.json"
    before = table.read_text()
    make_weights.add(run[0], trained, table)
    assert table.read_text() == before
    monkeypatch.setattr(make_weights, "MOST_BYTES", 1000)
    with pytest.raises(ArgumentError, match=r"(?s)more than 1,000.*Fix:"):
        make_weights.add(run[0], trained, table, word="again")
    assert table.read_text() == before


def test_the_package_of_weights_has_the_files_a_licence_and_the_version(
    tmp_path, trained
):
    tree = trees.lay_weights(tmp_path / "tree", sorted(trained.glob("*.h5")))
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()"]
    made = subprocess.run(
        [*command, "-q", "egg_info"], cwd=tree, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    (metadata,) = tree.glob("*.egg-info/PKG-INFO")
    text = metadata.read_text("utf-8")
    assert "Name: larqlite-zoo-weights" in text
    assert f"Version: {trees.version()}\n" in text
    (listed,) = tree.glob("*.egg-info/SOURCES.txt")
    assert (
        "larqlite_zoo_weights/binary_vgg_small_TrainBinaryVGGSmall_toys.h5"
        in listed.read_text()
    )
    assert (tree / "LICENSE").is_file()
