"""The networks of `keras.applications` come in: all of them, and a small one of each family."""

from __future__ import annotations

import time

import keras
import numpy as np
import pytest

from larqlite.from_keras import convert
from tests.from_keras.networks import randomized_as_trained

APPLICATIONS = sorted(
    name
    for name in dir(keras.applications)
    if name[0].isupper() and callable(getattr(keras.applications, name))
)
SMALLEST = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}


def family(module, function, **settings):
    """A network of a family with few blocks, out of the function that builds all of it."""
    source = __import__(f"keras.src.applications.{module}", fromlist=[function])
    return getattr(source, function)(
        weights=None, input_shape=(32, 32, 3), classes=3, **settings
    )


def cut(name, end, size):
    """The first blocks of a network that comes in one size only."""
    whole = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), include_top=False
    )
    return keras.Model(whole.inputs, whole.get_layer(end).output)


def resnet(preact):
    from keras.src.applications import resnet

    version = "v2" if preact else "v1"
    stack = getattr(resnet, f"stack_residual_blocks_{version}")
    return family(
        "resnet", "ResNet", preact=preact, use_bias=True, include_top=False,
        stack_fn=lambda x: stack(x, 4, 2, name="a"),
    )  # fmt: skip


FAMILIES = {
    "VGG": lambda: keras.applications.VGG16(
        weights=None, input_shape=(32, 32, 3), include_top=False
    ),
    "ResNet": lambda: resnet(False),
    "ResNetV2": lambda: resnet(True),
    "MobileNet": lambda: keras.applications.MobileNet(
        weights=None, input_shape=(32, 32, 3), alpha=0.25, classes=3
    ),
    "MobileNetV2": lambda: keras.applications.MobileNetV2(
        weights=None, input_shape=(32, 32, 3), alpha=0.35, classes=3
    ),
    "MobileNetV3": lambda: keras.applications.MobileNetV3Small(
        weights=None, input_shape=(32, 32, 3), alpha=0.75, classes=3
    ),
    "DenseNet": lambda: family("densenet", "DenseNet", blocks=[1, 2, 1, 1]),
    "EfficientNet": lambda: family(
        "efficientnet", "EfficientNet", width_coefficient=0.25, depth_coefficient=0.3,
        default_size=32,
    ),
    "EfficientNetV2": lambda: family(
        "efficientnet_v2", "EfficientNetV2", width_coefficient=0.25, depth_coefficient=0.1,
        default_size=32, name="efficientnetv2-b0",
    ),
    "ConvNeXt": lambda: family(
        "convnext", "ConvNeXt", depths=[1, 1, 1, 1], projection_dims=[8, 8, 16, 16]
    ),
    "NASNet": lambda: family(
        "nasnet", "NASNet", penultimate_filters=96, num_blocks=1, stem_block_filters=4,
        skip_reduction=False,
    ),
    "Inception": lambda: cut("InceptionV3", "mixed0", 75),
    "InceptionResNet": lambda: cut("InceptionResNetV2", "block35_1_ac", 75),
    "Xception": lambda: cut("Xception", "block4_pool", 71),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_of_a_family_comes_in(name):
    theirs = randomized_as_trained(FAMILIES[name]())
    converted = convert(theirs)
    assert max(converted.differences.values()) <= 1e-5
    assert converted.difference <= 1e-4
    assert len(converted.model.weights) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_application_comes_in_at_its_smallest_size(name):
    size = SMALLEST.get(name, 32)
    theirs = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), include_top=False, pooling="avg"
    )
    converted = convert(randomized_as_trained(theirs))
    assert max(converted.differences.values()) <= 1e-5
    x = np.random.default_rng(5).uniform(0, 255, (1, size, size, 3)).astype("float32")
    ours, reference = converted.model(x, training=False), theirs(x, training=False)
    assert np.shape(ours) == np.shape(reference)


@pytest.mark.slow
def test_mobilenetv2_comes_in_within_three_seconds_beyond_building_it_twice():
    convert(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))  # imports
    start = time.process_time()
    theirs = keras.applications.MobileNetV2(weights=None)
    twice = 2 * (time.process_time() - start)
    start = time.process_time()
    convert(theirs)
    assert time.process_time() - start < 3 + twice
