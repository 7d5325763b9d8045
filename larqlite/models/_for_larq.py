"""Models saved so that Larq 0.14 reads them in its own process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import tf_keras

from larqlite import context, quantizers
from larqlite._copies import is_table, variables_of
from larqlite._registration import PACKAGE
from larqlite.errors import (
    ArgumentError,
    UnbuiltModelError,
    UnsupportedModelError,
    require_tf_keras,
)
from larqlite.graph import is_functional
from larqlite.outputs import require, written_whole

__all__ = ["save_for_larq"]

_WHERE = "lq.models.save_for_larq"
_LAYERS = (
    "QuantConv1D", "QuantConv2D", "QuantConv2DTranspose", "QuantConv3D",
    "QuantConv3DTranspose", "QuantDense", "QuantDepthwiseConv2D",
    "QuantLocallyConnected1D", "QuantLocallyConnected2D", "QuantSeparableConv1D",
    "QuantSeparableConv2D",
)  # fmt: skip
_OF_EVERY_QUANTIZER = ("name", "trainable", "dtype", "metrics")
# The classes that Larq 0.14 has beside its layers: its module, and its arguments.
_OBJECTS = {
    "NoOp": ("larq.quantizers", ("precision",)),
    "SteSign": ("larq.quantizers", ("clip_value",)),
    "ApproxSign": ("larq.quantizers", ()),
    "SteHeaviside": ("larq.quantizers", ("clip_value",)),
    "SwishSign": ("larq.quantizers", ("beta",)),
    "MagnitudeAwareSign": ("larq.quantizers", ("clip_value",)),
    "SteTern": (
        "larq.quantizers",
        ("threshold_value", "ternary_weight_networks", "clip_value"),
    ),
    "DoReFa": ("larq.quantizers", ("k_bit", "mode")),
    "WeightClip": ("larq.constraints", ("clip_value",)),
}
_FUNCTIONS = ("hard_tanh", "leaky_tanh")
_KNOWN = ("tf_keras", "keras", "larqlite")


def save_for_larq(model: tf_keras.Model, path) -> None:
    """Saves a model as an `.h5` file that Larq 0.14 loads, with equal predictions.

    Larq's process needs `import larq`, and then
    `tf.keras.models.load_model(path)` under the same TensorFlow (2.16 and later with
    `TF_USE_LEGACY_KERAS=1`). The file holds latent weights under Larq's own names, and
    no optimizer: the model comes uncompiled there. `lq.models.load` reads it too.

    Args:
        model: a built Sequential or functional tf_keras model.
        path: where to write, ending in `.h5`.

    Raises:
        ArgumentError: something else than a model, or another ending of `path`.
        UnbuiltModelError: the model has no weights yet.
        UnsupportedModelError: Larq lacks a layer, quantizer or argument that the model
            uses; the message names each. Nothing is written.

    Example:
        >>> import tempfile, os
        >>> model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(
        ...     3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")])
        >>> path = os.path.join(tempfile.mkdtemp(), "model.h5")
        >>> lq.models.save_for_larq(model, path)
        >>> os.path.exists(path)
        True
    """
    path = Path(path)
    _check(model)
    _require_no_tables(model)
    require(path, (".h5",), _WHERE)
    with written_whole(path) as copy:
        with context.quantized_scope(False):  # latent weights, whatever is outside
            model.save(copy, include_optimizer=False, save_format="h5")
        with h5py.File(copy, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            lacking = [*_own_classes(model), *_lacking(config, "")]
            lacking = list(dict.fromkeys(lacking))
            if lacking:
                raise UnsupportedModelError(
                    f'{_WHERE}: Larq 0.14 lacks what "{model.name}" uses:\n    '
                    + "\n    ".join(lacking)
                    + "\n  Fix: what Larq has is listed in docs/larq.md; or save it "
                    "with model.save(path) for larqlite."
                )
            file.attrs["model_config"] = json.dumps(_in_larqs_names(config)).encode()


def _check(model) -> None:
    require_tf_keras(model, _WHERE)
    if not isinstance(model, tf_keras.Model):
        raise ArgumentError(
            f"{_WHERE}: expected a tf_keras model, got {model!r}.\n"
            "  Fix: pass the model object; lq.models.load(path) reads a file."
        )
    if not model.built:
        raise UnbuiltModelError(
            f'{_WHERE}: the model "{model.name}" has no weights yet.\n'
            "  Fix: give it an input shape (tf_keras.Input), or call it on data."
        )
    if not is_functional(model):
        raise UnsupportedModelError(
            f'{_WHERE}: "{model.name}" is a {type(model).__name__} with a `call` of its '
            "own, which no .h5 file holds.\n"
            "  Fix: build it with tf_keras.Sequential or tf_keras.Model(inputs, outputs)."
        )


def _require_no_tables(model) -> None:
    for layer in model.submodules:
        if isinstance(layer, tf_keras.layers.Layer) and any(
            map(is_table, variables_of(layer))
        ):
            raise UnsupportedModelError(
                f'{_WHERE}: the vocabulary of "{layer.name}" ({type(layer).__name__}) was '
                "found by adapt, and no .h5 file holds it.\n"
                "  Fix: give the words to the layer, vocabulary=layer.get_vocabulary("
                "include_special_tokens=False), or look them up outside of the model."
            )


def _own_classes(model) -> Iterator[str]:
    """The layers of classes that neither Keras nor larqlite has."""
    for layer in model.submodules:
        root = type(layer).__module__.partition(".")[0]
        if isinstance(layer, tf_keras.layers.Layer) and root not in _KNOWN:
            yield f'{type(layer).__name__} "{layer.name}"'


def _lacking(config, owner: str) -> Iterator[str]:
    """A phrase for everything in a configuration that Larq does not know."""
    if isinstance(config, list):
        for item in config:
            yield from _lacking(item, owner)
    if not isinstance(config, dict):
        return
    name, inner = config.get("class_name"), config.get("config")
    if isinstance(name, str) and isinstance(inner, dict):
        name, is_custom = _own_name(config)
        of = f' of "{owner}"' if owner else ""
        if name in _LAYERS and is_custom:
            owner = inner.get("name", owner)
            if isinstance(inner.get("pad_values"), (list, dict)):
                yield f'{name} "{owner}": pad_values that is no single number'
        elif name == "NamedFunction" and is_custom:
            function = inner["name"]
            if function not in _FUNCTIONS and _quantizer_of(function) is None:
                yield f'the function "{function}"{of}'
        elif is_custom and name not in _OBJECTS:
            # Of parts of a layer Keras writes the module, of a layer it does not.
            is_part = "module" in config
            yield f"{name}{of}" if is_part else f'{name} "{inner.get("name")}"'
            return
        elif is_custom:
            known = (*_OBJECTS[name][1], *_OF_EVERY_QUANTIZER)
            more = [key for key in inner if key not in known]
            if more:
                yield f"{name}({', '.join(more)}){of}"
        else:
            owner = inner.get("name", owner) if "module" not in config else owner
    for value in config.values():
        yield from _lacking(value, owner)


def _own_name(config: dict) -> tuple[str, bool]:
    """The bare name of an object, and whether Keras alone does not have it."""
    registered = config.get("registered_name")
    if not isinstance(registered, str):
        registered = config["class_name"]
    package, found, name = registered.rpartition(">")
    if not found:
        module = config.get("module")
        own = isinstance(module, str) and module.split(".")[0] not in (
            "keras",
            "builtins",
        )
        return config["class_name"], own
    return (name if package == PACKAGE else registered), True


def _quantizer_of(function: str):
    """The quantizer that a function of that name is, if Larq has it."""
    if function not in quantizers.names():
        return None
    quantizer = quantizers.get(function)
    return quantizer if type(quantizer).__name__ in _OBJECTS else None


def _in_larqs_names(config):
    if isinstance(config, list):
        return [_in_larqs_names(item) for item in config]
    if not isinstance(config, dict):
        return config
    rewritten = {key: _in_larqs_names(value) for key, value in config.items()}
    if not isinstance(config.get("class_name"), str) or "config" not in config:
        return rewritten
    name, is_custom = _own_name(config)
    if name == "NamedFunction" and is_custom:
        return _function(config["config"]["name"])
    if name in _LAYERS and is_custom:
        module = "larq.layers"
    elif name in _OBJECTS and is_custom:
        module = _OBJECTS[name][0]
    else:
        return rewritten
    rewritten["class_name"] = name
    if "module" in rewritten:
        rewritten |= {"module": module, "registered_name": name}
    return rewritten


def _function(name: str) -> str | dict:
    if name in _FUNCTIONS:
        # Keras writes a dictionary for it, which its `.h5` reader does not understand.
        return name
    quantizer = _quantizer_of(name)
    return {
        "module": "larq.quantizers",
        "class_name": type(quantizer).__name__,
        "config": quantizer.get_config(),
        "registered_name": type(quantizer).__name__,
    }
