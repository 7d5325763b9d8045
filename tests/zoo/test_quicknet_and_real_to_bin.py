"""QuickNet, MeliusNet22 and the real-to-binary family: their own layers and promises."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite.errors import ArgumentError
from larqlite_zoo.literature.meliusnet import AddToLastChannels, SplitChannels
from larqlite_zoo.literature.strong_baseline import LearnedRescale
from larqlite_zoo.sota.quicknet import BlurPool

PUBLISHED = (
    "MeliusNet22",
    "RealToBinaryNet",
    "QuickNetSmall",
    "QuickNet",
    "QuickNetLarge",
)
UNPUBLISHED = (
    "RealToBinNetFP",
    "RealToBinNetBAN",
    "RealToBinNetBNN",
    "StrongBaselineNetBAN",
    "StrongBaselineNetBNN",
    "ResNet18FP",
)
# Model -> the beginning of the names of its layers.
FAMILY = {
    "ResNet18FP": "resnet_fp",
    "RealToBinNetFP": "r2b_fp",
    "RealToBinNetBAN": "r2b_ban",
    "RealToBinaryNet": "r2b_bnn",
    "StrongBaselineNetBAN": "baseline_ban",
    "StrongBaselineNetBNN": "baseline_bnn",
}
# Model -> (quantized inputs, quantized kernels, penalties) of its 3x3 convolutions.
STAGES = {
    "RealToBinNetFP": (False, False, 17 + 3 + 32),
    "RealToBinNetBAN": (True, False, 17 + 3 + 32),
    "RealToBinaryNet": (True, True, 0),
    "StrongBaselineNetBAN": (True, False, 17 + 3 + 48),
    "StrongBaselineNetBNN": (True, True, 0),
}


def slow_but(names, fast):
    return [pytest.param(n, marks=[] if n in fast else pytest.mark.slow) for n in names]


def function_of(name: str):
    return getattr(larqlite_zoo.sota, name, None) or getattr(
        larqlite_zoo.literature, name
    )


@pytest.fixture(autouse=True)
def _memory_is_given_back():
    yield
    tf_keras.backend.clear_session()


@pytest.mark.parametrize("name", [*PUBLISHED, *UNPUBLISHED])
def test_arguments_are_those_of_larq_zoo_and_keywords_only(name):
    parameters = inspect.signature(function_of(name)).parameters
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert {key: parameter.default for key, parameter in parameters.items()} == {
        "input_shape": None,
        "input_tensor": None,
        "weights": "imagenet" if name in PUBLISHED else None,
        "include_top": True,
        "num_classes": 1000,
    }


@pytest.mark.parametrize("name", slow_but(FAMILY, fast=["ResNet18FP"]))
def test_distillation_finds_blocks_of_equal_shapes_and_logits(name, kernels_of_zeros):
    model = function_of(name)(input_shape=(64, 64, 3), num_classes=5, weights=None)
    assert model.name == FAMILY[name]
    shapes = []
    for block in range(2, 10):
        (found,) = [x for x in model.layers if f"block_{block}_out" in x.name]
        assert found.name == f"{FAMILY[name]}_block_{block}_out"
        shapes.append(found.output_shape[1:])
    sides_and_channels = ((16, 64), (8, 128), (4, 256), (2, 512))
    assert shapes == [(s, s, c) for s, c in sides_and_channels for _ in range(2)]
    (logits,) = [x for x in model.layers if "logits" in x.name]
    assert logits.output_shape == (None, 5)
    assert logits.activation is tf_keras.activations.linear


@pytest.mark.parametrize("name", slow_but(STAGES, fast=["StrongBaselineNetBAN"]))
def test_each_stage_binarizes_and_penalizes_what_it_should(name, kernels_of_zeros):
    inputs, kernels, penalties = STAGES[name]
    model = function_of(name)(input_shape=(32, 32, 3), num_classes=5, weights=None)
    convolutions = [x for x in model.layers if isinstance(x, lq.layers.QuantConv2D)]
    assert len(convolutions) == 16
    for layer in convolutions:
        assert (layer.input_quantizer is not None) == inputs
        assert (layer.kernel_quantizer is not None) == kernels
        assert (layer.kernel_constraint is not None) == kernels
    # Float: the stem, 16 kernels, 3 shortcuts, and the weights of scales or gates.
    assert len(model.losses) == penalties
    assert ("tanh" in " ".join(x.name for x in model.layers)) == (not inputs)


def test_a_learned_rescale_multiplies_rows_columns_and_channels():
    layer, rng = LearnedRescale(), np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    np.testing.assert_array_equal(layer(x), x)
    assert [w.shape.as_list() for w in layer.weights] == [
        [3, 1, 1],
        [1, 4, 1],
        [1, 1, 5],
    ]
    rows, columns, channels = (rng.normal(size=n).astype("float32") for n in (3, 4, 5))
    layer.set_weights(
        [rows[:, None, None], columns[None, :, None], channels[None, None]]
    )
    expected = np.einsum("nhwc,h,w,c->nhwc", x, rows, columns, channels)
    np.testing.assert_allclose(layer(x), expected, atol=1e-6)


def test_the_strong_baseline_says_that_it_needs_a_size():
    StrongBaselineNetBNN = function_of("StrongBaselineNetBNN")
    with pytest.raises(ArgumentError, match=r"StrongBaselineNetBNN.*\(None, None, 3\)"):
        StrongBaselineNetBNN(input_shape=(None, None, 3), include_top=False)
    with pytest.raises(ArgumentError, match=r"StrongBaselineNetBNN.*\(64, None, 3\)"):
        StrongBaselineNetBNN(
            input_tensor=tf_keras.Input((64, None, 3)), include_top=False
        )
    with pytest.raises(ArgumentError, match=r'(?s)"scale".*fixed input_shape'):
        LearnedRescale(name="scale")(tf_keras.Input((None, 4, 5)))


def test_split_channels_are_the_slices_and_concatenate_to_the_whole():
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 12)).astype("float32")
    parts = SplitChannels(4)(x)
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(part, x[..., 3 * i : 3 * i + 3])
    with pytest.raises(ArgumentError, match=r'"cut": 12 channels.*5 equal parts'):
        SplitChannels(5, name="cut")(x)
    with pytest.raises(ArgumentError, match="parts=0"):
        SplitChannels(0)


def test_an_improvement_changes_the_last_channels_only():
    rng = np.random.default_rng(0)
    wide, narrow = (rng.normal(size=(2, 3, 3, c)).astype("float32") for c in (7, 4))
    y = AddToLastChannels()([wide, narrow]).numpy()
    np.testing.assert_array_equal(y[..., :3], wide[..., :3])
    np.testing.assert_array_equal(y[..., 3:], wide[..., 3:] + narrow)
    with pytest.raises(ArgumentError, match=r'"merge": 7 channels.*of 4'):
        AddToLastChannels(name="merge")([narrow, wide])


def test_a_blur_is_binomial_in_both_directions():
    kernel = BlurPool()((3, 5, 2, 1), "float64").numpy()
    for channel in (0, 1):
        expected = np.outer([1, 2, 1], [1, 4, 6, 4, 1]) / 64
        np.testing.assert_allclose(kernel[:, :, channel, 0], expected)


def test_quicknet_trains_everything_but_its_blurs():
    model = larqlite_zoo.get(
        "quicknet_small", input_shape=(32, 32, 3), weights=None, num_classes=3
    )
    blurs = [x for x in model.layers if x.weights and not x.trainable]
    assert len(blurs) == 3
    before = [blur.get_weights()[0] for blur in blurs]
    for kernel in before:
        np.testing.assert_allclose(kernel.sum(axis=(0, 1)), 1)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(np.ones((2, 32, 32, 3)), np.array([0, 1]))
    for blur, kernel in zip(blurs, before, strict=True):
        np.testing.assert_array_equal(blur.get_weights()[0], kernel)
    convolutions = [x for x in model.layers if isinstance(x, lq.layers.QuantConv2D)]
    assert {x.pad_values for x in convolutions} == {1.0}
    assert {x.kernel_constraint.clip_value for x in convolutions} == {1.25}


@pytest.mark.parametrize("size", [(29, 29), (75, 101)])
def test_quicknet_takes_odd_sizes_down_to_its_smallest(size):
    model = larqlite_zoo.get(
        "quicknet_small", input_shape=(*size, 3), weights=None, include_top=False
    )
    y = model(tf.ones([1, *size, 3]))
    assert y.shape[-1] == 512
    assert np.isfinite(y).all()
    with pytest.raises(ArgumentError, match=r"\(28, 29, 3\).*\n.*\(29, 29, 3\)"):
        larqlite_zoo.get("quicknet_small", input_shape=(28, 29, 3), weights=None)


@pytest.mark.parametrize(
    "name", slow_but(["quicknet_small", "meliusnet22", "real_to_binary_net"], fast=[])
)
def test_a_trunk_of_open_size_agrees_with_one_of_fixed_size(name):
    arguments = {"weights": None, "include_top": False}
    open_sized = larqlite_zoo.get(name, **arguments)
    assert open_sized.input_shape == (None, None, None, 3)
    fixed = larqlite_zoo.get(name, input_shape=(64, 96, 3), **arguments)
    fixed.set_weights(open_sized.get_weights())
    x = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype("float32")
    y = fixed(x).numpy()
    # The two average in another order, and features of the gated network reach hundreds.
    np.testing.assert_allclose(open_sized(x), y, rtol=0, atol=1e-4 * np.abs(y).max())


def test_the_layers_load_in_a_fresh_process_after_importing_the_zoo(tmp_path, run_fork):
    image = tf_keras.Input((8, 8, 4))
    x = tf_keras.layers.DepthwiseConv2D(3, depthwise_initializer=BlurPool())(image)
    x = LearnedRescale(tf_keras.regularizers.L2(0.5))(x)
    parts = SplitChannels(2)(x)
    model = tf_keras.Model(image, AddToLastChannels()([x, parts[1]]))
    batch = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype("float32")
    np.savez(tmp_path / "expected.npz", x=batch, y=model(batch))
    for ending in (".keras", ".h5"):
        model.save(tmp_path / f"model{ending}")
    printed = run_fork("""
        import numpy as np, larqlite_zoo, tf_keras
        expected = np.load("expected.npz")
        for ending in (".keras", ".h5"):
            model = tf_keras.models.load_model("model" + ending)
            assert np.array_equal(model(expected["x"]), expected["y"])
            assert len(model.losses) == 3
        print("equal")
    """)
    assert printed.strip() == "equal"
