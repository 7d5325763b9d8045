"""Multiply-accumulates of every kind of layer, each counted by hand.

In the comments: weights of the kernel times the positions where each is used.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.models.internal import KINDS

layers = tf_keras.layers


def macs_of(part, shape, **options) -> int | None:
    inputs = tf_keras.Input(shape, **options)
    costs = lq.models.profile(tf_keras.Model(inputs, part(inputs)))
    return costs.layers[1].macs


@pytest.mark.parametrize(
    ("part", "shape", "expected"),
    [
        (lambda: layers.Dense(5), (7,), 7 * 5),
        (lambda: layers.Dense(5), (3, 4, 7), 7 * 5 * 3 * 4),
        (lambda: layers.Conv1D(4, 3, strides=2), (9, 2), 3 * 2 * 4 * 4),
        (lambda: layers.Conv1D(4, 3, padding="causal"), (9, 2), 3 * 2 * 4 * 9),
        (lambda: layers.Conv2D(4, (3, 2)), (9, 8, 2), 3 * 2 * 2 * 4 * 7 * 7),
        (lambda: layers.Conv2D(4, 3, dilation_rate=2), (9, 8, 2), 9 * 2 * 4 * 5 * 4),
        (lambda: layers.Conv2D(6, 3, groups=2), (9, 8, 4), 9 * 2 * 6 * 7 * 6),
        (lambda: layers.Conv2D(4, 3), (5, 9, 8, 2), 9 * 2 * 4 * 5 * 7 * 6),
        (lambda: layers.Conv3D(4, 2, strides=2), (6, 4, 8, 3), 8 * 3 * 4 * 3 * 2 * 4),
        (lambda: layers.DepthwiseConv1D(3, depth_multiplier=2), (9, 4), 3 * 4 * 2 * 7),
        (lambda: layers.DepthwiseConv2D(3, strides=2), (9, 9, 4), 9 * 4 * 4 * 4),
        (lambda: layers.SeparableConv1D(5, 3), (9, 4), (3 * 4 + 4 * 5) * 7),
        (lambda: layers.SeparableConv2D(5, 3), (9, 8, 4), (9 * 4 + 4 * 5) * 7 * 6),
        # Transposed: every weight meets every *input* pixel.
        (lambda: layers.Conv1DTranspose(4, 3, strides=2), (9, 2), 3 * 2 * 4 * 9),
        (lambda: layers.Conv2DTranspose(4, 3, strides=2), (9, 8, 2), 9 * 2 * 4 * 9 * 8),
        (lambda: layers.Conv3DTranspose(4, 2), (3, 4, 5, 2), 8 * 2 * 4 * 3 * 4 * 5),
        # Locally connected: 4 x 3 positions with 9 * 2 * 5 weights of their own.
        (lambda: layers.LocallyConnected2D(5, 3), (6, 5, 2), 4 * 3 * 9 * 2 * 5),
        (lambda: layers.LocallyConnected1D(5, 3), (6, 2), 4 * 3 * 2 * 5),
        (lambda: layers.EinsumDense("abc,cd->abd", (4, 5)), (4, 3), 4 * 3 * 5),
        (lambda: layers.EinsumDense("...x,xy->...y", 5), (3,), 3 * 5),
        (lambda: layers.EinsumDense("abc,cde->abde", (4, 5, 6)), (4, 3), 4 * 3 * 5 * 6),
        (lambda: layers.EinsumDense("abc,bd->acd", (3, 5)), (4, 3), 4 * 3 * 5),
        # Recurrent: input and recurrent kernels of every gate, once per step.
        (lambda: layers.SimpleRNN(5), (7, 3), 7 * (3 + 5) * 5),
        (lambda: layers.GRU(5), (7, 3), 7 * 3 * (3 + 5) * 5),
        (lambda: layers.LSTM(5), (7, 3), 7 * 4 * (3 + 5) * 5),
        (lambda: layers.LSTM(5, return_sequences=True), (7, 3), 7 * 4 * (3 + 5) * 5),
        (lambda: layers.Bidirectional(layers.GRU(5)), (7, 3), 2 * 7 * 3 * (3 + 5) * 5),
        (
            lambda: layers.ConvLSTM2D(2, 3),
            (6, 5, 5, 1),
            6 * 9 * 4 * (1 * 2 + 2 * 2) * 9,
        ),
        (lambda: layers.TimeDistributed(layers.Dense(5)), (7, 3), 7 * 3 * 5),
        (
            lambda: layers.TimeDistributed(layers.Conv2D(4, 3)),
            (2, 9, 8, 2),
            2 * 72 * 42,
        ),
        (lambda: layers.Embedding(100, 8), (7,), 0),
        (lambda: layers.BatchNormalization(), (7,), 0),
    ],
)
def test_macs_by_hand(part, shape, expected):
    assert macs_of(part(), shape) == expected


def test_mobilenet_costs_what_its_paper_says():
    # Howard et al. 2017, https://arxiv.org/abs/1704.04861, table 8: 569 million
    # multiply-adds, 4.2 million parameters.
    costs = lq.models.profile(tf_keras.applications.MobileNet(weights=None))
    assert round(costs.macs / 1e6) == 569
    assert round(costs.params / 1e6, 1) == 4.2
    assert costs.unknown_layers == ()


def test_a_stack_of_recurrent_cells_counts_each_cell():
    cells = [layers.LSTMCell(5), layers.GRUCell(4)]
    by_hand = 7 * (4 * (3 + 5) * 5 + 3 * (5 + 4) * 4)
    assert macs_of(layers.RNN(cells), (7, 3)) == by_hand


def test_a_recurrent_layer_with_time_first_counts_steps_of_the_first_axis():
    inputs = tf_keras.Input(batch_shape=(7, None, 3))
    model = tf_keras.Model(inputs, layers.LSTM(5, time_major=True)(inputs))
    assert lq.models.profile(model).macs == 7 * 4 * (3 + 5) * 5


def test_a_cell_of_ones_own_is_unknown_by_name():
    class Leaky(layers.Layer):
        state_size = output_size = 3

        def call(self, inputs, states):
            return inputs, [inputs]

    inputs = tf_keras.Input((7, 3))
    model = tf_keras.Model(inputs, layers.RNN(Leaky())(inputs))
    assert (
        lq.models.profile(model).layers[1].macs_reason
        == "no formula for the cell Leaky"
    )


def test_attention_counts_projections_scores_and_weighted_sums():
    query, value = tf_keras.Input((7, 6)), tf_keras.Input((5, 4))
    part = layers.MultiHeadAttention(num_heads=2, key_dim=3, value_dim=8)
    model = tf_keras.Model([query, value], part(query, value))
    projections = 7 * 6 * 2 * 3 + 5 * 4 * 2 * 3 + 5 * 4 * 2 * 8 + 7 * 2 * 8 * 6
    heads = 2 * 7 * 5 * 3 + 2 * 7 * 5 * 8
    assert lq.models.profile(model).layers[2].macs == projections + heads


@pytest.mark.parametrize("part", [layers.Attention, layers.AdditiveAttention])
def test_plain_attention_counts_scores_and_weighted_sums(part):
    query, value = tf_keras.Input((7, 6)), tf_keras.Input((5, 6))
    model = tf_keras.Model([query, value], part()([query, value]))
    assert lq.models.profile(model).layers[2].macs == 2 * 7 * 5 * 6


def test_products_of_activations_have_the_precision_of_both():
    inputs = tf_keras.Input((4, 6))
    signs = layers.Activation("ste_sign")(inputs)
    ternary = lq.quantizers.SteTern()(inputs)
    model = tf_keras.Model(
        inputs,
        [
            layers.Dot(axes=2, name="dot")([signs, ternary]),
            tf.linalg.matmul(signs, ternary, transpose_b=True, name="product"),
            tf.einsum("bij,bkj->bik", ternary, inputs),
        ],
    )
    costs = lq.models.profile(model)
    counted = [row.macs_by_bits for row in costs.layers if row.macs]
    assert counted == [{(2, 1): 4 * 4 * 6}, {(2, 1): 4 * 4 * 6}, {(32, 2): 4 * 4 * 6}]


def test_a_matrix_product_with_a_constant_counts():
    inputs = tf_keras.Input((4, 6))
    model = tf_keras.Model(inputs, inputs @ tf.ones((6, 5)))
    assert lq.models.profile(model).macs == 4 * 6 * 5


def test_operators_on_tensors_multiply_and_accumulate_nothing():
    x = tf_keras.Input((4, 6))
    y = tf.nn.relu(-x[:, 1:] * 2.0 + 1.0) / 3.0
    y = tf.concat([tf.reduce_mean(y, axis=1), tf.cast(tf.sign(x[:, 0]), "float32")], 1)
    costs = lq.models.profile(tf_keras.Model(x, tf.transpose(y)))
    assert costs.macs == 0
    assert costs.unknown_layers == ()


def test_a_function_without_a_formula_is_unknown_by_its_name():
    x = tf_keras.Input((8, 6))
    model = tf_keras.Model(x, tf.nn.conv1d(x, tf.ones((3, 6, 2)), 1, "SAME"))
    reason = lq.models.profile(model).layers[1].macs_reason
    assert "tf.compat.v1.nn.conv1d" in reason


@pytest.mark.parametrize(
    ("implementation", "padding"),
    [(1, "valid"), (2, "valid"), (3, "valid"), (2, "same"), (3, "same")],
)
def test_locally_connected_layers_use_each_weight_once(implementation, padding):
    part = layers.LocallyConnected2D(
        3, (3, 2), strides=2, padding=padding, implementation=implementation
    )
    # By brute force: a kernel of ones on an image of ones adds up one per product.
    part.kernel_initializer = tf_keras.initializers.Ones()
    counted = macs_of(part, (6, 5, 2))
    assert counted == np.sum(part(tf.ones((1, 6, 5, 2)))[0])


def test_the_dense_form_of_a_locally_connected_layer_says_what_it_wastes():
    part = layers.LocallyConnected1D(
        1, 2, implementation=2, use_bias=False, name="local"
    )
    inputs = tf_keras.Input((5, 1))
    row = lq.models.profile(tf_keras.Model(inputs, part(inputs))).layer("local")
    assert (row.params, row.macs) == (5 * 4, 4 * 2)
    assert "implementation=2" in row.notes[0].text


@pytest.mark.parametrize(
    "part",
    [
        lambda **o: layers.Conv2D(4, 3, strides=2, padding="same", **o),
        lambda **o: layers.DepthwiseConv2D(3, depth_multiplier=2, **o),
        lambda **o: layers.SeparableConv2D(5, 3, **o),
        lambda **o: layers.Conv2DTranspose(4, 3, strides=2, **o),
        lambda **o: layers.LocallyConnected2D(3, 2, **o),
        lambda **o: layers.LocallyConnected2D(3, 2, implementation=2, **o),
        lambda **o: layers.ConvLSTM2D(2, 3, return_sequences=True, **o),
    ],
)
def test_channels_first_counts_like_channels_last(part):
    video = [5] if isinstance(part(), layers.ConvLSTM2D) else []
    last = macs_of(part(), (*video, 9, 7, 2))
    first = macs_of(part(data_format="channels_first"), (*video, 2, 9, 7))
    assert first == last > 0


def test_quantized_layers_count_like_those_they_derive_from():
    pairs = [
        (lq.layers.QuantDense(3), layers.Dense(3), (5,)),
        (lq.layers.QuantConv1D(3, 2), layers.Conv1D(3, 2), (9, 2)),
        (lq.layers.QuantConv3D(3, 2), layers.Conv3D(3, 2), (5, 6, 7, 2)),
        (lq.layers.QuantDepthwiseConv1D(3), layers.DepthwiseConv1D(3), (9, 2)),
        (lq.layers.QuantConv2DTranspose(3, 2), layers.Conv2DTranspose(3, 2), (5, 5, 2)),
        (
            lq.layers.QuantLocallyConnected1D(3, 2),
            layers.LocallyConnected1D(3, 2),
            (5, 2),
        ),
    ]
    for quantized, plain, shape in pairs:
        assert macs_of(quantized, shape) == macs_of(plain, shape) > 0


def test_the_pointwise_half_of_a_separable_convolution_reads_sums_not_bits():
    binary = {
        "depthwise_quantizer": "ste_sign",
        "pointwise_quantizer": "ste_sign",
        "depthwise_constraint": "weight_clip",
        "pointwise_constraint": "weight_clip",
    }
    part = lq.layers.QuantSeparableConv2D(5, 3, input_quantizer="ste_sign", **binary)
    inputs = tf_keras.Input((9, 8, 4))
    costs = lq.models.profile(tf_keras.Model(inputs, part(inputs)))
    positions = 7 * 6
    assert costs.macs_by_bits == {(1, 1): 9 * 4 * positions, (1, 32): 4 * 5 * positions}


def test_a_quantized_layer_for_each_time_step_keeps_its_bits():
    part = layers.TimeDistributed(
        lq.layers.QuantDense(
            5,
            input_quantizer="ste_sign",
            kernel_quantizer="ste_tern",
            kernel_constraint="weight_clip",
        )
    )
    inputs = tf_keras.Input((7, 3))
    row = lq.models.profile(tf_keras.Model(inputs, part(inputs))).layers[1]
    assert row.macs_by_bits == {(2, 1): 7 * 3 * 5}
    assert row.input_precision == 1


def test_subclasses_count_like_their_bases():
    class MyConvolution(layers.Conv2D):
        pass

    assert macs_of(MyConvolution(4, 3), (9, 8, 2)) == 9 * 2 * 4 * 7 * 6


def test_a_layer_of_ones_own_is_unknown_until_it_has_a_formula():
    class Outer(layers.Layer):
        def call(self, inputs):
            return inputs[:, :, None] * inputs[:, None, :]

    inputs = tf_keras.Input((5,))
    model = tf_keras.Model(inputs, Outer()(inputs))
    row = lq.models.profile(model).layers[1]
    assert row.macs is None
    assert row.macs_reason == (
        "no formula for the class Outer; add one with @lq.models.mac_formula(Outer)"
    )

    @lq.models.mac_formula(Outer)
    def outer_macs(call):
        yield call.output_shape[1] * call.output_shape[2], 32, call.input_bits

    try:
        assert lq.models.profile(model).layers[1].macs_by_bits == {(32, 32): 25}
    finally:
        del KINDS[Outer]


@pytest.mark.parametrize("cls", ["Outer", 3, int, layers.Layer.call])
def test_a_formula_is_for_a_layer_class_only(cls):
    with pytest.raises(lq.errors.ArgumentError, match=r"(?s)not a class.*Fix: "):
        lq.models.mac_formula(cls)


def test_every_layer_class_of_keras_has_a_formula_or_is_known_to_have_none():
    without = {
        "AbstractRNNCell",
        "DenseFeatures",
        "GRUCell",
        "InputSpec",
        "LSTMCell",
        "Lambda",
        "Layer",
        "SimpleRNNCell",
        "StackedRNNCells",
        "Wrapper",
    }
    classes = {n: c for n, c in vars(layers).items() if isinstance(c, type)}
    assert len(classes) > 100
    found = {n for n, c in classes.items() if not any(b in KINDS for b in c.__mro__)}
    assert found == without
