"""A loss that becomes NaN stops the run and names the step, the layer, the checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite_zoo import _registered_models, datasets, training
from larqlite_zoo._card import Paper

STEPS = 8  # of 16 images in an epoch
IMAGES = 128
_layers = tf_keras.layers


@tf_keras.saving.register_keras_serializable("tests_zoo")
class Overflow(_layers.Layer):
    """The identity, and infinite values from its n-th call in training on."""

    after = 0  # calls; set by a test

    def build(self, input_shape):
        self.calls = self.add_weight("calls", initializer="zeros", trainable=False)

    def call(self, inputs, training=False):
        if not training:
            return inputs
        factor = tf.where(self.calls.assign_add(1.0) > self.after, 1e38, 1.0)
        return inputs * factor * factor


@tf_keras.saving.register_keras_serializable("tests_zoo")
def root(x):
    """Finite at 0, where its derivative is not."""
    return tf.sqrt(tf.nn.relu(x))


@pytest.fixture
def model():
    """Registers a builder of layers as the model "diverging" for one test."""

    def register(make):
        @_registered_models.register_model(
            "diverging", summary="", paper=Paper("", "", 2026), input_shape=(8, 8, 1)
        )
        def diverging(*, input_shape=None, weights=None, num_classes=10):
            x = image = tf_keras.Input(input_shape or (8, 8, 1))
            for layer in make():
                x = layer(x)
            return tf_keras.Model(image, x, name="diverging")

    yield register
    _registered_models._entries.pop("diverging", None)


def train(output: Path, *, bad_image=None, schedule=None, **options):
    generator = np.random.default_rng(3)
    images = generator.integers(0, 255, (IMAGES, 8, 8, 1), np.uint8)
    labels = generator.integers(0, 10, IMAGES)
    source = WithNaN(images, labels)
    source.bad = -1 if bad_image is None else bad_image
    data = datasets.Dataset(
        "noise", source, datasets.ArraySource(images[:16], labels[:16]),
        [str(i) for i in range(10)], (8, 8, 1), "none",
    )  # fmt: skip
    recipe = training.Recipe(
        "TrainDiverging", "diverging", "noise", epochs=2, batch_size=16,
        optimizer=training.SGD(schedule or training.Constant(0.01)),
    )  # fmt: skip
    chosen = {"checkpoint_steps": 3, "progress": False, "tensorboard": False} | options
    return training.train(
        recipe,
        training.Options(output=output, results=output / "results", **chosen),
        data=data,
    )


class WithNaN(datasets.ArraySource):
    """Images of floats, one of which holds a NaN."""

    def load(self, item):
        image, label = super().load(item)
        image = tf.cast(image, tf.float32) / 255.0
        return tf.where(tf.equal(item, self.bad), np.float32("nan"), image), label


def plain(*middle):
    """A small network around some layers."""
    return lambda: [
        _layers.Conv2D(4, 3, name="first"),
        *(layer() for layer in middle),
        _layers.Flatten(name="flat"),
        _layers.Dense(10, name="last"),
        _layers.Activation("softmax", name="softmax"),
    ]


def last_checkpoint(output: Path) -> tuple[int, dict]:
    """The step and the float tensors of the newest checkpoint."""
    path = tf.train.latest_checkpoint(str(output / "checkpoints"))
    reader = tf.train.load_checkpoint(path)
    shapes = reader.get_variable_to_shape_map()
    tensors = {name: reader.get_tensor(name) for name in shapes}
    floats = {k: v for k, v in tensors.items() if np.asarray(v).dtype.kind == "f"}
    assert len(floats) > 4
    return int(path.rsplit("-", 1)[1]), floats


def fails(output, **arguments) -> str:
    """The message of the divergence, after the checks that hold for each."""
    with pytest.raises(training.DivergenceError) as failure:
        train(output, **arguments)
    step, floats = last_checkpoint(output)
    message = str(failure.value)
    assert f"checkpoints/ckpt-{step}." in message
    assert all(np.isfinite(value).all() for value in floats.values())
    assert not (output / "finished.json").exists()
    assert not list(output.glob("*.h5"))
    return message


def position_of(image: int) -> int:
    """The step, counted from 1, whose batch holds an image in the first epoch."""
    order = datasets.ArraySource(np.zeros((IMAGES, 8, 8)), np.zeros(IMAGES)).order(
        tf.constant([1, 0], tf.int64)
    )
    return [int(item) for item in order].index(image) // 16 + 1


def test_an_image_with_nan_is_told_with_its_step(tmp_path, model):
    model(plain())
    message = fails(tmp_path / "run", bad_image=77)
    assert f"not finite at step {position_of(77)} (epoch 1)" in message
    assert "the images of this step hold values that are not finite" in message


def test_a_layer_that_overflows_is_named_with_the_step(tmp_path, model):
    Overflow.after = 12
    model(plain(lambda: Overflow(name="exploding"), lambda: _layers.ReLU(name="after")))
    message = fails(tmp_path / "run")
    assert "not finite at step 13 (epoch 2)" in message
    assert 'Layer: "exploding", its output' in message
    assert last_checkpoint(tmp_path / "run")[0] == 12


def test_a_layer_inside_of_a_model_is_named(tmp_path, model):
    Overflow.after = 4

    def inner():
        layers = [_layers.ReLU(name="before"), Overflow(name="exploding")]
        nested = tf_keras.Sequential(layers, name="nested")
        nested.build((None, 6, 6, 4))
        return nested

    model(plain(inner))
    message = fails(tmp_path / "run")
    assert "not finite at step 5 (epoch 1)" in message
    assert 'Layer: "exploding", its output' in message


def test_a_layer_whose_gradient_is_nan_is_named(tmp_path, model):
    model(
        plain(
            lambda: _layers.Activation(root, name="rooted"),
            lambda: _layers.Conv2D(4, 3, name="second"),
        )
    )
    message = fails(tmp_path / "run")
    assert "not finite at step 1 (epoch 1)" in message
    assert 'Layer: "rooted", its gradient' in message
    assert last_checkpoint(tmp_path / "run")[0] == 0


def test_a_learning_rate_that_grows_without_end_stops_and_leaves_a_good_checkpoint(
    tmp_path, model
):
    model(plain(lambda: _layers.Dropout(0.2, name="dropout")))
    message = fails(tmp_path / "run", schedule=training.Steps(1e-2, (1,), (1e25,)))
    step = int(message.split("at step ")[1].split()[0])
    assert STEPS < step <= STEPS + 4
    assert "(epoch 2)" in message
    assert 'Layer: "' in message


def test_a_loss_of_the_validation_that_is_not_finite_stops_too(tmp_path, model):
    class Twice(_layers.Layer):
        """Infinite in validation only, as a broken moving variance makes it."""

        def call(self, inputs, training=False):
            return inputs if training else inputs / 0.0

    model(plain(lambda: Twice(name="twice")))
    message = fails(tmp_path / "run")
    assert "the loss of the validation is not finite at step 8 (epoch 1)" in message
    assert 'Layer: "twice", its output' in message
    assert last_checkpoint(tmp_path / "run")[0] == 6
