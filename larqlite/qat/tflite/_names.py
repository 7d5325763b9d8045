"""Which layer of the model an operation of the file comes from, by names of tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable

import tf_keras

from larqlite.qat.tflite._barrier import FloatBarrier
from larqlite.qat.tflite._file import File, Operation

__all__ = ["float_layers_of", "layer_of"]


def float_layers_of(
    file: File, layers: Iterable[tf_keras.layers.Layer]
) -> tuple[str, ...]:
    """Names of the layers with operations in float32, but for barriers, in order."""
    by_name = {layer.name: layer for layer in layers}
    found = dict.fromkeys(
        layer_of(file, operation, by_name) for operation in file.float_operations()
    )
    return tuple(
        name for name in found if not isinstance(by_name.get(name), FloatBarrier)
    )


def layer_of(file: File, operation: Operation, names: Iterable[str]) -> str:
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
