"""The guard's comparison finds what differs between two frozen folders, and nothing else."""

import json

import numpy as np
import pytest

from tools.guard import compare, texts, trees

MODEL = {
    "nodes": ["Conv(x) -> y", "Relu(y) -> z"],
    "outputs": ["float32[2] ab 1.0 2.0"],
}


@pytest.fixture
def folders(tmp_path):
    def write(name, entries):
        for path, fields in entries.items():
            file = tmp_path / name / f"{path}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(fields))
        return tmp_path / name

    return write


def test_equal_folders_have_no_difference(folders, capsys):
    first = folders("a", {"deploy/one": MODEL, "names/all": {}})
    second = folders("b", {"deploy/one": MODEL, "names/all": {}})
    assert list(compare.differences(first, second)) == []
    assert compare.show(first, second) == 0
    assert capsys.readouterr().out == "guard: no difference in 2 entries\n"


def test_a_changed_line_is_told_with_its_entry_and_field(folders, capsys):
    first = folders("a", {"deploy/one": MODEL, "deploy/two": MODEL})
    changed = MODEL | {"nodes": ["Conv(x) -> y", "Elu(y) -> z"]}
    second = folders("b", {"deploy/one": MODEL, "deploy/two": changed})
    (found,) = compare.differences(first, second)
    assert (found.entry, found.field) == ("deploy/two", "nodes")
    assert found.removed == ("Relu(y) -> z",)
    assert found.added == ("Elu(y) -> z",)
    assert compare.show(first, second) == 1
    told = capsys.readouterr().out
    assert "deploy/two nodes  -1 +1 lines" in told
    assert "1 fields of 1 entries differ, of 2" in told


@pytest.mark.parametrize(
    "after",
    [
        {"nodes": list(reversed(MODEL["nodes"])), "outputs": MODEL["outputs"]},
        {"nodes": [*MODEL["nodes"], "Relu(y) -> z"], "outputs": MODEL["outputs"]},
        {"nodes": MODEL["nodes"]},
        MODEL | {"raised": []},
    ],
    ids=["order", "twice", "field_gone", "empty_field_came"],
)
def test_order_number_and_presence_count(folders, after):
    first, second = folders("a", {"p/e": MODEL}), folders("b", {"p/e": after})
    assert len(list(compare.differences(first, second))) == 1
    assert len(list(compare.differences(second, first))) == 1


def test_an_entry_of_one_folder_only_differs_unless_its_part_is_left_out(folders):
    first = folders("a", {"deploy/one": MODEL, "qat/one": MODEL})
    second = folders("b", {"deploy/one": MODEL})
    (found,) = compare.differences(first, second)
    assert (found.entry, found.removed, found.added) == ("qat/one", ("the entry",), ())
    (found,) = compare.differences(second, first)
    assert (found.removed, found.added) == ((), ("the entry",))
    assert compare.show(first, second, parts=["deploy"]) == 0


def test_arrays_that_differ_in_the_last_bit_shape_or_type_are_other_texts():
    x = np.linspace(0, 1, 100, dtype="float32")
    y = x.copy()
    y[-1] = np.nextafter(y[-1], np.float32(2))
    others = [y, x.reshape(10, 10), x.astype("float64"), -x * 0]
    assert len({texts.array(x), *map(texts.array, others)}) == 5
    assert texts.array(x) == texts.array(x[::-1][::-1])
    assert texts.array(np.float32(0)) != texts.array(np.float32(-0.0))


def test_two_guards_at_once_keep_one_folder_of_kernels(tmp_path):
    library = tmp_path / "_kernels.so"
    library.write_bytes(b"machine code")
    kept = tmp_path / "cache" / "state"
    for _ in range(2):
        trees.keep([library], kept)
    assert [path.name for path in kept.parent.iterdir()] == ["state"]
    assert [path.read_bytes() for path in kept.iterdir()] == [b"machine code"]
