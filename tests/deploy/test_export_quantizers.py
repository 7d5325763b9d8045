"""Quantizers in every place: before a layer, as an activation, as a layer, on a kernel."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import UnsupportedLayerError
from tests.common.samples import in_turn
from tests.deploy.inside_a_file import metadata, tensors
from tests.deploy.keras_and_file import assert_same, checked, export, sequential

Q = lq.quantizers

LEVELS = {
    "ste_sign": [-1, 1],
    "approx_sign": [-1, 1],
    "swish_sign": [-1, 1],
    "rsign": [-1, 1],
    "ste_heaviside": [0, 1],
    "ste_tern": [-1, 0, 1],
    "dorefa": [0, 1 / 3, 2 / 3, 1],
}
OPERATIONS = {"ste_heaviside": "Heaviside", "ste_tern": "Ternary", "dorefa": "Steps"}


def dense(**arguments):
    return lq.layers.QuantDense(
        **{"units": 5, "kernel_quantizer": "ste_sign", "use_bias": False, **arguments}
    )


@pytest.mark.parametrize("name", LEVELS)
def test_an_input_quantizer_gives_its_levels_and_an_integer_sum(name, tmp_path):
    model = sequential((6,), dense(input_quantizer=name))
    path = tmp_path / "model.onnx"
    operations = assert_same(model, path=path)
    assert OPERATIONS.get(name, "Sign") in operations
    assert operations[-1 if name != "dorefa" else -2] in ("BDense", "QDense")
    (entry,) = metadata(path)["larqlite.layers"]
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    quantized = tensors(path, x, [entry["quantized"]])[entry["quantized"]]
    expected = model.layers[0].input_quantizer(tf.constant(x)).numpy()
    np.testing.assert_array_equal(quantized, expected)
    np.testing.assert_allclose(np.unique(quantized), LEVELS[name])


@pytest.mark.parametrize(
    ("name", "as_layer"), in_turn([*LEVELS, "adabin_activations"], [True, False])
)
def test_a_quantizer_stands_as_a_layer_or_activation_of_its_own(name, as_layer):
    has_weights = name in ("rsign", "adabin_activations")
    activation = Q.get(name) if as_layer or has_weights else name
    layer = activation if as_layer else tf_keras.layers.Dense(6, activation=activation)
    operations = assert_same(
        sequential((6,), layer, tf_keras.layers.Flatten(), dense())
    )
    assert any(op in ("BDense", "QDense") for op in operations)


@pytest.mark.parametrize(
    "between",
    [
        lambda: tf_keras.layers.MaxPooling2D(2),
        lambda: tf_keras.layers.Permute((2, 1, 3)),
        lambda: tf_keras.layers.Reshape((2, 8, 3)),
        lambda: tf_keras.layers.Cropping2D(1),
        lambda: tf_keras.layers.UpSampling2D(2),
        lambda: tf_keras.layers.Dropout(0.5),
    ],
)
def test_levels_survive_layers_that_keep_values(between):
    convolution = lq.layers.QuantConv2D(4, 1, kernel_quantizer="ste_sign")
    layers = [tf_keras.layers.Activation("ste_sign"), between(), convolution]
    assert "BConv2D" in assert_same(sequential((4, 4, 3), *layers))


def test_zeros_around_signs_make_ternary_values(tmp_path):
    model = sequential(
        (4, 4, 3),
        Q.SteSign(),
        tf_keras.layers.ZeroPadding2D(1),
        lq.layers.QuantConv2D(4, 3, kernel_quantizer="ste_sign"),
    )
    path = tmp_path / "model.onnx"
    assert "BConv2D" in assert_same(model, path=path)
    assert input_of_the_packed_node(path) == b"ternary"


def input_of_the_packed_node(path) -> bytes:
    import onnx

    (node,) = (n for n in onnx.load(path).graph.node if "Conv" in n.op_type)
    return next(a.s for a in node.attribute if a.name == "input")


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.3), (-2.0, 0.1), (0.0, 0.5)])
def test_learned_levels_are_integers_unless_alpha_is_zero(alpha, beta):
    model = sequential((6,), dense(input_quantizer="adabin_activations"))
    quantizer = model.layers[0].input_quantizer
    quantizer.set_weights([np.float32(alpha), np.float32(beta)])
    assert ("BDense" if alpha else "MatMul") in assert_same(model)


@pytest.mark.parametrize("scale", [0.7, -2.0, 0.0, 1.0])
def test_a_learned_scale_of_signs_follows_behind_integer_sums(scale):
    model = sequential((6,), dense(input_quantizer=Q.XnorPlus(axis=None)))
    model.layers[0].input_quantizer.set_weights([np.float32(scale)])
    assert ("BDense" if scale else "MatMul") in assert_same(model)


def test_a_learned_threshold_is_found_exactly_at_its_value():
    model = tf_keras.Sequential([tf_keras.Input((2,)), Q.RSign()])
    thresholds = np.array([0.1, -3.3], np.float32)
    model.layers[0].set_weights([thresholds])
    below, above = np.nextafter(thresholds, -9), np.nextafter(thresholds, 9)
    x = np.stack([below, thresholds, above]).astype(np.float32)
    expected = [[-1, -1], [1, 1], [1, 1]]
    assert_same(model, [x], [np.array(expected, np.float32)])


@pytest.mark.parametrize(
    "function", [tf.sign, tf.math.sign, lq.math.sign, lq.math.heaviside]
)
def test_plain_functions_of_signs_are_known(function):
    operations = assert_same(sequential((6,), dense(input_quantizer=function)))
    assert "BDense" in operations


def test_a_sign_of_three_values_in_front_of_bits_is_spelled_out_once(tmp_path):
    model = sequential((6,), dense(input_quantizer=tf.sign))
    lq.deploy.export(model, tmp_path / "model.onnx")
    runtime = lq.runtime.load(tmp_path / "model.onnx", engine="native")
    x = np.array([[1, -2, 0, 3, -0.5, 0]], np.float32)
    np.testing.assert_allclose(runtime(x), model(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("quantizer", "reason"),
    [
        (lambda: Q.SteTern(ternary_weight_networks=True), "batch it sees"),
        (lambda: Q.DoReFa(2, mode="weights"), "batch it sees"),
        (lambda: "magnitude_aware_sign", "batch it sees"),
        (lambda: "adabin_weights", "batch it sees"),
        (lambda: "absmean_ternary", "batch it sees"),
        (lambda: "xnor_plus", "each channel of an input"),
        (lambda: Q.DoReFa(9), "at most 8 bits"),
        (lambda: lambda x: tf.round(x), "no converter"),
    ],
)
def test_what_depends_on_the_batch_or_is_unknown_is_refused(quantizer, reason):
    model = sequential((6,), dense(input_quantizer=quantizer(), name="hidden"))
    with pytest.raises(UnsupportedLayerError, match=reason) as error:
        export(model)
    assert '"hidden/input_quantizer"' in str(error.value)
    assert "Fix:" in str(error.value)


class Backwards(Q.SteSign):
    """A quantizer of one's own that quantizes otherwise."""

    def forward(self, x):
        return -super().forward(x)


