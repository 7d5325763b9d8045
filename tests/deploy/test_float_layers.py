"""Float layers besides convolutions: the file on a stock ONNX Runtime against Keras."""

import numpy as np
import pytest
import tf_keras

from larqlite.deploy.converters._norm import normalization_factors
from larqlite.errors import UnsupportedLayerError
from tests.common.samples import in_turn
from tests.deploy.keras_and_file import (
    assert_same,
    export,
    exported,
    on_runtime,
    on_stock,
    random_inputs,
    sequential,
    stored_channels_first,
    with_random_weights,
)

layers = tf_keras.layers
IMAGE = (4, 5, 6)

CASES = {
    "Dense": ((7,), lambda: layers.Dense(5, activation="softmax")),
    "Dense over time": ((3, 7), lambda: layers.Dense(5)),
    "Dense on images": (IMAGE, lambda: layers.Dense(5, use_bias=False)),
    "Dense on volumes": ((2, 3, 4, 5), lambda: layers.Dense(5, activation="relu")),
    "BatchNormalization": (IMAGE, lambda: layers.BatchNormalization()),
    "BatchNormalization of rows": (IMAGE, lambda: layers.BatchNormalization(axis=1)),
    "BatchNormalization without scale": (
        (7,),
        lambda: layers.BatchNormalization(scale=False),
    ),
    "BatchNormalization without both": (
        (7,),
        lambda: layers.BatchNormalization(scale=False, center=False),
    ),
    "BatchNormalization of two axes": (
        IMAGE,
        lambda: layers.BatchNormalization(axis=[1, 3]),
    ),
    "SyncBatchNormalization": (
        IMAGE,
        lambda: layers.experimental.SyncBatchNormalization(),
    ),
    "LayerNormalization": (IMAGE, lambda: layers.LayerNormalization()),
    "LayerNormalization of space": (
        IMAGE,
        lambda: layers.LayerNormalization(axis=[1, 2]),
    ),
    "LayerNormalization without scale": (
        (7,),
        lambda: layers.LayerNormalization(scale=False),
    ),
    "GroupNormalization": (IMAGE, lambda: layers.GroupNormalization(3)),
    "GroupNormalization of rows": (IMAGE, lambda: layers.GroupNormalization(2, axis=1)),
    "GroupNormalization of features": ((6,), lambda: layers.GroupNormalization(2)),
    "GroupNormalization of each channel": (
        IMAGE,
        lambda: layers.GroupNormalization(-1),
    ),
    "UnitNormalization": (IMAGE, lambda: layers.UnitNormalization()),
    "UnitNormalization of space": (
        IMAGE,
        lambda: layers.UnitNormalization(axis=[1, 2]),
    ),
    "Normalization": (
        (4, 5, 3),
        lambda: layers.Normalization(mean=[1.0, 2, 3], variance=[1.0, 4, 9]),
    ),
    "Normalization inverted": (
        IMAGE,
        lambda: layers.Normalization(mean=1.0, variance=4.0, invert=True),
    ),
    "ZeroPadding1D": ((4, 3), lambda: layers.ZeroPadding1D((2, 1))),
    "ZeroPadding2D": (IMAGE, lambda: layers.ZeroPadding2D(((1, 2), (0, 3)))),
    "ZeroPadding3D": ((2, 3, 2, 2), lambda: layers.ZeroPadding3D(1)),
    "Cropping1D": ((4, 3), lambda: layers.Cropping1D((2, 1))),
    "Cropping2D": (IMAGE, lambda: layers.Cropping2D(((1, 2), (0, 3)))),
    "Cropping3D": ((4, 3, 4, 2), lambda: layers.Cropping3D(1)),
    "Flatten": (IMAGE, lambda: layers.Flatten()),
    "Flatten of one pixel": ((1, 1, 6), lambda: layers.Flatten()),
    "Reshape": (IMAGE, lambda: layers.Reshape((5, 24))),
    "Reshape to one pixel": ((12,), lambda: layers.Reshape((1, 1, -1))),
    "Reshape to one channel": ((12,), lambda: layers.Reshape((3, 4, 1))),
    "Reshape back": (IMAGE, lambda: layers.Reshape((2, 10, 6))),
    "Permute to channels first": (IMAGE, lambda: layers.Permute((3, 1, 2))),
    "Permute to channels last": (IMAGE, lambda: layers.Permute((2, 3, 1))),
    "Permute of space": (IMAGE, lambda: layers.Permute((2, 1, 3))),
    "Permute of time": ((4, 3), lambda: layers.Permute((2, 1))),
    "RepeatVector": ((4,), lambda: layers.RepeatVector(3)),
    "UpSampling1D": ((4, 3), lambda: layers.UpSampling1D(3)),
    "UpSampling2D": (IMAGE, lambda: layers.UpSampling2D((2, 3))),
    "UpSampling3D": ((4, 3, 4, 2), lambda: layers.UpSampling3D((1, 2, 3))),
    "Resizing": (IMAGE, lambda: layers.Resizing(7, 3)),
    "Resizing to half": (IMAGE, lambda: layers.Resizing(2, 5)),
    "Resizing to a multiple": (IMAGE, lambda: layers.Resizing(8, 10)),
    "CenterCrop": ((8, 7, 3), lambda: layers.CenterCrop(4, 4)),
    "Rescaling": (IMAGE, lambda: layers.Rescaling(1 / 255.0, -0.5)),
    "Rescaling of channels": (
        (4, 5, 3),
        lambda: layers.Rescaling([1.0, 2, 3], [0.0, 1, 2]),
    ),
    "Dropout": (IMAGE, lambda: layers.Dropout(0.5)),
    "SpatialDropout1D": ((4, 3), lambda: layers.SpatialDropout1D(0.5)),
    "SpatialDropout2D": (IMAGE, lambda: layers.SpatialDropout2D(0.5)),
    "SpatialDropout3D": ((2, 3, 2, 2), lambda: layers.SpatialDropout3D(0.5)),
    "AlphaDropout": (IMAGE, lambda: layers.AlphaDropout(0.5)),
    "GaussianDropout": (IMAGE, lambda: layers.GaussianDropout(0.5)),
    "GaussianNoise": (IMAGE, lambda: layers.GaussianNoise(0.5)),
    "ActivityRegularization": (IMAGE, lambda: layers.ActivityRegularization(0.1)),
    "Identity": (IMAGE, lambda: layers.Identity()),
    "RandomFlip": (IMAGE, lambda: layers.RandomFlip()),
    "RandomRotation": (IMAGE, lambda: layers.RandomRotation(0.1)),
    "RandomZoom": (IMAGE, lambda: layers.RandomZoom(0.1)),
    "RandomContrast": (IMAGE, lambda: layers.RandomContrast(0.1)),
    "RandomTranslation": (IMAGE, lambda: layers.RandomTranslation(0.1, 0.1)),
    "RandomBrightness": ((4, 5, 3), lambda: layers.RandomBrightness(0.1)),
} | {
    f"UpSampling2D, {method}": (
        IMAGE,
        lambda method=method: layers.UpSampling2D((2, 3), interpolation=method),
    )
    for method in ("bilinear", "bicubic", "area", "gaussian", "lanczos5")
}


