"""A folder of images: its splits, its mistakes, and its broken files, which are named."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from larqlite.errors import ArgumentError, MissingFileError
from larqlite_zoo import training
from larqlite_zoo.datasets import load, preprocessing
from tests.zoo.toys import registered

PHOTO = Path(__file__).parent / "photos" / "palace.jpg"


def fill(folder, count, ending="jpg", shade=0):
    """Images of one grey each: `shade`, `shade` + 1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        grey = np.full([24, 32, 3], shade + i, np.uint8)
        Image.fromarray(grey).save(folder / f"image{i:02}.{ending}")


@pytest.fixture
def pets(tmp_path):
    for split, count in (("train", 5), ("val", 2)):
        fill(tmp_path / split / "cat", count, shade=10)
        fill(tmp_path / split / "dog", count, shade=100, ending="png")
    return tmp_path


def seen(source, key=None):
    """`(grey, label)` of every image, in the order of the source."""
    items = source.order(key).map(source.load)
    return [
        (int(np.median(tf.io.decode_image(image))), int(label))
        for image, label in items.as_numpy_iterator()
    ]


def test_each_image_has_the_label_of_its_folder(pets):
    dataset = load("folder", folder=pets)
    assert (dataset.train.size, dataset.validation.size) == (10, 4)
    assert list(dataset.class_names) == ["cat", "dog"]
    assert dataset.image_shape is None
    cats, dogs = [(10 + i, 0) for i in range(5)], [(100 + i, 1) for i in range(5)]
    assert seen(dataset.train) == cats + dogs
    assert seen(dataset.validation) == cats[:2] + dogs[:2]


def test_the_order_of_an_epoch_depends_on_the_key(pets):
    train = load("folder", folder=pets).train
    first = seen(train, tf.constant([1, 1], tf.int64))
    assert first == seen(train, tf.constant([1, 1], tf.int64))
    other = seen(train, tf.constant([1, 2], tf.int64))
    assert first != other
    assert sorted(first) == sorted(other) == seen(train)


@pytest.mark.parametrize("name", ["validation", "val", "test"])
def test_the_second_split_has_one_of_three_names(pets, name):
    (pets / "val").rename(pets / name)
    assert load("folder", folder=pets).validation.size == 4


def test_upper_case_endings_count_and_other_files_do_not(pets):
    cats = pets / "train" / "cat"
    (cats / "image00.jpg").rename(cats / "A.JPEG")
    (cats / "notes.txt").write_text("hello")
    (cats / "._image01.jpg").write_bytes(b"left by another system")
    assert load("folder", folder=pets).train.size == 10


def test_a_folder_of_classes_alone_is_divided_always_in_the_same_way(tmp_path):
    fill(tmp_path / "cat", 20)
    fill(tmp_path / "dog", 10, shade=100)
    first = load("folder", folder=tmp_path, validation_fraction=0.2)
    assert (first.train.size, first.validation.size) == (24, 6)
    assert [label for _, label in seen(first.validation)] == [0] * 4 + [1] * 2
    assert len({*first.train.paths, *first.validation.paths}) == 30
    again = load("folder", folder=str(tmp_path), validation_fraction=0.2)
    assert again.validation.paths == first.validation.paths
    other = load("folder", folder=tmp_path, validation_fraction=0.2, seed=1)
    assert other.validation.paths != first.validation.paths


