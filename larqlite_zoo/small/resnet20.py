"""BinaryResNet20: a residual network for images of 28x28 and 32x32."""

from __future__ import annotations

import os
from typing import Any

import tf_keras

from larqlite_zoo._build import Shape, finish, global_pool, image_input
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.small._quantized_parts import QuantizedLayers

__all__ = ["BinaryResNet20"]

_layers = tf_keras.layers


@register_model(
    "binary_resnet20",
    summary="The ResNet-20 of small images, with a shortcut around every binary "
    "convolution.",
    paper=Paper(
        "Bi-Real Net: Enhancing the Performance of 1-bit CNNs With Improved "
        "Representational Capability and Advanced Training Algorithm",
        "https://arxiv.org/abs/1808.00278",
        2018,
    ),
    input_shape=(32, 32, 3),
    num_classes=10,
    recipe="TrainBinaryResNet20",
)
def BinaryResNet20(
    *,
    input_shape: Shape | None = None,
    input_tensor=None,
    weights: str | os.PathLike | None = None,
    include_top: bool = True,
    num_classes: int = 10,
    input_quantizer: Any = "approx_sign",
    kernel_quantizer: Any = "magnitude_aware_sign",
) -> tf_keras.Model:
    r"""ResNet-20 for small images, binary between its stem and its classifier.

    A float 3x3 stem of 16 channels, then three stages of six 3x3 convolutions with 16, 32
    and 64 channels, each

    $$ y = \mathrm{PReLU}(\mathrm{BN}(\mathrm{conv}_{3 \times 3}(\mathrm{sign}(x))) + x) $$

    with `approx_sign` for inputs and `magnitude_aware_sign` for kernels, or any other
    quantizers; without them it is its float twin. Shortcuts have no weights: where the image
    shrinks, a 2x2 mean of the input stands twice side by side.

    Args:
        input_shape: `(height, width, channels)`; (32, 32, 3) by default with the
            classifier. Fashion-MNIST has (28, 28, 1).
        input_tensor: a tf_keras tensor to start from.
        weights: None or a path.
        include_top: whether the classifier is part of it.
        num_classes: of the classifier.
        input_quantizer: of the inputs of the convolutions of the stages; "float" for none.
        kernel_quantizer: of their kernels.

    Returns:
        The model "binary_resnet20": images to probabilities `(batch, num_classes)`, or
        to features `(batch, height / 4, width / 4, 64)` without the classifier.

    Raises:
        ArgumentError: arguments that do not fit each other.

    Example:
        >>> from larqlite_zoo.small import BinaryResNet20
        >>> costs = lq.models.profile(BinaryResNet20())
        >>> costs.macs_by_bits[1, 1], costs.params_by_bits[1]
        (40108032, 267264)

    References:
        ResNet, https://arxiv.org/abs/1512.03385, section 4.2 (the layout);
        Bi-Real Net, https://arxiv.org/abs/1808.00278 (the shortcuts).
    """
    image = image_input(
        "BinaryResNet20", input_shape=input_shape, input_tensor=input_tensor,
        weights=weights, include_top=include_top, num_classes=num_classes,
        default_size=32, minimum_size=4,
    )  # fmt: skip
    quantized = QuantizedLayers(input_quantizer, kernel_quantizer)
    x = _layers.Conv2D(
        16, 3, padding="same", use_bias=False, kernel_initializer="he_normal"
    )(image)
    x = _layers.BatchNormalization()(x)
    for filters in (16, 32, 64):
        for block in range(6):
            shrinks = filters > 16 and block == 0
            shortcut = x
            if shrinks:
                mean = _layers.AveragePooling2D(2, padding="same")(x)
                shortcut = _layers.concatenate([mean, mean])
            x = quantized.conv(
                filters,
                3,
                strides=2 if shrinks else 1,
                padding="same",
                use_bias=False,
                kernel_initializer="glorot_normal",
            )(x)
            x = _layers.BatchNormalization()(x)
            x = _layers.add([x, shortcut])
            x = _layers.PReLU(tf_keras.initializers.Constant(0.25), shared_axes=[1, 2])(
                x
            )
    if include_top:
        x = _layers.Dense(num_classes, name="logits")(global_pool(x))
        x = _layers.Activation("softmax", dtype="float32")(x)
    return finish(image, x, "binary_resnet20", weights=weights, include_top=include_top)
