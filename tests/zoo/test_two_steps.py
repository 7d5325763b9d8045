"""Training in two steps: float kernels first, then quantized ones with the weights of the first."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite_zoo import _registered_models, training
from larqlite_zoo._build import finish
from larqlite_zoo._card import Paper
from larqlite_zoo._registered_models import register_model
from larqlite_zoo.training import Adam, Linear, MultiStage, Recipe, _model
from tests.zoo.test_stages import (
    Crash,
    crash_after,
    options,
    weights,
)
from tests.zoo.toys import data

# github.com/liuzechun: ReActNet, {resnet,mobilenet}/{1_step1,2_step2}/run.sh, and
# AdamBNN, step1/run.sh and step2/run.sh.
FIGURES = {
    "TrainReActNet18": ("reactnet18", 512, 2.5e-3, 128, 1e-5),
    "TrainReActNetA": ("reactnet_a", 256, 1.25e-3, 128, 1e-5),
    "TrainAdamBNN": ("reactnet_a", 256, 1.25e-3, 256, 5e-6),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_of_the_papers_repositories(name):
    model, batch, rate, epochs, decay = FIGURES[name]
    first, second = training.recipe(name).stages
    for stage in (first, second):
        assert (stage.model, stage.batch_size, stage.epochs) == (model, batch, epochs)
        assert stage.optimizer.schedule == Linear(rate)
    assert (first.kernel_quantizer, first.optimizer.weight_decay) == ("float", decay)
    assert (second.kernel_quantizer, second.optimizer.weight_decay) == (None, None)
    assert (first.initial_weights, second.initial_weights) == (None, model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reactnet18", "reactnet_a"])
def test_the_first_step_has_the_same_weights_none_of_them_quantized(name):
    made = [
        _registered_models.get(name, input_shape=(32, 32, 3), include_top=False, **how)
        for how in ({}, {"kernel_quantizer": "float"})
    ]
    shapes = [[w.shape for w in model.weights] for model in made]
    assert shapes[0] == shapes[1]
    binary, floats = (lq.models.profile(model).params_by_bits for model in made)
    assert 1 in binary
    assert list(floats) == [32]


@pytest.fixture(autouse=True)
def _toy():
    """A network whose kernels are quantized by whatever a recipe says."""
    before = dict(_registered_models._entries)

    @register_model("two_steps", summary="A toy.", paper=Paper("-", "-", 2026))
    def two_steps(
        *, input_shape=None, weights=None, num_classes=3, kernel_quantizer="seq", **_
    ):
        is_float = kernel_quantizer == "float"
        image = tf_keras.Input(input_shape)
        x = lq.layers.QuantConv2D(
            *(4, 3),
            input_quantizer="rsign",
            kernel_quantizer=None if is_float else kernel_quantizer,
            kernel_constraint=None if is_float else "weight_clip",
            name="conv",
        )(image)
        x = tf_keras.layers.BatchNormalization(momentum=0.5, name="norm")(x)
        x = tf_keras.layers.GlobalAveragePooling2D()(x)
        x = tf_keras.layers.Dense(num_classes, "softmax", dtype="float32", name="out")(
            x
        )
        return finish(image, x, "two_steps", weights=weights, include_top=True)

    yield
    _registered_models._entries.clear()
    _registered_models._entries.update(before)


def stages(kernel_quantizer: str | None = None) -> MultiStage:
    first = Recipe(
        "First", "two_steps", "toy", epochs=2, batch_size=4,
        optimizer=Adam(Linear(0.05)), kernel_quantizer="float",
    )  # fmt: skip
    second = dataclasses.replace(
        first,
        name="Second",
        kernel_quantizer=kernel_quantizer,
        initial_weights="two_steps",
    )
    return MultiStage("FirstSecond", (first, second))


def begun(stage: Recipe, folder: Path) -> tf_keras.Model:
    strategy = tf.distribute.get_strategy()
    return _model.build(stage, data(8), strategy, 2, folder).student


@pytest.mark.parametrize("kernel", ["seq", "ste_sign", "float"])
def test_the_second_step_begins_with_the_weights_of_the_first(kernel, tmp_path):
    first, second = stages(kernel).stages
    student = begun(first, tmp_path / "stage_0")
    rng = np.random.default_rng(0)
    drawn = [rng.normal(size=w.shape).astype("float32") for w in student.weights]
    student.set_weights(drawn)
    (tmp_path / "models").mkdir()
    student.save_weights(tmp_path / "models" / "two_steps_weights.h5")
    model = begun(second, tmp_path / "stage_1")
    layer, before = model.layers[1], student.layers[1]
    np.testing.assert_array_equal(layer.latent_weight(), before.kernel)
    np.testing.assert_array_equal(
        layer.input_quantizer.threshold, before.input_quantizer.threshold
    )
    for one, other in zip(model.layers[2:], student.layers[2:], strict=True):
        for value, expected in zip(one.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected)
    levels = {"seq": range(5, 17), "ste_sign": [2], "float": [36]}
    assert len(np.unique(layer.quantized_weight())) in levels[kernel]
    if kernel == "seq":  # its scales are those of the weights that were carried over
        largest = np.abs(before.kernel).max((0, 1, 2))
        np.testing.assert_allclose(layer.kernel_quantizer.scale, largest, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("stage", [0, 1])
def test_either_step_resumes_where_it_stopped(stage, tmp_path, monkeypatch):
    multi, source = stages(), data(8)
    with monkeypatch.context() as patch:
        crash_after(patch, f"stage_{stage}", 3)
        with pytest.raises(Crash):
            training.train(multi, options(tmp_path / "a"), data=source)
    resumed = training.train(multi, options(tmp_path / "a"), data=source)
    straight = training.train(multi, options(tmp_path / "b"), data=source)
    # Keras numbers quantizers through a process; their order in a layer is the same.
    pairs = zip(
        weights(resumed.weights).values(),
        weights(straight.weights).values(),
        strict=True,
    )
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)
    trained = weights(tmp_path / "a" / "models" / "two_steps_weights.h5")
    (kernel,) = (
        value for name, value in trained.items() if "kernel" in name and value.ndim == 4
    )
    assert len(np.unique(kernel)) == kernel.size
