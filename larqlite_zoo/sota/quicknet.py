"""QuickNet in three sizes: binary residual blocks that deploy fast."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.internal import register_object
from larqlite_zoo._build import finish, global_pool, image_input
from larqlite_zoo._card import LARQ_ZOO, Accuracy, Paper, larq_zoo_file
from larqlite_zoo._registered_models import register_model

layers = tf_keras.layers

PAPER = Paper(
    "Larq Compute Engine: Design, Benchmark, and Deploy State-of-the-Art Binarized "
    "Neural Networks",
    "https://arxiv.org/abs/2011.09398",
    2020,
)


def _published(name: str, sha256: str, sha256_without_top: str):
    return (
        larq_zoo_file("quicknet-v1.0", f"{name}_weights.h5", sha256),
        larq_zoo_file(
            "quicknet-v1.0",
            f"{name}_weights_notop.h5",
            sha256_without_top,
            include_top=False,
        ),
    )


@register_object(package="larqlite_zoo")  # .h5 files name initializers without package
class BlurPool(tf_keras.initializers.Initializer):
    """Initializer of a depthwise kernel that blurs: binomial weights, which sum to one.

    `k[i, j] = b[i] b[j]` with `b[i] = C(n - 1, i) / 2^(n - 1)` for n rows: averages
    before a stride, so that a shifted image gives shifted features.

    Example:
        >>> from larqlite_zoo.sota.quicknet import BlurPool
        >>> (16 * BlurPool()((3, 3, 1, 1))[..., 0, 0]).numpy().astype(int).tolist()
        [[1, 2, 1], [2, 4, 2], [1, 2, 1]]

    References:
        Making Convolutional Networks Shift-Invariant Again,
        https://arxiv.org/abs/1904.11486, section 4.
    """

    def __call__(self, shape, dtype=None, **kwargs) -> tf.Tensor:
        """A kernel `(height, width, channels, multiplier)`, the same for all channels."""
        rows, columns = (
            tf.constant(
                [math.comb(n - 1, i) / 2 ** (n - 1) for i in range(n)],
                dtype or tf.float32,
            )
            for n in shape[:2]
        )
        blur = rows[:, tf.newaxis] * columns
        return tf.broadcast_to(blur[..., tf.newaxis, tf.newaxis], shape)


@register_model(
    "quicknet_small",
    summary="QuickNet with narrow first sections.",
    paper=PAPER,
    published=(Accuracy("imagenet", 59.4, 81.8, LARQ_ZOO),),
    weights=_published(
        "quicknet_small",
        "1ac3b07df7f5a911dd0b49febb2486428ddf1ca130297c403815dfae5a1c71a2",
        "be8ba657155846be355c5580d1ea56eaf8282616de065ffc39257202f9f164ea",
    ),
    recipe="TrainQuickNetSmall",
)
def QuickNetSmall(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """QuickNet with 32, 64, 256 and 512 channels in its four sections of four blocks.

    Arguments, errors and structure are those of `QuickNet`.

    Example:
        >>> import larqlite_zoo
        >>> larqlite_zoo.card("QuickNetSmall").published[0].top1
        59.4

    References:
        Larq Compute Engine, https://arxiv.org/abs/2011.09398, section 4.
    """
    return _network(
        "QuickNetSmall", "quicknet_small", (4, 4, 4, 4), (32, 64, 256, 512),
        input_shape, input_tensor, weights, include_top, num_classes,
    )  # fmt: skip


@register_model(
    "quicknet",
    summary="Binary residual blocks between blurred, pointwise transitions.",
    paper=PAPER,
    published=(Accuracy("imagenet", 63.3, 84.6, LARQ_ZOO),),
    weights=_published(
        "quicknet",
        "8aba9e4e5f8d342faef04a0b2ae8e562da57dbb7d15162e8b3e091c951ba756c",
        "204414e438373f14f6056a1c098249f505a87dd238e18d3a47a9bd8b66227881",
    ),
    recipe="TrainQuickNet",
)
def QuickNet(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """QuickNet: 64, 128, 256 and 512 channels in four sections of four blocks.

    A block is `x + BatchNormalization(relu(conv3x3(sign(x), sign(w))))`, padded with
    ones; sections are joined by max pooling, a fixed blur with stride 2 and a float
    1x1 convolution.

    Args:
        input_shape: `(height, width, channels)`; (224, 224, 3) by default, sizes left
            open without a classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: "imagenet" for the published ones, None for random ones, or the path
            of a file.
        include_top: False ends in the features `(batch, ~height/32, ~width/32, 512)`.
        num_classes: of the classifier; 1000 with published weights.

    Returns:
        A model "quicknet" from float images to float32 probabilities.

    Raises:
        ArgumentError: arguments that do not fit, or images below 29 pixels.
        KerasVersionError: a tensor of Keras 3.

    Example:
        >>> from larqlite_zoo.sota import QuickNet
        >>> QuickNet(include_top=False, weights=None).output_shape
        (None, None, None, 512)

    References:
        Larq Compute Engine, https://arxiv.org/abs/2011.09398, section 4.
    """
    return _network(
        "QuickNet", "quicknet", (4, 4, 4, 4), (64, 128, 256, 512),
        input_shape, input_tensor, weights, include_top, num_classes,
    )  # fmt: skip


@register_model(
    "quicknet_large",
    summary="QuickNet with more blocks in each section.",
    paper=PAPER,
    published=(Accuracy("imagenet", 66.9, 87.0, LARQ_ZOO),),
    weights=_published(
        "quicknet_large",
        "c5158e8a59147b31370becd937825f4db8a5cdf308314874f678f596629be45c",
        "adcf154a2a8007e81bd6af77c035ffbf54cd6413b89a0ba294e23e76a82a1b78",
    ),
    recipe="TrainQuickNetLarge",
)
def QuickNetLarge(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """QuickNet with 6, 8, 12 and 6 blocks in its sections.

    Arguments, errors and structure are those of `QuickNet`.

    Example:
        >>> import larqlite_zoo
        >>> larqlite_zoo.card("QuickNetLarge").published[0].top1
        66.9

    References:
        Larq Compute Engine, https://arxiv.org/abs/2011.09398, section 4.
    """
    return _network(
        "QuickNetLarge", "quicknet_large", (6, 8, 12, 6), (64, 128, 256, 512),
        input_shape, input_tensor, weights, include_top, num_classes,
    )  # fmt: skip


def _network(
    function: str, name: str, blocks: Sequence[int], filters: Sequence[int],
    input_shape, input_tensor, weights, include_top, num_classes,
) -> tf_keras.Model:  # fmt: skip
    image = image_input(
        function,
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
        minimum_size=29,
    )
    x = _stem(image, filters[0])
    for section, (repeats, channels) in enumerate(zip(blocks, filters, strict=True)):
        if section:
            x = _transition(x, channels)
        for _ in range(repeats):
            x = _block(x)
    if include_top:
        x = global_pool(layers.Activation("relu")(x))
        x = layers.Dense(num_classes, kernel_initializer="glorot_normal")(x)
        x = layers.Activation("softmax", dtype="float32")(x)
    return finish(image, x, name, weights=weights, include_top=include_top)


def _stem(image, filters: int):
    """To a quarter of the size: 3x3 convolution, then depthwise and pointwise."""
    x = layers.Conv2D(
        filters // 4, 3, strides=2, padding="same", use_bias=False,
        kernel_initializer="he_normal",
    )(image)  # fmt: skip
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(scale=False, center=False)(x)
    x = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization()(x)


def _block(x):
    y = lq.layers.QuantConv2D(
        x.shape[-1], 3, padding="same", pad_values=1.0, use_bias=False,
        activation="relu", input_quantizer=lq.quantizers.SteSign(1.25),
        kernel_quantizer=lq.quantizers.SteSign(1.25),
        kernel_constraint=lq.constraints.WeightClip(1.25),
        kernel_initializer="glorot_normal",
    )(x)  # fmt: skip
    y = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(y)
    return layers.Add()([y, x])


def _transition(x, filters: int):
    """To half of the size, and to another number of channels."""
    x = layers.MaxPooling2D(2, strides=1)(layers.Activation("relu")(x))
    x = layers.DepthwiseConv2D(
        3, strides=2, padding="same", use_bias=False, trainable=False,
        depthwise_initializer=BlurPool(),
    )(x)  # fmt: skip
    x = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="glorot_normal")(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
