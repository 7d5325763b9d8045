"""What the networks of `larqlite_zoo.literature` promise beside Larq Zoo's outputs."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
import larqlite_zoo
from larqlite_zoo import literature
from larqlite_zoo.literature.densenet import BinaryDenseNet
from larqlite_zoo.literature.dorefanet import MagnitudeAwareSignUnclipped
from larqlite_zoo.literature.resnet_e import SECTIONS
from larqlite_zoo.literature.xnornet import XnorWeightScale

# Function -> (smallest side of an image, channels of the features).
NETWORKS = {
    "BinaryAlexNet": (57, 256),
    "BiRealNet": (1, 512),
    "BinaryResNetE18": (1, 512),
    "BinaryDenseNet28": (8, 576),
    "BinaryDenseNet37": (8, 640),
    "BinaryDenseNet37Dilated": (2, 640),
    "BinaryDenseNet45": (8, 800),
    "DoReFaNet": (44, 256),
    "XNORNet": (217, 4096),
}
FAST = ("DoReFaNet",)
every_network = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
        for name in NETWORKS
    ],
)


@pytest.fixture(autouse=True)
def _memory_is_given_back():
    yield
    tf_keras.backend.clear_session()


@pytest.mark.parametrize("name", NETWORKS)
def test_arguments_are_those_of_larq_zoo_and_keywords_only(name):
    parameters = inspect.signature(getattr(literature, name)).parameters
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    defaults = {key: parameter.default for key, parameter in parameters.items()}
    assert defaults.pop("num_layers", 18) == 18
    assert defaults == {
        "input_shape": None,
        "input_tensor": None,
        "weights": "imagenet",
        "include_top": True,
        "num_classes": 1000,
    }


@every_network
@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_the_smallest_size_and_of_other_channels(name, channels):
    side, features = NETWORKS[name]
    model = getattr(literature, name)(
        input_shape=(side, side, channels), weights=None, include_top=False
    )
    y = model(tf.ones([2, side, side, channels]))
    assert y.shape == (2, 1, 1, features)
    assert np.isfinite(y).all()


@pytest.mark.parametrize(
    "name", [name for name, (side, _) in NETWORKS.items() if side > 1]
)
def test_smaller_images_are_refused_with_the_smallest_size(name):
    side, _ = NETWORKS[name]
    with pytest.raises(
        lq.errors.ArgumentError, match=rf"at least \({side}, {side}, 3\)"
    ):
        getattr(literature, name)(input_shape=(300, side - 1, 3), weights=None)


def test_a_high_narrow_image_needs_more_columns(kernels_of_zeros):
    arguments = {"weights": None, "include_top": False}
    model = literature.BinaryDenseNet28(input_shape=(64, 29, 3), **arguments)
    assert model.output_shape == (None, 2, 1, 576)
    with pytest.raises(lq.errors.ArgumentError, match=r"at least \(64, 29, 3\)"):
        literature.BinaryDenseNet28(input_shape=(64, 28, 3), **arguments)


@every_network
def test_a_network_starts_from_a_tensor_inside_another(name):
    raw = tf_keras.Input((230, 230, 3))
    image = tf_keras.layers.Rescaling(2.0)(raw)
    function = getattr(literature, name)
    model = function(input_tensor=image, weights=None, include_top=False)
    assert model.input is raw
    twin = function(input_shape=(230, 230, 3), weights=None, include_top=False)
    twin.set_weights(model.get_weights())
    x = np.random.default_rng(0).uniform(-1, 1, (1, 230, 230, 3)).astype("float32")
    np.testing.assert_allclose(model(x), twin(2 * x), atol=1e-4)


@pytest.mark.parametrize(
    "name", ["BinaryResNetE18", pytest.param("BiRealNet", marks=pytest.mark.slow)]
)
def test_sides_may_be_odd_and_unequal(name, kernels_of_zeros):
    model = getattr(literature, name)(
        input_shape=(75, 101, 3), weights=None, include_top=False
    )
    assert model.output_shape == (None, 3, 4, 512)


@pytest.mark.parametrize("side", [49, pytest.param(50, marks=pytest.mark.slow)])
def test_low_images_enter_by_a_small_stem(side, kernels_of_zeros):
    model = literature.BinaryResNetE18(
        input_shape=(side, side, 3), weights=None, num_classes=10
    )
    stem = model.layers[1].kernel
    assert stem.shape == ((3, 3, 3, 64) if side < 50 else (7, 7, 3, 64))


@pytest.mark.parametrize(
    "num_layers",
    [34, *(pytest.param(n, marks=pytest.mark.slow) for n in (50, 101, 152))],
)
def test_resnet_e_of_other_depths(num_layers, kernels_of_zeros):
    # Counted by hand: binary convolutions alone, two in each block.
    blocks, filters = SECTIONS[num_layers]
    binary, channels = 0, 64
    for count, width in zip(blocks, filters, strict=True):
        binary += 9 * width * (channels + (2 * count - 1) * width)
        channels = width
    model = literature.BinaryResNetE18(
        input_shape=(32, 32, 3), weights=None, include_top=False, num_layers=num_layers
    )
    binary_layers = [
        layer for layer in model.layers if isinstance(layer, lq.layers.QuantConv2D)
    ]
    assert len(binary_layers) == 2 * sum(blocks)
    assert sum(layer.count_params() for layer in binary_layers) == binary
    assert model.output_shape == (None, 4, 4, filters[-1])
    assert model.name == f"binary_resnet_e_{num_layers}"


def test_a_depth_that_nobody_described_and_one_without_weights_are_refused():
    with pytest.raises(lq.errors.ArgumentError, match=r"num_layers=19.*\n.*18, 34"):
        literature.BinaryResNetE18(num_layers=19, weights=None)
    with pytest.raises(lq.errors.ArgumentError, match="18 layers only"):
        literature.BinaryResNetE18(num_layers=34)


@pytest.mark.slow
def test_the_dilated_densenet_reads_the_weights_of_the_other():
    shape, top = (32, 32, 3), {"weights": None, "include_top": False}
    plain = literature.BinaryDenseNet37(input_shape=shape, **top)
    dilated = literature.BinaryDenseNet37Dilated(input_shape=shape, **top)
    assert isinstance(plain, BinaryDenseNet)
    assert isinstance(plain, tf_keras.Model)
    dilated.set_weights(plain.get_weights())
    assert plain.output_shape == (None, 4, 4, 640)
    assert dilated.output_shape == (None, 16, 16, 640)


def test_the_scale_of_a_filter_is_part_of_the_gradient():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.4, 1.4, (2, 2, 3, 4)).astype("float32")
    dy = rng.normal(size=x.shape).astype("float32")
    expected = np.zeros_like(x)
    for filter_ in range(4):
        w, up = x[..., filter_], dy[..., filter_]
        alpha = np.abs(np.clip(w, -1, 1)).mean()
        along_scale = (up * np.sign(w)).sum() / w.size
        inside = np.abs(w) <= 1
        expected[..., filter_] = inside * (alpha * up + along_scale * np.sign(w))
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        q = XnorWeightScale()(variable)
    np.testing.assert_allclose(tape.gradient(q, variable, dy), expected, atol=1e-6)


@pytest.mark.parametrize("quantizer", [XnorWeightScale, MagnitudeAwareSignUnclipped])
def test_the_scale_of_a_large_float16_kernel_is_finite(quantizer):
    x = tf.fill([512, 512, 1], tf.constant(-0.5, "float16"))
    q = quantizer()(x)
    assert q.dtype == "float16"
    np.testing.assert_array_equal(q, x)


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["keras", "h5"])
def test_files_reload_in_a_fresh_process(extension, run_fork, tmp_path):
    models = {
        "dense": literature.BinaryDenseNet28(
            input_shape=(32, 32, 3), weights=None, num_classes=10
        ),
        "dorefa": literature.DoReFaNet(
            input_shape=(44, 44, 3), weights=None, include_top=False
        ),
    }
    image, kernel = tf_keras.Input((4, 4, 3)), XnorWeightScale()
    models["xnor"] = tf_keras.Model(
        image, lq.layers.QuantConv2D(8, 3, kernel_quantizer=kernel)(image)
    )
    for name, model in models.items():
        model.save(tmp_path / f"{name}.{extension}")
        y = model(tf.ones([1, *model.input_shape[1:]]))
        np.save(tmp_path / f"{name}.npy", y)
    printed = run_fork(f"""
        import numpy as np, tensorflow as tf, tf_keras
        import larqlite, larqlite_zoo
        for name in {list(models)}:
            model = tf_keras.models.load_model(name + ".{extension}")
            y = model(tf.ones([1, *model.input_shape[1:]]))
            np.testing.assert_allclose(y, np.load(name + ".npy"), atol=1e-5)
            print(type(model).__name__)
    """)
    assert printed.split() == ["BinaryDenseNet", "Functional", "Functional"]


@pytest.mark.slow
@pytest.mark.parametrize("name", larqlite_zoo.list_models())
def test_no_network_of_the_zoo_is_warned_of(name, caplog):
    larqlite_zoo.get(name, weights=None)
    assert not [each for each in caplog.records if each.name.startswith("larqlite")]
