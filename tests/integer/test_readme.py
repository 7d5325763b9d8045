"""What the README of `larqlite.integer` shows runs, and does what the page says."""

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
