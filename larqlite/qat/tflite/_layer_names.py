"""Which layer of the model an operation of the file comes from, by names of tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import tf_keras

from larqlite.qat.tflite._file_graph import TFLiteGraph, TFLiteOperation
from larqlite.qat.tflite._prepare import FloatBarrier
from larqlite.qat.tflite._traced import BARRIER

__all__ = ["float_layers_of", "innermost", "layer_of"]


def float_layers_of(
    file: TFLiteGraph,
    layers: Iterable[tf_keras.layers.Layer],
    outputs: Sequence[str] = (),
) -> tuple[str, ...]:
    """Names of the layers with operations in float32, but for barriers, in order.

    Args:
        file: the file.
        layers: of the model.
        outputs: the layers that the outputs come from, in the order of the function.
    """
    by_name = {layer.name: layer for layer in layers}
    found = dict.fromkeys(
        layer_of(file, operation, by_name, outputs)
        for operation in file.float_operations()
        if BARRIER not in file.tensors[operation.outputs[0]].name
    )
    return tuple(
        name for name in found if not isinstance(by_name.get(name), FloatBarrier)
    )


def layer_of(
    file: TFLiteGraph,
    operation: TFLiteOperation,
    names: Iterable[str],
    outputs: Sequence[str] = (),
) -> str:
    """The name of the layer; that of the operation's tensor if there is none.

    The converter joins the names of what it fuses, each a path of scopes. What comes
    out of the file has the name of the function that was traced.

    Args:
        file: the file.
        operation: of it.
        names: of the layers.
        outputs: the layers that the outputs come from, in the order of the function.
    """
    tensor = file.tensors[operation.outputs[0]].name
    found = innermost(tensor, names)
    if found:
        return found
    ends = re.match(
        r"(?:Stateful)?PartitionedCall(?::(\d+))?|Identity(?:_(\d+))?", tensor
    )
    number = next((n for n in ends.groups() if n), "0") if ends else ""
    while number and int(number) >= len(outputs):
        number = number[:-1]  # the converter numbers its own behind
    return outputs[int(number)] if number else f"{operation.name} {tensor}"


def innermost(path: str, names: Iterable[str]) -> str | None:
    """The last of some names among the scopes of a path, or None."""
    found = [
        (position, name)
        for name in names
        for position in [_position(path, name)]
        if position is not None
    ]
    return max(found)[1] if found else None


def _position(path: str, name: str) -> int | None:
    matches = list(re.finditer(rf"(?:^|[/;]){re.escape(name)}(?=[/;]|$)", path))
    return matches[-1].start() if matches else None
