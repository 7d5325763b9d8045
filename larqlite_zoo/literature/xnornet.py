"""XNOR-Net: AlexNet whose binary kernels carry the mean magnitude of each filter."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.internal import register_object
from larqlite_zoo._build import finish, image_input
from larqlite_zoo._card import LARQ_ZOO, Accuracy, Paper, larq_zoo_file
from larqlite_zoo._registered_models import register_model

WEIGHT_DECAY = 5e-7


@register_object(package="larqlite_zoo", aliases=("xnor_weight_scale",))
class XnorWeightScale(lq.quantizers.Quantizer):
    r"""Sign times the mean magnitude of each filter, whose gradient is taken along.

    With $c_i = \mathrm{clip}(x_i, -1, 1)$, and the mean over the $n$ weights of a filter:

    $$ q(x)_i = \alpha \cdot \mathrm{sign}(x_i) \qquad \alpha = \frac{1}{n} \sum_i |c_i| $$

    $$ \frac{\partial L}{\partial x_i} = \begin{cases}
       \alpha \frac{\partial L}{\partial q_i} +
       \frac{\mathrm{sign}_0(x_i)}{n} \sum_j \frac{\partial L}{\partial q_j} \mathrm{sign}(x_j)
       & |x_i| \leq 1 \\ 0 & |x_i| > 1 \end{cases} $$

    where $\mathrm{sign}_0(0) = 0$. Precision: 1 bit (and one scale a filter). Known to
    `lq.quantizers.get` and to Keras as "xnor_weight_scale".

    Args:
        **kwargs: `metrics`, and those of a Keras layer.

    Example:
        >>> from larqlite_zoo.literature.xnornet import XnorWeightScale
        >>> kernel = tf.constant([[1.0, -0.5], [-3.0, 0.5]])
        >>> XnorWeightScale()(kernel).numpy().tolist()
        [[1.0, -0.5], [-1.0, 0.5]]

    References:
        XNOR-Net, https://arxiv.org/abs/1603.05279, eq. 6 and section 3.1.
    """

    precision = 1
    codes_dtype = "int8"

    def forward(self, x):
        return lq.math.sign(x) * self.scale(x)

    def derivative(self, x):
        return self.pull_back(x, tf.ones_like(x))

    def pull_back(self, x, dy):
        along_scale = _mean_of_filters(dy * lq.math.sign(x)) * tf.sign(x)
        gradient = dy * self.scale(x) + along_scale
        return tf.where(tf.abs(x) <= 1, gradient, tf.zeros([], dy.dtype))

    def scale(self, x: tf.Tensor) -> tf.Tensor:
        """The mean magnitude of each filter, clipped at 1: `(..., 1, filters)`."""
        return _mean_of_filters(tf.minimum(tf.abs(x), 1))

    def codes(self, quantized):
        return tf.sign(quantized)


lq.models.add_layer_facts(XnorWeightScale, lq.models.LayerFacts())


@register_model(
    "xnornet",
    summary="AlexNet with binary kernels that carry the mean magnitude of each filter.",
    paper=Paper(
        "XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks",
        "https://arxiv.org/abs/1603.05279",
        2016,
    ),
    published=(
        Accuracy("imagenet", 44.96, 69.18, LARQ_ZOO),
        Accuracy(
            "imagenet", 43.3, None, "the paper's code, github.com/allenai/XNOR-Net"
        ),
    ),
    weights=(
        larq_zoo_file(
            "xnornet-v0.2.0",
            "xnornet_weights.h5",
            "e6ba24f785655260ae76a2ef1fab520e3528243d9c8fac430299cd81dbeabe10",
        ),
        larq_zoo_file(
            "xnornet-v0.2.1",
            "xnornet_weights_notop.h5",
            "20a17423090b2c80c6b7a6b62346faa4b2b7dc8d4da99efa792c9351cf86c3d5",
            include_top=False,
        ),
    ),
    recipe="TrainXNORNet",
)
def XNORNet(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """AlexNet with binary inputs, and binary kernels that carry a scale per filter.

    The first convolution and the classifier are float. In between, inputs are quantized
    by `ste_sign` and kernels by `XnorWeightScale`; all kernels decay by 5e-7. The two
    dense layers of AlexNet are convolutions: the first reads 6x6 pixels and belongs to
    the features, the second reads one.

    Args:
        input_shape: `(height, width, channels)` of one float32 image, 217x217 at least;
            (224, 224, 3) by default, of any size without classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: "imagenet" for Larq Zoo's, the path of a file, or None.
        include_top: whether the model ends in its classifier.
        num_classes: of the classifier.

    Returns:
        A model with the output `(batch, num_classes)`, probabilities in float32; or
        `(batch, height, width, 4096)` features without classifier.

    Raises:
        ArgumentError: an argument does not fit.

    Example:
        >>> from larqlite_zoo.literature import XNORNet
        >>> XNORNet(weights=None, include_top=False).output_shape
        (None, None, None, 4096)

    References:
        XNOR-Net, https://arxiv.org/abs/1603.05279
    """
    image = image_input(
        "XNORNet",
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
        minimum_size=217,
    )
    x = tf_keras.layers.Conv2D(
        96,
        11,
        strides=4,
        padding="same",
        use_bias=False,
        kernel_regularizer=tf_keras.regularizers.L2(WEIGHT_DECAY),
    )(image)
    x = tf_keras.layers.Activation("relu")(_normalized(x, epsilon=1e-5))
    x = _normalized(_pooled(x))
    x = _normalized(_pooled(_convolution(x, 256, 5)))
    x = _normalized(_convolution(x, 384, 3))
    x = _normalized(_convolution(x, 384, 3))
    x = _normalized(_pooled(_convolution(x, 256, 3)))
    x = _normalized(_convolution(x, 4096, 6, padding="valid"))
    if include_top:
        x = _normalized(_convolution(x, 4096, 1), epsilon=1e-3)
        x = tf_keras.layers.Activation("relu")(x)
        x = tf_keras.layers.Flatten()(x)
        x = tf_keras.layers.Dense(
            num_classes,
            use_bias=False,
            kernel_regularizer=tf_keras.regularizers.L2(WEIGHT_DECAY),
        )(x)
        x = tf_keras.layers.Activation("softmax", dtype="float32")(x)
    return finish(image, x, "xnornet", weights=weights, include_top=include_top)


def _convolution(x, filters: int, size: int, padding: str = "same"):
    return lq.layers.QuantConv2D(
        filters,
        size,
        padding=padding,
        use_bias=False,
        input_quantizer="ste_sign",
        kernel_quantizer=XnorWeightScale(),
        kernel_regularizer=tf_keras.regularizers.L2(WEIGHT_DECAY),
        kernel_constraint="weight_clip",
    )(x)


def _pooled(x):
    return tf_keras.layers.MaxPooling2D(3, strides=2)(x)


def _normalized(x, epsilon: float = 1e-4):
    return tf_keras.layers.BatchNormalization(
        scale=False, momentum=0.9, epsilon=epsilon
    )(x)


def _mean_of_filters(x):
    axes = list(range(x.shape.rank - 1)) or None
    exact = tf.cast(x, tf.float32) if x.dtype.size < 4 else x
    return tf.cast(tf.reduce_mean(exact, axes, keepdims=True), x.dtype)
