"""Quantizers of k bits in files: one network of them all, packed with their scales, on every
target; integers as in Keras to the last one."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from tests.deploy.inside_a_file import channels_last, metadata, tensors
from tests.deploy.keras_and_file import checked
from tests.devices.compilers import has, shared

L, Q = lq.layers, lq.quantizers


def per_channel(low, high):
    return np.linspace(low, high, 6)


# Kernels and inputs with what they learned, and the layer that has them.
BRANCHES = {
    "lsq_2": (Q.LSQ(2), [0.31], Q.LSQ(1), [0.7], "same"),
    "lsq_4": (Q.LSQ(4), [0.17], Q.LSQ(2), [0.41], "strides"),
    "lsq_8": (Q.LSQ(8), [0.013], Q.LSQ(4, signed=True), [0.23], "transposed"),
    "lsq_3": (Q.LSQ(3, axis=-1), [per_channel(0.1, 0.4)], Q.LSQ(8), [0.021], "dense"),
    "plus_3": (
        *(Q.LSQPlus(3, axis=-1), [per_channel(0.2, 0.3)]),
        *(Q.LSQPlus(2), [0.9, -0.6], "groups"),
    ),
    "uniform": (Q.Uniform(4), [0.11], Q.LSQPlus(4), [0.2, -0.35], "same"),
    "pact": (Q.PACT(4), [0.9], Q.Uniform(3, signed=True), [0.4], "strides"),
    "int_4": (Q.IntSymmetric(4, axis=-2), [], Q.PACT(2), [2.3], "transposed"),
    "int_8": (Q.IntSymmetric(8, axis=None), [], Q.PACT(4, signed=True), [1.7], "dense"),
    "table_2": (
        *(Q.LQLevels(2), [np.stack([per_channel(0.2, 0.3), per_channel(1, 0.5)], 1)]),
        *(Q.LQLevels(2), [[0.4, 0.7]], "same"),
    ),
    "table_3": (
        *(Q.LQLevels(3, per_channel=False), [[0.2, 0.45, 0.6]]),
        *(Q.LQLevels(1), [[0.8]], "groups"),
    ),
}
LAYERS = {
    "same": lambda **more: L.QuantConv2D(6, 3, padding="same", **more),
    "strides": lambda **more: L.QuantConv2D(6, 3, strides=2, use_bias=False, **more),
    "transposed": lambda **more: L.QuantConv2DTranspose(
        6, 3, strides=2, padding="same", **more
    ),
    "dense": lambda **more: L.QuantDense(6, **more),
    "groups": lambda **more: L.QuantConv2D(6, 2, groups=2, padding="same", **more),
}


def learned(quantizer, values):
    if values:
        quantizer.set_weights([np.float32(value) for value in values])


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(4)
    image = tf_keras.Input((5, 4, 4), name="image")
    outputs = []
    for name, (kernel, of_kernel, inputs, of_inputs, layer) in BRANCHES.items():
        made = LAYERS[layer](kernel_quantizer=kernel, input_quantizer=inputs, name=name)
        x = made(image)
        x = tf_keras.layers.BatchNormalization()(x)
        outputs.append(tf_keras.layers.Flatten()(x))
        learned(made.kernel_quantizer, of_kernel)
        learned(made.input_quantizer, of_inputs)
        made.kernel.latent_variable.assign(0.5 * rng.normal(size=made.kernel.shape))
        if made.use_bias:
            made.bias.assign(rng.normal(size=6))
    return tf_keras.Model(image, tf_keras.layers.Concatenate()(outputs))


def around_thresholds(quantizer, shape):
    """Values on and beside the thresholds of a quantizer, in float32."""
    levels = quantizer(tf.constant(np.linspace(-9, 9, 20001, dtype="float32")[:, None]))
    levels = np.unique(levels).astype(np.float64)
    near = [((levels[1:] + levels[:-1]) / 2).astype(np.float32)]
    for towards in (np.float32(-np.inf), np.float32(np.inf)):
        near.append(np.nextafter(near[0], towards))
        near.append(np.nextafter(near[-1], towards))
    return np.resize(np.concatenate(near), shape).astype(np.float32)


def test_each_is_packed_and_summed_as_integers_on_every_engine(model, tmp_path):
    path = tmp_path / "net.onnx"
    _, report = checked(model, tolerance=3e-6, path=path)
    assert not report.in_float
    found = {row.layer: row.weight_bits for row in report.packed}
    assert found == {name: row[0].precision for name, row in BRANCHES.items()}
    # Whole multiples of a scale are stored as they are; sums of several numbers are rounded.
    rounded = {note.partition(":")[0] for note in report.notes if "rounded" in note}
    assert rounded <= {"table_2", "table_3"}
    assert len(report.notes) == len(rounded)
    # On ties and beside them, the file has the very levels of Keras.
    entries = {entry["layer"]: entry for entry in metadata(path)["larqlite.layers"]}
    nodes = onnx.load(path).graph.node
    for name in BRANCHES:
        quantizer = model.get_layer(name).input_quantizer
        x = around_thresholds(quantizer, (3, 5, 4, 4))
        expected = quantizer(tf.constant(x)).numpy()
        names = [entries[name]["quantized"]]
        if isinstance(quantizer, Q.LQLevels):  # one for each level above the lowest
            above = f"{name}/input_quantizer/above"
            names = [n.output[0] for n in nodes if n.name.startswith(above)]
        found = tensors(path, x, names)
        levels = sum(found[tensor] for tensor in names)
        if levels.shape != expected.shape or levels.shape[1] == 4:
            levels = channels_last(levels)
        np.testing.assert_array_equal(levels, quantizer.codes(expected))


def test_the_codes_of_a_kernel_are_those_of_keras(model, tmp_path):
    path = tmp_path / "net.onnx"
    lq.deploy.export(model, path, verify=False)
    file = onnx.load(path)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in file.graph.initializer}
    node = next(node for node in file.graph.node if node.name == "lsq_4")
    codes = stored[node.input[1]]
    whole = np.stack([codes & 15, codes >> 4], 1).ravel().reshape(6, 3, 3, 4) - 8.0
    latent = model.get_layer("lsq_4").latent_weight().numpy()
    by_hand = np.rint(np.clip(latent / np.float32(0.17), -8, 7))
    np.testing.assert_array_equal(np.moveaxis(whole, 0, -1), by_hand)


@pytest.fixture(scope="module")
def tokens():
    """Rows of 8 bits for layers over the last axis, one of which has a table, and for one
    over windows."""
    image = tf_keras.Input((3, 4, 8))
    outputs = [
        tf_keras.layers.Flatten()(layer(image))
        for layer in (
            L.QuantDense(5, input_quantizer="absmax_int8", kernel_quantizer="lsq"),
            L.QuantDense(
                *(4, "relu"),
                input_quantizer="absmax_int8",
                kernel_quantizer="lq_levels",
            ),
            L.QuantConv2D(
                2,
                (2, 1),
                input_quantizer="absmax_int8",
                kernel_quantizer="absmean_ternary",
                name="windows",
            ),
        )
    ]
    return tf_keras.Model(image, tf_keras.layers.Concatenate()(outputs))


def test_sums_over_one_token_are_of_integers_and_have_its_scale(tokens, tmp_path):
    path = tmp_path / "net.onnx"
    x = np.random.default_rng(8).normal(size=(4, 3, 4, 8)).astype("float32")
    x *= np.float32(10) ** np.random.default_rng(9).integers(-9, 9, (4, 3, 4, 1))
    x[0, 0], x[0, 1, 0] = 0, 1e-45
    _, report = checked(tokens, inputs=[x], tolerance=3e-6, path=path)
    assert [row.operation for row in report.packed] == ["QDense", "QDense", "float"]
    (row,) = report.in_float
    assert row.layer == "windows"
    assert "each token of its input has a scale of its own" in row.why
    file = onnx.load(path)
    (version,) = (v.version for v in file.opset_import if v.domain == "ai.larqlite")
    assert version == 3
    # On ties of each token too.
    middles = np.arange(-126.5, 127).astype(np.float32)
    x = np.resize(middles, (3, 3, 4, 8)) * np.float32(0.37)
    x[..., 0] = 127 * np.float32(0.37)
    integers = next(n for n in file.graph.node if n.op_type == "Integers").output[0]
    found = tensors(path, x, [integers])[integers]
    quantizer = Q.AbsmaxInt8()
    np.testing.assert_array_equal(found, quantizer.codes(quantizer(x)))


@pytest.mark.skipif(not has("gcc"), reason="gcc is not installed")
@pytest.mark.parametrize(
    "network", ["model", pytest.param("tokens", marks=pytest.mark.slow)]
)
def test_in_c_it_computes_what_the_runtime_does(network, tmp_path, request):
    # The self-test has the runtime's outputs of samples.
    lq.deploy.to_c(request.getfixturevalue(network), tmp_path, name="net")
    assert shared(tmp_path / "net.c").net_self_test() == 0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="qonnx asks for an older onnx")
@pytest.mark.parametrize(
    "network", ["model", pytest.param("tokens", marks=pytest.mark.slow)]
)
def test_in_qonnx_it_computes_what_keras_does(network, tmp_path, request):
    from tests.deploy.qonnx_files import assert_same

    network = request.getfixturevalue(network)
    assert_same(network, tmp_path / "net.onnx", tolerance=3e-6)


@pytest.mark.parametrize(
    ("name", "of"), [("lsq", "step"), ("lsq_plus", "step"), ("lq_levels", "basis")]
)
def test_what_has_not_begun_is_refused_with_a_fix_that_works(name, of, tmp_path):
    layer = L.QuantDense(3, input_quantizer=name, kernel_quantizer=name)
    model = tf_keras.Sequential([tf_keras.Input((4,)), layer])
    with pytest.raises(
        lq.errors.UnsupportedLayerError, match=rf"its {of} is 0.*\n.*Fix: "
    ):
        lq.deploy.export(model, tmp_path / "model.onnx")
    model(np.abs(np.random.default_rng(0).normal(size=(8, 4))), training=True)
    lq.deploy.export(model, tmp_path / "model.onnx")


def test_steps_of_input_channels_are_exact_in_floats_and_named(tmp_path):
    rng = np.random.default_rng(5)
    for quantizer in (Q.LSQPlus(3, axis=-1), Q.PACT(2, axis=-1)):
        layer = L.QuantConv2D(3, 2, input_quantizer=quantizer, kernel_quantizer="lsq")
        model = tf_keras.Sequential([tf_keras.Input((4, 4, 5)), layer])
        model(rng.normal(size=(4, 4, 4, 5)), training=True)
        _, report = checked(model, tolerance=2e-6)
        (row,) = report.in_float
        assert "each channel of its input has a step of its own" in row.why


def test_more_bits_than_a_file_has_are_refused(tmp_path):
    for place in ("input_quantizer", "kernel_quantizer"):
        layer = L.QuantDense(3, input_shape=(4,), **{place: Q.LSQ(9)})
        with pytest.raises(lq.errors.UnsupportedLayerError, match=r"(?s)9.*Fix: "):
            lq.deploy.export(tf_keras.Sequential([layer]), tmp_path / "model.onnx")
