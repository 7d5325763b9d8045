"""Layers of Keras 3 beside those of larqlite, in values, gradients, training and files."""

import keras
import numpy as np
import pytest
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, UnknownArgumentError, UnknownQuantizerError
from tests.keras3 import gradients

BACKEND = keras.backend.backend()
BINARY = {"input_quantizer": "ste_sign", "use_bias": True}
CASES = {
    "QuantDense": [
        ((5,), {"kernel_quantizer": "ste_sign"}),
        ((5,), {"kernel_quantizer": "magnitude_aware_sign", "activation": "relu"}),
        ((5,), {"kernel_quantizer": "adabin_weights", "input_quantizer": "rsign"}),
        ((5,), {"kernel_quantizer": "libra", "input_quantizer": "ede_sign"}),
        ((5,), {"kernel_quantizer": "ttq"}),
    ],
    "QuantConv2D": [
        ((6, 3), {"kernel_quantizer": "ste_sign", "padding": "same", "pad_values": 1}),
        ((6, 3), {"kernel_quantizer": "ste_tern", "padding": "same", "strides": 2}),
        ((6, (3, 2)), {"kernel_quantizer": "approx_sign", "dilation_rate": 2}),
        (
            (6, 4),
            {
                "kernel_quantizer": "swish_sign",
                "strides": 2,
                "padding": "same",
                "pad_values": -1.0,
            },
        ),
        ((6, 1), {"groups": 2, "input_quantizer": None}),
    ],
    "QuantDepthwiseConv2D": [
        ((3,), {"depthwise_quantizer": "ste_sign", "padding": "same"}),
        (
            (3,),
            {
                "depthwise_quantizer": "ste_sign",
                "padding": "same",
                "pad_values": 1.0,
                "depth_multiplier": 2,
            },
        ),
    ],
}
LAYERS = [(name, *case) for name, cases in CASES.items() for case in cases]


@pytest.mark.parametrize("name", ["seq", "ttq"])
def test_what_a_kernel_quantizer_learns_starts_from_the_kernel(name):
    ours = lq.layers.QuantDense(3, kernel_quantizer=name)
    ours.build((None, 7))
    kernel = keras.initializers.Constant(ours.latent_weight().numpy())
    layer = lq.keras3.QuantDense(3, kernel_quantizer=name, kernel_initializer=kernel)
    layer.build((None, 7))
    got, expected = (of.kernel_quantizer.get_weights() for of in (layer, ours))
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def data(name):
    rng = np.random.default_rng(3)
    # An odd number of terms: sums of signs are not 0, where a ReLU has its kink.
    shape = (7, 9) if name == "QuantDense" else (2, 9, 8, 4)
    return rng.normal(size=shape).astype("float32")


@pytest.mark.parametrize(("name", "sizes", "given"), LAYERS)
def test_values_and_gradients_are_those_of_tf_keras(name, sizes, given):
    given = {**BINARY, **given}
    x = data(name)
    ours = getattr(lq.layers, name)(*sizes, **given)
    ours.build(x.shape)
    rng = np.random.default_rng(5)
    weights = [
        rng.normal(scale=0.5, size=w.shape).astype("float32") if w.ndim > 1 else w
        for w in ours.get_weights()
    ]
    dy = np.ones_like(ours(x)) + np.arange(ours(x).shape[-1], dtype="float32")
    expected = gradients.in_tf_keras(ours, x, dy, weights)
    layer = getattr(lq.keras3, name)(*sizes, **given)
    by_shape = [w.shape for w in weights]
    layer.build(x.shape)
    assert [tuple(w.shape) for w in layer.weights] == by_shape
    got = gradients.in_keras_3(layer, x, dy, weights)
    for one, other in zip(got, expected, strict=True):
        assert gradients.difference(one, other) <= 1e-6
    assert np.isfinite(got[0]).all()


@pytest.mark.skipif(
    BACKEND == "tensorflow", reason="no such convolution on a CPU there"
)
@pytest.mark.parametrize("name", ["QuantConv2D", "QuantDepthwiseConv2D"])
def test_channels_first(name):
    role = "depthwise_quantizer" if "Depth" in name else "kernel_quantizer"
    sizes = (3,) if "Depth" in name else (5, 3)
    given = {**BINARY, role: "ste_sign", "padding": "same", "pad_values": 1.0}
    last = getattr(lq.keras3, name)(*sizes, **given)
    first = getattr(lq.keras3, name)(*sizes, **given, data_format="channels_first")
    x = data(name)
    expected = keras.ops.convert_to_numpy(last(x))
    first.build(x.transpose(0, 3, 1, 2).shape)
    first.set_weights(last.get_weights())
    got = keras.ops.convert_to_numpy(first(x.transpose(0, 3, 1, 2)))
    np.testing.assert_array_equal(got.transpose(0, 2, 3, 1), expected)


