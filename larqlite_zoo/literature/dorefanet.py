"""DoReFa-Net: AlexNet with binary kernels and activations of two bits."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.internal import register_object
from larqlite_zoo._build import finish, image_input
from larqlite_zoo._card import LARQ_ZOO, Accuracy, Paper, larq_zoo_file
from larqlite_zoo._registered_models import register_model


@register_object(package="larqlite_zoo", aliases=("magnitude_aware_sign_unclipped",))
class MagnitudeAwareSignUnclipped(lq.quantizers.Quantizer):
    r"""Sign times the mean magnitude of the whole kernel, with the identity as gradient.

    $$ q(x) = \alpha \cdot \mathrm{sign}(x) \qquad
       \frac{\partial q}{\partial x} = 1 \qquad \alpha = \frac{1}{n} \sum |x| $$

    Precision: 1 bit (and one scale a layer). Known to `lq.quantizers.get` and to Keras
    as "magnitude_aware_sign_unclipped".

    Args:
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> from larqlite_zoo.literature.dorefanet import MagnitudeAwareSignUnclipped
        >>> MagnitudeAwareSignUnclipped()(tf.constant([[1.0, -3.0]])).numpy().tolist()
        [[2.0, -2.0]]

    References:
        DoReFa-Net, https://arxiv.org/abs/1606.06160, eq. 7 and 8.
    """

    precision = 1
    gradient_everywhere = True
    codes_dtype = "int8"

    def forward(self, x):
        magnitudes = tf.abs(x)
        if x.dtype.size < 4:  # a sum over a layer leaves the range of 16 bits
            magnitudes = tf.cast(magnitudes, tf.float32)
        return lq.math.sign(x) * tf.cast(tf.reduce_mean(magnitudes), x.dtype)

    def derivative(self, x):
        return tf.ones_like(x)

    def codes(self, quantized):
        return tf.sign(quantized)


lq.models.add_layer_facts(MagnitudeAwareSignUnclipped, lq.models.LayerFacts())


@register_model(
    "dorefanet",
    summary="AlexNet with binary kernels and activations of two bits.",
    paper=Paper(
        "DoReFa-Net: Training Low Bitwidth Convolutional Neural Networks with Low "
        "Bitwidth Gradients",
        "https://arxiv.org/abs/1606.06160",
        2016,
    ),
    published=(Accuracy("imagenet", 53.39, 76.50, LARQ_ZOO),),
    weights=(
        larq_zoo_file(
            "dorefanet-v0.1.0",
            "dorefanet_weights.h5",
            "645d7839d574faa3eeeca28f3115773d75da3ab67ff6876b4de12d10245ecf6a",
        ),
        larq_zoo_file(
            "dorefanet-v0.1.1",
            "dorefanet_weights_notop.h5",
            "8650e8a86d8d3968722cf5f20bcebe74d6d7bb45bbf03c4bb8c6486343f37e31",
            include_top=False,
        ),
    ),
    recipe="TrainDoReFaNet",
)
def DoReFaNet(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """AlexNet with kernels of one bit and activations of two, its ends in floats.

    The first convolution and the classifier are float; in between, inputs are quantized
    by `lq.quantizers.DoReFa(2)` to 0, 1/3, 2/3 and 1, and kernels by
    `MagnitudeAwareSignUnclipped` to one bit and a scale.

    Args:
        input_shape: `(height, width, channels)` of one float32 image, 44x44 at least;
            (224, 224, 3) by default, of any size without classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: "imagenet" for Larq Zoo's, the path of a file, or None.
        include_top: whether the model ends in its classifier.
        num_classes: of the classifier.

    Returns:
        A model with the output `(batch, num_classes)`, probabilities in float32; or
        `(batch, height, width, 256)` features without classifier.

    Raises:
        ArgumentError: an argument does not fit.

    Example:
        >>> from larqlite_zoo.literature import DoReFaNet
        >>> DoReFaNet(weights=None, include_top=False).output_shape
        (None, None, None, 256)

    References:
        DoReFa-Net, https://arxiv.org/abs/1606.06160
    """
    image = image_input(
        "DoReFaNet",
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
        minimum_size=44,
    )
    x = tf_keras.layers.Conv2D(96, 12, strides=4)(image)
    x = _pooled(_convolution(x, 256, 5), padding="same")
    x = _pooled(_convolution(x, 384, 3), padding="same")
    x = _convolution(x, 384, 3)
    x = _pooled(_convolution(x, 256, 3), padding="valid")
    if include_top:
        x = tf_keras.layers.Flatten()(x)
        x = _dense(x, 4096)
        x = _dense(x, 4096)
        x = tf_keras.layers.ReLU(max_value=1.0)(x)
        x = tf_keras.layers.Dense(num_classes)(x)
        x = tf_keras.layers.Activation("softmax", dtype="float32")(x)
    return finish(image, x, "dorefanet", weights=weights, include_top=include_top)


def _convolution(x, filters: int, size: int):
    x = lq.layers.QuantConv2D(
        filters,
        size,
        padding="same",
        use_bias=False,
        input_quantizer=lq.quantizers.DoReFa(2),
        kernel_quantizer=MagnitudeAwareSignUnclipped(),
    )(x)
    return _normalized(x)


def _dense(x, units: int):
    x = lq.layers.QuantDense(
        units,
        use_bias=False,
        input_quantizer=lq.quantizers.DoReFa(2),
        kernel_quantizer=MagnitudeAwareSignUnclipped(),
    )(x)
    return _normalized(x)


def _pooled(x, padding: str):
    return tf_keras.layers.MaxPooling2D(3, strides=2, padding=padding)(x)


def _normalized(x):
    return tf_keras.layers.BatchNormalization(scale=False, momentum=0.9, epsilon=1e-4)(
        x
    )
