"""A quantized model from a file, and what it holds: its configuration, its integers."""

from __future__ import annotations

import copy
import os

import tf_keras

from larqlite import models
from larqlite.errors import MissingFileError, QuantizedTypeError
from larqlite.graph import require_model
from larqlite.integer.layers import recording
from larqlite.integer.layers.internal import QuantizedLayer
from larqlite.integer.models import _samples

__all__ = ["dump_config", "load_model", "record_quantization_variables"]


def load_model(
    model_path,
    custom_layers: dict | None = None,
    compile_model: bool = True,
    *,
    safe_mode: bool = True,
) -> tf_keras.Model:
    """Loads a model, with larqlite's layers known by name.

    Args:
        model_path: a `.keras` or `.h5` file, or the folder of a SavedModel.
        custom_layers: further classes by name.
        compile_model: whether to compile it as it was when saved.
        safe_mode: False runs code that the file carries, as in `lq.models.load`.

    Returns:
        The model.

    Raises:
        MissingFileError: (a `FileNotFoundError`) when there is no such file.
        UnsupportedModelError: what `lq.models.load` refuses.

    Example:
        >>> import tempfile, pathlib
        >>> model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(3,))])
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.keras"
        >>> lq.integer.models.quantize(model).save(path)
        >>> lq.integer.models.load_model(path).layers[-1].name.endswith("dequantizer")
        True
    """
    path = os.fspath(model_path)
    if not os.path.exists(path):
        raise MissingFileError(
            f"load_model: there is no {path!r}.\n"
            "  Fix: check the path; relative ones start at "
            f"{os.getcwd()}."
        )
    return models.load(path, custom_layers, compile_model, safe_mode)


def dump_config(model: tf_keras.Model) -> dict:
    """The quantization configuration of each quantized layer that has one.

    Args:
        model: a quantized model.

    Returns:
        `{layer name: quant_config}` of plain dictionaries, which `json.dumps` takes, and
        `quantize(model, q_config=...)` too.

    Example:
        >>> model = tf_keras.Sequential(
        ...     [tf_keras.layers.Dense(2, input_shape=(3,), name="fc")]
        ... )
        >>> lq.integer.models.dump_config(lq.integer.models.quantize(model))
        {'fc': {'weight_quantizer': {'bitwidth': 8}, 'buffer_bitwidth': 28}}
    """
    return {
        layer.name: copy.deepcopy(layer.quant_config)
        for layer in model.layers
        if isinstance(layer, QuantizedLayer) and layer.quant_config
    }


def record_quantization_variables(model: tf_keras.Model) -> None:
    """Sends one random sample through the model in recording mode.

    Afterwards the recorders of its layers hold the quantized weights, the shifts and the
    scales, as `layer.weight_quantizer`'s and the like.

    Args:
        model: a quantized model.
    """
    require_model(model, "record_quantization_variables", refused=QuantizedTypeError)
    with recording(True):
        model(_samples.one_batch(model), training=False)
