"""Which arrays of a data file are inputs and which labels, the same for every command."""

import zipfile

import numpy as np
import pytest

from larqlite_runtime.arrays import inputs_of, load_arrays, read

X, OTHER = np.arange(10.0).reshape(5, 2), -np.arange(6.0).reshape(3, 2)
Y, Z = np.arange(5), np.arange(3)
SPLIT = {"x_train": X, "y_train": Y, "x_test": OTHER, "y_test": Z}
# Arrays of a file; inputs and labels of its training part, and of its test part.
FORMS = {
    ".npy": (X, (X, None), (X, None)),
    "x": ({"x": X}, (X, None), (X, None)),
    "x and y": ({"x": X, "y": Y}, (X, Y), (X, Y)),
    "the input's name": ({"image": X, "y": Y}, (X, Y), (X, Y)),
    "any name": ({"mine": X}, (X, None), (X, None)),
    "any name and y": ({"mine": X, "y": Y}, (X, Y), (X, Y)),
    "two parts": (SPLIT, (X, Y), (OTHER, Z)),
    "a test part": ({"x": X, "y": Y, "x_test": OTHER, "y_test": Z}, (X, Y), (OTHER, Z)),
    "a test part without labels": (
        {"x": X, "y": Y, "x_test": OTHER},
        (X, Y),
        (OTHER, None),
    ),
    "a training part": ({"x_train": X, "y_train": Y}, (X, Y), (X, Y)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("part", ["train", "test"])
def test_each_form_gives_its_inputs_and_labels(form, joined, part, tmp_path):
    arrays, *wanted = FORMS[form]
    if isinstance(arrays, dict):
        np.savez(tmp_path / "data.npz", **arrays)
    else:
        np.save(tmp_path / "data.npz.npy", arrays)
        (tmp_path / "data.npz.npy").rename(tmp_path / "data.npz")  # content decides
    loaded = load_arrays(tmp_path / "data.npz", "lq run")
    shapes = [(2,)] if joined else None
    found = inputs_of(loaded, ["image"], "lq run", part, shapes=shapes, joined=joined)
    inputs, labels = wanted[part == "test"]
    assert list(found.inputs) == ["image"]
    np.testing.assert_array_equal(found.inputs["image"], inputs)
    assert (found.labels is None) == (labels is None)
    np.testing.assert_array_equal(found.labels, labels)


def test_all_arrays_beside_x_belong_to_it_only_where_they_are_joined():
    arrays = {"x": X, "more": OTHER, "y": Y}
    alone = inputs_of(arrays, ["image"], "lq run")
    assert (alone.samples, len(alone.labels)) == (5, 5)
    joined = inputs_of(arrays, ["image"], "lq integer", shapes=[(2,)], joined=True)
    assert (joined.samples, joined.labels) == (8, None)
    unnamed = inputs_of({"a": X, "b": OTHER}, ["image"], "lq integer", joined=True)
    np.testing.assert_array_equal(unnamed.inputs["image"], [*X, *OTHER])
    with pytest.raises(ValueError, match='holds "a", "b"'):  # either may be a mask
        inputs_of({"a": X, "b": OTHER}, ["image"], "lq run")


def test_several_inputs_come_by_name_with_labels():
    arrays = {"right": X, "left": 2 * X, "y": Y}
    found = inputs_of(arrays, ["left", "right"], "lq run")
    assert list(found.inputs) == ["left", "right"]
    np.testing.assert_array_equal(found.inputs["left"], 2 * X)
    np.testing.assert_array_equal(found.labels, Y)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "it holds nothing, but the model needs an array"),
        ({"a": X, "ids": Y}, 'it holds "a", "ids", but the model needs an array "x"'),
        ({"y": Y}, 'it holds "y", but the model needs an array "x"'),
        ({"x": X, "y": Z}, "5 inputs, but 3 labels"),
        ({"x": X, "y": np.array(1)}, "5 inputs, but a single label"),
        ({"x": X[:0]}, "the inputs have 0 samples"),
        ({"x": np.array(1.0)}, "the inputs have 0 samples"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_names(arrays, said):
    with pytest.raises(ValueError, match=said) as raised:
        inputs_of(arrays, ["image"], "lq run: --data a.npz")
    assert str(raised.value).startswith("lq run: --data a.npz: ")
    assert "Fix: write it with np.savez(" in str(raised.value)


@pytest.mark.parametrize("array", [X[:, :1], X.astype(str), X[:, :, None]])
def test_arrays_of_another_shape_or_kind_are_refused_where_shapes_are_known(array):
    with pytest.raises(ValueError, match=r'"x" has the shape .*\(samples, 2\)'):
        inputs_of({"x": array}, ["image"], "lq integer", shapes=[(2,)])
    open_size = inputs_of({"x": X}, ["image"], "lq integer", shapes=[(None,)])
    assert open_size.samples == 5


def test_a_folder_is_no_data_file(tmp_path):
    with pytest.raises(ValueError, match=r"it is a folder[\s\S]*Fix: .*np\.savez"):
        read(tmp_path, ["image"], "lq run")


def test_an_archive_of_other_files_is_no_data_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.npz", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(
        ValueError, match=r"archive of other files, such as config\.json"
    ):
        read(tmp_path / "model.npz", ["image"], "lq run")
