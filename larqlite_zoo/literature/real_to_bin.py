"""Real-to-binary networks: each binary convolution is scaled by what went into it."""

from __future__ import annotations

import tf_keras

from larqlite_zoo._build import finish, global_pool, image_input
from larqlite_zoo._card import LARQ_ZOO, Accuracy, Paper, larq_zoo_file
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.literature._real_to_bin_parts import RealToBinaryStage, build

layers = tf_keras.layers

PAPER = Paper(
    "Training Binary Neural Networks with Real-to-Binary Convolutions",
    "https://openreview.net/forum?id=BJg4NgBKvH",
    2020,
)
WEIGHTS = (
    larq_zoo_file(
        "r2b-v0.1.0",
        "r2b_weights.h5",
        "e8fd16ca1ab9810ac3835f24f5c62758a57bc32a615f73aaa50d382d2b9617e1",
    ),
    larq_zoo_file(
        "r2b-v0.1.0",
        "r2b_weights_notop.h5",
        "4ec47abf1a4da5c65f4908076257e8d5c812673891089a88c9d9e84e949d1dab",
        include_top=False,
    ),
)
PUBLISHED = (Accuracy("imagenet", 65.01, 85.72, LARQ_ZOO),)

FP = RealToBinaryStage("r2b_fp", "tanh", binary_kernels=False, decay=1e-5)
BAN = RealToBinaryStage("r2b_ban", "ste_sign", binary_kernels=False, decay=1e-5)
BNN = RealToBinaryStage("r2b_bnn", "ste_sign", binary_kernels=True)


