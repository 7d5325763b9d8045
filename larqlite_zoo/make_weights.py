"""Puts weights of finished runs on the cards: `python -m larqlite_zoo.make_weights RUN...`.

Run it in the root of the repository. The file goes to `weights/`, of which the package
`larqlite-zoo-weights` is built; its SHA-256, and the accuracy that the run measured with
it, go to `_trained.json`, which the cards read.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from larqlite.errors import ArgumentError, MissingFileError
from larqlite.outputs import sha256_of, write_json
from larqlite_zoo._card import TRAINED

MOST_BYTES = 25_000_000  # of all files together


def main(arguments: list[str] | None = None) -> None:
    """Reads the folders of runs, copies their weights, and writes the table."""
    parser = argparse.ArgumentParser(prog="make_weights", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="Folders of finished runs.")
    parser.add_argument(
        "--word", help="For weights=; the name of the dataset if absent."
    )
    parser.add_argument("--to", type=Path, default=Path("weights"))
    parser.add_argument("--table", type=Path, default=TRAINED)
    options = parser.parse_args(arguments)
    for run in options.runs:
        row = add(run, options.to, options.table, options.word)
        print(
            f"{row['file']}: weights={row['word']!r} of {row['model']}, {row['top1']} %"
        )


def add(run: Path, folder: Path, table: Path, word: str | None = None) -> dict:
    """Copies the weights of one run, and replaces its row of the table.

    Args:
        run: the folder of a finished run of `lqz train`.
        folder: where files trained here lie.
        table: the JSON file with a row for each.
        word: for `weights=`; by default the dataset of the run.

    Returns:
        The row.

    Raises:
        MissingFileError: the run is not finished, or saved no weights.
        ArgumentError: all files would be larger than a package may be.
    """
    finished = run / "finished.json"
    if not finished.is_file():
        raise MissingFileError(
            f"{run}: no finished run of `lqz train` (there is no {finished.name}).\n"
            "  Fix: the same `lqz train` again, which goes on where it stopped."
        )
    record = json.loads(finished.read_text(encoding="utf-8"))
    measured, saved = record["row"], run / (record["weights"] or "")
    if not saved.is_file():
        raise MissingFileError(
            f"{run}: it saved no weights.\n  Fix: train without --no-save-weights."
        )
    name = word or measured["dataset"]
    row = {
        "model": measured["model"],
        "word": name,
        "file": f"{measured['model']}_{measured['recipe']}_{name}.h5",
        "sha256": sha256_of(saved),
        "top1": float(measured["top1"]),
        "run": measured["run"],
        "command": measured["command"],
    }
    key = (row["model"], row["word"])
    rows = json.loads(table.read_text(encoding="utf-8")) if table.exists() else []
    replaced = {r["file"] for r in rows if (r["model"], r["word"]) == key}
    rows = [r for r in rows if (r["model"], r["word"]) != key]
    others = [folder / r["file"] for r in rows]
    size = sum(path.stat().st_size for path in (saved, *others))
    if size > MOST_BYTES:
        raise ArgumentError(
            f"{folder}: {size:,} bytes of weights would be more than {MOST_BYTES:,}.\n"
            "  Fix: take another run out of the table first."
        )
    folder.mkdir(exist_ok=True)
    shutil.copyfile(saved, folder / row["file"])
    write_json(sorted([*rows, row], key=lambda r: (r["model"], r["word"])), table)
    for former in replaced - {r["file"] for r in (*rows, row)}:
        (folder / former).unlink(missing_ok=True)
    return row


if __name__ == "__main__":
    main(sys.argv[1:])