@pytest.mark.parametrize(("name", "sizes", "given"), LAYERS[::3])
def test_configurations_are_those_of_tf_keras(name, sizes, given):
    layer = getattr(lq.keras3, name)(*sizes, **BINARY | given)
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    ours = getattr(lq.layers, name)(*sizes, **BINARY | given)
    ours_config, config = ours.get_config(), layer.get_config()
    for role in ("input_quantizer", *ours.quantized_weights.values()):
        one = lq.quantizers.deserialize(config[role])
        assert type(one) is type(getattr(ours, role))
    assert config.get("pad_values") == ours_config.get("pad_values")


def test_arguments():
    with pytest.raises(UnknownArgumentError, match='Did you mean "kernel_quantizer"'):
        lq.keras3.QuantDense(2, kernal_quantizer="ste_sign")
    with pytest.raises(UnknownQuantizerError, match=r"QuantConv2D .*kernel_quantizer"):
        lq.keras3.QuantConv2D(2, 3, kernel_quantizer="ste_sing")
    with pytest.raises(ArgumentError, match="pad_values='one' is no number"):
        lq.keras3.QuantConv2D(2, 3, pad_values="one")
    for clip in ("weight_clip", lq.constraints.WeightClip(1), lq.keras3.WeightClip()):
        layer = lq.keras3.QuantDense(2, kernel_constraint=clip)
        assert isinstance(layer.kernel_constraint, lq.keras3.WeightClip)
    with pytest.raises(ArgumentError, match="clip_value=0"):
        lq.keras3.WeightClip(0)


def test_weights_that_starve_are_warned_of(caplog):
    lq.keras3.QuantDepthwiseConv2D(3, depthwise_quantizer="ste_sign", name="d")
    assert 'Fix: depthwise_constraint="weight_clip"' in caplog.text
    caplog.clear()
    lq.keras3.QuantDense(3, kernel_quantizer=lq.keras3.NoOp(1))
    lq.keras3.QuantDense(3, kernel_quantizer="adabin_weights")
    assert not caplog.records


def test_a_quantizer_with_weights_belongs_to_one_layer():
    quantizer = lq.keras3.RSign()
    first, second = (
        lq.keras3.QuantDense(2, input_quantizer=quantizer) for _ in range(2)
    )
    assert first.input_quantizer is not second.input_quantizer
    first.build((None, 3))
    assert [w.shape for w in first.trainable_weights] == [(3, 2), (2,), (3,)]


def test_a_small_latent_weight_keeps_its_sign_in_half_precision():
    layer = lq.keras3.QuantDense(
        1, kernel_quantizer="ste_sign", use_bias=False, dtype="mixed_float16",
        kernel_constraint="weight_clip",
    )  # fmt: skip
    layer.build((None, 2))
    layer.set_weights([np.float32([[1e-9], [-1e-9]])])  # 0 in float16
    y = layer(np.float32([[3, 1]]))
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    assert float(keras.ops.convert_to_numpy(y)[0, 0]) == 2


def network():
    binary = {
        "input_quantizer": "approx_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "use_bias": False,
    }
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same"),
            layers.BatchNormalization(momentum=0.9),
            lq.keras3.QuantConv2D(16, 3, padding="same", pad_values=1.0, **binary),
            layers.MaxPooling2D(),
            layers.BatchNormalization(momentum=0.9),
            lq.keras3.QuantDepthwiseConv2D(
                3,
                input_quantizer="rsign",
                depthwise_quantizer="ste_sign",
                depthwise_constraint="weight_clip",
            ),
            layers.BatchNormalization(momentum=0.9),
            layers.Flatten(),
            lq.keras3.QuantDense(2, **binary),
            layers.BatchNormalization(momentum=0.9),
        ]
    )


