"""Whether a stranger finds the way: imports go through doors, and figures do not grow.

`make structure ARGS="--list"` names each finding; `tools/doors.py` lists the doors.
"""

from pathlib import Path

import pytest

from tests.common.samples import halved
from tools.doors import DOORS
from tools.structure import Structure, of_commit

ROOT = Path(__file__).resolve().parent.parent

# The most that may be found of each. A figure that has become smaller is entered here.
LIMITS = {
    "files under 60 lines": 47,  # three operations of the format that are short
    "files over 500 lines": 0,
    "private names imported across packages": 0,
    "imports past the doors": 0,
    "files in circles": 0,
    "names of several classes": 13,  # public names of two packages each, and of Keras 3
    "classes of ONNX graphs": 1,
    "walkers of Keras models": 2,  # one of them those of Keras 3
    "tables by layer class": 4,
}


@pytest.fixture(scope="module")
def structure():
    return Structure.of(ROOT)


def findings(structure: Structure) -> dict[str, list[str]]:
    """What each figure counts, by name."""
    private = structure.private_across()
    past = structure.past_the_doors(DOORS)
    return {
        "files under 60 lines": structure.short(),
        "files over 500 lines": structure.long(),
        "private names imported across packages": sorted(
            {f"{item.module} {item.name}" for item in private}
        ),
        "imports past the doors": [
            f"{item.reader}:{item.line} {item.module} {item.name}" for item in past
        ],
        "files in circles": [name for circle in structure.circles() for name in circle],
        "names of several classes": [
            f"{name}: {' '.join(modules)}"
            for name, modules in structure.homonyms().items()
        ],
        "classes of ONNX graphs": structure.onnx_graphs,
        "walkers of Keras models": structure.walkers,
        "tables by layer class": structure.layer_tables,
    }


@pytest.mark.parametrize("name", LIMITS)
def test_no_figure_grows(name, structure):
    found = findings(structure)[name]
    assert len(found) <= LIMITS[name], "\n".join(found)


def test_every_door_is_there_and_somebody_uses_it(structure):
    used = {item.module for item in structure.across()}
    assert set(DOORS) <= used
    assert set(DOORS) <= set(structure.files)


def test_every_semi_public_module_is_on_the_list_of_doors(structure):
    semi_public = {name for name in structure.files if name.endswith(".internal")}
    assert semi_public <= set(DOORS)


TREE = {
    "larqlite/__init__.py": "from larqlite.a import shown\n",
    "larqlite/a/__init__.py": "from larqlite.a._inside import shown\n",
    "larqlite/a/_inside.py": "class Same: pass\nshown = 1\n",
    "larqlite/a/internal.py": "from larqlite.a._inside import shown\n",
    "larqlite/a/deeper/__init__.py": "from larqlite.a._inside import shown\n",
    "larqlite/b.py": (
        "from larqlite.a.internal import shown\n"
        "class Same: pass\n"
        "def late():\n"
        "    try:\n"
        "        from larqlite.a import _inside\n"
        "    finally:\n"
        "        from larqlite.c import late\n"
    ),
    "larqlite/c.py": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from larqlite.b import late\n"
    ),
}


@pytest.fixture
def small(tmp_path):
    """A tree with one finding of each kind."""
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Structure.of(tmp_path)


def test_an_import_past_the_doors_is_found_wherever_it_stands(small):
    doors = {"larqlite.a.internal": "on purpose"}
    (found,) = small.past_the_doors(doors)
    assert (found.reader, found.module, found.line) == (
        "larqlite.b",
        "larqlite.a._inside",
        5,
    )
    assert len(small.past_the_doors({})) == 2
    assert [item.module for item in small.private_across()] == ["larqlite.a._inside"]


def test_circles_through_functions_and_type_hints_count(small):
    assert small.circles() == [["larqlite.b", "larqlite.c"]]


def test_a_short_file_is_one_that_has_something_of_its_own(small, tmp_path):
    assert small.short() == ["larqlite.a._inside", "larqlite.b", "larqlite.c"]
    (tmp_path / "larqlite" / "c.py").write_text(
        '"""Where it was."""\nfrom larqlite.b import late\n__all__ = ["late"]\n'
    )
    assert Structure.of(tmp_path).short() == ["larqlite.a._inside", "larqlite.b"]


def test_classes_of_one_name_are_found(small):
    assert small.homonyms() == {"Same": ["larqlite.a._inside", "larqlite.b"]}


@pytest.mark.parametrize(
    ("text", "is_walker"),
    [
        ("def walk(node):\n    return node.call_args\n", True),
        ("nodes = [layer.inbound_nodes for layer in layers]\n", True),
        ("for node in nodes_of(model): pass\n", True),
        ("from larqlite.graph import follow\nfollow(model, inputs, apply)\n", False),
    ],
)
def test_what_follows_a_keras_model_by_itself_is_found(
    small, tmp_path, text, is_walker
):
    (tmp_path / "larqlite" / "c.py").write_text(text)
    assert not small.walkers
    assert Structure.of(tmp_path).walkers == ["larqlite.c"] * is_walker


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("_MOVING = (K.Flatten, tf_keras.layers.Reshape)\n", ["_MOVING"]),
        ("AXES: dict = {layers.Conv1D: -1, layers.Conv2D: -1}\n", ["AXES"]),
        ('_FREE = names("MaxPooling2D Cropping2D")\n', ["_FREE"]),
        ("is_pool = isinstance(layer, layers.MaxPooling2D)\n", []),
        ('OPS = ("Conv", "MaxPool")\nDense = layers.Dense\n', []),
    ],
)
def test_a_table_by_layer_class_is_found(small, tmp_path, text, found):
    (tmp_path / "larqlite" / "c.py").write_text(text)
    assert not small.layer_tables
    names = [f"larqlite.c.{name}" for name in found]
    assert Structure.of(tmp_path).layer_tables == names


def test_a_commit_that_is_none_is_named():
    with pytest.raises(SystemExit, match=r"knows no commit 'nosuch'.*Fix:"):
        of_commit("nosuch", Path(__file__).resolve().parent.parent)


def test_families_that_are_halved_are_there():
    for family in halved():
        file, name = family.split("::")
        assert f"def {name}(" in (ROOT / file).read_text(), family
