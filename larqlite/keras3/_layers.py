"""Layers of Keras 3 with a quantized input and a quantized kernel, and the clip of its latent
values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from larqlite import constraints
from larqlite._misspelt import raise_with_a_guess
from larqlite._registration import PACKAGE
from larqlite.errors import ArgumentError, UnknownQuantizerError
from larqlite.keras3._quantizers import adopted, get, start_from
from larqlite.layers.internal import same_padding, warn_of_starving

__all__ = ["QuantConv2D", "QuantDense", "QuantDepthwiseConv2D", "WeightClip"]


@keras.saving.register_keras_serializable(PACKAGE)
class WeightClip(keras.constraints.Constraint):
    r"""Keeps latent weights where the straight-through gradient is not zero, in Keras 3.

    As `lq.constraints.WeightClip`: $f(w) = \max(-c, \min(c, w))$ with $c$ = `clip_value`.

    Args:
        clip_value: bound of the magnitude of the weights, > 0.

    Raises:
        ArgumentError: `clip_value` is no number above 0.

    Example:
        >>> lq.keras3.WeightClip(2)(np.float32([-3.0, 0.5])).numpy().tolist()
        [-2.0, 0.5]
    """

    def __init__(self, clip_value: float = 1) -> None:
        self.clip_value = constraints.WeightClip(clip_value).clip_value

    def __call__(self, w: Any) -> Any:
        return keras.ops.clip(w, -self.clip_value, self.clip_value)

    def get_config(self) -> dict:
        return {"clip_value": self.clip_value}


def constraint(identifier: Any) -> Any:
    """What Keras 3 takes as a constraint; ours, by its names, or of `lq.constraints`."""
    if identifier in ("weight_clip", "WeightClip", constraints.WeightClip):
        return WeightClip()
    if isinstance(identifier, constraints.WeightClip):
        return WeightClip(identifier.clip_value)
    return identifier


class _Quantized(keras.layers.Layer):
    """Mixin: what a layer of Keras 3 needs to see quantized values.

    The variable stays latent, also where it is read; the layer quantizes it in each call, in
    float32 whatever the policy.
    """

    # The name of the variable in Keras, and the argument that quantizes it.
    quantized_weights: Mapping[str, str] = {"kernel": "kernel_quantizer"}

    def __init__(self, *args: Any, input_quantizer: Any = None, **kwargs: Any) -> None:
        (role,) = self.quantized_weights.values()
        kernel_quantizer = kwargs.pop(role, None)
        for name, value in kwargs.items():
            if name.endswith("_constraint"):
                kwargs[name] = constraint(value)
        try:
            super().__init__(*args, **kwargs)
        except (TypeError, ValueError) as error:
            raise_with_a_guess(type(self), kwargs, error)
            raise
        if getattr(self, "quantization_mode", None) is not None:
            raise ArgumentError(
                f'{type(self).__name__} "{self.name}": dtype={self.dtype_policy.name!r} makes '
                "Keras compute with its own integers, past the quantizers here.\n"
                "  Fix: a dtype of floats."
            )
        self.input_quantizer = self._adopted("input_quantizer", input_quantizer)
        setattr(self, role, self._adopted(role, kernel_quantizer))
        rule = getattr(getattr(self, role), "rule", None)
        warn_of_starving(self, "kernel", role, rule)

    def _adopted(self, role: str, identifier: Any) -> Any:
        try:
            return adopted(get(identifier), self, role != "input_quantizer")
        except UnknownQuantizerError as error:
            raise UnknownQuantizerError(
                f'{type(self).__name__} "{self.name}", {role}: {error}'
            ) from error

    def add_weight(self, *args: Any, **kwargs: Any):
        """As in Keras; a kernel that is quantized is read in its own dtype."""
        (role,) = self.quantized_weights.values()
        if kwargs.get("name") == "kernel" and getattr(self, role) is not None:
            kwargs["autocast"] = False
        return super().add_weight(*args, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        (role,) = self.quantized_weights.values()
        for quantizer, shape in (
            (self.input_quantizer, input_shape),
            (getattr(self, role), tuple(self.kernel.shape)),
        ):
            if isinstance(quantizer, keras.layers.Layer) and not quantizer.built:
                quantizer.build(shape)
                if quantizer is getattr(self, role):
                    start_from(quantizer, self.kernel)

    def quantized_kernel(self) -> Any:
        """The kernel as the layer computes with it: a tensor of the back end."""
        (role,) = self.quantized_weights.values()
        quantizer, kernel = getattr(self, role), self.kernel
        if quantizer is None:
            return keras.ops.convert_to_tensor(kernel)
        values = quantizer(keras.ops.convert_to_tensor(kernel))
        return keras.ops.cast(values, self.compute_dtype)

    def quantized_inputs(self, inputs: Any) -> Any:
        """The inputs as the layer computes with them."""
        return inputs if self.input_quantizer is None else self.input_quantizer(inputs)

    def get_config(self) -> dict:
        config = super().get_config()
        for role in ("input_quantizer", *self.quantized_weights.values()):
            quantizer = getattr(self, role)
            config[role] = (
                None
                if quantizer is None
                else keras.saving.serialize_keras_object(quantizer)
            )
        return config


class _Padded(_Quantized):
    """Mixin of convolutions: "same" padding filled with `pad_values`."""

    def __init__(self, *args: Any, pad_values: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(pad_values, bool) or not isinstance(pad_values, (int, float)):
            raise ArgumentError(
                f'{type(self).__name__} "{self.name}": pad_values={pad_values!r} is no '
                "number.\n  Fix: pad_values=1.0 or -1.0, which stay binary, or leave it "
                "out for zeros."
            )
        self.pad_values = float(pad_values)

    def padded(self, inputs: Any) -> tuple[Any, str]:
        """The inputs with `pad_values` around them, and the padding that is left to do."""
        if self.padding != "same" or self.pad_values == 0:
            return inputs, self.padding
        first = 1 if self.data_format == "channels_last" else 2
        shape = keras.ops.shape(inputs)
        paddings = [(0, 0)] * 4
        for i in range(2):
            paddings[first + i] = same_padding(
                shape[first + i],
                self.kernel_size[i],
                self.strides[i],
                self.dilation_rate[i],
            )
        values = keras.ops.pad(inputs, paddings, constant_values=self.pad_values)
        return values, "valid"

    def finished(self, outputs: Any) -> Any:
        """Adds what follows a convolution: bias and activation."""
        if self.use_bias:
            shape = [1, 1, 1, 1]
            shape[-1 if self.data_format == "channels_last" else 1] = -1
            outputs = outputs + keras.ops.reshape(self.bias, shape)
        return outputs if self.activation is None else self.activation(outputs)

    def geometry(self) -> dict:
        """What `keras.ops.conv` and `depthwise_conv` need to know."""
        return {
            "strides": self.strides,
            "dilation_rate": self.dilation_rate,
            "data_format": self.data_format,
        }

    def get_config(self) -> dict:
        return {**super().get_config(), "pad_values": self.pad_values}


@keras.saving.register_keras_serializable(PACKAGE)
class QuantDense(_Quantized, keras.layers.Dense):
    r"""Densely connected layer of Keras 3 with quantized input and kernel.

    $y = a(q_i(x)\, q_k(W) + b)$: as `lq.layers.QuantDense`, on every back end.

    Args:
        units: size of the output.
        activation, use_bias: as in `keras.layers.Dense`.
        input_quantizer: quantizer (name, object or None) of the layer's input.
        kernel_quantizer: quantizer (name, object or None) of `kernel`.
        **kwargs: those of `keras.layers.Dense`; `kernel_constraint="weight_clip"` is known.

    Input `(..., channels_in)`, output `(..., units)`, in the layer's compute dtype.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        UnknownArgumentError: there is no argument of that name.

    Example:
        >>> layer = lq.keras3.QuantDense(64, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
        >>> tuple(layer(np.ones((2, 8), "float32")).shape)
        (2, 64)
    """

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        kernel_quantizer=None,
        **kwargs,
    ) -> None:
        super().__init__(
            units,
            activation=activation,
            use_bias=use_bias,
            input_quantizer=input_quantizer,
            kernel_quantizer=kernel_quantizer,
            **kwargs,
        )

    def call(self, inputs, training=None):
        x = keras.ops.matmul(self.quantized_inputs(inputs), self.quantized_kernel())
        if self.use_bias:
            x = x + keras.ops.convert_to_tensor(self.bias)
        return x if self.activation is None else self.activation(x)


@keras.saving.register_keras_serializable(PACKAGE)
class QuantConv2D(_Padded, keras.layers.Conv2D):
    r"""2D convolution of Keras 3 with quantized input and kernel.

    As `lq.layers.QuantConv2D`, on every back end.

    Args:
        filters, kernel_size, strides, padding: as in `keras.layers.Conv2D`.
        pad_values: value that "same" padding fills in, after the input is
            quantized; 1.0 or -1.0 keep a binary input binary.
        input_quantizer: quantizer (name, object or None) of the layer's input.
        kernel_quantizer: quantizer (name, object or None) of `kernel`.
        **kwargs: those of `keras.layers.Conv2D`; `kernel_constraint="weight_clip"` is known.

    Input `(batch, height, width, channels_in)`,
    output `(batch, new_height, new_width, filters)`, or channels first as
    `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        UnknownArgumentError: there is no argument of that name.
        ArgumentError: `pad_values` is no number.

    Example:
        >>> layer = lq.keras3.QuantConv2D(4, 3, padding="same", pad_values=1.0,
        ...     input_quantizer="ste_sign", kernel_quantizer="ste_sign",
        ...     kernel_constraint="weight_clip")
        >>> tuple(layer(np.ones((2, 8, 8, 3), "float32")).shape)
        (2, 8, 8, 4)
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        pad_values=0.0,
        input_quantizer=None,
        kernel_quantizer=None,
        **kwargs,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            pad_values=pad_values,
            input_quantizer=input_quantizer,
            kernel_quantizer=kernel_quantizer,
            **kwargs,
        )

    def call(self, inputs):
        x, padding = self.padded(self.quantized_inputs(inputs))
        kernel = self.quantized_kernel()
        return self.finished(
            keras.ops.conv(x, kernel, padding=padding, **self.geometry())
        )


@keras.saving.register_keras_serializable(PACKAGE)
class QuantDepthwiseConv2D(_Padded, keras.layers.DepthwiseConv2D):
    r"""2D depthwise convolution of Keras 3 with quantized input and kernel.

    As `lq.layers.QuantDepthwiseConv2D`, on every back end.

    Args:
        kernel_size, strides, padding: as in `keras.layers.DepthwiseConv2D`.
        pad_values: value that "same" padding fills in, after the input is
            quantized; 1.0 or -1.0 keep a binary input binary.
        input_quantizer: quantizer (name, object or None) of the layer's input.
        depthwise_quantizer: quantizer (name, object or None) of `kernel`.
        **kwargs: those of `keras.layers.DepthwiseConv2D`;
            `depthwise_constraint="weight_clip"` is known.

    Input `(batch, height, width, channels_in)`,
    output `(batch, new_height, new_width, channels_in * depth_multiplier)`, or channels
    first as `data_format` says.

    Raises:
        UnknownQuantizerError: a quantizer name that is not registered.
        UnknownArgumentError: there is no argument of that name.
        ArgumentError: `pad_values` is no number.

    Example:
        >>> layer = lq.keras3.QuantDepthwiseConv2D(3, padding="same", pad_values=1.0,
        ...     input_quantizer="ste_sign", depthwise_quantizer="ste_sign",
        ...     depthwise_constraint="weight_clip")
        >>> tuple(layer(np.ones((2, 8, 8, 3), "float32")).shape)
        (2, 8, 8, 3)
    """

    quantized_weights = {"kernel": "depthwise_quantizer"}

    def __init__(
        self,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        pad_values=0.0,
        input_quantizer=None,
        depthwise_quantizer=None,
        **kwargs,
    ) -> None:
        super().__init__(
            kernel_size,
            strides=strides,
            padding=padding,
            pad_values=pad_values,
            input_quantizer=input_quantizer,
            depthwise_quantizer=depthwise_quantizer,
            **kwargs,
        )

    def call(self, inputs):
        x, padding = self.padded(self.quantized_inputs(inputs))
        kernel = self.quantized_kernel()
        return self.finished(
            keras.ops.depthwise_conv(x, kernel, padding=padding, **self.geometry())
        )
