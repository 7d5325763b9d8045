"""The base class of quantizers: three facts in, everything else done here.

A quantizer is a forward function, the derivative that training uses in its
place, and the number of bits that come out. `Quantizer` turns these into a
Keras layer with a custom gradient that runs in the dtype of its input.
"""

from __future__ import annotations

import functools
import inspect
import re
import weakref
from collections.abc import Iterable
from typing import Any

import tensorflow as tf
import tf_keras

from larqlite import context
from larqlite._misspelt import place, raise_with_a_guess
from larqlite._registration import NamedFunction
from larqlite._two_kerases import (
    OfTfKeras,
    refuse_inside_keras_3,
    require_arguments_of_tf_keras,
)
from larqlite.errors import QuantizerError, require_tf_keras
from larqlite.math import as_floating, ops_of
from larqlite.metrics import FlipRatio

__all__ = ["Quantizer"]


class Quantizer(OfTfKeras, tf_keras.layers.Layer):
    r"""Base class: write `precision`, `forward` and `derivative`, the rest follows.

    The backward pass multiplies the incoming gradient with `derivative(x)`, the
    pseudo-gradient $\partial q / \partial x$.

    Quantizers run in the dtype of their input (float16, bfloat16, float32,
    float64), whatever the global policy. A quantizer with trainable state
    overrides `call` instead of `forward` and `derivative`.

    Args:
        metrics: names of the training metrics to track when the quantizer is used
            for a kernel; None takes those of `lq.context.metrics_scope`.
        **kwargs: those of a Keras layer (`name`, `dtype`, `trainable`).

    Attributes:
        precision: bits of a quantized value, or None if not known.
        codes_dtype: smallest integer dtype that holds `codes`, or None to keep them
            as floats.
        gradient_everywhere: whether the pseudo-gradient is nowhere zero, so that a
            weight cannot be starved, however large.
        quantizes_weights: whether a layer has it for one of its weights.
        flip_ratio: the `lq.metrics.FlipRatio` of the kernel, once it is tracked.

    Raises:
        DtypeError: called with integers or booleans.
        QuantizerError: `forward` reads a trainable variable.

    Example:
        >>> @lq.quantizers.register("soft_sign")
        ... class SoftSign(lq.quantizers.Quantizer):
        ...     precision = 1
        ...     def forward(self, x):
        ...         return lq.math.sign(x)
        ...     def derivative(self, x):
        ...         return 1 / (1 + tf.abs(x)) ** 2
        >>> lq.quantizers.get("soft_sign")(tf.constant([-0.5, 3.0])).numpy().tolist()
        [-1.0, 1.0]
    """

    precision: int | None = None
    codes_dtype: str | None = None
    gradient_everywhere: bool = False

    def __init__(
        self, *args: Any, metrics: Iterable[str] | None = None, **kwargs: Any
    ) -> None:
        # The state of a quantizer is float32 unless asked otherwise; inputs keep
        # their own dtype (`autocast=False`) and state is cast to it where used.
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = "float32"
        require_arguments_of_tf_keras(kwargs, place(type(self), kwargs))
        try:
            super().__init__(*args, autocast=False, **kwargs)
        except TypeError as error:
            raise_with_a_guess(type(self), kwargs, error)
            raise
        self._metric_names = (
            None if metrics is None else context.check_metrics(metrics, self._where())
        )
        self.flip_ratio: FlipRatio | None = None
        self._owner_reference: weakref.ref | None = None
        self._owner_role: str | None = None
        self.quantizes_weights = False

    def forward(self, x: tf.Tensor) -> tf.Tensor:
        """The quantized values of `x`, same shape and dtype. To be overridden."""
        raise QuantizerError(
            f"{self._where()}: a quantizer defines `forward(x)` and `derivative(x)`, "
            "or overrides `call(inputs)`."
        )

    def derivative(self, x: tf.Tensor) -> tf.Tensor:
        """The pseudo-gradient dq/dx at `x`: a tensor of its shape and dtype, or a
        boolean mask where the gradient passes unchanged. To be overridden."""
        raise QuantizerError(
            f"{self._where()}: `derivative(x)` is needed for training; return the "
            "pseudo-gradient as a tensor, or a boolean mask for a straight-through one."
        )

    def pull_back(self, x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
        """`dy * derivative(x)`; a subclass may know a faster way to compute it."""
        derivative, ops = self.derivative(x), ops_of(x)
        if ops.is_bool(derivative):
            return ops.where(derivative, dy, 0)
        return dy * derivative

    def codes(self, quantized: tf.Tensor) -> tf.Tensor:
        """Numbers that tell the levels of quantized values apart, whatever their scale.

        Flip ratios compare codes, so that a change of scale is not a flip. By
        default the values themselves.
        """
        return quantized

    def step_between(self, x: tf.Tensor) -> tf.Tensor | None:
        """What lies between two neighbouring levels of the values that `x` becomes in
        inference: a number, or one for each entry of the last axis; None if that is not
        known.

        Of kernels whose values are whole multiples of it, exported files hold these.
        """
        return None

    def level_table(self, x: tf.Tensor) -> tf.Tensor | None:
        """The level of each code of k bits in inference, `(1, 2^k)`, or `(channels, 2^k)` with
        a row for each entry of the last axis; None if that is not known.

        Files have the codes of a kernel with such a table. Where a level is a sum of numbers
        whose signs are the bits of its code, each bit is one binary kernel there.
        """
        return None

    def quantize(self, x: tf.Tensor) -> tf.Tensor:
        """`forward(x)` with `derivative(x)` as its gradient, on a plain tensor."""
        if type(self).__module__.startswith(("larqlite.", "larqlite_zoo.")):
            return without_autograph(self._quantize, x)
        return self._quantize(x)

    def _quantize(self, x: tf.Tensor) -> tf.Tensor:
        x = as_floating(x, self._where())
        try:
            return ops_of(x).with_gradient(self.forward, self.pull_back, x)
        except TypeError as error:
            if "custom_gradient" not in str(error) or "variables" not in str(error):
                raise
            raise QuantizerError(
                f"{self._where()}: `forward` reads a trainable variable, whose gradient "
                "the pseudo-gradient cannot carry.\n"
                "  Fix: override `call(self, inputs)` and build on tensor operations; "
                "for the rounding use another quantizer's `quantize(x)`."
            ) from error

    def start_from(self, values: tf.Tensor) -> None:
        """Sets what the quantizer learns to where it starts for a kernel; nothing by default.

        Layers call it once, when they make the quantizer's weights; call it again after
        other values were loaded into the kernel.

        Args:
            values: the latent values.
        """

    def call(self, inputs):
        return self.quantize(inputs)

    def __call__(self, inputs, *args, **kwargs):
        require_tf_keras(inputs, self._where())
        if not self.built and type(self).call is not Quantizer.call:  # has weights
            refuse_inside_keras_3(self)
        return super().__call__(inputs, *args, **kwargs)

    def build_from_config(self, config):
        """As in Keras, but weights keep the quantizer's name, which `.h5` files need."""
        with tf.name_scope(self.name):
            super().build_from_config(config)

    def compute_output_shape(self, input_shape):
        return tf.TensorShape(input_shape)

    def get_config(self) -> dict:
        config = super().get_config()
        if self._metric_names is not None:
            config["metrics"] = list(self._metric_names)
        return config

    @property
    def tracked_metrics(self) -> tuple[str, ...]:
        """Names of the metrics tracked for the kernel that uses this quantizer."""
        return tuple(self._metric_names or ())

    def track_flips(self, shape, place: str | None = None) -> None:
        """Makes the flip ratio of a kernel, if it is asked for.

        Args:
            shape: of the kernel.
            place: the layer that has the kernel. The metric is named after it, or after
                the quantizer if that has a name of its own: those that Keras makes up
                are counted through a session.
        """
        if "flip_ratio" in self.tracked_metrics and self.flip_ratio is None:
            made_up = re.sub(r"_\d+$", "", self.name).replace("_", "")
            is_made_up = made_up == type(self).__name__.lower()
            name = place if place and is_made_up else self.name
            self.flip_ratio = FlipRatio(
                values_dtype=self.codes_dtype, name=f"flip_ratio/{name}"
            )
            self.flip_ratio.build(shape)

    def get_prunable_weights(self) -> list:
        """None: what a quantizer learns are thresholds and scales, no kernels.

        TensorFlow Model Optimization asks for it when it prunes a whole model.
        """
        return []

    @property
    def training_state(self) -> list:
        """Weights that a deployed model does without: those that nothing trains, but that
        say how gradients pass. None by default."""
        return []

    @property
    def non_trainable_weights(self) -> list:
        """Weights of the quantizer; the state of its metrics is none."""
        weights = super().non_trainable_weights
        if self.flip_ratio is None:
            return weights
        state = {id(variable) for variable in self.flip_ratio.variables}
        return [weight for weight in weights if id(weight) not in state]

    def __deepcopy__(self, memo):
        copied = type(self).from_config(self.get_config())
        memo[id(self)] = copied
        copied.quantizes_weights = self.quantizes_weights
        if self.built and self.weights:
            copied.build_from_config(self.get_build_config())
            copied.set_weights(self.get_weights())
        return copied

    def _where(self) -> str:
        return f'{type(self).__name__} "{self.name}"'


@tf.autograph.experimental.do_not_convert
def without_autograph(function, *args: Any) -> Any:
    """Our own functions have no Python branches on tensors; reading them takes time."""
    return function(*args)


def adopt(quantizer, owner, role: str, of_weights: bool = False):
    """The quantizer for one place of one layer: itself, or a copy if it is taken.

    State (learned scales, metrics) belongs to one place; two layers given the
    same instance would not survive a reload.

    Args:
        quantizer: a Quantizer, another callable, or None.
        owner: the layer.
        role: the layer's attribute, e.g. "kernel_quantizer".
        of_weights: whether it is for weights.
    """
    if not isinstance(quantizer, Quantizer):
        return quantizer
    holder = quantizer._owner_reference and quantizer._owner_reference()
    if holder is not None and (holder is not owner or quantizer._owner_role != role):
        config = quantizer.get_config()
        del config["name"]
        quantizer = type(quantizer).from_config(config)
    quantizer._owner_reference = weakref.ref(owner)
    quantizer._owner_role = role
    quantizer.quantizes_weights = of_weights
    return quantizer


@functools.cache
def _shared_instance(cls: type[Quantizer], name: str, *args, **kwargs) -> Quantizer:
    return cls(*args, name=name, **kwargs)


def as_function(cls: type[Quantizer], name: str) -> NamedFunction:
    """The plain function `name(x, **arguments)` of a stateless quantizer class.

    Its signature after the tensor is that of the class; `precision` is that of
    the class' defaults.
    """
    arguments = [
        parameter
        for parameter in inspect.signature(cls).parameters.values()
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]

    def function(x, *args, **kwargs):
        if tf_keras.backend.is_keras_tensor(x):
            return cls(*args, **kwargs)(x)
        return _shared_instance(cls, name, *args, **kwargs)(x)

    function.__module__ = cls.__module__
    function.__doc__ = f"`{cls.__name__}` as a function of a tensor; see that class."
    function.precision = cls(name=name).precision
    tensor = inspect.Parameter("x", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return NamedFunction(name, function, inspect.Signature([tensor, *arguments]))
