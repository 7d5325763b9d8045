"""Every registered model: costs, training, files, trunk, inputs, and what it refuses.

Outputs are compared with Larq Zoo's in `test_larq_zoo_files.py`.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite.errors import ArgumentError, KerasVersionError
from larqlite_zoo._figures import COSTS, compute_costs
from larqlite_zoo._registered_models import find
from tests.common.graphs import all_given_back

NAMES = larqlite_zoo.list_models()
FAST = ("binary_vgg_small",)

# The smallest that each network takes, or near; the others are built at 64x64.
SIDES = {"xnornet": 217, "quicknet_small": 32}

# Padded throughout, so that three rows leave something at the end.
OF_ANY_SIZE = ("birealnet", "binary_resnet_e18", "binary_densenet37_dilated")

# Larq Zoo 2.4.0: count_params at 224x224 with 1000 classes, and the channels of the
# features that come out without the classifier.
LARQ_ZOO = {
    "binary_alexnet": (61_859_192, 256),
    "birealnet": (11_699_112, 512),
    "binary_resnet_e18": (11_699_368, 512),
    "binary_densenet28": (5_150_504, 576),
    "binary_densenet37": (8_734_120, 640),
    "binary_densenet37_dilated": (8_734_120, 640),
    "binary_densenet45": (13_939_240, 800),
    "dorefanet": (62_403_912, 256),
    "meliusnet22": (6_969_672, 512),
    "real_to_binary_net": (11_995_624, 512),
    "xnornet": (62_396_768, 4096),
    "quicknet_small": (12_664_344, 512),
    "quicknet": (13_243_720, 512),
    "quicknet_large": (23_359_304, 512),
}

each_name = pytest.mark.parametrize("name", NAMES)
each_name_slowly = pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in NAMES],
)


def shape_of(name: str, channels: int | None = None) -> tuple[int, int, int]:
    """A small image of the model, of its card's size if that is small."""
    height, width, usual = larqlite_zoo.card(name).input_shape
    if name in SIDES or height > 64:
        height = width = SIDES.get(name, 64)
    return height, width, channels or usual


def images(shape: tuple[int, ...], count: int = 4) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(count, *shape)).astype("float32")


def build(name: str, **arguments) -> tf_keras.Model:
    arguments = {"weights": None, "num_classes": 10} | arguments
    if "input_tensor" not in arguments:
        arguments.setdefault("input_shape", shape_of(name))
    return larqlite_zoo.get(name, **arguments)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(n, marks=[] if n in FAST else pytest.mark.slow) for n in NAMES
    ],
)
def trained(request):
    """A model after ten steps on one batch: its name, itself, its losses, a batch."""
    with all_given_back():
        yield _after_ten_steps(request.param)


def _after_ten_steps(name):
    tf_keras.utils.set_random_seed(20260101)
    model = build(name)
    batch = images(model.input_shape[1:])
    # The learning rate is small enough for float twins, large enough for signs to flip.
    model.compile(tf_keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    labels = np.arange(len(batch)) % 10
    losses = [model.train_on_batch(batch, labels) for _ in range(11)]
    return name, model, losses, batch


def test_ten_steps_on_one_batch_lower_the_loss(trained):
    _, _, losses, _ = trained
    assert np.all(np.isfinite(losses))
    assert losses[10] < 0.9 * losses[0]


def test_probabilities_come_out_in_float32(trained):
    _, model, _, batch = trained
    probabilities = model.predict(batch, verbose=0)
    assert probabilities.shape == (4, 10)
    assert model.output.dtype == tf.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    # With the statistics of the batch: after ten steps the moving ones are still far off,
    # and saturate the softmax of some networks.
    of_batch = model(batch, training=True).numpy()
    assert np.ptp(of_batch, axis=0).max() > 0, "every image gives the same"


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_saved_model_gives_equal_outputs(trained, ending, tmp_path):
    _, model, _, batch = trained
    model.save(tmp_path / f"model{ending}")
    loaded = tf_keras.models.load_model(tmp_path / f"model{ending}")
    assert not any(isinstance(x, tf_keras.layers.Lambda) for x in loaded.layers)
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded(batch), model(batch))


def test_the_summary_knows_every_layer(trained):
    _, model, _, _ = trained
    printed = []
    profile = lq.models.summary(model, print_fn=printed.append)
    assert "?" not in "".join(printed)
    assert profile.trained_params == model.count_params()
    assert not profile.notes


