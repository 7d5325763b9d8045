"""Between a packed layer and a quantizer: every accumulator is quantized as in Keras."""

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings, strategies as st

import larqlite as lq
from tests.deploy.inside_a_file import metadata
from tests.deploy.keras_and_file import export

K = tf_keras.layers
CHANNELS, INPUTS = 400, 45


def network(quantizer, kernel_quantizer="ste_sign", use_bias=False, between=()):
    return tf_keras.Sequential(
        [
            tf_keras.Input((INPUTS,)),
            lq.layers.QuantDense(
                CHANNELS,
                input_quantizer="ste_sign",
                kernel_quantizer=kernel_quantizer,
                use_bias=use_bias,
                bias_initializer="normal",
                name="packed",
            ),
            K.BatchNormalization(name="norm"),
            *between,
            lq.layers.QuantDense(
                1, input_quantizer=quantizer, kernel_quantizer="ste_sign"
            ),
        ]
    )


def with_ties(norm, seed, scale=1.0):
    """Statistics that put many channels' zeros on, or next to, an integer."""
    rng = np.random.default_rng(seed)
    gamma = rng.normal(size=CHANNELS).astype(np.float32)
    gamma[:20] = 0
    gamma[20:40] = 1
    variance = rng.uniform(0.1, 90, CHANNELS).astype(np.float32)
    mean = rng.integers(-INPUTS, INPUTS, CHANNELS).astype(np.float32)
    beta = rng.choice([0, 1e-7, -1e-7, 0.3], CHANNELS).astype(np.float32)
    mean[200:300] = rng.normal(0, 20, 100)
    norm.set_weights([gamma, beta, mean * np.float32(scale), variance])


def codes_of_all_accumulators(model, path, quantizer):
    """What Keras and the file make of every accumulator: `(accumulators, channels)`."""
    packed, norm = model.get_layer("packed"), model.get_layer("norm")
    sums = np.arange(-INPUTS, INPUTS + 1, dtype=np.float32)[:, None]
    sums = np.broadcast_to(sums, (len(sums), CHANNELS))
    unit = abs(packed.quantized_weight().numpy()).max(axis=0)
    values = sums * unit
    if packed.use_bias:
        values = values + packed.bias.numpy()
    keras = quantizer(norm(values)).numpy()

    export(model, path)
    file = onnx.load(path)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in file.graph.initializer}
    (entry,) = (
        entry
        for entry in metadata(path)["larqlite.layers"]
        if entry["layer"] == "packed"
    )
    values, tensor = sums, entry["accumulator"]
    for node in file.graph.node:
        if tensor in node.input and node.op_type in ("Mul", "Add"):
            operation = {"Mul": np.multiply, "Add": np.add}[node.op_type]
            values = operation(values, arrays[node.input[1]])
            tensor = node.output[0]
    assert values.dtype == np.float32
    return keras, quantizer(tf.constant(values)).numpy(), arrays["norm/offset"]


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    quantizer=st.sampled_from(["ste_sign", "ste_heaviside"]),
    use_bias=st.booleans(),
    kernel_quantizer=st.sampled_from(["ste_sign", "magnitude_aware_sign"]),
)
def test_signs_of_all_accumulators_equal_those_of_keras(
    tmp_path_factory, seed, quantizer, use_bias, kernel_quantizer
):
    model = network(quantizer, kernel_quantizer, use_bias)
    kernel = model.get_layer("packed").quantized_weight().numpy()
    with_ties(model.get_layer("norm"), seed, abs(kernel).max(axis=0))
    path = tmp_path_factory.mktemp("signs") / "model.onnx"
    keras, found, _ = codes_of_all_accumulators(
        model, path, lq.quantizers.get(quantizer)
    )
    np.testing.assert_array_equal(found, keras)


def test_without_moved_offsets_some_signs_would_differ(tmp_path, monkeypatch):
    from larqlite.deploy.exporter import _export

    differing, offsets = [], []
    for pass_over in (_export.move_off_ties, lambda graph: None):
        monkeypatch.setattr(_export, "move_off_ties", pass_over)
        model = network("ste_sign", "magnitude_aware_sign")
        kernel = np.random.default_rng(0).normal(size=(INPUTS, CHANNELS))
        model.get_layer("packed").set_weights([kernel])
        unit = abs(kernel).mean(axis=0)
        with_ties(model.get_layer("norm"), 1, unit)
        keras, found, offset = codes_of_all_accumulators(
            model, tmp_path / "model.onnx", lq.quantizers.SteSign()
        )
        differing.append((keras != found).sum())
        offsets.append(offset)
    assert differing[0] == 0
    assert differing[1] > 10
    moved, plain = offsets
    assert 0 < (plain != moved).sum() < CHANNELS
    np.testing.assert_allclose(plain, moved, rtol=1e-5, atol=1e-5)


