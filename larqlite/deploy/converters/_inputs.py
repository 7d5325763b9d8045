"""Which models can be exported, and the inputs of those that can."""

from __future__ import annotations

import numbers
from typing import Any

import tf_keras

from larqlite.errors import (
    ArgumentError,
    UnsupportedModelError,
)
from larqlite.graph import inner_layers, require_model
from larqlite.onnx_graph import WHERE, Value, Writer


def check_model(model: Any) -> None:
    """Refuses what is no built Sequential or functional tf_keras model.

    Raises:
        KerasVersionError, ArgumentError, UnbuiltModelError, UnsupportedModelError: as
            `export` says.
    """
    require_model(model, WHERE.get())
    _refuse_annotated(model)


def require_count(name: str, value: Any) -> None:
    """Refuses what is no whole number from 1 on.

    Raises:
        ArgumentError: it is something else.
    """
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or value < 1:
        raise ArgumentError(
            f"{WHERE.get()}: {name}={value!r} is no count.\n"
            f"  Fix: a whole number from 1 on, e.g. {name}=32."
        )


def require_share(name: str, value: Any) -> None:
    """Refuses what is no number from 0 to 1.

    Raises:
        ArgumentError: it is something else.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        raise ArgumentError(
            f"{WHERE.get()}: {name}={value!r} is no tolerance.\n"
            f"  Fix: a number from 0 to 1, e.g. {name}=1e-4."
        )


def _refuse_annotated(model: tf_keras.Model) -> None:
    """Refuses a model whose layers are only marked to be quantized."""
    from larqlite.qat.internal import QuantizeAnnotate

    pending = [model]
    while pending:
        layer = pending.pop()
        if isinstance(layer, QuantizeAnnotate):
            raise UnsupportedModelError(
                f'{WHERE.get()}: "{layer.name}" of "{model.name}" is annotated to be '
                "quantized, and computes in float so far.\n"
                "  Fix: quantized = lq.qat.quantize_apply(model, calibrate=data), and "
                "pass that."
            )
        pending.extend(inner_layers(layer) if isinstance(layer, tf_keras.Model) else ())


def input_values(graph: Writer, model: tf_keras.Model) -> dict[str, Value]:
    """The inputs of a model by name.

    Raises:
        UnsupportedModelError: one is no float32, or leaves a size open.
    """
    values = {}
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        shape = tuple(tensor.shape.as_list())
        if tensor.dtype.name != "float32":
            fix = f'tf_keras.Input({shape[1:]}, dtype="float32", name="{name}")'
            if tensor.dtype.name == "string":
                fix = (
                    "look words up before the model, and export what takes the numbers"
                )
            raise UnsupportedModelError(
                f'{WHERE.get()}: the input "{name}" of "{model.name}" is {tensor.dtype.name}, '
                f"and a file takes float32.\n  Fix: {fix}."
            )
        if None in shape[1:]:
            example = tuple(32 if size is None else size for size in shape[1:])
            raise UnsupportedModelError(
                f'{WHERE.get()}: the input "{name}" of "{model.name}" has the shape {shape}, '
                "which leaves more open than the batch; a file has fixed sizes.\n"
                f"  Fix: build the model with the size it will run at, e.g. "
                f"tf_keras.Input({example}), and give it these weights with set_weights."
            )
        stored = graph.tensor_name(name)
        values[stored] = graph.value(stored, (None, *shape[1:]))
    return values
