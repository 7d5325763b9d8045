"""What makes a Keras layer a quantized one: one mixin, driven by a table of weights."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Mapping

import tensorflow as tf
import tf_keras

from larqlite import context, quantizers
from larqlite._misspelt import place, raise_with_a_guess, refuse_names
from larqlite._two_kerases import (
    OfTfKeras,
    refuse_inside_keras_3,
    require_arguments_of_tf_keras,
)
from larqlite.errors import (
    ArgumentError,
    UnknownQuantizerError,
    require_tf_keras,
)
from larqlite.layers._autograph import runs_a_users_code, without_autograph
from larqlite.metrics import FlipRatio
from larqlite.quantizers import Quantizer
from larqlite.quantizers.internal import adopt
from larqlite.variables import QuantizedVariable

__all__ = ["QuantLayer"]

log = logging.getLogger("larqlite.layers")


def arguments(local_variables: Mapping) -> dict:
    """The arguments of the `__init__` whose `locals()` these are, `**kwargs` merged in."""
    named = {
        name: value
        for name, value in local_variables.items()
        if name not in ("self", "__class__", "kwargs")
    }
    return {**named, **local_variables.get("kwargs", {})}


def _constraint_of(weight: str) -> str:
    """The argument of Keras that constrains a weight of this name."""
    return weight.removesuffix("_kernel") + "_constraint"


def _warn_of_silent_autolog(said=set()) -> None:  # noqa: B006  (once in a process)
    """Warns if MLflow's autolog waits for models of Keras 3, which these are not."""
    utilities = sys.modules.get("mlflow.utils.autologging_utils")
    if said or utilities is None or "mlflow.tensorflow" not in sys.modules:
        return
    if tf.keras.Model is tf_keras.Model:  # TF_USE_LEGACY_KERAS
        return
    if not utilities.autologging_is_disabled("tensorflow"):
        said.add("it")
        log.warning(
            "MLflow's autolog is on, but logs nothing of models of tf_keras, since it waits "
            "for those of tf.keras, which is Keras 3 here. Fix: "
            "model.fit(..., callbacks=[lq.callbacks.MLflowLog()]), or set "
            "TF_USE_LEGACY_KERAS=1 before TensorFlow is imported."
        )


def may_starve(layer, role: str, quantizer) -> bool:
    """Whether a kernel of one bit has no constraint that keeps it where gradients pass.

    Args:
        layer: of either Keras.
        role: the argument that quantizes the kernel.
        quantizer: one of `larqlite.quantizers`, or whatever else quantizes it.
    """
    return (
        getattr(quantizer, "precision", None) == 1
        and not isinstance(quantizer, quantizers.NoOp)
        and not getattr(quantizer, "gradient_everywhere", False)
        and getattr(layer, role.replace("quantizer", "constraint")) is None
    )


def warn_of_starving(layer, weight: str, role: str, quantizer) -> None:
    """Warns if a kernel `may_starve`.

    Args:
        layer: of either Keras.
        weight: the name of the kernel.
        role: the argument that quantizes it.
        quantizer: one of `larqlite.quantizers`, or whatever else quantizes it.
    """
    if may_starve(layer, role, quantizer):
        constraint = role.replace("quantizer", "constraint")
        log.warning(
            '%s "%s" binarizes its %s without a `%s`: weights that leave the '
            "range where the pseudo-gradient is not zero may be starved (their "
            'gradient is always zero). Fix: %s="weight_clip".',
            type(layer).__name__,
            layer.name,
            weight,
            constraint,
            constraint,
        )


