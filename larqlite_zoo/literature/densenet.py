"""BinaryDenseNet: every binary convolution adds 64 channels to those before it."""

from __future__ import annotations

from larqlite_zoo._card import LARQ_ZOO, Accuracy, Paper, larq_zoo_file
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.literature._densenet_parts import (
    BinaryDenseNet,
    DenseNetVariant,
    build,
)

PAPER = Paper(
    "Back to Simplicity: How to Train Accurate BNNs from Scratch?",
    "https://arxiv.org/abs/1906.08637",
    2019,
)


def _files(depth: str, top: str, notop: str, notop_release: str = "v0.1.0"):
    return (
        larq_zoo_file(
            "binary_densenet-v0.1.0", f"binary_densenet_{depth}_weights.h5", top
        ),
        larq_zoo_file(
            f"binary_densenet-{notop_release}",
            f"binary_densenet_{depth}_weights_notop.h5",
            notop,
            include_top=False,
        ),
    )


@register_model(
    "binary_densenet28",
    summary="DenseNet with 23 binary convolutions of 64 filters each.",
    paper=PAPER,
    published=(Accuracy("imagenet", 60.91, 82.83, LARQ_ZOO),),
    weights=_files(
        "28",
        "21fe3ca03eed244df9c41a2219876fcf03e73800932ec96a3e2a76af4747ac53",
        "a376df1e41772c4427edd1856072b934a89bf293bf911438bf6f751a9b2a28f5",
    ),
    recipe="TrainBinaryDenseNet28",
)
def BinaryDenseNet28(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> BinaryDenseNet:
    """DenseNet with binary 3x3 convolutions, 6, 6, 6 and 5 in its four sections.

    Each convolution reads the signs of everything computed before it in its section,
    and adds 64 channels: `concat(x, conv(sign(batch_norm(x))))`. Gradients pass the
    signs up to a magnitude of 1.3. Between sections a float 1x1 convolution divides
    the number of channels by 2.7, 2.7 and 2.2, to a multiple of 32. An image lower
    than 50 pixels enters by one 3x3 convolution.

    Args:
        input_shape: `(height, width, channels)` of one float32 image, 8x8 at least;
            (224, 224, 3) by default, of any size without classifier.
        input_tensor: a tf_keras tensor to start from instead.
        weights: "imagenet" for Larq Zoo's, the path of a file, or None.
        include_top: whether the model ends in its classifier.
        num_classes: of the classifier.

    Returns:
        A `BinaryDenseNet` with the output `(batch, num_classes)`, probabilities in
        float32; or `(batch, height / 32, width / 32, 576)` features.

    Raises:
        ArgumentError: an argument does not fit.

    Example:
        >>> from larqlite_zoo.literature import BinaryDenseNet28
        >>> BinaryDenseNet28(weights=None, include_top=False).output_shape
        (None, None, None, 576)

    References:
        Back to Simplicity, https://arxiv.org/abs/1906.08637
    """
    variant = DenseNetVariant(
        "BinaryDenseNet28", "binary_densenet28", (6, 6, 6, 5), (2.7, 2.7, 2.2)
    )
    return build(variant, input_shape, input_tensor, weights, include_top, num_classes)


@register_model(
    "binary_densenet37",
    summary="DenseNet with 32 binary convolutions of 64 filters each.",
    paper=PAPER,
    published=(Accuracy("imagenet", 62.89, 84.19, LARQ_ZOO),),
    weights=_files(
        "37",
        "8056a5d52c3ed86a934893987d09a06f59a5166aa9bddcaedb050f111d0a7d76",
        "4e12bca9fd27580a5b833241c4eb35d6cc332878c406048e6ca8dbbc78d59175",
    ),
    recipe="TrainBinaryDenseNet37",
)
def BinaryDenseNet37(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> BinaryDenseNet:
    """`BinaryDenseNet28` with sections of 6, 8, 12 and 6 convolutions, 640 features.

    The transitions divide the number of channels by 3.3, 3.3 and 4. Arguments, errors
    and references are those of `BinaryDenseNet28`.

    Example:
        >>> from larqlite_zoo.literature import BinaryDenseNet37
        >>> BinaryDenseNet37(weights=None, include_top=False).output_shape
        (None, None, None, 640)
    """
    variant = DenseNetVariant(
        "BinaryDenseNet37", "binary_densenet37", (6, 8, 12, 6), (3.3, 3.3, 4)
    )
    return build(variant, input_shape, input_tensor, weights, include_top, num_classes)


@register_model(
    "binary_densenet37_dilated",
    summary="BinaryDenseNet37 that dilates where the other halves its image.",
    paper=PAPER,
    published=(Accuracy("imagenet", 64.34, 85.15, LARQ_ZOO),),
    weights=_files(
        "37_dilated",
        "15c1bcd79b8dc22971382fbf79acf364a3f51049d0e584a11533e6fdbb7363d3",
        "8b31fbfdc8de08a46c6adcda1ced48ace0a2ff0ce45a05c72b2acc27901dd88b",
        notop_release="v0.1.1",
    ),
    recipe="TrainBinaryDenseNet37Dilated",
)
def BinaryDenseNet37Dilated(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> BinaryDenseNet:
    """`BinaryDenseNet37` whose last two sections are dilated by 2 and 4 instead of smaller.

    The weights have the shapes of `BinaryDenseNet37`; the features are
    `(batch, height / 8, width / 8, 640)`. Arguments, errors and references are those
    of `BinaryDenseNet28`.

    Example:
        >>> from larqlite_zoo.literature import BinaryDenseNet37Dilated
        >>> model = BinaryDenseNet37Dilated(
        ...     weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> model.output_shape
        (None, 8, 8, 640)
    """
    variant = DenseNetVariant(
        "BinaryDenseNet37Dilated",
        "binary_densenet37_dilated",
        (6, 8, 12, 6),
        (3.3, 3.3, 4),
        (1, 1, 2, 4),
    )
    return build(variant, input_shape, input_tensor, weights, include_top, num_classes)


@register_model(
    "binary_densenet45",
    summary="DenseNet with 40 binary convolutions of 64 filters each.",
    paper=PAPER,
    published=(Accuracy("imagenet", 64.59, 85.21, LARQ_ZOO),),
    weights=_files(
        "45",
        "d00a0d26fbd2dba1bfba8c0306c770f3aeea5c370e99f963bb239bd916f72c37",
        "e72d5cc6b0afe4612f8be7b1f9bb48a53ba2c8468b57bf1266d2900c99fd2adf",
    ),
    recipe="TrainBinaryDenseNet45",
)
def BinaryDenseNet45(
    *,
    input_shape=None,
    input_tensor=None,
    weights="imagenet",
    include_top: bool = True,
    num_classes: int = 1000,
) -> BinaryDenseNet:
    """`BinaryDenseNet28` with sections of 6, 12, 14 and 8 convolutions, 800 features.

    The transitions divide the number of channels by 2.7, 3.3 and 4. Arguments, errors
    and references are those of `BinaryDenseNet28`.

    Example:
        >>> from larqlite_zoo.literature import BinaryDenseNet45
        >>> BinaryDenseNet45(weights=None, include_top=False).output_shape
        (None, None, None, 800)
    """
    variant = DenseNetVariant(
        "BinaryDenseNet45", "binary_densenet45", (6, 12, 14, 8), (2.7, 3.3, 4)
    )
    return build(variant, input_shape, input_tensor, weights, include_top, num_classes)