def computed(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


@pytest.fixture(scope="module")
def trained():
    """A binary network that tells rising from falling stripes, and the images."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    y = np.arange(256) % 2
    rows, columns = np.indices((8, 8))
    stripes = np.where(y[:, None, None] == 1, rows + columns, rows - columns)
    phase = rng.integers(0, 4, (256, 1, 1))
    x = ((stripes + phase) % 4 < 2) + 0.3 * rng.normal(size=stripes.shape)
    x = x[..., None].astype("float32")
    model = network()
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        run_eagerly=BACKEND == "tensorflow",  # a graph takes longer to be made
    )
    history = model.fit(x, y, batch_size=32, epochs=4, verbose=0).history
    return model, x, y, history


def test_a_binary_network_is_trained(trained):
    model, x, y, history = trained
    assert history["accuracy"][-1] > 0.9, history
    assert np.mean(np.argmax(computed(model, x), -1) == y) > 0.8
    for layer in model.layers:
        if hasattr(layer, "quantized_kernel"):
            latent = keras.ops.convert_to_numpy(layer.kernel)
            assert np.abs(latent).max() <= 1
            values = keras.ops.convert_to_numpy(layer.quantized_kernel())
            np.testing.assert_array_equal(values, np.where(latent >= 0, 1, -1))
    thresholds = keras.ops.convert_to_numpy(model.layers[5].input_quantizer.threshold)
    assert np.abs(thresholds).max() > 1e-3  # it learned


def test_it_is_saved_and_loaded(trained, tmp_path):
    model, x, _, _ = trained
    expected = computed(model, x[:8])
    for name in ("k3.keras", "k3.h5"):
        model.save(tmp_path / name)
        loaded = keras.models.load_model(tmp_path / name)
        np.testing.assert_array_equal(computed(loaded, x[:8]), expected)
        assert type(loaded.layers[2]) is lq.keras3.QuantConv2D
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    np.testing.assert_array_equal(computed(cloned, x[:8]), expected)


def test_our_own_layers_with_its_weights_compute_the_same(trained):
    model, x, _, _ = trained
    values = x[:8]
    for layer in model.layers:
        expected = keras.ops.convert_to_numpy(layer(values))
        if hasattr(layer, "quantized_kernel"):
            name = type(layer).__name__
            config = layer.get_config()
            kept = (
                "filters",
                "kernel_size",
                "units",
                "padding",
                "pad_values",
                "use_bias",
            )
            given = {key: config[key] for key in kept if key in config}
            quantizers = {
                role: lq.quantizers.deserialize(value)
                for role, value in config.items()
                if role.endswith("_quantizer")
            }
            ours = getattr(lq.layers, name)(**given, **quantizers)
            ours.build(values.shape)
            ours.set_weights(layer.get_weights())
            assert isinstance(ours, tf_keras.layers.Layer)
            assert gradients.difference(ours(values).numpy(), expected) <= 1e-6
        values = expected


def test_it_comes_in_and_is_exported(trained, tmp_path, run_fork):
    model, x, _, _ = trained
    expected = computed(model, x[:8])
    model.save(tmp_path / "k3.keras")
    ours = lq.models.from_keras(tmp_path / "k3.keras")
    assert gradients.difference(ours(x[:8]).numpy(), expected) <= 1e-5
    conv, depthwise = ours.layers[2], ours.layers[5]
    assert type(conv) is lq.layers.QuantConv2D
    assert type(depthwise.input_quantizer) is lq.quantizers.RSign
    assert isinstance(conv.kernel_constraint, lq.constraints.WeightClip)
    assert conv.pad_values == 1.0
    for layer3, layer in zip(model.layers, ours.layers, strict=True):
        assert layer3.name == layer.name
        for one, other in zip(layer3.get_weights(), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    packed = lq.models.profile(ours).layer(conv.name).params_by_bits
    assert packed == {1: 3 * 3 * 8 * 16}
    lq.deploy.export(ours, tmp_path / "k3.onnx")
    lq.deploy.verify(ours, tmp_path / "k3.onnx", x[:8])  # raises where they differ
    if BACKEND == "tensorflow":
        printed = run_fork(
            """
            import larqlite as lq
            model = lq.models.from_keras("k3.keras")
            print(sum(type(layer).__module__.startswith("larqlite.") for layer in model.layers))
            """
        )
        assert printed.split()[-1] == "3"


def test_quantizers_by_themselves_come_in():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            lq.keras3.RSign(),
            keras.layers.Dense(4, activation=lq.keras3.SteTern(threshold_value=0.3)),
        ]
    )
    model.layers[0].set_weights([np.linspace(-1, 1, 6, dtype="float32")])
    x = gradients.samples((5, 6))[0]
    ours = lq.models.from_keras(model)
    np.testing.assert_array_equal(ours(x).numpy(), computed(model, x))
    assert type(ours.layers[0]) is lq.quantizers.RSign
    assert ours.layers[1].activation.threshold_value == 0.3