@pytest.mark.parametrize(
    ("name", "order"), in_turn(CASES, ["as in Keras", "channels first"])
)
def test_a_layer_is_the_same_however_its_input_is_stored(name, order):
    shape, make = CASES[name]
    before = stored_channels_first(shape) if order == "channels first" else []
    assert_same(sequential(shape, *before, make()))


def test_an_embedding_looks_up_the_rows_that_keras_does():
    model = sequential((5,), layers.Embedding(10, 4))
    ids = np.array([[0, 9, 3.7, 1, 1], [2, 2, 5, 8, 0.2]], np.float32)
    assert_same(model, [ids])


def test_an_adapted_normalization_holds_its_statistics():
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(3).normal(2, 3, (50, 4, 5, 3)))
    model = tf_keras.Sequential([tf_keras.Input((4, 5, 3)), layer])
    (x,) = random_inputs(model)
    content, _ = exported(model)
    for (found,) in (on_stock(content, [x]), on_runtime(content, [x])):
        np.testing.assert_allclose(found, model(x), rtol=1e-5, atol=1e-6)


def test_the_factors_of_a_batch_normalization_are_those_of_the_closed_form():
    layer = sequential((3,), layers.BatchNormalization(epsilon=0.25)).layers[-1]
    gamma, beta, mean, variance = (
        np.asarray(weight, np.float64) for weight in layer.get_weights()
    )
    scale, offset = normalization_factors(layer)
    np.testing.assert_allclose(scale, gamma / np.sqrt(variance + 0.25), rtol=1e-15)
    np.testing.assert_allclose(offset, beta - mean * scale, rtol=1e-12)


