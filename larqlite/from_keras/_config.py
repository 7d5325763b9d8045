"""The configuration of a Keras 3 layer as arguments of a tf_keras layer.

An argument that tf_keras does not have is left out where it has the value that changes
no number, and refused elsewhere.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tf_keras

from larqlite import keras3, quantizers
from larqlite.errors import UnsupportedLayerError
from larqlite.from_keras import _activations

# Values of arguments that tf_keras does not have with which a layer computes what it
# does without; `ANY` for those that change no number in inference or training.
ANY = object()
NEUTRAL: dict[str, tuple] = {
    "autocast": (True,),
    "quantization_config": (None,),
    "gptq_unpacked_column_size": (None,),
    "lora_rank": (None,),
    "lora_alpha": (None, ANY),
    "use_cudnn": (ANY,),
    "flash_attention": (None, False, ANY),
    "optional": (False,),
    "ragged": (False,),
    # Seeds of dropout in layers whose dropout has none in tf_keras.
    "seed": (ANY,),
    "renorm": (False,),
    "renorm_clipping": (None,),
    "renorm_momentum": (ANY,),
    "synchronized": (False,),
    "input_axes": (None,),
    "output_axes": (None,),
}
FAMILIES = ("initializers", "regularizers", "constraints")
FLOATS = ("float32", "float64", "mixed_float16", "mixed_bfloat16")


def refusal(layer: Any, why: str, fix: str, where: str) -> UnsupportedLayerError:
    """The error that names a layer of Keras 3, why it does not come in, and the way out."""
    return UnsupportedLayerError(
        f'{where}: {type(layer).__name__} "{layer.name}": {why}\n  Fix: {fix}'
    )


def arguments(
    layer: keras.Layer,
    cls: type,
    where: str,
    *,
    rename: Mapping[str, str],
    neutral: Mapping[str, tuple],
    without: frozenset[str],
) -> dict:
    """The arguments with which a tf_keras class makes a layer like one of Keras 3.

    Args:
        layer: of Keras 3.
        cls: the tf_keras class.
        where: for messages.
        rename: names of its arguments, Keras 3's to tf_keras'.
        neutral: values of arguments that `cls` lacks, beside those of `NEUTRAL`.
        without: arguments that a rule sees to by itself.

    Raises:
        UnsupportedLayerError: an argument changes numbers and has no equal.
    """
    known = signature_of(cls)
    made = {}
    for key, value in layer.get_config().items():
        if key in without:
            continue
        target = rename.get(key, key)
        if target in known or target in ("name", "trainable", "dtype"):
            made[target] = value_of(layer, key, value, where)
            continue
        allowed = {**NEUTRAL, **neutral}.get(key, ())
        if not any(each is ANY or _same(each, value) for each in allowed):
            raise refusal(
                layer,
                f"tf_keras has no argument {key}={_short(value)}.",
                f"build the layer with {_neutral_words(key, allowed)}, or register how "
                "it is to be converted: @lq.models.keras3_converter.",
                where,
            )
    return made


def _neutral_words(key: str, allowed: tuple) -> str:
    values = [each for each in allowed if each is not ANY]
    return f"{key}={values[0]!r}" if values else f"no {key}"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return list(a) == list(b)
    return type(a) is type(b) and a == b


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else f"{text[:57]}..."


def signature_of(cls: type) -> set[str]:
    """The names that a class of tf_keras takes, its bases' too."""
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base) and base is not object:
            names |= set(inspect.signature(base.__init__).parameters)
    return names - {"self", "args", "kwargs"}


def value_of(layer: keras.Layer, key: str, value: Any, where: str) -> Any:
    """A value of a configuration, in tf_keras' terms."""
    if key == "dtype":
        return dtype_of(layer, where)
    if key.endswith("activation"):
        return activation_of(layer, value, where)
    if isinstance(value, dict) and "class_name" in value:
        return _object_of(layer, key, value, where)
    if isinstance(value, str) and key.endswith("initializer"):
        return value
    return value


def dtype_of(layer: keras.Layer, where: str) -> str:
    """The name of a layer's dtype policy, as tf_keras takes it.

    Raises:
        UnsupportedLayerError: its variables have 16 bits.
    """
    policy = layer.dtype_policy
    name = policy.name
    if name in ("float16", "bfloat16"):
        raise refusal(
            layer,
            f"has {name} weights (dtype {name!r}), whose sums differ between any two "
            "programs.",
            f"build it with dtype='mixed_{name}' or 'float32' and give it the weights: "
            "layer.set_weights(old_layer.get_weights()).",
            where,
        )
    return name


def activation_of(layer: keras.Layer, value: Any, where: str) -> Any:
    """The activation of a configuration: a string or function for tf_keras.

    Raises:
        UnsupportedLayerError: tf_keras has none of that name.
    """
    if value is None or value == "linear":
        return None if value is None else "linear"
    name = value
    if isinstance(value, dict):
        if _is_quantizer(value):
            return quantizers.deserialize(value)
        name = value.get("registered_name") or value.get("config")
        if value.get("class_name") != "function":
            raise refusal(
                layer,
                f"has a layer ({value.get('class_name')}) as its activation.",
                "put that layer behind it, with activation=None here.",
                where,
            )
    equal = _activations.equal_of(name)
    if equal is not None:
        return equal
    own = tf_keras.saving.get_custom_objects().get(name)
    if own is not None:
        return own
    raise refusal(
        layer,
        f"tf_keras has no activation {name!r}.",
        f"register a function for it: tf_keras.saving.get_custom_objects()[{name!r}] = "
        "function, of TensorFlow operations.",
        where,
    )


def _is_quantizer(value: dict) -> bool:
    """Whether a configuration is that of a quantizer of `larqlite.keras3`."""
    cls = keras.saving.get_registered_object(value.get("registered_name"))
    return isinstance(cls, type) and issubclass(cls, keras3.QuantizerOfKeras3)


def _object_of(layer: keras.Layer, key: str, value: dict, where: str) -> Any:
    """An initializer, regularizer or constraint, by name."""
    name, config = value["class_name"], dict(value.get("config") or {})
    module = str(value.get("module"))
    family = next((f for f in FAMILIES if key.endswith(f.removesuffix("s"))), None)
    if family is None:
        family = next((f for f in FAMILIES if f in module), None)
    cls = family and getattr(getattr(tf_keras, family), name, None)
    if cls is None or not module.startswith("keras"):
        own = tf_keras.saving.get_custom_objects().get(name)
        if own is None:
            raise refusal(
                layer,
                f"tf_keras has no {name!r} for {key}.",
                f"set {key} to one of Keras before you convert, or register a class "
                f"for it: tf_keras.saving.get_custom_objects()[{name!r}] = MyClass.",
                where,
            )
        return own(**config)
    known = signature_of(cls)
    lost = {
        k: v
        for k, v in config.items()
        if k not in known and v not in NEUTRAL.get(k, ())
    }
    if lost:
        raise refusal(
            layer,
            f"tf_keras' {name} for {key} has no {sorted(lost)}.",
            f"set {key} to {name} without, which changes no weight that is there.",
            where,
        )
    return cls(**{k: _plain(v) for k, v in config.items() if k in known})


def _plain(value: Any) -> Any:
    """Arrays and lists of initializers, as they were."""
    if isinstance(value, dict) and value.get("class_name") == "__numpy__":
        return value["config"]["value"]
    return value


def arrays(variables: list) -> list[np.ndarray]:
    """Keras 3 variables of any back end as NumPy arrays."""
    return [np.asarray(keras.ops.convert_to_numpy(v)) for v in variables]
