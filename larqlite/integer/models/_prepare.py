"""A model as quantization wants it: checked, unfolded, and with what is folded folded."""

from __future__ import annotations

import tf_keras

from larqlite.errors import (
    QuantizedTypeError,
    UnsupportedModelError,
    require_model_of_tf_keras,
)
from larqlite.graph import is_functional
from larqlite.integer.models import _quant_layers, transforms


def require_model(model, where: str) -> None:
    """Asserts that `model` is a built Sequential or functional model."""
    require_model_of_tf_keras(model, where)
    if not isinstance(model, tf_keras.Model):
        raise QuantizedTypeError(
            f"{where}: {model!r} is a {type(model).__name__}, not a model.\n"
            "  Fix: pass a tf_keras.Model or an onnx.ModelProto."
        )
    if not is_functional(model):
        raise UnsupportedModelError(
            f'{where}: "{model.name}" ({type(model).__name__}) is not a built Sequential '
            "or functional model, so that its layers cannot be replaced.\n"
            "  Fix: build it on tf_keras.Input (for a Sequential model, give the first "
            "layer input_shape=...)."
        )


def prepared(model: tf_keras.Model) -> tuple[tf_keras.Model, dict[str, dict]]:
    """The model with larqlite's layers as plain ones, sanitized.

    Returns:
        The model, and configurations `{name: quant_config}` for the kernels that are of
        few bits already.
    """
    model, configs = _quant_layers.plain(model)
    return transforms.sanitize(model), configs