class QuantLayer(OfTfKeras, tf_keras.layers.Layer):
    """Mixin for a Keras layer with a quantized input and quantized kernels.

    A concrete layer derives from this class and from the Keras layer, and says
    in `quantized_weights` which weights are quantized by which argument:

        class QuantDense(QuantLayer, tf_keras.layers.Dense):
            quantized_weights = {"kernel": "kernel_quantizer"}

    The weight attribute is then a `larqlite.variables.QuantizedVariable`: latent
    outside of `lq.context.quantized_scope(True)`, quantized inside, and quantized
    whenever the layer is called. Biases are not quantized. Regularizers,
    constraints and optimizers see the latent weight.
    """

    quantized_weights: Mapping[str, str] = {}

    def __init__(self, *args, input_quantizer=None, **kwargs) -> None:
        kernel_quantizers = {
            role: kwargs.pop(role, None) for role in self.quantized_weights.values()
        }
        require_arguments_of_tf_keras(kwargs, place(type(self), kwargs))
        try:
            super().__init__(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise_with_a_guess(type(self), kwargs, error)
            raise
        refuse_names(self, kwargs)
        self.input_quantizer = self._adopted("input_quantizer", input_quantizer)
        for role, quantizer in kernel_quantizers.items():
            setattr(self, role, self._adopted(role, quantizer))
        self._warn_of_missing_constraints()

    def _adopted(self, role: str, identifier):
        resolve = (
            quantizers.get
            if role == "input_quantizer"
            else quantizers.get_kernel_quantizer
        )
        try:
            quantizer = adopt(
                resolve(identifier), self, role, role in self.quantized_weights.values()
            )
        except UnknownQuantizerError as error:
            raise UnknownQuantizerError(
                f'{type(self).__name__} "{self.name}", {role}: {error}'
            ) from error
        if (
            role == "input_quantizer"
            and isinstance(quantizer, Quantizer)
            and quantizer.tracked_metrics
        ):
            log.warning(
                '%s "%s": the metrics %s of its input_quantizer are not tracked, since '
                "they compare one weight with itself a step later. "
                "Fix: give them to a kernel quantizer.",
                type(self).__name__,
                self.name,
                list(quantizer.tracked_metrics),
            )
        return quantizer

    def _warn_of_missing_constraints(self) -> None:
        for weight, role in self.quantized_weights.items():
            warn_of_starving(self, weight, role, getattr(self, role))

    # Weights.

    def add_weight(self, name=None, **kwargs):
        """As in Keras; a weight in `quantized_weights` becomes a quantized view."""
        quantizer = getattr(self, self.quantized_weights.get(name, ""), None)
        if quantizer is None:
            return super().add_weight(name=name, **kwargs)

        def creator(next_creator, **creator_kwargs):
            variable = next_creator(**creator_kwargs)
            return QuantizedVariable.from_variable(variable, quantizer)

        # Wrapping where the variable is made puts the view inside of Keras'
        # mixed-precision cast, and lets checkpoints restore it.
        with tf.variable_creator_scope(creator):
            return super().add_weight(name=name, **kwargs)

    def build(self, input_shape):
        _warn_of_silent_autolog()
        super().build(input_shape)
        self._build_quantizer(self.input_quantizer, input_shape)
        for weight, role in self.quantized_weights.items():
            quantizer = getattr(self, role)
            shape = getattr(self, weight).shape
            if self._build_quantizer(quantizer, shape):
                self._start(weight, quantizer)
            if isinstance(quantizer, Quantizer) and quantizer.tracked_metrics:
                quantizer.track_flips(shape, self._place_of(weight))

    def _start(self, weight: str, quantizer) -> None:
        if isinstance(quantizer, Quantizer):
            quantizer.start_from(self.latent_weight(weight))

    def start_quantizers(self) -> None:
        """Sets what kernel quantizers learn to where it starts for the latent values.

        A layer does so when it is built. Call it after a float model's kernels were loaded.
        """
        for weight, role in self.quantized_weights.items():
            self._start(weight, getattr(self, role))

    def _place_of(self, weight: str) -> str:
        """The layer's name; where it has several kernels, with that of the kernel."""
        several = len(self.quantized_weights) > 1
        return f"{self.name}/{weight}" if several else self.name

    @property
    def flip_ratios(self) -> dict[str, FlipRatio]:
        """The flip ratios that are tracked for its kernels, by the layer's name; where it
        has several kernels, by `"name/depthwise_kernel"`."""
        tracked = {
            self._place_of(weight): getattr(getattr(self, role), "flip_ratio", None)
            for weight, role in self.quantized_weights.items()
        }
        return {
            place: metric for place, metric in tracked.items() if metric is not None
        }

    def build_from_config(self, config):
        """As in Keras, but weights keep the layer's name, which `.h5` files need."""
        with tf.name_scope(self.name):
            super().build_from_config(config)

    def _build_quantizer(self, quantizer, shape) -> bool:
        """Whether it was not built before."""
        if not isinstance(quantizer, tf_keras.layers.Layer) or quantizer.built:
            return False
        with tf.name_scope(quantizer.name):
            quantizer.build(tf.TensorShape(shape))
        return True

    def latent_weight(self, name: str | None = None) -> tf.Tensor:
        """The latent (trained) values of a quantized weight.

        Args:
            name: one of `quantized_weights`; the first by default.
        """
        with context.quantized_scope(False):
            return tf.convert_to_tensor(getattr(self, self._weight_name(name)))

    def quantized_weight(self, name: str | None = None) -> tf.Tensor:
        """The values of a quantized weight as the layer uses them.

        Args:
            name: one of `quantized_weights`; the first by default.
        """
        with context.quantized_scope(True):
            return tf.convert_to_tensor(getattr(self, self._weight_name(name)))

    def get_prunable_weights(self) -> list:
        """The kernels, which TensorFlow Model Optimization prunes: their latent values.

        `tfmot.sparsity.keras.prune_low_magnitude` asks a layer that is not Keras' own for
        this method. What it sets to 0 stays 0 behind ternary and k-bit quantizers; the
        sign of 0 is +1, so of kernels with one bit nothing is pruned, which is warned of.
        """
        weights = []
        for name, role in self.quantized_weights.items():
            quantizer = getattr(self, role)
            if getattr(quantizer, "precision", None) == 1:
                log.warning(
                    '%s "%s": pruning sets latent values of its %s to 0, but its quantizer '
                    "has one bit and makes +1 or -1 of them. Fix: a quantizer with a zero, "
                    'e.g. %s="ste_tern", or leave the layer out of the pruning.',
                    *(type(self).__name__, self.name, name, role),
                )
            weights.append(getattr(self, name))
        return weights

    def clip_of(self, name: str | None = None) -> float | None:
        """The magnitude at which latent values are clipped: that of the weight's
        constraint, else that beyond which its quantizer passes no gradient; or None.

        Args:
            name: one of `quantized_weights`; the first by default.
        """
        name = self._weight_name(name)
        quantizer = getattr(self, self.quantized_weights[name])
        if quantizer is None:
            return None
        for owner in (getattr(self, _constraint_of(name), None), quantizer):
            clip = getattr(owner, "clip_value", None)
            if clip is not None:
                return float(clip)
        return None

    def _weight_name(self, name: str | None) -> str:
        if name is None:
            return next(iter(self.quantized_weights))
        if name not in self.quantized_weights:
            raise ArgumentError(
                f'{type(self).__name__} "{self.name}" has no quantized weight {name!r}; '
                f"it has {list(self.quantized_weights)}."
            )
        return name

    @property
    def training_state(self) -> list:
        """Weights that are deployed as part of others: what kernel quantizers learn is in
        the levels of the kernels. Also what quantizers need in training only."""
        kernels = [getattr(self, role) for role in self.quantized_weights.values()]
        learned = [w for q in kernels if isinstance(q, Quantizer) for w in q.weights]
        return [*learned, *getattr(self.input_quantizer, "training_state", ())]

    # Calls.

    def __call__(self, inputs, *args, **kwargs):
        for tensor in tf.nest.flatten(inputs):
            require_tf_keras(tensor, f'{type(self).__name__} "{self.name}"')
        if not self.built:
            refuse_inside_keras_3(self)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None):
        roles = ("input_quantizer", *self.quantized_weights.values())
        if runs_a_users_code(self, roles):
            return self._call(inputs, training)
        return without_autograph(self._call, inputs, training)

    def _call(self, inputs, training):
        if self.input_quantizer is not None:
            inputs = self.input_quantizer(inputs)
        with context.quantized_scope(True):
            outputs = self.call_on_quantized(inputs)
            self._update_flip_ratios(training)
        return outputs

    def call_on_quantized(self, inputs):
        """The Keras layer's computation; inputs are, and kernels read as, quantized."""
        return super().call(inputs)

    def _update_flip_ratios(self, training) -> None:
        for weight, role in self.quantized_weights.items():
            quantizer = getattr(self, role)
            flip_ratio = getattr(quantizer, "flip_ratio", None)
            if flip_ratio is None or training is None or training is False:
                continue

            def update(weight=weight, quantizer=quantizer, flip_ratio=flip_ratio):
                value = tf.convert_to_tensor(getattr(self, weight))
                flip_ratio.update_state(quantizer.codes(value))

            if tf.is_tensor(training):
                tf.cond(tf.cast(training, tf.bool), update, lambda: None)
            else:
                update()

    # Copies and files.

    def get_config(self) -> dict:
        config = super().get_config()
        for role in ("input_quantizer", *self.quantized_weights.values()):
            quantizer = getattr(self, role)
            config[role] = (
                None if quantizer is None else quantizers.serialize(quantizer)
            )
        return config

    def __deepcopy__(self, memo):
        config = self.get_config()
        for role in ("input_quantizer", *self.quantized_weights.values()):
            config[role] = copy.deepcopy(getattr(self, role), memo)
        copied = type(self).from_config(config)
        memo[id(self)] = copied
        if self.built:
            copied.build_from_config(self.get_build_config())
            with context.quantized_scope(False):
                copied.set_weights(self.get_weights())
        return copied

    def save_own_variables(self, store):
        if context.should_quantize() and self.built:
            log.warning(
                '%s "%s" is saved inside of lq.context.quantized_scope(True): this '
                "format then holds quantized instead of latent weights, so training "
                "cannot go on from it (SavedModels and checkpoints stay latent). "
                "Fix: save outside of the scope, or save lq.models.freeze(model).",
                type(self).__name__,
                self.name,
            )
        super().save_own_variables(store)
