"""Batch normalizations in kernels, and before poolings."""

import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite.errors import LarqliteError
from larqlite.integer.layers import DepthwiseConv2DTranspose, PaddedConv2D
from larqlite.integer.models.transforms import (
    fold_batchnorms,
    invert_batchnorm_pooling,
    sanitize,
)
from tests.common.samples import in_turn
from tests.integer.transforms.helpers import kinds, layers, randomized, transformed

IMAGE = (6, 6, 3)
KERNELS = {
    "conv": (lambda **k: layers.Conv2D(4, 3, **k), IMAGE),
    "same": (lambda **k: layers.Conv2D(4, 3, 2, "same", **k), IMAGE),
    "padded": (
        lambda **k: PaddedConv2D(4, 3, padding_value=[1.0, -2.0, 3.0], **k),
        IMAGE,
    ),
    "groups": (lambda **k: layers.Conv2D(6, 3, groups=3, **k), IMAGE),
    "conv1d": (lambda **k: layers.Conv1D(4, 3, **k), (6, 3)),
    "conv3d": (lambda **k: layers.Conv3D(2, 2, **k), (3, 3, 3, 2)),
    "transpose": (lambda **k: layers.Conv2DTranspose(4, 3, 2, **k), IMAGE),
    "transpose1d": (lambda **k: layers.Conv1DTranspose(4, 3, 2, **k), (6, 3)),
    "depthwise": (
        lambda **k: layers.DepthwiseConv2D(3, depth_multiplier=2, **k),
        IMAGE,
    ),
    "depthwise1d": (
        lambda **k: layers.DepthwiseConv1D(3, depth_multiplier=2, **k),
        (6, 3),
    ),
    "depthwise_transpose": (
        lambda **k: DepthwiseConv2DTranspose(3, 2, "same", depth_multiplier=2, **k),
        IMAGE,
    ),
    "separable": (lambda **k: layers.SeparableConv2D(4, 3, **k), IMAGE),
    "separable1d": (lambda **k: layers.SeparableConv1D(4, 3, **k), (6, 3)),
    "dense": (lambda **k: layers.Dense(4, **k), (5,)),
    "dense_sequence": (lambda **k: layers.Dense(4, **k), (2, 5)),
}


def sequential(shape, *parts):
    return randomized(tf_keras.Sequential([tf_keras.Input(shape), *parts]))


@pytest.mark.parametrize(("kernel", "use_bias"), in_turn(KERNELS, [True, False]))
def test_a_normalization_becomes_part_of_the_kernel_before_it(kernel, use_bias):
    make, shape = KERNELS[kernel]
    first = make(use_bias=use_bias, name="first")
    model = sequential(
        shape,
        first,
        layers.BatchNormalization(),
        layers.BatchNormalization(scale=False),
    )
    folded = transformed(fold_batchnorms, model)
    assert kinds(folded) == [type(first).__name__]
    assert folded.get_layer("first").use_bias
    assert isinstance(folded, tf_keras.Sequential)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_normalizations_without_gamma_or_beta_are_folded_too(scale, center):
    model = sequential(
        (4,), layers.Dense(3), layers.BatchNormalization(scale=scale, center=center)
    )
    assert kinds(transformed(fold_batchnorms, model)) == ["Dense"]


def test_the_folded_numbers_are_those_of_the_formula():
    model = sequential((1,), layers.Dense(1), layers.BatchNormalization(epsilon=0.25))
    model.layers[0].set_weights([np.array([[3.0]]), np.array([1.0])])
    model.layers[1].set_weights([np.array([v]) for v in (2.0, 5.0, 4.0, 0.75)])
    kernel, bias = fold_batchnorms(model).get_weights()
    # a = 2 / sqrt(0.75 + 0.25); w = 3 a; b = 1 a + 5 - 4 a
    np.testing.assert_allclose(kernel, [[6.0]])
    np.testing.assert_allclose(bias, [-1.0])


def test_what_cannot_be_folded_exactly_stays_and_gives_the_same_model_back():
    x = tf_keras.Input(IMAGE)
    conv = layers.Conv2D(3, 3, padding="same")
    norm = layers.BatchNormalization()
    once = conv(x)
    models = [
        # An activation, a second reader, a layer that is called twice, batch statistics.
        tf_keras.Model(
            x, layers.BatchNormalization()(layers.Conv2D(3, 3, activation="relu")(x))
        ),
        tf_keras.Model(x, [layers.BatchNormalization()(once), once]),
        tf_keras.Model(x, norm(conv(layers.ReLU()(conv(x))))),
        tf_keras.Model(x, norm(layers.Conv2D(3, 3)(norm(x)))),
        tf_keras.Model(
            x, layers.BatchNormalization()(layers.Conv2D(3, 3)(x), training=True)
        ),
        tf_keras.Model(x, layers.BatchNormalization()(x)),
    ]
    for model in models:
        assert fold_batchnorms(model) is model


def test_kernels_that_larqlite_quantizes_keep_their_normalization():
    model = sequential(
        IMAGE,
        lq.layers.QuantConv2D(
            4, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
        ),
        layers.BatchNormalization(),
    )
    assert fold_batchnorms(model) is model


