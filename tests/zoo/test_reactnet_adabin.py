"""ReActNet, AdaBin and BinaryResNet20: sizes against the papers, structure by hand.

The checks that every model goes through are in `test_every_model.py`.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite_zoo.literature import AdaBinResNet18, ReActNet18, ReActNetA
from larqlite_zoo.small import BinaryResNet20
from tests.zoo.toys import zero_kernels

MODELS = {
    "ReActNet18": (ReActNet18, 64),
    "ReActNetA": (ReActNetA, 64),
    "AdaBinResNet18": (AdaBinResNet18, 64),
    "BinaryResNet20": (BinaryResNet20, 32),
}
# Registered name and Keras name.
NAMES = {
    "ReActNet18": "reactnet18",
    "ReActNetA": "reactnet_a",
    "AdaBinResNet18": "adabin_resnet18",
    "BinaryResNet20": "binary_resnet20",
}
LARGE = ("ReActNet18", "ReActNetA", "AdaBinResNet18")
every_model = pytest.mark.parametrize("name", MODELS)
_cache: dict[str, tf_keras.Model] = {}


def model_of(name: str) -> tf_keras.Model:
    """The model for ten classes at a small size, made once."""
    if name not in _cache:
        build, side = MODELS[name]
        with zero_kernels():
            _cache[name] = build(input_shape=(side, side, 3), num_classes=10)
    return _cache[name]


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back():
    yield
    _cache.clear()
    tf_keras.backend.clear_session()


class Layout:
    """Binary and float multiplications, and parameters, of a network counted by hand.

    Attributes:
        side: of the image at this point; it is halved as the network goes on.
        binary, floats: multiply-accumulates so far.
        kernels, others: binary weights, and float parameters with fused normalizations.
        normalized: channels of all batch normalizations.
    """

    def __init__(self, side: int):
        self.side = side
        self.binary = self.floats = self.kernels = self.others = self.normalized = 0

    def halve(self):
        self.side = -(-self.side // 2)

    def conv(self, size: int, into: int, out: int, binary: bool = True):
        weights = size * size * into * out
        macs = weights * self.side**2
        self.binary += macs * binary
        self.floats += macs * (not binary)
        self.kernels += weights * binary
        self.others += weights * (not binary) + 2 * out
        self.normalized += out

    def classify(self, channels: int, classes: int):
        self.floats += channels * classes
        self.others += channels * classes + classes

    def reactnet18(self, classes: int, adabin: bool = False) -> Layout:
        self.halve()
        self.conv(7, 3, 64, binary=False)
        self.halve()
        channels = 64
        self.others += 2 * 64 * adabin
        for filters in (64, 128, 256, 512):
            for _ in range(4):
                if filters != channels:
                    self.halve()
                    self.conv(1, channels, filters, binary=False)
                self.conv(3, channels, filters)
                # AdaBin: two numbers for activations, two slopes a channel.
                # ReActNet: a threshold an input channel, three numbers an output channel.
                self.others += 2 + 2 * filters if adabin else channels + 3 * filters
                channels = filters
        if adabin:
            self.others += 2 * 512
            self.normalized += 512
        self.classify(512, classes)
        return self

    def reactnet_a(self, classes: int) -> Layout:
        self.halve()
        self.conv(3, 3, 32, binary=False)
        outs = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
        strides = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]  # MobileNet-V1, table 1
        channels = 32
        for out, stride in zip(outs, strides, strict=True):
            if stride == 2:
                self.halve()
            self.conv(3, channels, channels)
            self.conv(1, channels, out)
            self.others += (channels + 3 * channels) + (channels + 3 * out)
            channels = out
        self.classify(1024, classes)
        return self

    def resnet20(self, classes: int) -> Layout:
        self.conv(3, 3, 16, binary=False)
        channels = 16
        for filters in (16, 32, 64):
            for _ in range(6):
                if filters != channels:
                    self.halve()
                self.conv(3, channels, filters)
                self.others += filters
                channels = filters
        self.classify(64, classes)
        return self


def by_hand(name: str, side: int, classes: int) -> Layout:
    layout = Layout(side)
    return {
        "ReActNet18": lambda: layout.reactnet18(classes),
        "AdaBinResNet18": lambda: layout.reactnet18(classes, adabin=True),
        "ReActNetA": lambda: layout.reactnet_a(classes),
        "BinaryResNet20": lambda: layout.resnet20(classes),
    }[name]()


def check_counts(model: tf_keras.Model, expected: Layout):
    costs = lq.models.profile(model)
    assert costs.bops == expected.binary
    assert costs.flops == expected.floats
    assert costs.params_by_bits == {1: expected.kernels, 32: expected.others}
    assert model.count_params() == (
        expected.kernels + expected.others + 2 * expected.normalized
    )
    assert not costs.notes
    assert not any(layer.notes for layer in costs.layers)


@every_model
def test_parameters_and_operations_are_those_counted_by_hand(name):
    check_counts(model_of(name), by_hand(name, MODELS[name][1], classes=10))


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_at_full_size_too(name):
    check_counts(MODELS[name][0](), by_hand(name, 224, classes=1000))


class TestThePapersFigures:
    """The hand counts at 224x224, which the tests above hold the models to."""

    def test_reactnet_a_has_the_operations_of_the_paper(self):
        # OPs: the authors' README. BOPs and FLOPs: the paper, table 1.
        counted = by_hand("ReActNetA", 224, classes=1000)
        assert round(counted.binary / 1e9, 2) == 4.82
        assert round(counted.floats / 1e8, 2) == 0.12
        assert round((counted.binary / 64 + counted.floats) / 1e8, 2) == 0.87
        assert round((counted.kernels + counted.others) / 1e6, 1) == 29.3

    def test_reactnet18_has_one_percent_more_operations_than_its_readme_says(self):
        counted = by_hand("ReActNet18", 224, classes=1000)
        assert round(counted.binary / 1e9, 2) == 1.68
        operations = counted.binary / 64 + counted.floats
        assert operations == pytest.approx(1.63e8, rel=0.01)
        # More than 1.63e8 although the difference is small: nothing is rounded away.
        assert operations == 163_985_408

    def test_adabin_has_the_products_of_reactnet18_and_fewer_parameters(self):
        adabin = by_hand("AdaBinResNet18", 224, classes=1000)
        reactnet = by_hand("ReActNet18", 224, classes=1000)
        assert (adabin.binary, adabin.floats) == (reactnet.binary, reactnet.floats)
        # 4.35 MB in the BEANet paper's table, without saying what it counts.
        kilobytes = (adabin.kernels + 32 * adabin.others) / 8e3
        assert kilobytes == pytest.approx(4350, rel=0.03)
        assert adabin.others < reactnet.others


@every_model
def test_it_is_listed_under_its_names_and_takes_the_arguments_of_all(name):
    build, _ = MODELS[name]
    assert NAMES[name] in larqlite_zoo.list_models()
    assert larqlite_zoo.card(NAMES[name]).function == name
    assert model_of(name).name == NAMES[name]
    parameters = inspect.signature(build).parameters
    of_all = ("input_shape", "input_tensor", "weights", "include_top", "num_classes")
    assert tuple(parameters)[:5] == of_all
    assert {*parameters} - {*of_all} <= {"width", "input_quantizer", "kernel_quantizer"}
    assert parameters["weights"].default is None


@every_model
def test_every_inner_convolution_is_binary_on_binary(name):
    kernels = [
        layer
        for layer in lq.models.profile(model_of(name)).layers
        if layer.class_name == "QuantConv2D"
    ]
    assert (
        len(kernels)
        == {
            "ReActNet18": 16,
            "ReActNetA": 13
            + 13
            + 5,  # 3x3, 1x1, and a second 1x1 where channels double
            "AdaBinResNet18": 16,
            "BinaryResNet20": 18,
        }[name]
    )
    assert {layer.input_precision for layer in kernels} == {1}


def test_a_block_of_reactnet18_computes_its_formula():
    model = model_of("ReActNet18")
    first = model.layers[4]
    rng = np.random.default_rng(8)
    for layer in model.layers[4:8]:
        layer.set_weights(
            [w + 0.1 * rng.normal(size=w.shape) ** 2 for w in layer.get_weights()]
        )
    conv, norm, bend = model.layers[4], model.layers[5], model.layers[7]
    x = rng.normal(size=(1, 16, 16, 64)).astype("float32")
    kernel, threshold = conv.get_weights()
    scale = abs(kernel).mean((0, 1, 2))
    binary = scale * np.where(kernel < 0, -1, 1)
    y = tf.nn.conv2d(np.where(x < threshold, -1.0, 1.0), binary, 1, "SAME").numpy()
    gamma, beta, mean, variance = norm.get_weights()
    y = gamma * (y - mean) / np.sqrt(variance + 1e-5) + beta + x
    at, slope, up = bend.get_weights()
    expected = np.where(y > at, y - at, slope * (y - at)) + up
    block = tf_keras.Model(first.input, bend.output)
    np.testing.assert_allclose(block(x), expected, rtol=1e-4, atol=1e-4)


def test_thresholds_and_sets_learn_in_ten_steps():
    # A network of the same parts, small enough to train in a test.
    images = np.random.default_rng(9).normal(size=(8, 8, 8, 3)).astype("float32")
    labels = np.arange(8) % 4
    for input_quantizer, kernel_quantizer, activation in (
        ("rsign", "magnitude_aware_sign", lq.layers.RPReLU),
        ("adabin_activations", "adabin_weights", lq.layers.TwoSlopeReLU),
    ):
        model = tf_keras.Sequential(
            [
                tf_keras.layers.Conv2D(8, 3, input_shape=(8, 8, 3)),
                tf_keras.layers.BatchNormalization(),
                lq.layers.QuantConv2D(
                    8,
                    3,
                    input_quantizer=input_quantizer,
                    kernel_quantizer=kernel_quantizer,
                    kernel_constraint="weight_clip",
                ),
                activation(),
                tf_keras.layers.Flatten(),
                tf_keras.layers.Dense(4),
            ]
        )
        learned = [*model.layers[2].input_quantizer.weights, *model.layers[3].weights]
        before = [weight.numpy() for weight in learned]
        loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(tf_keras.optimizers.Adam(0.01), loss, run_eagerly=True)
        losses = [model.train_on_batch(images, labels) for _ in range(11)]
        assert losses[-1] < 0.8 * losses[0]
        for weight, old in zip(learned, before, strict=True):
            assert not np.array_equal(weight, old), weight.name


def test_binary_resnet20_takes_fashion_mnist():
    trunk = BinaryResNet20(input_shape=(28, 28, 1), include_top=False)
    assert trunk.output_shape == (None, 7, 7, 64)


@every_model
def test_images_too_small_are_refused(name):
    smallest = {"BinaryResNet20": 4}.get(name, 17)
    with pytest.raises(lq.errors.ArgumentError, match=f"at least \\({smallest}, "):
        MODELS[name][0](input_shape=(64, smallest - 1, 3))


@pytest.mark.slow
def test_a_fresh_process_loads_a_saved_model(tmp_path, run_fork):
    model = model_of("ReActNet18")
    x = np.random.default_rng(10).normal(size=(2, 64, 64, 3)).astype("float32")
    np.savez(tmp_path / "data.npz", x=x, y=model.predict(x, verbose=0))
    model.save(tmp_path / "model.keras")
    printed = run_fork(
        """
        import numpy as np, larqlite, tf_keras
        data = np.load("data.npz")
        model = tf_keras.models.load_model("model.keras")
        print(np.array_equal(model.predict(data["x"], verbose=0), data["y"]))
        """
    )
    assert printed.split()[-1] == "True"


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_an_odd_image_shrinks_alike_on_both_paths(name):
    build, _ = MODELS[name]
    trunk = build(input_shape=(33, 47, 3), include_top=False)
    assert trunk.output_shape[1:3] == (2, 2)
    assert np.isfinite(trunk(np.ones((1, 33, 47, 3), "float32"))).all()
