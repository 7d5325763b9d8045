"""Strong baselines of the real-to-binary paper: learned scales that ignore the input."""

from __future__ import annotations

import numpy as np
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError
from larqlite_zoo._build import finish, image_input
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.literature._real_to_bin_parts import RealToBinaryStage, build
from larqlite_zoo.literature.real_to_bin import PAPER

BAN = RealToBinaryStage("baseline_ban", "ste_sign", binary_kernels=False, decay=1e-5)
BNN = RealToBinaryStage("baseline_bnn", "ste_sign", binary_kernels=True)


@tf_keras.saving.register_keras_serializable(package="larqlite_zoo")
class LearnedRescale(tf_keras.layers.Layer):
    """Multiplies a feature map by a learned scale of rank one.

    `y[h, w, c] = x[h, w, c] * a[h] * b[w] * g[c]`; the three vectors begin at one.

    Args:
        regularizer: of the three vectors.

    Inputs:
        Float tensor `(batch, height, width, channels)` with known height, width and
        channels; the output has the same shape and dtype.

    Raises:
        ArgumentError: a size is open.

    Example:
        >>> from larqlite_zoo.literature.strong_baseline import LearnedRescale
        >>> layer = LearnedRescale()
        >>> layer(tf.ones([2, 3, 4, 5])).shape, layer.count_params()
        (TensorShape([2, 3, 4, 5]), 12)

    References:
        XNOR-Net++: Improved Binary Neural Networks, https://arxiv.org/abs/1909.13863,
        section 4.2.
    """

    def __init__(self, regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.regularizer = tf_keras.regularizers.get(regularizer)

    def build(self, input_shape) -> None:
        _, height, width, channels = input_shape
        if None in (height, width, channels):
            raise ArgumentError(
                f'LearnedRescale "{self.name}": input of the shape {tuple(input_shape)}, '
                "but the layer has a weight for each row and column.\n"
                "  Fix: give the model a fixed input_shape."
            )
        self.scale_h = self._scale("scale_h", (height, 1, 1))
        self.scale_w = self._scale("scale_w", (1, width, 1))
        self.scale_c = self._scale("scale_c", (1, 1, channels))
        super().build(input_shape)

    def call(self, inputs):
        return inputs * (self.scale_h * self.scale_w * self.scale_c)

    def get_config(self) -> dict:
        regularizer = tf_keras.regularizers.serialize(self.regularizer)
        return super().get_config() | {"regularizer": regularizer}

    def _scale(self, name: str, shape: tuple[int, int, int]):
        return self.add_weight(
            name=name, shape=shape, initializer="ones", regularizer=self.regularizer
        )


@lq.models.mac_formula(LearnedRescale)
def _rescale_macs(call):
    return ()  # Elementwise: the scales of rows, columns and channels accumulate nothing.


lq.models.add_layer_facts(LearnedRescale, lq.models.LayerFacts())


@lq.deploy.converter(LearnedRescale)
def _convert_rescale(graph, layer, value):
    """`Mul` by the product of the three vectors, which are stored as they are."""
    value = graph.channels_first(value)
    product = None
    for name in ("scale_h", "scale_w", "scale_c"):
        variable = getattr(layer, name)
        vector = np.moveaxis(variable.numpy(), -1, 0)
        stored = graph.weight(graph.path, name, vector, variable=variable)
        product = stored if product is None else graph.node("Mul", [product, stored])
    name = graph.node("Mul", [value.name, product], name=graph.path)
    return graph.value(name, value.shape, like=value)


@register_model(
    "strong_baseline_net_ban",
    summary="ResNet-18 with binary activations, float weights and learned scales.",
    paper=PAPER,
    recipe="TrainR2BStrongBaselineBAN",
    keras_name="baseline_ban",
)
def StrongBaselineNetBAN(
    *,
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """StrongBaselineNetBNN before its weights are binarized.

    Arguments, errors and structure are those of `StrongBaselineNetBNN`; the Keras
    model is named "baseline_ban" and its layers accordingly. Kernels and scales have
    an L2 penalty of 1e-5.

    Example:
        >>> import larqlite_zoo
        >>> larqlite_zoo.card("StrongBaselineNetBAN").recipe
        'TrainR2BStrongBaselineBAN'

    References:
        Training Binary Neural Networks with Real-to-Binary Convolutions,
        https://openreview.net/forum?id=BJg4NgBKvH, section 4.1.
    """
    return _network(
        "StrongBaselineNetBAN", BAN, input_shape, input_tensor, weights, include_top,
        num_classes,
    )  # fmt: skip


@register_model(
    "strong_baseline_net_bnn",
    summary="Binary ResNet-18 with a learned scale after every binary convolution.",
    paper=PAPER,
    recipe="TrainR2BStrongBaselineBNN",
    keras_name="baseline_bnn",
)
def StrongBaselineNetBNN(
    *,
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """The strong baseline of the real-to-binary paper, binary throughout.

    RealToBinaryNet with `LearnedRescale` in place of the gates:

        y = PReLU(conv(sign(x)) * scale) + shortcut

    The scales have a weight for each row and column of a feature map, so weights fit
    one image size only.

    Args:
        input_shape: `(height, width, channels)`, numbers only; (224, 224, 3) by
            default, without a classifier too.
        input_tensor: a tf_keras tensor of known size to start from instead.
        weights: None for random ones, or the path of a file.
        include_top: False ends in the features `(batch, height/32, width/32, 512)`.
        num_classes: of the classifier.

    Returns:
        A model "baseline_bnn" from float images to float32 probabilities.

    Raises:
        ArgumentError: arguments that do not fit, an open size, or images below 17
            pixels.
        KerasVersionError: a tensor of Keras 3.

    Example:
        >>> from larqlite_zoo.literature import StrongBaselineNetBNN
        >>> model = StrongBaselineNetBNN(include_top=False, input_shape=(32, 32, 3))
        >>> model.get_layer("baseline_bnn_block_2a_rescale").count_params()
        80

    References:
        Training Binary Neural Networks with Real-to-Binary Convolutions,
        https://openreview.net/forum?id=BJg4NgBKvH, section 4.1.
    """
    return _network(
        "StrongBaselineNetBNN", BNN, input_shape, input_tensor, weights, include_top,
        num_classes,
    )  # fmt: skip


def _network(
    function: str, stage: RealToBinaryStage, input_shape, input_tensor, weights, include_top,
    num_classes,
) -> tf_keras.Model:  # fmt: skip
    if input_shape is None and input_tensor is None:
        input_shape = (224, 224, 3)
    image = image_input(
        function,
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
        minimum_size=17,
    )
    if None in image.shape[1:3]:
        raise ArgumentError(
            f"{function}: images of the shape {tuple(image.shape[1:])}, but its learned "
            "scales have a weight for each row and column of a feature map.\n"
            "  Fix: numbers for height and width, with include_top=False too."
        )
    x = build(image, stage, _rescale, include_top, num_classes)
    return finish(image, x, stage.name, weights=weights, include_top=include_top)


def _rescale(stage: RealToBinaryStage, inputs, outputs, name: str):
    return LearnedRescale(stage.regularizer(), name=f"{name}_rescale")(outputs)
