"""What a command prints: text for a reader, or one value of JSON for a program."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any


def tell(work: Callable[[], tuple[Any, int]], as_json: bool) -> None:
    """Does work that prints what it finds; for a program, prints that as JSON instead.

    Args:
        work: gives what it found, and the exit code.
        as_json: whether all that is printed on the way goes to the error stream, and one
            value of JSON to the output.

    Raises:
        SystemExit: with the exit code, if it is not 0.
    """
    with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
        found, code = work()
    if as_json:
        print(json.dumps(as_data(found), indent=2, allow_nan=False))
    if code:
        raise SystemExit(code)


def as_data(found: Any) -> Any:
    """The same in types of JSON: numbers of NumPy, paths, dataclasses; None for NaN.

    >>> from pathlib import Path
    >>> as_data({1: (Path("net.onnx"), float("nan"))})
    {1: ['net.onnx', None]}
    """
    if isinstance(found, Mapping):
        return {key: as_data(value) for key, value in found.items()}
    if isinstance(found, (list, tuple, set, frozenset)):
        return [as_data(value) for value in found]
    if isinstance(found, float):
        return found if math.isfinite(found) else None
    if dataclasses.is_dataclass(found):
        return as_data(dataclasses.asdict(found))
    if hasattr(found, "tolist"):  # an array of NumPy, or one of its numbers
        return as_data(found.tolist())
    return found if found is None or isinstance(found, (bool, int, str)) else str(found)
