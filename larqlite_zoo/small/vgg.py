"""BinaryVGGSmall, six convolutions for 28x28 and 32x32 images, and its float twin."""

from __future__ import annotations

from typing import Any

import tf_keras

from larqlite_zoo._build import finish, image_input
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.small._quantized_parts import QuantizedLayers

layers = tf_keras.layers

_PAPER = Paper(
    "LQ-Nets: Learned Quantization for Highly Accurate and Compact Deep Neural Networks",
    "https://arxiv.org/abs/1807.10029",
    2018,
)


@register_model(
    "binary_vgg_small",
    summary="Six 3x3 convolutions, the last five binary, for small images.",
    paper=_PAPER,
    input_shape=(28, 28, 1),
    num_classes=10,
    recipe="TrainBinaryVGGSmall",
    notes=(
        "Layers of VGG-Small with half of its filters (width=128 has all), and a "
        "shortcut around every binary convolution as in Bi-Real Net, "
        "https://arxiv.org/abs/1808.00278 (shortcuts=False leaves them out).",
    ),
)
def BinaryVGGSmall(
    *,
    input_shape: tuple | None = None,
    input_tensor=None,
    weights: str | None = None,
    include_top: bool = True,
    num_classes: int = 10,
    width: int = 64,
    shortcuts: bool = True,
    input_quantizer: Any = "approx_sign",
    kernel_quantizer: Any = "ste_sign",
) -> tf_keras.Model:
    r"""VGG-Small with binary weights and activations between a float first and last layer.

    Convolutions of $w, w, 2w, 2w, 4w, 4w$ filters with $w$ = `width`, a 2x2 maximum after
    every second one, and one float Dense layer. The inner ones compute

    $$ y = \mathrm{BN}(\mathrm{pool}(\mathrm{conv}_{3 \times 3}(\mathrm{sign}(x))))
       + \mathrm{pool}(x) $$

    with `approx_sign` for inputs and `ste_sign` for kernels, or any other quantizers; a ReLU
    stands before one of inputs without levels below zero, or of more than two bits.
    Shortcuts have no weights: where the channels double, the input stands twice side by
    side.

    Args:
        input_shape: `(height, width, channels)`, (28, 28, 1) by default; (32, 32, 3)
            for CIFAR-10.
        input_tensor: a tensor to start from instead of a new input.
        weights: None or the path of a weight file.
        include_top: False leaves out the classifier; the model then returns the last
            feature map `(batch, height / 8, width / 8, 4 * width)`.
        num_classes: of the classifier.
        width: filters of the first convolution; 128 are VGG-Small's.
        shortcuts: False for the plain network.
        input_quantizer: of the inputs of the inner convolutions, such as `"dorefa(2)"`;
            "float" for none.
        kernel_quantizer: of their kernels.

    Returns:
        Model from images to probabilities `(batch, num_classes)`, float32.

    Raises:
        ArgumentError: an argument does not fit.

    Example:
        >>> from larqlite_zoo.small import BinaryVGGSmall
        >>> BinaryVGGSmall().output_shape
        (None, 10)

    References:
        LQ-Nets, https://arxiv.org/abs/1807.10029 (the layers); Bi-Real Net,
        https://arxiv.org/abs/1808.00278 (the shortcuts).
    """
    return _vgg_small(
        "binary_vgg_small", QuantizedLayers(input_quantizer, kernel_quantizer),
        width=width, shortcuts=shortcuts,
        input_shape=input_shape, input_tensor=input_tensor, weights=weights,
        include_top=include_top, num_classes=num_classes,
    )  # fmt: skip


@register_model(
    "vgg_small_fp",
    summary="The float twin of BinaryVGGSmall: the same layers with ReLU.",
    paper=_PAPER,
    input_shape=(28, 28, 1),
    num_classes=10,
    recipe="TrainVGGSmallFP",
)
def VGGSmallFP(
    *,
    input_shape: tuple | None = None,
    input_tensor=None,
    weights: str | None = None,
    include_top: bool = True,
    num_classes: int = 10,
    width: int = 64,
    shortcuts: bool = True,
) -> tf_keras.Model:
    """The float twin of `BinaryVGGSmall`: a ReLU instead of each sign, float kernels.

    Args, returns and raises: as `BinaryVGGSmall`.

    Example:
        >>> from larqlite_zoo.small import VGGSmallFP
        >>> VGGSmallFP(num_classes=7).output_shape
        (None, 7)

    References:
        LQ-Nets, https://arxiv.org/abs/1807.10029.
    """
    return _vgg_small(
        "vgg_small_fp", QuantizedLayers(),
        width=width, shortcuts=shortcuts,
        input_shape=input_shape, input_tensor=input_tensor, weights=weights,
        include_top=include_top, num_classes=num_classes,
    )  # fmt: skip


def _vgg_small(
    name: str, quantized: QuantizedLayers, *, width, shortcuts, input_shape, **arguments
):
    image = image_input(
        name,
        width=width,
        input_shape=input_shape,
        default_size=28,
        default_channels=1,
        minimum_size=8,
        **arguments,
    )
    settings = {"padding": "same", "use_bias": False}
    x = layers.Conv2D(width, 3, **settings)(image)
    if quantized.is_float:
        settings["kernel_initializer"] = "he_normal"
    x = layers.BatchNormalization(momentum=0.9)(x)
    for i, factor in enumerate((1, 2, 2, 4, 4), start=1):
        shortcut, x = x, quantized.activation(x)
        x = quantized.conv(factor * width, 3, **settings)(x)
        if i % 2:
            shortcut, x = layers.MaxPool2D(2)(shortcut), layers.MaxPool2D(2)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        if shortcuts:
            if shortcut.shape[-1] != x.shape[-1]:
                shortcut = layers.concatenate([shortcut, shortcut])
            x = layers.add([x, shortcut])
    if arguments["include_top"]:
        x = layers.Flatten()(quantized.activation(x))
        x = layers.Dense(arguments["num_classes"])(x)
        x = layers.Activation("softmax", dtype="float32")(x)
    return finish(
        image, x, name,
        weights=arguments["weights"], include_top=arguments["include_top"],
    )  # fmt: skip
