"""The small networks with any quantizers: against MLPerf Tiny's files, FINN's figures, files."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, UnknownQuantizerError
from larqlite_zoo import datasets, training
from larqlite_zoo.small import (
    CNV,
    DSCNN,
    BinaryResNet20,
    BinaryVGGSmall,
    ResNet8,
    VGGSmallFP,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data"
TINY = DATA / "mlperf_tiny"
needs_tiny = pytest.mark.skipif(
    not TINY.is_dir(), reason="../shared/data/mlperf_tiny is not there"
)
K2 = {"input_quantizer": "dorefa(2)", "kernel_quantizer": "dorefa(2, mode='weights')"}
SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
FLOAT = {"input_quantizer": "float", "kernel_quantizer": "float"}


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@needs_tiny
def test_resnet8_computes_what_mlperf_tinys_file_does():
    path = TINY / "pretrainedResnet.h5"
    theirs = tf_keras.models.load_model(path, compile=False)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(ResNet8(weights=path)(pixels), theirs(pixels))
    # Where a sign reads what a layer gives there is no ReLU, and each weight has its place.
    binary = ResNet8(weights=path, **SIGNS)
    for ours, original in zip(binary.weights, theirs.weights, strict=True):
        np.testing.assert_array_equal(tf.convert_to_tensor(ours), original)
    assert len(layers_of(binary, tf_keras.layers.ReLU)) == 1


@pytest.mark.slow
@needs_tiny
def test_resnet8_has_the_accuracy_that_its_weights_have_on_the_jpeg_copy(
    tmp_path, monkeypatch
):
    """75.8 % of the first 200 test images of each class, measured with Keras alone."""
    import tarfile

    with tarfile.open(DATA / "cifar10_jpeg.tar.xz") as archive:
        wanted = [
            member
            for member in archive
            if member.isfile()
            and (member.name.startswith("test/") or member.name.endswith("/0000.jpg"))
            and int(Path(member.name).stem) < 200
        ]
        archive.extractall(tmp_path / "jpegs", wanted, filter="data")
    monkeypatch.setenv("LARQLITE_ZOO_CACHE", str(tmp_path / "cache"))
    data = datasets.load("cifar10", folder=tmp_path / "jpegs")
    assert data.validation.size == 2000
    model = ResNet8(weights=TINY / "pretrainedResnet.h5")
    result = training.evaluate(model, data, preprocessing="none", batch_size=250)
    assert result.top1 == pytest.approx(75.8, abs=0.1)


@needs_tiny
def test_ds_cnn_computes_what_mlperf_tinys_saved_model_does():
    theirs = tf.saved_model.load(str(TINY / "kws_ref_model"))
    model = DSCNN()
    model.set_weights([variable.numpy() for variable in theirs.variables])
    clips = np.load(DATA / "speech_commands_kws01.npz")
    scale, zero_point = 0.5847029, 83  # of the input of kws_ref_model.tflite
    inputs = (clips["mfcc"][:100, ..., None].astype("float32") - zero_point) * scale
    expected = theirs(tf.constant(inputs), False, None)
    np.testing.assert_allclose(model(inputs), expected, atol=1e-5)
    assert np.mean(np.argmax(expected, 1) == clips["label"][:100]) > 0.85


def test_cnv_has_finns_layers_and_brevitas_number_of_weights():
    # Umuroglu et al., section 4.1; the kernels by hand.
    model = CNV()
    kernels = [
        layer.kernel.shape.as_list()
        for layer in model.layers
        if isinstance(layer, (lq.layers.QuantConv2D, lq.layers.QuantDense))
    ]
    channels = [3, 64, 64, 128, 128, 256, 256]
    expected = [[3, 3, a, b] for a, b in itertools.pairwise(channels)]
    assert kernels == [*expected, [256, 512], [512, 512], [512, 10]]
    profile = lq.models.profile(model)
    assert profile.params_by_bits[1] == sum(map(np.prod, kernels)) == 1_542_848
    sides = [layer.output_shape[1] for layer in layers_of(model, lq.layers.QuantConv2D)]
    assert sides == [30, 28, 12, 10, 3, 1]
    assert [layer.filters for layer in layers_of(CNV(width=32), lq.layers.QuantConv2D)] == [
        32, 32, 64, 64, 128, 128,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("network", "inner"),
    [
        (CNV, 8),
        (ResNet8, 8),
        (DSCNN, 8),
        (BinaryVGGSmall, 5),
        pytest.param(BinaryResNet20, 18, marks=pytest.mark.slow),
    ],
)
def test_each_network_takes_quantizers_and_none(network, inner):
    """How many layers quantize their inputs; where ReLUs stand; the same weights."""
    narrow = {} if network is BinaryResNet20 else {"width": 8}
    models = {
        name: network(**narrow, **how)
        for name, how in (("signs", SIGNS), ("two bits", K2), ("floats", FLOAT))
    }
    shapes = {
        name: [weight.shape for weight in model.weights]
        for name, model in models.items()
    }
    assert shapes["signs"] == shapes["two bits"] == shapes["floats"]
    reading = {
        name: [
            layer for layer in model.layers
            if getattr(layer, "input_quantizer", None) is not None
        ]
        for name, model in models.items()
    }  # fmt: skip
    assert [len(reading[name]) for name in models] == [inner, inner, 0]
    assert {layer.input_quantizer.precision for layer in reading["two bits"]} == {2}
    assert not layers_of(models["floats"], lq.layers.QuantConv2D)
    relus = {
        name: len(layers_of(model, tf_keras.layers.ReLU))
        for name, model in models.items()
    }
    if network is not BinaryResNet20:  # whose PReLUs stay
        assert relus["two bits"] == relus["floats"] > relus["signs"] <= 1
    before_signs = [
        type(layer.input._keras_history.layer) for layer in reading["signs"]
    ]
    assert tf_keras.layers.ReLU not in before_signs


@pytest.mark.parametrize(
    ("inputs", "relus"),
    [("ste_sign", 1), ("ste_tern", 1), ("lsq(2, signed=True)", 1), ("dorefa(2)", 7),
     ("lsq(4, signed=True)", 7), ("absmax_int8", 7), ("float", 7)],
)  # fmt: skip
def test_signs_take_the_place_of_relus_and_nearly_linear_quantizers_do_not(
    inputs, relus
):
    model = ResNet8(width=1, input_shape=(4, 4, 1), input_quantizer=inputs)
    assert len(layers_of(model, tf_keras.layers.ReLU)) == relus


def test_the_float_form_of_vgg_small_is_its_twin():
    images = np.random.default_rng(2).normal(size=(2, 28, 28, 1)).astype("float32")
    twin, floats = VGGSmallFP(width=8), BinaryVGGSmall(width=8, **FLOAT)
    floats.set_weights(twin.get_weights())
    np.testing.assert_array_equal(floats(images), twin(images))


def test_a_mistake_is_refused_before_anything_is_built():
    with pytest.raises(UnknownQuantizerError, match='Did you mean "ste_sign"'):
        ResNet8(kernel_quantizer="ste_sing")
    with pytest.raises(ArgumentError, match="CNV: width=0"):
        CNV(width=0)


def test_the_augmentation_pads_by_four_black_pixels_crops_and_mirrors():
    image = np.arange(1, 1 + 32 * 32 * 3, dtype=np.uint16).reshape(32, 32, 3) % 255 + 1
    image = image.astype(np.uint8)
    prepare = datasets.preprocessing("cifar")
    plain = image / np.float32(127.5) - 1
    np.testing.assert_allclose(prepare(image, (0, 0), training=False), plain, atol=1e-6)
    around = np.pad(plain, [(4, 4), (4, 4), (0, 0)], constant_values=-1)
    seen = set()
    for number in range(40):
        result = prepare(tf.constant(image), tf.constant([1, number], tf.int64), True)
        for mirrored in (False, True):
            flipped = np.flip(around, 1) if mirrored else around
            windows = np.lib.stride_tricks.sliding_window_view(flipped, (32, 32, 3))
            fits = np.abs(windows[:, :, 0] - result.numpy()).max((2, 3, 4)) < 1e-6
            seen |= {(mirrored, *place) for place in np.argwhere(fits).tolist()}
    mirrored, rows, columns = zip(*seen, strict=True)
    assert {*mirrored} == {False, True}
    assert {0, 8} <= {*rows} <= {*range(9)}
    assert {*columns} <= {*range(9)}
    assert len({*columns}) > 5


@pytest.mark.slow
def test_a_recipe_says_width_and_quantizers_and_evaluation_reads_them(tmp_path):
    data = datasets.load("fashion_mnist_subset")
    recipe = training.Recipe(
        name="mine", model="binary_vgg_small", dataset="fashion_mnist_subset",
        image_size=8, epochs=1, batch_size=8, train_images=16, validation_images=10,
        width=2, input_quantizer="dorefa(2)", kernel_quantizer="ste_tern",
    )  # fmt: skip
    options = training.Options(
        output=tmp_path / "run", results=tmp_path, tensorboard=False, progress=False
    )
    result = training.train(recipe, options, data=data)
    assert result.row["width"] == 2
    assert result.row["kernel_quantizer"] == "ste_tern"
    evaluated = training.evaluate(tmp_path / "run", data)
    assert evaluated.top1 == pytest.approx(result.row["top1"], abs=0.01)
    wrong = training.Recipe(
        name="wrong", model="quicknet", dataset="fashion_mnist_subset", width=3
    )
    with pytest.raises(ArgumentError, match=r"width=3[\s\S]*binary_vgg_small, cnv"):
        training.train(wrong, replace(options, output=tmp_path / "wrong"), data=data)
