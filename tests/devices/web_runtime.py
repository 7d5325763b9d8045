"""The package in `web/`, run in Node: many networks in one process."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from larqlite.deploy._run_program import PATIENCE
from larqlite.deploy.targets._on_wasm import FLAGS
from tests.common.programs import needs

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web"
RUNNER = Path(__file__).with_name("run_web.mjs")

Arrays = dict[str, np.ndarray]

needs_node = needs("node")


def run_in_node(
    cases: Sequence[tuple[bytes, Sequence[Arrays] | None]], home: Path = WEB
) -> list[list[Arrays | str] | str]:
    """What networks compute in one process of Node.

    Args:
        cases: a flat file each, and the inputs of each call; None: one call of zeros.
        home: the folder of the package.

    Returns:
        For each case what each call gives, by name; in place of a call, or of a file that
        cannot be loaded, the text of its error.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        _write(folder, cases)
        command = ["node", *FLAGS, str(RUNNER), str(home), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        data = (folder / "results").read_bytes()
        results = json.loads((folder / "results.json").read_text("utf-8"))
    return [
        said
        if (said := _error(result))
        else [_call(call, data) for call in result["calls"]]
        for result in results
    ]


def _write(
    folder: Path, cases: Sequence[tuple[bytes, Sequence[Arrays] | None]]
) -> None:
    at, listed = 0, []
    with (folder / "data").open("wb") as file:

        def put(data: bytes) -> list[int]:
            nonlocal at
            file.write(data)
            at += len(data)
            return [at - len(data), len(data)]

        for content, calls in cases:
            item: dict = {"file": put(content)}
            if calls is not None:
                item["calls"] = [
                    {
                        name: [array.dtype.name, *put(array.tobytes())]
                        for name, array in inputs.items()
                    }
                    for inputs in calls
                ]
            listed.append(item)
    (folder / "cases.json").write_text(json.dumps(listed), encoding="utf-8")


def _error(result: dict) -> str:
    assert "stranger" not in result, result["stranger"]
    return result.get("error", "")


def _call(result: dict, data: bytes) -> Arrays | str:
    said = _error(result)
    if said:
        return said
    found = {}
    for name, (kind, shape, at, size) in result["outputs"].items():
        array = np.frombuffer(data[at : at + size], kind)
        found[name] = array.reshape([-1 if axis is None else axis for axis in shape])
    return found