def test_the_trunk_gives_what_enters_the_head_of_the_whole(trained):
    name, model, _, batch = trained
    trunk = build(name, include_top=False)
    assert type(trunk) is type(model)
    assert trunk.output.shape.rank == 4
    if name in LARQ_ZOO:
        assert trunk.output_shape[-1] == LARQ_ZOO[name][1]
    trunk.set_weights(model.get_weights()[: len(trunk.weights)])
    enters_the_head = model.layers[len(trunk.layers) - 1]
    head = model.layers[len(trunk.layers) :]
    assert head
    assert not any(isinstance(x, lq.layers.QuantConv2D) and x.strides != (1, 1)
                   for x in head)  # fmt: skip
    within = tf_keras.Model(model.input, enters_the_head.output)
    features = trunk(batch)
    np.testing.assert_array_equal(features, within(batch))
    x = tf.constant(features)
    for layer in head:
        x = layer(x)
    np.testing.assert_allclose(x, model(batch), atol=1e-6)


def test_it_starts_from_a_tensor_inside_of_another_graph(trained):
    name, model, _, batch = trained
    given = tf_keras.layers.Input(model.input_shape[1:])
    halved = tf_keras.layers.Rescaling(0.5)(given)
    inside = build(name, input_tensor=halved)
    assert inside.input is given
    assert any(layer.output is halved for layer in inside.layers)
    inside.set_weights(model.get_weights())
    np.testing.assert_allclose(
        inside(batch),
        model(0.5 * batch),
        atol=1e-6,
    )
    alone = build(name, input_tensor=tf_keras.layers.Input(model.input_shape[1:]))
    assert [w.shape for w in alone.weights] == [w.shape for w in model.weights]


@each_name_slowly
def test_images_of_one_and_of_four_channels_go_through(name):
    for channels in (1, 4):
        shape = shape_of(name, channels)
        trunk = build(name, input_shape=shape, include_top=False)
        assert trunk.weights[0].shape[2] == channels
        assert np.all(np.isfinite(trunk(images(shape, count=1))))


@each_name_slowly
def test_the_shipped_costs_are_those_of_the_model(name):
    tf_keras.backend.clear_session()
    assert larqlite_zoo.card(name).costs == compute_costs(find(name))


@each_name
def test_the_card_has_shipped_costs(name):
    row = json.loads(COSTS.read_text())[name]
    assert larqlite_zoo.card(name).costs.deployed_bytes == row["deployed_bytes"]
    assert row["parameters"] >= row["deployed_parameters"] > 0


@pytest.mark.parametrize("name", LARQ_ZOO)
def test_the_card_has_larq_zoos_number_of_parameters(name):
    assert larqlite_zoo.card(name).costs.parameters == LARQ_ZOO[name][0]


@each_name
def test_an_unknown_word_for_weights_is_refused(name):
    with pytest.raises(ArgumentError, match='"imagenett"') as caught:
        build(name, weights="imagenett")
    assert str(caught.value).startswith((find(name).function, name))


@each_name
def test_classes_that_do_not_fit_published_weights_are_refused(name):
    if not larqlite_zoo.card(name).weights:
        with pytest.raises(ArgumentError, match="nobody published"):
            build(name, weights="imagenet")
        return
    word = larqlite_zoo.card(name).weights[0].dataset
    with pytest.raises(ArgumentError, match=r"num_classes=7\b") as caught:
        build(name, weights=word, num_classes=7)
    assert ("1000" if word == "imagenet" else "10") in str(caught.value)


@each_name
def test_a_classifier_without_classes_is_refused(name):
    with pytest.raises(ArgumentError, match="num_classes=0"):
        build(name, num_classes=0)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in OF_ANY_SIZE])
def test_an_image_with_its_channels_first_is_refused_as_too_small(name):
    with pytest.raises(ArgumentError, match=r"\(3, 64, 64\) is too small"):
        build(name, input_shape=(3, 64, 64))


@each_name
@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3, 1), (64, -1, 3), (64, 64, 0)])
def test_a_shape_that_is_no_image_is_refused(name, shape):
    with pytest.raises(ArgumentError) as caught:
        build(name, input_shape=shape)
    assert str(shape) in str(caught.value)


@each_name
def test_a_classifier_needs_a_size(name):
    with pytest.raises(ArgumentError, match=r"\(None, None, 3\)"):
        build(name, input_shape=(None, None, 3))


@each_name
def test_a_tensor_of_keras_3_is_refused(name):
    import keras  # Keras 3, which TensorFlow brings along

    with pytest.raises(KerasVersionError, match="input_tensor") as caught:
        build(name, input_tensor=keras.Input(shape_of(name)))
    assert str(caught.value).startswith((find(name).function, name))


@each_name
def test_a_tensor_of_another_shape_than_the_argument_is_refused(name):
    given = tf_keras.layers.Input(shape_of(name))
    with pytest.raises(ArgumentError, match=r"input_shape=\(999, 999, 3\)"):
        build(name, input_tensor=given, input_shape=(999, 999, 3))
