"""A trained network, in float and in integers of several bits, that tests only read."""

import functools

import pytest
import tf_keras

import larqlite as lq
from tests.common.eager import eagerly
from tests.integer import networks

SAMPLES = networks.images()[1][0][:64]


@pytest.fixture(scope="session")
def cnn():
    """A float network of convolutions, trained on 2,048 images."""
    tf_keras.utils.set_random_seed(3)
    model = networks.compiled(networks.float_cnn(), 4e-3)
    images, labels = networks.images()[0]
    model.fit(images[:2048], labels[:2048], 64, 1, verbose=0)
    return model


@pytest.fixture(scope="session")
def integer_cnn(cnn):
    """`integer_cnn(**bits)`: the same in integers, made once for each configuration."""

    @functools.cache
    def quantized(**bits):
        params = lq.integer.models.QuantizationParams(**bits)
        with eagerly():
            return lq.integer.models.quantize(
                cnn, qparams=params, samples=SAMPLES, batch_size=64
            )

    return quantized
