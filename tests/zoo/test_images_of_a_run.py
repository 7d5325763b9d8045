"""One size for training and validation, and a part of a split that is like all of it."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from larqlite.errors import ArgumentError
from larqlite_zoo import _registered_models, cli, datasets, training
from larqlite_zoo.datasets._source import stratified
from larqlite_zoo.datasets.internal import training_batches, validation_batches
from larqlite_zoo.training._images import by_class, images_of
from tests.zoo.test_cli_runs import MODULE


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three classes of 24, 12 and 12 training images of 10 x 12, one of them grey."""
    random = np.random.default_rng(0)
    for split, sizes in (("train", (24, 12, 12)), ("validation", (6, 6, 6))):
        for name, count in zip(("ant", "bee", "cat"), sizes, strict=True):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for number in range(count):
                channels = 1 if number == 0 else 3
                pixels = random.integers(0, 256, (10, 12, channels), np.uint8)
                path = tmp_path / "images" / split / name / f"{number}.png"
                path.write_bytes(tf.io.encode_png(pixels).numpy())
    return tmp_path / "images"


def stages(name):
    recipe = training.recipe(name)
    return getattr(recipe, "stages", (recipe,))


def distinct_stages(preprocessing):
    """One recipe for each size and preprocessing that any stage of a recipe has."""
    found = {}
    for name in training.recipe_names():
        for stage in stages(name):
            side = _registered_models.find(stage.model).input_shape
            for size in (stage.image_size, 20):
                kind = preprocessing or stage.preprocessing
                changed = training.Recipe("r", stage.model, image_size=size)
                changed = replace(changed, preprocessing=kind)
                found[size or side, kind] = changed
    return found.values()


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("kinds", "preprocessing"),
    [
        (("folder", "fashion_mnist_subset"), None),  # in turn
        slow(("folder",), None),
        slow(("fashion_mnist_subset",), None),
        slow(("folder",), "small"),
        slow(("folder",), "none"),
        slow(("fashion_mnist_subset",), "imagenet"),
    ],
)
def test_training_and_validation_see_one_size_in_every_recipe(
    kinds, preprocessing, folder
):
    loaded = [
        datasets.load(kind, folder=folder if kind == "folder" else None)
        for kind in kinds
    ]
    pairs = zip(distinct_stages(preprocessing), itertools.cycle(loaded), strict=False)
    for recipe, data in pairs:
        shape, prepare = images_of(recipe, data)
        train = training_batches(data.train, prepare, batch_size=8, seed=1)
        validation = validation_batches(data.validation, prepare, batch_size=8)
        for batches in (train, validation):
            assert next(iter(batches))[0].shape == (8, *shape)


@pytest.mark.parametrize(
    "name", ["cli_tiny", pytest.param("binary_vgg_small", marks=pytest.mark.slow)]
)
def test_lqz_trains_a_small_network_on_a_folder(
    name, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(
        _registered_models, "_entries", dict(_registered_models._entries)
    )
    Path("folder_tiny.py").write_text(MODULE)
    words = f"train {name} --import folder_tiny --dataset folder --folder images "
    words += "--epochs 1 --batch-size 8 --train-images 16 --validation-images 6 "
    words += "--no-tensorboard --no-deterministic --output run"
    cli.main(words.split())
    sys.modules.pop("folder_tiny")
    printed = capsys.readouterr().out
    assert "seen as 28 x 28 x 3" in printed
    assert "1 epoch of 2 steps" in printed
    assert "training images: ant 8, bee 4, cat 4\n" in printed
    assert "validation images: 2 of each of 3 classes\n" in printed
    # In a file a line stays a line.
    assert any(len(line) > 100 for line in printed.splitlines())
    cli.main(["evaluate", "run", "--folder", "images"])
    assert "on 6 validation images of images" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["images", "./images"])
def test_a_folder_as_the_name_of_a_dataset_is_answered_with_the_flags(
    name, folder, monkeypatch, capsys
):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(SystemExit):
        cli.main(["train", "binary_vgg_small", "--dataset", name])
    assert f"--dataset folder --folder {name}" in capsys.readouterr().err
    with pytest.raises(ArgumentError, match="--folder"):
        datasets.load("my_pictures")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("sizes", [(50, 50), (7, 1, 90, 3), (1,), (10, 20, 30, 40)])
def test_a_choice_has_the_classes_of_all_images(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(seed).shuffle(labels)
    for count in range(1, len(labels) + 1, 7):
        chosen = stratified(labels, count, seed)
        assert len(np.unique(chosen)) == count
        found = np.bincount(labels[chosen], minlength=len(sizes))
        assert np.all(np.abs(found - count * np.asarray(sizes) / len(labels)) < 1)
        np.testing.assert_array_equal(chosen, stratified(labels, count, seed))


def test_another_seed_chooses_other_images():
    labels = np.repeat([0, 1], 50)
    choices = {tuple(stratified(labels, 10, seed)) for seed in range(10)}
    assert len(choices) == 10


def test_every_dataset_chooses_by_class_and_always_the_same(folder):
    for data in (
        datasets.load("fashion_mnist_subset"),
        datasets.load("folder", folder=folder),
    ):
        some = [data.train.choose(12, seed=3) for _ in range(2)]
        labels = [each.all_labels() for each in some]
        np.testing.assert_array_equal(*labels)
        share = np.bincount(data.train.all_labels()) * 12 / data.train.size
        found = np.bincount(labels[0], minlength=data.num_classes)
        assert np.all(np.abs(found - share) < 1)
        order = some[0].order(tf.constant([1, 2], tf.int64))
        trained = [int(some[0].load(item)[1]) for item in order]
        assert sorted(trained) == sorted(labels[0].tolist())
        with pytest.raises(ArgumentError, match="Fix: a number from 1 to"):
            data.train.choose(data.train.size + 1, seed=1)


def test_the_log_of_many_classes_is_short():
    source = datasets.ArraySource(np.zeros((60, 2, 2), np.uint8), np.arange(60) % 40)
    data = datasets.Dataset(
        "many", source, source, [str(n) for n in range(40)], (2, 2, 1), "none"
    )
    assert by_class(data, "train") == "1 to 2 of each of 40 classes"