class Steeper(Q.SteSign):
    """A quantizer of one's own that differs in training only."""

    def derivative(self, x):
        return 2 * tf.ones_like(x)


def test_a_subclass_is_known_as_long_as_it_quantizes_alike():
    assert_same(sequential((6,), dense(input_quantizer=Steeper())))
    model = sequential((6,), dense(input_quantizer=Backwards()))
    with pytest.raises(UnsupportedLayerError, match="no converter") as error:
        export(model)
    assert "@lq.deploy.activation_converter(Backwards)" in str(error.value)


def test_a_quantizer_of_ones_own_can_be_taught():
    @lq.deploy.activation_converter(Backwards)
    def convert(graph, quantizer, value):
        sign = graph.node("Sign", [value.name], domain="ai.larqlite")
        graph.value(sign, value.shape, like=value)
        name = graph.node("Neg", [sign])
        return graph.value(name, value.shape, like=value, levels="sign")

    for layers in (
        [dense(input_quantizer=Backwards())],
        [Backwards(), dense()],
        [tf_keras.layers.Dense(6, activation=Backwards()), dense()],
    ):
        assert assert_same(sequential((6,), *layers))[-1] == "BDense"


# Kernels.


@pytest.mark.parametrize(
    "quantizer",
    [
        *("ste_sign", "magnitude_aware_sign", "ste_tern", "ste_heaviside"),
        *("adabin_weights", "absmean_ternary", "xnor_plus"),
        *(Q.DoReFa(k, mode="weights") for k in (1, 2, 4)),
    ],
)
def test_a_frozen_kernel_is_exported_like_the_quantizer_it_came_from(
    quantizer, tmp_path
):
    layer = lq.layers.QuantConv2D(
        4, 3, input_quantizer="ste_sign", kernel_quantizer=quantizer
    )
    model = sequential((6, 6, 3), layer)
    if quantizer == "xnor_plus":
        layer.kernel_quantizer.scale.assign([0.5, 0.3, 1.0, 2.0])
    frozen = lq.models.freeze(model)
    files = []
    for name, network in (("model", model), ("frozen", frozen)):
        path = tmp_path / f"{name}.onnx"
        operations, report = checked(network, path=path)
        files.append((operations, report.weight_bytes, report.packed[0].operation))
    assert files[0] == files[1]
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    first, second = (
        next(iter(tensors(tmp_path / f"{name}.onnx", x).values()))
        for name in ("model", "frozen")
    )
    np.testing.assert_array_equal(first, second)


def test_a_kernel_quantizer_without_precision_gives_a_float_kernel():
    model = sequential((6,), dense(kernel_quantizer=lambda w: tf.sign(w)))
    operations, report = checked(model)
    assert operations == ["MatMul"]
    assert report.packed == ()
    assert report.float_layers == (model.layers[0].name,)
    assert report.weight_bytes == 4 * 30


def test_a_layer_without_quantizers_is_a_float_layer():
    model = sequential((6, 6, 3), lq.layers.QuantConv2D(4, 3, pad_values=1.0))
    assert assert_same(model)[-3:] == ["Conv", "Add", "Transpose"]


@pytest.mark.parametrize(
    ("quantizer", "reason"),
    [
        (Q.NoOp(precision=1), "declares 1 bit "),
        (Q.NoOp(precision=2), "declares 2 bits"),
        (Q.NoOp(precision=4), "declares 4 bits"),
        (Q.NoOp(precision=12), "packed at 1 to 8 bits"),
        (Q.DoReFa(16, mode="weights"), "packed at 1 to 8 bits"),
    ],
)
def test_a_kernel_that_needs_more_bits_than_declared_is_refused(quantizer, reason):
    # More inputs than a table has levels: no channel's own table takes them.
    model = sequential((40,), dense(kernel_quantizer=quantizer, name="hidden"))
    with pytest.raises(UnsupportedLayerError, match=reason) as error:
        export(model)
    assert 'QuantDense "hidden"' in str(error.value)
    assert "Fix:" in str(error.value)


def test_a_kernel_with_nan_is_refused():
    model = sequential((6,), dense(name="hidden"))
    kernel = model.layers[0].get_weights()[0]
    kernel[2, 1] = np.nan
    model.layers[0].set_weights([kernel])
    with pytest.raises(UnsupportedLayerError, match=r"1 of the 30 values .* NaN"):
        export(model)
