"""Writes the tables of `docs/from_keras3.md`: the largest difference of each layer class of
Keras 3, and of each network of `keras.applications`, to what it becomes.

    python tools/keras3_table.py                          # the layers
    python tools/keras3_table.py --applications           # all networks, which takes minutes
    python tools/keras3_table.py --applications VGG16     # these rows only
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "from_keras3.md"
sys.path.insert(0, str(ROOT))


def layer_rows() -> dict[str, tuple[str, ...]]:
    """The cells of each class: how many cases, how many bit for bit, the largest difference."""
    import keras

    from larqlite.from_keras import convert
    from tests.from_keras.layer_cases import CALLS, CASES
    from tests.from_keras.networks import randomized
    from tests.from_keras.test_every_layer import K, inputs_of

    found = defaultdict(list)
    for row in [*CASES, *CALLS]:
        called = row in CALLS
        layer = eval(f"K.{row[0]}", {"K": K})
        inputs = inputs_of(row[2:] if called else row[1:])
        if called:
            names = dict(zip("abc", inputs, strict=False))
            outputs = eval(row[1], {"layer": layer, **names})
        else:
            outputs = layer(inputs if len(inputs) > 1 else inputs[0])
        converted = convert(randomized(keras.Model(inputs, outputs)))
        found[type(layer).__name__].append(
            max([converted.difference, *converted.differences.values()])
        )
    return {
        f"`{name}`": (str(len(all_)), str(all_.count(0.0)), words(max(all_)))
        for name, all_ in sorted(found.items())
    }


def application_rows(names: list[str]) -> dict[str, tuple[str, ...]]:
    """The cells of each network: its size, the largest difference of a layer, of the output."""
    import keras

    from larqlite.from_keras import convert
    from tests.from_keras.networks import randomized_as_trained
    from tests.from_keras.test_applications import APPLICATIONS, SMALLEST

    rows = {}
    for name in names or APPLICATIONS:
        size = SMALLEST.get(name, 32)
        theirs = getattr(keras.applications, name)(
            weights=None, input_shape=(size, size, 3), include_top=False, pooling="avg"
        )
        converted = convert(randomized_as_trained(theirs))
        cells = (max(converted.differences.values()), converted.difference)
        rows[f"`{name}`"] = (f"{size} px", *map(words, cells))
        print(name, *rows[f"`{name}`"], flush=True)
        keras.backend.clear_session()
    return rows


def words(difference: float) -> str:
    """A difference as the tables show it."""
    return f"{difference:.0e}" if difference else "0"


def table_of(text: str) -> dict[str, tuple[str, ...]]:
    """The rows that a table has."""
    rows = [re.findall(r"[^|]+", line) for line in text.strip().splitlines()[2:]]
    return {cells[0].strip(): tuple(c.strip() for c in cells[1:]) for cells in rows}


def written(page: str, mark: str, heading: tuple[str, ...], rows: dict) -> str:
    """The page with these rows in its table, beside those that it had."""

    def table(match: re.Match) -> str:
        cells = {**table_of(match[2]), **rows}
        lines = [
            heading,
            ("---",) * len(heading),
            *((k, *v) for k, v in sorted(cells.items())),
        ]
        return (
            match[1]
            + "\n\n"
            + "\n".join(f"| {' | '.join(c)} |" for c in lines)
            + "\n\n"
        )

    pattern = rf"(<!-- {mark} -->)([\s\S]*?)(?=<!-- end -->)"
    return re.sub(pattern, table, page, count=1)


def main() -> None:
    """Writes one of the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--applications", nargs="*", metavar="NAME")
    chosen = parser.parse_args().applications
    if chosen is None:
        heading = ("class", "cases", "bit for bit", "largest difference")
        rows, mark = layer_rows(), "layers"
    else:
        heading = ("network", "size", "a layer", "the outputs")
        rows, mark = application_rows(chosen), "applications"
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(written(page, mark, heading, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