@register_model(
    "real_to_binary_net",
    summary="ResNet-18 whose binary convolutions are scaled by gates of their inputs.",
    paper=PAPER,
    published=PUBLISHED,
    weights=WEIGHTS,
    recipe="TrainR2B",
    keras_name="r2b_bnn",
)
def RealToBinaryNet(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """The real-to-binary network, binary in weights and activations.

    Each binary convolution of the normalized input x is multiplied, channel by
    channel, by a gate computed from x before it is binarized:

        y = PReLU(conv(sign(x)) * sigmoid(W2 relu(W1 mean(x)))) + shortcut

    with W1 down to an eighth of the channels. Layers are named
    `r2b_bnn_block_<i><a|b>_...`, outputs of blocks `r2b_bnn_block_<i>_out`.

    Args:
        input_shape: `(height, width, channels)`; (224, 224, 3) by default, sizes left
            open without a classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: "imagenet" for the published ones, None for random ones, or the path
            of a file.
        include_top: False ends in the features `(batch, height/32, width/32, 512)`.
        num_classes: of the classifier; 1000 with published weights.

    Returns:
        A model "r2b_bnn" from float images to float32 probabilities.

    Raises:
        ArgumentError: arguments that do not fit, or images below 17 pixels.
        KerasVersionError: a tensor of Keras 3.

    Example:
        >>> from larqlite_zoo.literature import RealToBinaryNet
        >>> model = RealToBinaryNet(
        ...     input_shape=(32, 32, 3), weights=None, num_classes=10)
        >>> model.get_layer("r2b_bnn_block_2a_scaling_reshape").output.shape
        TensorShape([None, 1, 1, 64])

    References:
        Training Binary Neural Networks with Real-to-Binary Convolutions,
        https://openreview.net/forum?id=BJg4NgBKvH, section 4.3 and figure 1.
    """
    return _network(
        "RealToBinaryNet", BNN, input_shape, input_tensor, weights, include_top,
        num_classes,
    )  # fmt: skip


@register_model(
    "real_to_bin_net_fp",
    summary="RealToBinaryNet in float, with tanh for the sign: the second teacher.",
    paper=PAPER,
    recipe="TrainR2BBFP",
    keras_name="r2b_fp",
)
def RealToBinNetFP(
    *,
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """RealToBinaryNet in float: tanh stands where the others binarize their inputs.

    Arguments, errors and structure are those of `RealToBinaryNet`; the Keras model is
    named "r2b_fp" and its layers accordingly. Kernels have an L2 penalty of 1e-5.

    Example:
        >>> import larqlite_zoo
        >>> larqlite_zoo.card("RealToBinNetFP").costs.macs.keys()
        dict_keys([32])

    References:
        Training Binary Neural Networks with Real-to-Binary Convolutions,
        https://openreview.net/forum?id=BJg4NgBKvH, section 4.2.
    """
    return _network(
        "RealToBinNetFP", FP, input_shape, input_tensor, weights, include_top,
        num_classes,
    )  # fmt: skip


@register_model(
    "real_to_bin_net_ban",
    summary="RealToBinaryNet with binary activations and float weights.",
    paper=PAPER,
    recipe="TrainR2BBAN",
    keras_name="r2b_ban",
)
def RealToBinNetBAN(
    *,
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """RealToBinaryNet with binary activations and float weights.

    Arguments, errors and structure are those of `RealToBinaryNet`; the Keras model is
    named "r2b_ban" and its layers accordingly. Kernels have an L2 penalty of 1e-5.

    Example:
        >>> import larqlite_zoo
        >>> larqlite_zoo.card("RealToBinNetBAN").recipe
        'TrainR2BBAN'

    References:
        Training Binary Neural Networks with Real-to-Binary Convolutions,
        https://openreview.net/forum?id=BJg4NgBKvH, section 4.2.
    """
    return _network(
        "RealToBinNetBAN", BAN, input_shape, input_tensor, weights, include_top,
        num_classes,
    )  # fmt: skip


@register_model(
    "real_to_bin_net_bnn",
    summary="RealToBinaryNet under the name of the recipe's last stage.",
    paper=PAPER,
    published=PUBLISHED,
    weights=WEIGHTS,
    recipe="TrainR2BBNN",
    keras_name="r2b_bnn",
)
def RealToBinNetBNN(
    *,
    input_shape=None,
    input_tensor=None,
    weights=None,
    include_top: bool = True,
    num_classes: int = 1000,
) -> tf_keras.Model:
    """RealToBinaryNet as the last stage of the recipe, without weights by default.

    Arguments, errors and structure are those of `RealToBinaryNet`.

    Example:
        >>> import larqlite_zoo
        >>> larqlite_zoo.card("RealToBinNetBNN").recipe
        'TrainR2BBNN'

    References:
        Training Binary Neural Networks with Real-to-Binary Convolutions,
        https://openreview.net/forum?id=BJg4NgBKvH, section 4.2.
    """
    return _network(
        "RealToBinNetBNN", BNN, input_shape, input_tensor, weights, include_top,
        num_classes,
    )  # fmt: skip


def _network(
    function: str, stage: RealToBinaryStage, input_shape, input_tensor, weights, include_top,
    num_classes,
) -> tf_keras.Model:  # fmt: skip
    image = image_input(
        function,
        input_shape=input_shape,
        input_tensor=input_tensor,
        weights=weights,
        include_top=include_top,
        num_classes=num_classes,
        minimum_size=17,
    )
    x = build(image, stage, _gate, include_top, num_classes)
    return finish(image, x, stage.name, weights=weights, include_top=include_top)


def _gate(stage: RealToBinaryStage, inputs, outputs, name: str):
    """Multiplies each channel by a number in (0, 1) that depends on the inputs."""
    channels, filters = inputs.shape[-1], outputs.shape[-1]
    x = global_pool(inputs, name=f"{name}_scaling_pool")
    for part, units, activation in (
        ("reduce", channels // 8, "relu"),
        ("expand", filters, "sigmoid"),
    ):
        x = layers.Dense(
            units, activation=activation, use_bias=False,
            kernel_initializer="he_normal", kernel_regularizer=stage.regularizer(),
            name=f"{name}_scaling_dense_{part}",
        )(x)  # fmt: skip
    x = layers.Reshape((1, 1, filters), name=f"{name}_scaling_reshape")(x)
    return layers.Multiply(name=f"{name}_scaling_multiplication")([outputs, x])
