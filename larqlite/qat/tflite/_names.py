"""Which layer of the model an operation of the file comes from, by names of tensors."""

from __future__ import annotations

import re
from collections.abc import Sequence

from larqlite.qat.tflite._file import File, Operation

__all__ = ["layer_of"]


def layer_of(file: File, operation: Operation, names: Sequence[str]) -> str:
    """The name of the layer; that of the operation's tensor if there is none.

    The converter joins the names of what it fuses, each a path of scopes.
    """
    tensor = file.tensors[operation.outputs[0]].name
    found = [
        (position, name)
        for name in names
        for position in [_position(tensor, name)]
        if position is not None
    ]
    return max(found)[1] if found else f"{operation.name} {tensor}"


def _position(path: str, name: str) -> int | None:
    matches = list(re.finditer(rf"(?:^|[/;]){re.escape(name)}(?=[/;]|$)", path))
    return matches[-1].start() if matches else None
