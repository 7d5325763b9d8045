"""CIFAR-10 from each of its layouts; pickles that want more than arrays are refused."""

import os
import pickle
import warnings

import numpy as np
import pytest
from PIL import Image

from larqlite.errors import ArgumentError, MissingFileError
from larqlite_zoo import datasets

CLASSES = [
    "airplane", "automobile", "bird", "cat", "deer",
    "dog", "frog", "horse", "ship", "truck",
]  # fmt: skip
TRAIN = [f"data_batch_{number}" for number in range(1, 6)]


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No environment variable; decoded images go where nobody looks."""
    monkeypatch.delenv("LARQLITE_CIFAR10", raising=False)
    monkeypatch.setenv("LARQLITE_ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def batches():
    """Name to uint8 `(images, 32, 32, 3)` and labels."""
    rng = np.random.default_rng(1)
    return {
        name: (
            rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8),
            rng.integers(0, 10, 3),
        )
        for name in [*TRAIN, "test_batch"]
    }


def rows(images):
    """As the page of the dataset says: 1,024 reds, then greens, then blues."""
    return np.stack(
        [np.concatenate([image[..., c].ravel() for c in range(3)]) for image in images]
    )


def of_python_2(data, labels):
    """The bytes of a pickle of Python 2 and NumPy 1, protocol 2, opcode by opcode."""

    def word(text):
        return b"U" + bytes([len(text)]) + text

    def long_word(text):
        return b"T" + len(text).to_bytes(4, "little") + text

    numbers = b"".join(b"K" + bytes([int(label)]) for label in labels)
    count = b"K" + bytes([len(labels)])
    return (
        b"\x80\x02}(" + word(b"data")
        + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01bt"
        + b"R(K\x01" + count + b"M\x00\x0c\x86"
        + b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89" + long_word(data.tobytes()) + b"tb"
        + word(b"labels") + b"](" + numbers + b"e"
        + word(b"batch_label") + word(b"a batch") + b"u."
    )  # fmt: skip


def write(folder, batches, style):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in batches.items():
        data = rows(images)
        if style == "binary":
            whole = np.column_stack([labels.astype(np.uint8), data])
            (folder / f"{name}.bin").write_bytes(whole.tobytes())
            continue
        batch = {b"data": data, b"labels": labels.tolist(), b"filenames": [b"x.png"]}
        if style == "python 2":
            content = of_python_2(data, labels)
        elif style == "protocol 2":
            content = pickle.dumps(batch, 2)
        elif style == "protocol 4":
            content = pickle.dumps({key.decode(): batch[key] for key in batch}, 4)
        else:
            content = pickle.dumps(batch | {b"labels": np.asfortranarray(labels)}, 4)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    "style",
    ["binary", "python 2", "protocol 2", "protocol 4", "labels as an array"],
)
def test_batches_give_the_images_that_were_written(batches, style, tmp_path):
    inside = "cifar-10-batches-bin" if style == "binary" else "cifar-10-batches-py"
    write(tmp_path / inside, batches, style)
    for folder in (tmp_path, tmp_path / inside):
        data = datasets.load("cifar10", folder=folder)
        assert (data.train.size, data.validation.size) == (15, 3)
        assert (data.image_shape, data.class_names) == ((32, 32, 3), CLASSES)
        for source, names in ((data.train, TRAIN), (data.validation, ["test_batch"])):
            images, labels = (
                np.concatenate([batches[name][part] for name in names])
                for part in (0, 1)
            )
            np.testing.assert_array_equal(source.images, images)
            np.testing.assert_array_equal(source.all_labels(), labels)


def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(
    batches, tmp_path
):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was run"),)

    write(tmp_path, batches, "python 2")
    path = tmp_path / "data_batch_2"
    evil = {
        "wants posix.mkdir": pickle.dumps({"data": Runs()}),
        "wants builtins.getattr": b"cbuiltins\ngetattr\n.",
        "dtype 'O'": path.read_bytes().replace(b"U\x02u1", b"U\x01O"),
        "in the encoding 'zip'": b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00ziptR.",
        "outside of the file": b"Pname\n.",
        "was truncated": path.read_bytes()[:-40],
        "and invalid load key": b"\x00",
        "is read as a pickled batch": b"",
        "it holds list": pickle.dumps([1]),
        "it holds 'labels'": pickle.dumps({"labels": [1]}),
        "'data', 'labels'": pickle.dumps(
            {"data": np.zeros([2, 3072], np.int64), "labels": [1, 2]}
        ),
        "labels from 0 to 10": pickle.dumps(
            {"data": np.zeros([2, 3072], np.uint8), "labels": [0, 10]}
        ),
    }
    for match, content in evil.items():
        path.write_bytes(content)
        with pytest.raises(ArgumentError, match=match) as caught:
            datasets.load("cifar10", folder=tmp_path)
        assert str(path) in str(caught.value)
        assert "Fix:" in str(caught.value)
    assert not (tmp_path / "was run").exists()


def test_damaged_and_missing_binary_batches_are_named(batches, tmp_path):
    write(tmp_path, batches, "binary")
    path = tmp_path / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArgumentError, match=r"data_batch_3.bin: 9,218 bytes"):
        datasets.load("cifar10", folder=tmp_path)
    path.unlink()
    with pytest.raises(MissingFileError, match=r"has no data_batch_3.bin"):
        datasets.load("cifar10", folder=tmp_path)


@pytest.fixture
def jpegs(tmp_path):
    """Two images of one colour for each class and split, the test images darker."""
    for split, darker in (("train", 0), ("test", 40)):
        for label, name in enumerate(CLASSES):
            folder = tmp_path / "jpegs" / split / name
            folder.mkdir(parents=True)
            for i in range(2):
                pixels = np.full([32, 32, 3], 200 - 10 * label - i - darker, np.uint8)
                Image.fromarray(pixels).save(folder / f"{i:04}.jpg")
    return tmp_path / "jpegs"


def test_class_folders_are_decoded_once(jpegs, tmp_path, monkeypatch):
    monkeypatch.setenv("LARQLITE_CIFAR10", str(jpegs))
    first = datasets.load("cifar10")
    assert (first.train.size, first.validation.size) == (20, 20)
    assert (first.name, first.variant) == ("cifar10", "jpeg")
    expected = [200 - 10 * label - i for label in range(10) for i in range(2)]
    for source, darker in ((first.train, 0), (first.validation, 40)):
        np.testing.assert_allclose(
            source.images.mean(axis=(1, 2, 3)), np.subtract(expected, darker), atol=1
        )
        assert source.all_labels().tolist() == [i // 2 for i in range(20)]
    (kept,) = (tmp_path / "cache" / "decoded").iterdir()
    # What is read the second time is the file, not the images.
    changed = np.load(kept)
    changed[7] = 3
    np.save(kept, changed)
    assert datasets.load("cifar10").train.images[7].max() == 3
    # A file that is damaged, and a folder that has changed, are told or seen.
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="damaged"):
        again = datasets.load("cifar10")
    np.testing.assert_array_equal(again.train.images, first.train.images)
    Image.fromarray(np.zeros([32, 32, 3], np.uint8)).save(
        jpegs / "train" / "cat" / "0001.jpg"
    )
    assert datasets.load("cifar10").train.images[7].max() == 0


def test_what_is_wrong_with_class_folders_is_named(jpegs, tmp_path, monkeypatch):
    path = jpegs / "test" / "dog" / "0000.jpg"
    kept = path.read_bytes()
    path.write_bytes(kept[:30])
    with pytest.raises(ArgumentError, match=r"dog/0000.jpg: cannot be decoded"):
        datasets.load("cifar10", folder=jpegs)
    Image.new("RGB", (40, 32)).save(path)
    with pytest.raises(ArgumentError, match=r"0000.jpg: has 32 x 40 x 3 pixels"):
        datasets.load("cifar10", folder=jpegs)
    path.write_bytes(kept)
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("LARQLITE_ZOO_CACHE", str(blocked))
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert datasets.load("cifar10", folder=jpegs).train.size == 20
    for split in ("train", "test"):
        (jpegs / split / "truck").rename(jpegs / split / "lorry")
    with pytest.raises(ArgumentError, match=r"lorry[\s\S]*--dataset folder"):
        datasets.load("cifar10", folder=jpegs)


def test_a_folder_without_any_layout_is_told_which_there_are(tmp_path):
    with pytest.raises(MissingFileError, match=r"neither data_batch_1\.bin nor"):
        datasets.load("cifar10", folder=tmp_path)
    with pytest.raises(MissingFileError, match="there is no folder"):
        datasets.load("cifar10", folder=tmp_path / "nowhere")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "cifar10" in datasets.names()