def learned(quantizer, *values):
    quantizer.build((None, CHANNELS))
    quantizer.set_weights([np.float32(value) for value in values])
    return quantizer


@pytest.mark.parametrize(
    ("quantizer", "between", "threshold"),
    [
        (lq.quantizers.DoReFa(2), (), 0.5),
        (lq.quantizers.DoReFa(4), [K.ReLU()], 0.5 / 15),
        (lq.quantizers.SteTern(0.5), (), 0.5),
        (learned(lq.quantizers.LSQ(2), 0.4), [K.ReLU()], 0.6),
        (learned(lq.quantizers.LSQPlus(3), 0.4, -0.9), (), -0.3),
        (learned(lq.quantizers.AdaBinActivations(), 0.7, 0.2), (), 0.2),
    ],
    ids=["dorefa2", "dorefa4", "ste_tern", "lsq", "lsq_plus", "adabin"],
)
def test_quantizers_with_more_levels_are_matched_too(
    quantizer, between, threshold, tmp_path, monkeypatch
):
    from larqlite.deploy.exporter import _export

    model = network(quantizer, between=between)
    rng = np.random.default_rng(3)
    steps = rng.integers(1, 20, CHANNELS).astype(np.float32)
    variance = (steps**2).astype(np.float32)
    mean = rng.integers(-10, 10, CHANNELS).astype(np.float32)
    # A sum of each channel comes to lie on a threshold, but for rounding.
    sums = rng.integers(-INPUTS, INPUTS, CHANNELS)
    beta = threshold - (sums - mean) / np.sqrt(variance + np.float64(1e-3))
    model.get_layer("norm").set_weights([np.ones(CHANNELS), beta, mean, variance])
    keras, found, _ = codes_of_all_accumulators(
        model, tmp_path / "model.onnx", quantizer
    )
    np.testing.assert_array_equal(found, keras)
    monkeypatch.setattr(_export, "move_off_ties", lambda graph: None)
    keras, found, _ = codes_of_all_accumulators(
        model, tmp_path / "model.onnx", quantizer
    )
    assert np.any(found != keras)


@pytest.mark.parametrize(
    "between",
    [
        lambda: [lq.quantizers.NoOp(precision=32)],
        lambda: [K.Activation("hard_tanh")],
        lambda: [K.Reshape((20, 20)), K.MaxPooling1D(1), K.Flatten()],
    ],
    ids=["nothing", "hard_tanh", "pooling"],
)
def test_layers_that_keep_signs_may_stand_between(between, tmp_path):
    model = network("ste_sign", between=between())
    with_ties(model.get_layer("norm"), 5)
    keras, found, _ = codes_of_all_accumulators(
        model, tmp_path / "model.onnx", lq.quantizers.SteSign()
    )
    np.testing.assert_array_equal(found, keras)


def test_learned_thresholds_are_crossed_where_keras_crosses_them(tmp_path):
    model = network("rsign")
    with_ties(model.get_layer("norm"), 7)
    rsign = model.layers[-1].input_quantizer
    rsign.set_weights([np.random.default_rng(0).normal(size=CHANNELS)])
    keras, found, _ = codes_of_all_accumulators(model, tmp_path / "model.onnx", rsign)
    np.testing.assert_array_equal(found, keras)


def test_images_are_normalized_as_keras_does_it_for_images(tmp_path):
    model = tf_keras.Sequential(
        [
            tf_keras.Input((5, 5, 5)),
            lq.layers.QuantConv2D(
                CHANNELS,
                3,
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                use_bias=False,
                name="packed",
            ),
            K.BatchNormalization(name="norm"),
            lq.quantizers.SteSign(),
        ]
    )
    with_ties(model.get_layer("norm"), 9)
    path = tmp_path / "model.onnx"
    export(model, path)
    norm = model.get_layer("norm")
    sums = np.arange(-INPUTS, INPUTS + 1, dtype=np.float32)
    images = np.broadcast_to(sums[:, None, None, None], (len(sums), 1, 1, CHANNELS))
    keras = np.sign(np.sign(norm(images).numpy()) + 0.1)[:, 0, 0]
    file = onnx.load(path)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in file.graph.initializer}
    scale, offset = (arrays[f"norm/{n}"].ravel() for n in ("scale", "offset"))
    found = np.where(sums[:, None] * scale + offset < 0, -1, 1)
    np.testing.assert_array_equal(found, keras)
