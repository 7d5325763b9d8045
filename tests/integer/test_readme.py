"""What the README of `larqlite.integer` shows runs, and the files that it names are there."""

import re
from pathlib import Path

import larqlite as lq

FOLDER = Path(lq.integer.__file__).parent
TEXT = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_a_new_layer_is_written_as_the_page_says():
    names = {"__name__": "readme"}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    model, images = names["model"], names["images"]
    outputs, expected = model(images), names["float_model"](images)
    assert abs(outputs - expected).numpy().max() < 0.1 * abs(expected).numpy().max()


def test_the_files_that_the_page_names_are_there():
    named = set(re.findall(r"`((?:\w+/)*_?\w+\.py)`", TEXT))
    assert len(named) > 15
    names = {path.name for path in FOLDER.rglob("*.py")}
    for path in named:
        assert Path(path).name in names, path
        assert "/" not in path or (FOLDER / path).exists(), path
