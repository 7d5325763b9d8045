"""Which models and arguments the integer exports take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import tf_keras

from larqlite.deploy.converters import check_model
from larqlite.errors import (
    ArgumentError,
    UnsupportedModelError,
    near_matches,
)
from larqlite.integer.layers import OutputQuantizer
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.onnx_graph import WHERE
from larqlite.outputs import require


def check(model: Any, path: str | os.PathLike | None, suffix: str) -> Path | None:
    """Refuses models that are no calibrated integer models, and paths of other files.

    Raises:
        KerasVersionError, ArgumentError, UnbuiltModelError, UnsupportedModelError,
        MissingFileError: by name.
    """
    check_model(model)
    require_integers(model)
    if path is None:
        return None
    return require(path, (suffix,), WHERE.get())


def require_integers(model: tf_keras.Model) -> None:
    """Refuses a float model, and one that is not calibrated.

    Raises:
        UnsupportedModelError: it is one of these.
    """
    if not any(isinstance(part, QuantizedLayer) for part in model.submodules):
        raise UnsupportedModelError(
            f'{WHERE.get()}: "{model.name}" is a float model: none of its layers computes '
            "on integers.\n"
            "  Fix: lq.integer.models.quantize(model, samples=samples) first; "
            "lq.deploy.export writes float models."
        )
    open_ones = [
        part.name
        for part in model.submodules
        if isinstance(part, QuantizedLayer)
        and isinstance(part.out_quantizer, OutputQuantizer)
        and not part.out_quantizer.is_calibrated
    ]
    if open_ones:
        raise UnsupportedModelError(
            f'{WHERE.get()}: "{model.name}" is not calibrated: the ranges of '
            f"{', '.join(open_ones[:5])} were never set.\n"
            "  Fix: lq.integer.models.calibrate(model, samples)."
        )


def one_of(value: Any, allowed: tuple[str, ...], argument: str) -> str:
    """`value`, which must be one of those that are allowed.

    Raises:
        ArgumentError: it is not.
    """
    if value in allowed:
        return value
    raise ArgumentError(
        f"{WHERE.get()}: {argument}={value!r} is none of {', '.join(allowed)}."
        f"{near_matches(str(value), allowed)}\n"
        f'  Fix: {argument}="{allowed[0]}".'
    )
