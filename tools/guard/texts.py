"""Values as lines of text that a person can compare: arrays, tables, objects."""

import hashlib
import re
from typing import Any

import numpy as np

_taken_out: list[tuple[str, str]] = []
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def take_out(text: str, instead: str) -> None:
    """From here on `lines` writes `instead` of a path, version, and the like."""
    _taken_out.append((text, instead))
    _taken_out.sort(key=lambda pair: -len(pair[0]))


def lines(text: Any) -> list[str]:
    """The lines of a text, or of a list of them, without what differs between runs."""
    whole = text if isinstance(text, str) else "\n".join(map(str, text))
    for old, new in _taken_out:
        whole = whole.replace(old, new)
    return [line.rstrip() for line in _ADDRESS.sub("<address>", whole).split("\n")]


def array(value: Any) -> str:
    """An array as dtype, shape, hash of its bytes, and its first values.

    >>> array(np.arange(6, dtype="int8").reshape(2, 3))
    'int8[2, 3] 17e88db187afd62c 0 1 2 3'
    """
    found = np.ascontiguousarray(value).reshape(np.shape(value))
    if found.dtype == object:  # strings
        content = "\0".join(map(str, found.ravel())).encode()
    else:
        content = found.tobytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    first = " ".join(str(item) for item in found.ravel()[:4].tolist())
    return f"{found.dtype}{list(found.shape)} {digest} {first}".rstrip()


def arrays(values: Any) -> list[str]:
    """A line for each array: of a dictionary by name, of a list by position."""
    if isinstance(values, dict):
        return [f"{name}: {array(value)}" for name, value in values.items()]
    if isinstance(values, (list, tuple)):
        return [f"{place}: {array(value)}" for place, value in enumerate(values)]
    return [array(values)]


def error(function, *arguments, **options) -> str:
    """The class and the text of what a call raises."""
    try:
        result = function(*arguments, **options)
    except Exception as raised:
        return f"{type(raised).__name__}: {raised}"
    return f"nothing raised: {type(result).__name__}"


def weights(model) -> list[str]:
    """A line for each weight of a Keras model."""
    return [f"{w.name}: {array(w.numpy())}" for w in model.weights]


def printed(function, *arguments, **options) -> str:
    """What a function with a `print_fn` says."""
    said: list[str] = []
    function(
        *arguments,
        print_fn=lambda *text: said.append(" ".join(map(str, text))),
        **options,
    )
    return "\n".join(said)
