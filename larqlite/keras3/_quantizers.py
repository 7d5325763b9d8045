"""Quantizers of larqlite as layers of Keras 3: one class for each that is registered.

A class here holds the quantizer of `larqlite.quantizers` that it is named after, and calls its
`quantize` or `levels`: there is one formula of each. Weights of a quantizer are made here, by what
its `own_weights` says, since the two kinds of Keras keep them in ways of their own.
"""

from __future__ import annotations

import functools
import inspect
import logging
import weakref
from typing import Any

import keras
import tensorflow as tf
import tf_keras

from larqlite import context, quantizers
from larqlite._ops import ops_of
from larqlite.errors import DtypeError, QuantizerError, UnknownQuantizerError
from larqlite.keras3._back_end import BACKEND
from larqlite.quantizers import LQLevels
from larqlite.quantizers.internal import (
    LearnedLevels,
    Stochastic,
    WithWeights,
    find,
    on_register,
    unknown_quantizer,
)

__all__ = ["QuantizerOfKeras3", "adopted", "get", "quantizer_class", "start_from"]

log = logging.getLogger("larqlite.quantizers")

# Of the configuration in tf_keras; the rest are the quantizer's arguments.
_OF_EVERY_QUANTIZER = (
    *("name", "trainable", "dtype", "dynamic", "batch_input_shape", "metrics"),
)