def test_zero_gammas_and_other_axes_are_refused_by_name():
    model = sequential((4,), layers.Dense(3), layers.BatchNormalization(name="bn"))
    model.get_layer("bn").gamma.assign([1.0, 0.0, 2.0])
    with pytest.raises(RuntimeError, match=r'"bn": gamma is 0 in the channels \[1\]'):
        fold_batchnorms(model)
    assert sanitize(model) is model
    model = sequential(
        (4, 5), layers.Dense(3), layers.BatchNormalization(axis=1, name="bn")
    )
    with pytest.raises(RuntimeError, match=r"axis=\[1\] is not the last") as caught:
        fold_batchnorms(model)
    assert isinstance(caught.value, LarqliteError)


def test_normalizations_in_nested_models_are_folded_where_they_are():
    inner = sequential(IMAGE, layers.Conv2D(4, 3), layers.BatchNormalization())
    x = tf_keras.Input(IMAGE)
    model = tf_keras.Model(x, layers.ReLU()(inner(x)))
    folded = transformed(fold_batchnorms, model)
    assert kinds(folded.layers[1]) == ["Conv2D"]


# Poolings.

POOLINGS = [
    lambda: layers.MaxPooling2D(),
    lambda: layers.MaxPooling2D(3, 2, "same"),
    lambda: layers.AveragePooling2D(3, 2, "same"),
    lambda: layers.GlobalAveragePooling2D(),
    lambda: layers.GlobalAveragePooling2D(keepdims=True),
    lambda: layers.GlobalMaxPooling2D(),
]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_normalization_climbs_over_a_pooling_and_is_folded(pooling):
    pool = pooling()
    model = sequential(
        IMAGE,
        layers.Conv2D(4, 3),
        layers.MaxPooling2D(2, 1),
        pool,
        layers.BatchNormalization(name="bn"),
        layers.ReLU(),
    )
    inverted = transformed(invert_batchnorm_pooling, model)
    assert kinds(inverted) == [
        "Conv2D",
        "BatchNormalization",
        "MaxPooling2D",
        type(pool).__name__,
        "ReLU",
    ]
    assert [layer.name for layer in inverted.layers[1:2]] == ["bn"]
    folded = transformed(fold_batchnorms, inverted)
    assert "BatchNormalization" not in kinds(folded)


def test_a_gamma_that_is_not_positive_stops_at_a_maximum_but_not_at_a_mean():
    for pooling, is_maximum in ((layers.MaxPooling2D, 1), (layers.AveragePooling2D, 0)):
        model = sequential(
            IMAGE,
            layers.Conv2D(2, 3),
            pooling(name="pool"),
            layers.BatchNormalization(name="bn"),
        )
        model.get_layer("bn").gamma.assign([-1.0, 1.0])
        if is_maximum:
            with pytest.raises(
                RuntimeError, match=r'"bn": gamma is not .*\[0\], and "pool"'
            ):
                invert_batchnorm_pooling(model)
            assert sanitize(model) is model
        else:
            assert "BatchNormalization" not in kinds(
                transformed(
                    fold_batchnorms, transformed(invert_batchnorm_pooling, model)
                )
            )


def test_a_one_dimensional_model_is_inverted_too():
    model = sequential(
        (8, 3),
        layers.Conv1D(4, 3),
        layers.MaxPooling1D(),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling1D(),
        layers.BatchNormalization(),
    )
    folded = transformed(sanitize, model)
    assert kinds(folded) == ["Conv1D", "MaxPooling1D", "GlobalAveragePooling1D"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Conv2D", {"filters": 4, "kernel_size": 3}),
        (
            "DepthwiseConv2D",
            {"kernel_size": 3, "depth_multiplier": 2, "use_bias": False},
        ),
        ("Dense", {"units": 4}),
    ],
)
def test_integer_layers_take_their_normalization_unless_they_round_before_it(
    name, arguments
):
    integer = lq.integer.layers
    make = getattr(integer, f"Quantized{name}")
    x = tf_keras.Input((6, 6, 3), dtype="uint8")

    def model(**quant_config):
        y = make(**arguments, quant_config={**quant_config}, name="kernel")(x)
        y = integer.QuantizedBatchNormalization(name="bn")(y)
        return tf_keras.Model(x, integer.Dequantizer()(y))

    before = model()
    norm = before.get_layer("bn")
    for weight, low, high in (
        (norm.gamma, 0.5, 2),
        (norm.beta, -1, 1),
        (norm.moving_mean, -9, 9),
        (norm.moving_variance, 50, 99),
    ):
        weight.assign(np.random.default_rng(1).uniform(low, high, weight.shape))
    after = fold_batchnorms(before)
    assert kinds(after) == [f"Quantized{name}", "Dequantizer"]
    images = np.random.default_rng(2).integers(0, 256, (2, 6, 6, 3)).astype("uint8")
    expected = before(images).numpy()
    # The factor is no longer rounded to 8 bits of its own, so a little is different.
    error = np.abs(after(images) - expected).max() / np.abs(expected).max()
    assert error < 0.02
    rounding = model(output_quantizer={"bitwidth": 8})
    assert fold_batchnorms(rounding) is rounding