def test_a_tensor_that_is_seen_in_two_layouts_is_turned_for_each():
    """A column of pixels is a pixel of channels in memory; each has its own transpose."""
    x = tf_keras.Input((4, 1, 1))
    convolved = tf_keras.layers.Conv2D(2, (2, 1))(x)
    reshaped = tf_keras.layers.Reshape((1, 1, 4))(x)
    ops = assert_same(tf_keras.Model(x, [convolved, reshaped]))
    assert (
        ops.count("Transpose") == 3
    )  # to the convolution, behind it, and to the output


def test_a_pixel_and_a_channel_are_reshaped_without_a_transpose():
    for shape, target in (((12,), (1, 1, 12)), ((12,), (3, 4, 1)), ((3, 4, 1), (12,))):
        ops = assert_same(sequential(shape, layers.Reshape(target), layers.ReLU()))
        assert ops.count("Transpose") <= 1  # of the output
    ops = assert_same(
        sequential((6, 6, 2), layers.Conv2D(8, 6), layers.Flatten(), layers.Dense(3))
    )
    assert ops == ["Transpose", "Conv", "Reshape", "Gemm"]


@tf_keras.saving.register_keras_serializable(package="test")
class Twice(layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


REFUSED = {
    "Lambda": ((3,), lambda: layers.Lambda(lambda x: x), "may compute anything"),
    "Masking": ((4, 3), lambda: layers.Masking(), "hides time steps"),
    "LSTM": ((4, 3), lambda: layers.LSTM(2), "recurrent"),
    "GRU": ((4, 3), lambda: layers.GRU(2), "recurrent"),
    "SimpleRNN": ((4, 3), lambda: layers.SimpleRNN(2), "recurrent"),
    "ConvLSTM1D": ((4, 5, 3), lambda: layers.ConvLSTM1D(2, 3), "recurrent"),
    "TimeDistributed": (
        (4, 3),
        lambda: layers.TimeDistributed(layers.Dense(2)),
        "each time step",
    ),
    "Embedding": (
        (4,),
        lambda: layers.Embedding(3, 2, mask_zero=True),
        "mask_zero=True",
    ),
    "Twice": ((3,), lambda: Twice(2), "overrides `call` of Dense"),
    "CenterCrop": ((4, 4, 3), lambda: layers.CenterCrop(8, 8), "makes images of 4x4"),
    "Resizing": (
        (4, 5, 3),
        lambda: layers.Resizing(2, 2, crop_to_aspect_ratio=True),
        "crops and resizes",
    ),
    "Softmax": ((4, 5, 3), lambda: layers.Softmax(axis=[1, 2]), "several axes"),
    "GroupNormalization": (
        (4, 6, 3),
        lambda: layers.GroupNormalization(2, axis=2),
        "neither the first",
    ),
    "LocallyConnected1D": (
        (4, 3),
        lambda: layers.LocallyConnected1D(2, 3),
        "no converter for its class",
    ),
    "Dot": ((2, 3, 4), None, "reshape them to at most three axes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_layer_without_an_exact_twin_is_refused_by_name_with_a_way_out(name):
    shape, make, why = REFUSED[name]
    given = tf_keras.Input(shape)
    outputs = layers.Dot(3)([given, given]) if make is None else make()(given)
    model = tf_keras.Model(given, outputs)
    with pytest.raises(UnsupportedLayerError, match=why) as error:
        export(model)
    assert f'{name} "{model.layers[-1].name}"' in str(error.value)
    assert "\n  Fix: " in str(error.value)


def test_the_zoos_own_layers():
    from larqlite_zoo.literature.meliusnet import AddToLastChannels, SplitChannels
    from larqlite_zoo.literature.strong_baseline import LearnedRescale

    image, narrow = tf_keras.Input(IMAGE), tf_keras.Input((4, 5, 2))
    for one in (image, layers.MaxPooling2D(1)(image)):
        outputs = [
            *SplitChannels(3)(one),
            *SplitChannels(1)(one),
            AddToLastChannels()([one, narrow]),
            AddToLastChannels()([one, image]),
            LearnedRescale()(one),
        ]
        model = tf_keras.Model([image, narrow], outputs)
        assert_same(with_random_weights(model))


def test_importing_the_zoo_does_not_import_onnx(run_fork):
    printed = run_fork(
        "import sys, larqlite_zoo, larqlite_zoo.literature, larqlite_zoo.sota\n"
        "print([name for name in sys.modules if name.startswith('onnx')])"
    )
    assert printed.strip().endswith("[]")