class QuantizerOfKeras3(keras.layers.Layer):
    """Base class: a quantizer of larqlite as a layer, or a function, of Keras 3.

    Each is as its namesake in `larqlite.quantizers`: the same levels, pseudo-gradient,
    arguments and configuration. It runs in the dtype of its input, whatever the policy.

    Args:
        *args: those of the namesake.
        **kwargs: those of the namesake; `metrics`, also those of
            `lq.context.metrics_scope`, are not tracked in Keras 3, which is warned of.
        name: of the layer.

    Attributes:
        rule: the quantizer of `larqlite.quantizers`, whose formulas are used.
        precision: bits of a quantized value.

    Raises:
        DtypeError: called with integers or booleans.
        QuantizerError: the namesake computes with TensorFlow's functions, and the back end
            is another one.

    Example:
        >>> lq.keras3.SteSign(clip_value=0.5)(np.float32([-0.2, 0.0, 1.5])).numpy().tolist()
        [-1.0, 1.0, 1.0]
    """

    rule_class: type[quantizers.Quantizer]

    def __init__(self, *args: Any, name: str | None = None, **kwargs: Any) -> None:
        for known in ("dtype", "trainable"):  # of files of either Keras
            kwargs.pop(known, None)
        metrics = kwargs.pop("metrics", None) or context.get_training_metrics()
        super().__init__(name=name, autocast=False)
        if metrics:
            log.warning(
                '%s "%s": %s are not tracked in Keras 3. Fix: compare '
                "layer.quantized_kernel() between epochs, or train in tf_keras.",
                *(type(self).__name__, self.name, sorted(metrics)),
            )
        self.rule = self.rule_class(*args, name=self.name, **kwargs)
        self.supports_masking = True

    @property
    def precision(self) -> int | None:
        return self.rule.precision

    def call(self, inputs):
        x = self.checked(inputs)
        try:
            values = self.quantized(x)
        except (TypeError, ValueError, RuntimeError) as error:
            is_ours = type(self.rule).__module__.startswith("larqlite.")
            if BACKEND == "tensorflow" or is_ours:
                raise
            raise self._of_tensorflow() from error
        if BACKEND != "tensorflow" and tf.is_tensor(values):
            raise self._of_tensorflow()
        return values

    def quantized(self, x):
        """The values of a floating-point tensor, with the pseudo-gradient."""
        if type(self.rule).call is not quantizers.Quantizer.call:
            return self.rule.call(x)
        return self.rule.quantize(x)

    def checked(self, inputs):
        """The inputs as a floating-point tensor of the back end.

        Raises:
            DtypeError: they are none.
        """
        x = keras.ops.convert_to_tensor(inputs)
        if BACKEND == "tensorflow":
            x = tf.convert_to_tensor(x)  # a variable of Keras counts as a tensor there
        dtype = keras.backend.standardize_dtype(x.dtype)
        if "float" not in dtype:
            raise DtypeError(
                f'{type(self).__name__} "{self.name}": got a tensor of dtype {dtype} and '
                f"shape {tuple(x.shape)}, but quantization starts from floating-point "
                'values.\n  Fix: cast it first, e.g. keras.ops.cast(x, "float32").'
            )
        return x

    def _of_tensorflow(self) -> QuantizerError:
        return QuantizerError(
            f'{type(self).__name__} "{self.name}" computes with functions of TensorFlow, but '
            f"the back end of Keras is {BACKEND}.\n"
            "  Fix: write it in lq.math.ops_of(x), lq.math.sign and operators of Python, "
            "which run on every back end; or set KERAS_BACKEND=tensorflow."
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict:
        config = self.rule.get_config()
        own = {k: v for k, v in config.items() if k not in _OF_EVERY_QUANTIZER}
        return {"name": self.name, **own}


class _WithWeights(QuantizerOfKeras3):
    """A quantizer whose weights are those of Keras 3."""

    rule_class: type[WithWeights]

    def build(self, input_shape):
        for name, weight in self.rule.own_weights(tuple(input_shape)).items():
            start = weight.start
            if not isinstance(start, str):
                start = keras.initializers.Constant(start)
            made = self.add_weight(
                name=name,
                initializer=start,
                autocast=False,
                regularizer=keras.regularizers.L2(weight.l2) if weight.l2 else None,
                **weight.arguments(),
            )
            setattr(self, name, made)
        self._weight_names = tuple(self.rule.own_weights(tuple(input_shape)))

    def quantized(self, x):
        weights = (
            keras.ops.cast(keras.ops.convert_to_tensor(getattr(self, name)), x.dtype)
            for name in self._weight_names
        )
        return self.rule.levels(x, *weights)


class _LearnedLevels(_WithWeights):
    """A quantizer whose first call in training says where its levels begin.

    Calls of JAX give back nothing of what is trained, so that is kept beside it: levels are
    those of the sum of both.
    """

    rule_class: type[LearnedLevels]

    def build(self, input_shape):
        super().build(input_shape)
        for name, weight in self.rule.own_weights(tuple(input_shape)).items():
            begun = self.add_weight(
                name=f"{name}_begun",
                shape=weight.shape,
                initializer="zeros",
                trainable=False,
                autocast=False,
            )
            setattr(self, f"{name}_begun", begun)

    def call(self, inputs, training=None):
        x = self.checked(inputs)
        return self.rule.levels(x, *self._values(x, training))

    def _values(self, x, training) -> list:
        """What is learned, as a call uses it; one in training stores where it begins."""
        ops, rule, names = keras.ops, self.rule, self._weight_names
        kept = [getattr(self, f"{name}_begun") for name in names]
        begun = [ops.convert_to_tensor(weight) for weight in kept]
        moved = [ops.convert_to_tensor(getattr(self, name)) for name in names]
        has_begun = moved[0] + begun[0] > 0

        def started():
            start = [
                ops.stop_gradient(ops.reshape(ops.cast(value, old.dtype), old.shape))
                for value, old in zip(rule.start_of(x), begun, strict=True)
            ]
            stays = ops.logical_or(has_begun, ops.logical_not(start[0] > 0))
            pairs = zip(start, begun, strict=True)
            return [ops.where(stays, old, new) for new, old in pairs]

        if training or rule.of_weights:
            begun = ops.cond(ops.all(has_begun), lambda: list(begun), started)
        if training:
            for weight, value in zip(kept, begun, strict=True):
                weight.assign(value)
        has_begun = moved[0] + begun[0] > 0
        return [
            ops.where(has_begun, a + b, ops.full_like(a, default))
            for a, b, default in zip(moved, begun, rule.defaults(), strict=True)
        ]


class _Stochastic(QuantizerOfKeras3):
    """A quantizer that draws in training, by a generator of Keras 3."""

    rule_class: type[Stochastic]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seeds = keras.random.SeedGenerator(self.rule.seed)

    def call(self, inputs, training=None):
        if not training:
            return super().call(inputs)
        x = self.checked(inputs)
        is_narrow = ops_of(x).bytes_of(x) < 4
        dtype = "float32" if is_narrow else keras.backend.standardize_dtype(x.dtype)
        shape = keras.ops.shape(x)
        random = 1 - keras.random.uniform(shape, dtype=dtype, seed=self._seeds)
        return self.rule.draw(x, random)


class _FittedLevels(_WithWeights):
    """A quantizer whose calls in training fit its basis."""

    rule_class: type[LQLevels]

    def call(self, inputs, training=None):
        x, basis = self.checked(inputs), keras.ops.convert_to_tensor(self.basis)
        if not training:
            return self.rule.levels(x, self.rule.usable(x, basis))
        used, fitted = self.rule.fitted(x, basis)
        self.basis.assign(fitted)
        return self.rule.levels(x, used)


def start_from(quantizer: Any, kernel: Any) -> None:
    """Sets the weights of a quantizer to where they start for the kernel of a layer."""
    if isinstance(quantizer, _WithWeights):
        values = keras.ops.convert_to_numpy(kernel)
        for name, start in quantizer.rule.starts(values).items():
            getattr(quantizer, name).assign(start)


@functools.cache
def quantizer_class(cls: type[quantizers.Quantizer]) -> type[QuantizerOfKeras3]:
    """The class of Keras 3 for a registered quantizer class, known to its files too.

    Args:
        cls: of `larqlite.quantizers`, or one of your own.

    Raises:
        QuantizerError: it makes weights, which Keras 3 would not see.
    """
    base = _base_of(cls)
    if base is None:
        raise QuantizerError(
            f"lq.keras3: {cls.__name__} makes weights of tf_keras, which Keras 3 would "
            "not train.\n  Fix: write it as a keras.layers.Layer, with a function of larqlite "
            "for the rounding, e.g. lq.keras3.SteSign()(x)."
        )
    package, _, name = tf_keras.saving.get_registered_name(cls).rpartition(">")
    made = type(
        cls.__name__,
        (base,),
        {
            "__doc__": f"`lq.quantizers.{cls.__name__}` as a layer of Keras 3.\n\n{cls.__doc__}",
            "__module__": __name__.rpartition(".")[0],
            "rule_class": cls,
            "__init__": _initializer(cls, base),
        },
    )
    return keras.saving.register_keras_serializable(package or "Custom", name)(made)


def _base_of(cls: type[quantizers.Quantizer]) -> type[QuantizerOfKeras3] | None:
    """The class here whose weights are made as it says; None if it makes them by itself."""
    if issubclass(cls, WithWeights) and cls.build is WithWeights.build:
        if issubclass(cls, LQLevels):
            return _FittedLevels
        return _LearnedLevels if issubclass(cls, LearnedLevels) else _WithWeights
    if issubclass(cls, Stochastic):
        return _Stochastic
    is_plain = cls.build is tf_keras.layers.Layer.build
    return QuantizerOfKeras3 if is_plain else None


def _initializer(cls: type[quantizers.Quantizer], base: type[QuantizerOfKeras3]):
    def __init__(self, *args, **kwargs):
        base.__init__(self, *args, **kwargs)

    __init__.__signature__ = inspect.signature(cls.__init__)
    return __init__


def _known(entry) -> None:
    """Makes a class for what was registered, so that files that hold it load."""
    target = entry.target
    if inspect.isclass(target) and _base_of(target) is not None:
        quantizer_class(target)


on_register(_known)


def get(identifier: Any) -> Any:
    """The quantizer of Keras 3 that a name, dictionary, class or object means.

    Args:
        identifier: a registered name (`"ste_sign"`), what `keras.saving` or
            `lq.quantizers.serialize` made of one, a quantizer of `lq.quantizers` or its
            class, a quantizer or layer of Keras 3, any other callable, or None.

    Returns:
        A quantizer, the callable, or None for None.

    Raises:
        UnknownQuantizerError: nothing is known by that name.
        QuantizerError: it makes weights that Keras 3 would not see, or needs arguments.

    Example:
        >>> lq.keras3.get(lq.quantizers.SteSign(clip_value=2)).get_config()["clip_value"]
        2
    """
    if isinstance(identifier, dict):
        # One reader of names and formats; what it finds is taken over below.
        identifier = quantizers.deserialize(_plain(identifier))
    elif isinstance(identifier, str):
        if find(identifier) is None:
            raise unknown_quantizer(identifier)
        identifier = quantizers.get(identifier)
    elif inspect.isclass(identifier) and issubclass(identifier, quantizers.Quantizer):
        identifier = quantizers.get(identifier)
    if isinstance(identifier, quantizers.Quantizer):
        if identifier.weights and identifier.built:
            raise QuantizerError(
                f'lq.keras3: {type(identifier).__name__} "{identifier.name}" has weights of '
                "tf_keras already.\n  Fix: pass one that was not called yet, or its name."
            )
        cls = quantizer_class(type(identifier))
        return cls.from_config(identifier.get_config())
    if identifier is None or callable(identifier):
        return identifier
    raise UnknownQuantizerError(
        f"lq.keras3.get: could not interpret {identifier!r} as a quantizer.\n"
        "  Fix: pass a name, a quantizer, or a function of a tensor. All names: "
        "lq.quantizers.names()."
    )


def _plain(config: dict) -> dict:
    """Without what only files of Keras 3 hold of every layer."""
    inner = config.get("config")
    if not isinstance(inner, dict):
        return config
    dropped = ("dtype", "trainable")
    return {**config, "config": {k: v for k, v in inner.items() if k not in dropped}}


def adopted(quantizer: Any, owner: keras.layers.Layer, of_weights: bool) -> Any:
    """The quantizer for one place of one layer: itself, or a copy if it is taken."""
    if not isinstance(quantizer, QuantizerOfKeras3):
        return quantizer
    holder = getattr(quantizer, "_holder", None)
    if holder is not None and holder() is not None:
        config = quantizer.get_config()
        del config["name"]
        quantizer = type(quantizer).from_config(config)
    quantizer._holder = weakref.ref(owner)
    quantizer.rule.quantizes_weights = of_weights
    return quantizer