@pytest.fixture
def damaged(pets):
    """A cut JPEG, an empty one, a text, a cut PNG; and one with something behind it."""
    cats, dogs = pets / "train" / "cat", pets / "train" / "dog"
    photo = PHOTO.read_bytes()
    (cats / "cut.jpg").write_bytes(photo[:20_000])
    (cats / "empty.jpg").write_bytes(b"")
    (dogs / "text.png").write_text("no image")
    png = (dogs / "image00.png").read_bytes()
    (dogs / "cut.png").write_bytes(png[: len(png) // 2])
    (dogs / "good.jpg").write_bytes(photo + b"a phone's film")
    return pets


def test_broken_files_are_named_counted_and_skipped(damaged):
    with pytest.warns(UserWarning, match="4 of 19 images cannot be read") as caught:
        dataset = load("folder", folder=damaged)
    message = str(caught[0].message)
    for name in ("cut.jpg", "empty.jpg: an empty file", "text.png", "cut.png"):
        assert name in message
    assert dataset.train.size == 11
    assert {Path(path).name for path in dataset.train.paths} >= {"good.jpg"}
    prepare = preprocessing("imagenet", 32)
    images = dataset.train.order(None).map(
        lambda item: prepare(dataset.train.load(item)[0], None, False)
    )
    assert len(list(images)) == 11


def test_broken_files_are_refused_by_flag(damaged):
    with pytest.raises(ArgumentError, match="4 of 19 images cannot be read") as caught:
        load("folder", folder=damaged, on_broken="refuse")
    assert str(damaged / "train" / "cat" / "cut.jpg") in str(caught.value)
    assert 'on_broken="skip"' in str(caught.value)


def test_only_some_of_many_broken_files_are_named(pets):
    for i in range(8):
        (pets / "val" / "cat" / f"broken{i}.jpg").write_bytes(b"?")
    with pytest.warns(UserWarning, match="8 of 22 images") as caught:
        load("folder", folder=pets)
    assert "and 3 more" in str(caught[0].message)


def test_a_file_that_breaks_in_the_middle_of_a_run_is_named(damaged):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train = load("folder", folder=damaged, on_broken="later").train
    assert train.size == 15
    prepare = preprocessing("imagenet", 32)
    images = train.order(None).map(
        lambda item: prepare(train.load(item)[0], None, False)
    )
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        list(images)
    explained = train.explain(caught.value)
    assert isinstance(explained, ArgumentError)
    assert "cut.jpg: cannot be decoded" in str(explained)
    assert "cut.jpg" in str(train.first(9).explain(caught.value))
    assert train.explain(ValueError("something else")) is None


def test_training_stops_at_an_unreadable_file_and_names_it(damaged, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load("folder", folder=damaged, on_broken="later")
    recipe = training.Recipe(
        name="Pets",
        model="toy",
        epochs=1,
        batch_size=data.train.size,
        image_size=16,
        preprocessing="small",
    )
    options = training.Options(
        output=tmp_path / "run", results=tmp_path, tensorboard=False, progress=False
    )
    with (
        registered("toy"),
        pytest.raises(ArgumentError, match=r"cut\.jpg: cannot be decoded"),
    ):
        training.train(recipe, options, data=data)


def test_an_error_that_no_file_explains_stays_as_it_is(pets):
    train = load("folder", folder=pets).train
    error = tf.errors.InvalidArgumentError(None, None, "shapes differ")
    assert train.explain(error) is None


def test_a_class_that_loses_all_its_images_is_an_error(pets):
    for path in (pets / "val" / "dog").iterdir():
        path.write_bytes(b"?")
    with (
        pytest.warns(UserWarning, match="2 of 14 images"),
        pytest.raises(ArgumentError, match=r"no unbroken validation image.*in dog"),
    ):
        load("folder", folder=pets)


def test_mistakes_in_the_folder_are_told_with_their_place(pets, tmp_path):
    with pytest.raises(ArgumentError, match="pass folder="):
        load("folder")
    with pytest.raises(MissingFileError, match="there is no such folder"):
        load("folder", folder=tmp_path / "nothing")
    with pytest.raises(ArgumentError, match="one of 'skip', 'refuse', 'later'"):
        load("folder", folder=pets, on_broken="ignore")
    with pytest.raises(ArgumentError, match='Did you mean "on_broken"'):
        load("folder", folder=pets, on_brokn="skip")
    (pets / "train" / "emu").mkdir()
    with pytest.raises(ArgumentError, match=r"no image .* in emu"):
        load("folder", folder=pets)
    fill(pets / "train" / "emu", 1)
    with pytest.raises(ArgumentError, match="different classes; emu only in train"):
        load("folder", folder=pets)
    (pets / "val").rename(pets / "other")
    with pytest.raises(ArgumentError, match="has train, but none of validation, val"):
        load("folder", folder=pets)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ArgumentError, match="has no subfolders"):
        load("folder", folder=empty)
    fill(empty / "only", 1)
    with pytest.raises(ArgumentError, match="one image cannot be divided"):
        load("folder", folder=empty)
    with pytest.raises(ArgumentError, match=r"validation_fraction=1\.5"):
        load("folder", folder=empty, validation_fraction=1.5)
