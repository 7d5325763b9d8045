"""Layers between a quantizer and a packed layer: what they leave of the few values."""

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.deploy.verifier._reference import run
from tests.common.samples import in_turn
from tests.deploy.keras_and_file import assert_same, with_random_weights

layers = tf_keras.layers

# What a layer makes of "sign", "heaviside" and "steps", as the packed node says it;
# None is an ordinary float convolution.
KEEPING = ("sign", "heaviside", "steps")
WITH_ZEROS = ("ternary", "heaviside", "steps")
COMPUTING = (None, None, None)

CASES = {
    "MaxPooling2D": (layers.MaxPooling2D(2), KEEPING),
    "Permute": (layers.Permute((2, 1, 3)), KEEPING),
    "Reshape": (layers.Reshape((3, 12, 4)), KEEPING),
    "Cropping2D": (layers.Cropping2D(1), KEEPING),
    "Dropout": (layers.Dropout(0.5), KEEPING),
    "ReLU of nothing": (layers.Activation("linear"), KEEPING),
    "UpSampling2D": (layers.UpSampling2D(2), KEEPING),
    "Concatenate": (lambda x: layers.Concatenate()([x, x]), KEEPING),
    "Maximum": (lambda x: layers.Maximum()([x, x[:, ::-1]]), KEEPING),
    "getitem": (lambda x: x[:, 1:], KEEPING),
    "split": (lambda x: tf.split(x, 2, axis=-1)[1], KEEPING),
    "transpose": (lambda x: tf.transpose(x, [0, 2, 1, 3]), KEEPING),
    "mirrored": (
        lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"),
        KEEPING,
    ),
    "reduce_max": (lambda x: tf.reduce_max(x, 1, keepdims=True), KEEPING),
    "ZeroPadding2D": (layers.ZeroPadding2D(1), WITH_ZEROS),
    "Concatenate with zeros and ones": (
        lambda x: layers.Concatenate()([x, lq.quantizers.get("ste_heaviside")(x)]),
        WITH_ZEROS,
    ),
    "Add": (lambda x: layers.Add()([x, x]), COMPUTING),
    "AveragePooling2D": (layers.AveragePooling2D(2), COMPUTING),
    "UpSampling2D, bilinear": (
        layers.UpSampling2D(2, interpolation="bilinear"),
        COMPUTING,
    ),
    "BatchNormalization": (layers.BatchNormalization(), COMPUTING),
}


@pytest.mark.parametrize(
    ("name", "quantizer"),
    in_turn(CASES, ["ste_sign", "ste_heaviside", "dorefa_quantizer"]),
)
def test_a_packed_layer_knows_which_values_reach_it(name, quantizer, tmp_path):
    between, expected = CASES[name]
    kind = {"ste_sign": 0, "ste_heaviside": 1, "dorefa_quantizer": 2}[quantizer]
    image = tf_keras.Input((6, 6, 4))
    x = lq.quantizers.get(quantizer)(image)
    x = between(x)
    x = lq.layers.QuantConv2D(
        3, 1, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )(x)
    model = with_random_weights(tf_keras.Model(image, x))
    ops = assert_same(model, path=tmp_path / "model.onnx")
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    inputs = [
        onnx.helper.get_node_attr_value(node, "input").decode()
        for node in nodes
        if node.domain == "ai.larqlite" and node.op_type.endswith("Conv2D")
    ]
    assert inputs == ([] if expected[kind] is None else [expected[kind]])
    assert ("Conv" in ops) == (expected[kind] is None)


KEPT = [
    name for name in CASES if CASES[name][1] is not COMPUTING and "Conc" not in name
]


@pytest.mark.parametrize(
    "name", [name for name in KEPT if name not in ("Maximum", "split", "mirrored")]
)
def test_verify_knows_the_quantizer_before_layers_that_keep_its_values(name):
    """Else it could not say how far the sums of the packed layer may be off."""
    image = tf_keras.Input((6, 6, 4))
    x = CASES[name][0](lq.quantizers.SteSign()(image))
    layer = lq.layers.QuantConv2D(3, 1, kernel_quantizer="ste_sign")
    model = tf_keras.Model(image, layer(x))
    array = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype(np.float32)
    ((use,), _, _) = run(model, [array])
    np.testing.assert_array_equal(use.quantizer(use.unquantized), use.input)


def test_a_layer_of_a_user_that_does_nothing_in_inference_is_exported(tmp_path):
    class Shaky(layers.Layer):
        def call(self, x, training=None):
            return x + tf.random.normal(tf.shape(x)) if training else x

    lq.models.add_layer_facts(
        Shaky, lq.models.LayerFacts(does_nothing_in_inference=True)
    )
    stack = [
        lq.quantizers.SteSign(input_shape=(6, 6, 4)),
        Shaky(),
        lq.layers.QuantConv2D(3, 1, kernel_quantizer="ste_sign"),
    ]
    model = with_random_weights(tf_keras.Sequential(stack))
    ops = assert_same(model, path=tmp_path / "model.onnx")
    assert "Conv" not in ops


def test_a_comparison_gives_bits():
    image = tf_keras.Input((6, 6, 4))
    x = tf.cast(image > 0.5, tf.float32)
    x = lq.layers.QuantConv2D(
        3, 3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )(x)
    ops = assert_same(with_random_weights(tf_keras.Model(image, x)))
    assert "BConv2D" in ops
