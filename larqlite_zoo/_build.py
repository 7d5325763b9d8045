"""What every model function of the zoo begins and ends with."""

from __future__ import annotations

import os
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from larqlite.errors import ArgumentError, require_tf_keras

Shape = Sequence[int | None]


def image_input(
    name: str,
    *,
    input_shape: Shape | None,
    input_tensor,
    weights: str | os.PathLike | None,
    include_top: bool,
    num_classes: int,
    default_size: int | tuple[int, int] = 224,
    default_channels: int = 3,
    minimum_size: int = 1,
    width: int = 1,
):
    """The image tensor that a network starts from, once its arguments are checked.

    Args:
        name: of the model, for messages.
        input_shape: `(height, width, channels)` of one image; None stands for
            `default_size` on both sides with a classifier, for any size without.
        input_tensor: a tf_keras tensor to start from instead of a new input.
        weights: None, the word for published weights, or a path.
        include_top: whether the model ends in its classifier.
        num_classes: of the classifier.
        default_size: height and width, or one number for both, where nothing else is
            said.
        default_channels: channels where nothing else is said.
        minimum_size: the smallest side that leaves something to pool at the end.
        width: filters of the first convolution, of a network that is as wide as one says.

    Returns:
        A Keras tensor `(batch, height, width, channels)`.

    Raises:
        ArgumentError: a shape that is no image, a side below `minimum_size`,
            channels that published weights do not have, no classes, no width, or weights that
            are neither a known word nor an existing file.
        KerasVersionError: `input_tensor` is of Keras 3.
    """
    from larqlite_zoo._weights import check_weights

    if include_top and num_classes < 1:
        raise ArgumentError(
            f"{name}: num_classes={num_classes}, but a classifier needs at least one "
            "class.\n  Fix: a number above 0, or include_top=False."
        )
    if width < 1:
        raise ArgumentError(f"{name}: width={width}.\n  Fix: a number of at least 1.")
    check_weights(name, weights, include_top=include_top, num_classes=num_classes)
    if input_tensor is not None:
        return _checked_tensor(name, input_tensor, input_shape, minimum_size)
    if input_shape is None:
        sides = default_size
        sides = (sides, sides) if isinstance(sides, int) else sides
        sides = sides if include_top else (None, None)
        input_shape = (*sides, default_channels)
    shape = _checked_shape(name, input_shape, minimum_size)
    if include_top and None in shape[:2]:
        raise ArgumentError(
            f"{name}: input_shape={shape} leaves the size of the image open, which the "
            "classifier cannot.\n  Fix: numbers for height and width, or "
            "include_top=False."
        )
    return tf_keras.layers.Input(shape)


def finish(
    image,
    x,
    name: str,
    *,
    weights: str | os.PathLike | None,
    include_top: bool,
    model_class: type[tf_keras.Model] = tf_keras.Model,
) -> tf_keras.Model:
    """The Keras model from `image` to `x`, with its weights loaded.

    Args:
        image: what `image_input` returned; a model that starts from a tensor inside of
            another graph begins at that graph's inputs.
        x: the output tensor.
        name: the registered name, which the Keras model also carries.
        weights: as in `image_input`.
        include_top: picks the file that fits.
        model_class: the class to build, a functional `tf_keras.Model`.
    """
    from larqlite_zoo._weights import load_weights

    model = model_class(_inputs_of(image), x, name=name)
    if weights is not None:
        load_weights(model, name, weights, include_top=include_top)
    return model


def global_pool(x, data_format: str = "channels_last", name: str | None = None):
    """Average over the whole image, flattened: `(batch, channels)`.

    An AveragePooling2D of the full size where the size is known, which deploys faster
    than GlobalAveragePooling2D; the latter where a side is open.

    Args:
        x: tensor `(batch, height, width, channels)`, or channels first.
        data_format: "channels_last" or "channels_first".
        name: of the layers: `<name>_pool` and `<name>_flatten`.

    Raises:
        ArgumentError: `x` has not four axes, or the format is unknown.

    Example:
        >>> from larqlite_zoo import global_pool
        >>> global_pool(tf.ones([2, 7, 7, 3])).shape
        TensorShape([2, 3])
    """
    if x.shape.rank != 4:
        raise ArgumentError(
            f"global_pool: the tensor has the shape {x.shape}, but four axes "
            "(batch, height, width, channels) are needed."
        )
    if data_format not in ("channels_last", "channels_first"):
        raise ArgumentError(
            f'global_pool: data_format="{data_format}" is unknown.\n'
            '  Fix: "channels_last" or "channels_first".'
        )
    sides = x.shape[1:3] if data_format == "channels_last" else x.shape[2:4]
    layers = tf_keras.layers
    if None in sides:
        return layers.GlobalAveragePooling2D(data_format=data_format, name=name)(x)
    x = layers.AveragePooling2D(
        tuple(sides), data_format=data_format, name=name and f"{name}_pool"
    )(x)
    return layers.Flatten(name=name and f"{name}_flatten")(x)


def _checked_shape(name: str, shape: Shape, minimum_size: int) -> tuple:
    shape = tuple(shape)
    sizes_fit = all(
        side is None or (isinstance(side, int) and side > 0) for side in shape
    )
    if len(shape) != 3 or not sizes_fit or shape[2] is None:
        raise ArgumentError(
            f"{name}: input_shape={shape} is not that of an image.\n"
            "  Fix: (height, width, channels), such as (224, 224, 3)."
        )
    small = [side for side in shape[:2] if side is not None and side < minimum_size]
    if small:
        raise ArgumentError(
            f"{name}: input_shape={shape} is too small: after the strides of this "
            f"network nothing of the image is left.\n  Fix: at least "
            f"({minimum_size}, {minimum_size}, {shape[2]})."
        )
    return shape


def _checked_tensor(name: str, tensor, input_shape: Shape | None, minimum_size: int):
    require_tf_keras(tensor, f"{name}(input_tensor=...)")
    if not tf.is_tensor(tensor):
        raise ArgumentError(
            f"{name}: input_tensor is a {type(tensor).__name__}, not a tensor.\n"
            "  Fix: the output of tf_keras.layers.Input or of a layer."
        )
    shape = tuple(tensor.shape[1:])
    _checked_shape(name, shape, minimum_size)
    if input_shape is not None and not tensor.shape[1:].is_compatible_with(
        tf.TensorShape(input_shape)
    ):
        raise ArgumentError(
            f"{name}: input_tensor has images of the shape {shape}, but "
            f"input_shape={tuple(input_shape)}.\n  Fix: leave input_shape out."
        )
    if tf_keras.backend.is_keras_tensor(tensor):
        return tensor
    return tf_keras.layers.Input(tensor=tensor)


def _inputs_of(tensor):
    return tf_keras.utils.get_source_inputs(tensor)
