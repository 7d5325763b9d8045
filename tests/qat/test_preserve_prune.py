"""Weights that are zero when a model becomes quantization-aware stay zero."""

import logging

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError
from larqlite.qat.collab_opts import (
    Default8BitPrunePreserveQuantizeScheme,
    PrunePreserveQuantizer,
    update_latent_weights,
)

layers = tf_keras.layers


def pruned(model: tf_keras.Model, sparsity: float = 0.6) -> tf_keras.Model:
    """The model with this part of each kernel 0, the rest from a normal distribution."""
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.shape.rank > 1:
            values = rng.normal(size=variable.shape)
            keep = rng.uniform(size=variable.shape) >= sparsity
            variable.assign(np.where(keep, values, 0))
    return model


def read(weight) -> np.ndarray:
    """The quantized value of a weight."""
    with lq.context.quantized_scope(True):
        return weight.numpy()


def trained(model, optimizer="adam", steps: int = 3):
    rng = np.random.default_rng(1)
    model.compile(optimizer, "mse", run_eagerly=True)
    x = rng.normal(size=(8, *model.input_shape[1:])).astype("float32")
    y = rng.normal(size=(8, *model.output_shape[1:])).astype("float32")
    for _ in range(steps):
        model.train_on_batch(x, y)
    return model


def dense() -> tf_keras.Model:
    return pruned(tf_keras.Sequential([layers.Dense(6, input_shape=(10,))]))


@pytest.mark.parametrize(
    "optimizer",
    [
        tf_keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
        tf_keras.optimizers.AdamW(
            0.01, weight_decay=0.1, ema_momentum=0.9, use_ema=True
        ),
        tf_keras.optimizers.RMSprop(0.01, centered=True, momentum=0.5),
        tf_keras.optimizers.Ftrl(0.1),
        tf_keras.optimizers.Adagrad(0.1),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_zeros_stay_zero_with_every_kind_of_step(optimizer):
    model = dense()
    zeros = model.layers[0].kernel.numpy() == 0
    quantized = lq.qat.quantize_model(model, scheme="prune_preserve")
    kernel = quantized.layers[-1].layer.kernel
    before = kernel.numpy()
    trained(quantized, optimizer)
    assert (kernel.numpy()[~zeros] != before[~zeros]).all()
    np.testing.assert_array_equal(kernel.numpy()[zeros], 0)
    np.testing.assert_array_equal(read(kernel)[zeros], 0)


def test_a_latent_weight_that_an_optimizer_moves_off_zero_still_reads_as_zero():
    quantized = lq.qat.quantize_model(dense(), scheme="prune_preserve")
    kernel = quantized.layers[-1].layer.kernel
    zeros = kernel.numpy() == 0
    kernel.assign(np.where(zeros, np.nan, kernel.numpy()))
    quantized(np.ones((1, 10)), training=True)
    np.testing.assert_array_equal(read(kernel)[zeros], 0)
    assert np.isfinite(read(kernel)).all()
    update_latent_weights(quantized)
    np.testing.assert_array_equal(kernel.numpy() == 0, zeros)


def test_masked_weights_have_no_gradient_and_the_others_that_of_the_quantized_kernel():
    quantized = lq.qat.quantize_model(dense(), scheme="prune_preserve")
    layer = quantized.layers[-1].layer
    zeros = layer.kernel.numpy() == 0
    x = tf.constant(np.random.default_rng(2).normal(size=(4, 10)), tf.float32)
    wrapper = quantized.layers[-1]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(wrapper(x, training=True))
    gradient = tape.gradient(loss, layer.kernel).numpy()
    np.testing.assert_array_equal(gradient[zeros], 0)
    expected = np.repeat(np.sum(x, 0)[:, None], 6, 1)
    np.testing.assert_allclose(gradient[~zeros], expected[~zeros], rtol=1e-5)


CHAINS = {
    "lines": (
        (12, 3),
        lambda: [
            layers.Conv1D(3, 2),
            layers.Conv1DTranspose(3, 2),
            layers.SeparableConv1D(4, 2, padding="causal"),
            layers.LocallyConnected1D(4, 2),
            layers.EinsumDense("abc,cd->abd", (None, 4)),
            layers.TimeDistributed(layers.Dense(4)),
            layers.Bidirectional(layers.SimpleRNN(4)),
        ],
    ),
    "images": (
        (6, 6, 3),
        lambda: [
            layers.Conv2D(3, 2),
            layers.Conv2DTranspose(3, 2),
            layers.SeparableConv2D(4, 2),
        ],
    ),
    "volumes": (
        (4, 4, 4, 2),
        lambda: [layers.Conv3D(3, 2), layers.Conv3DTranspose(3, 2)],
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_every_layer_with_a_kernel_keeps_its_zeros(name):
    shape, made = CHAINS[name]
    model = pruned(tf_keras.Sequential([layers.Input(shape), *made()]))
    quantized = lq.qat.quantize_model(model, scheme="prune_preserve")
    masked = [
        (weight, weight.numpy() == 0)
        for wrapper in quantized.layers[1:]
        for weight, quantizer, *_ in wrapper.weight_slots
        if isinstance(quantizer, PrunePreserveQuantizer)
    ]
    assert len(masked) == {"lines": 10, "images": 3, "volumes": 2}[name]
    trained(quantized, tf_keras.optimizers.SGD(0.1, momentum=0.9))
    for weight, zeros in masked:
        assert 0.2 < zeros.mean() < 0.9
        np.testing.assert_array_equal(weight.numpy() == 0, zeros)
        np.testing.assert_array_equal(read(weight)[zeros], 0)


def test_attention_and_embeddings_keep_their_zeros():
    inputs = tf_keras.Input((5,))
    x = layers.Embedding(10, 8)(inputs)
    model = pruned(tf_keras.Model(inputs, layers.MultiHeadAttention(2, 4)(x, x)))
    quantized = lq.qat.quantize_model(model, scheme="prune_preserve")
    slots = [s for w in quantized.layers[1:] for s in getattr(w, "weight_slots", [])]
    zeros = [weight.numpy() == 0 for weight, *_ in slots]
    assert len(slots) == 5
    quantized.compile("adam", "mse", run_eagerly=True)
    quantized.train_on_batch(np.arange(10).reshape(2, 5), np.ones((2, 5, 8)))
    for (weight, *_), expected in zip(slots, zeros, strict=True):
        np.testing.assert_array_equal(weight.numpy() == 0, expected)


def test_depthwise_kernels_have_masks_only_on_request():
    model = pruned(
        tf_keras.Sequential([layers.DepthwiseConv2D(3, input_shape=(6, 6, 4))])
    )
    for depthwise in (False, True):
        scheme = Default8BitPrunePreserveQuantizeScheme(depthwise=depthwise)
        quantized = lq.qat.quantize_model(model, scheme=scheme)
        kernel = quantized.layers[-1].layer.depthwise_kernel
        zeros = kernel.numpy() == 0
        trained(quantized)
        assert (kernel.numpy()[zeros] == 0).all() == depthwise


def test_the_slopes_of_a_prelu_which_begin_at_zero_are_trained():
    model = tf_keras.Sequential([layers.Dense(4, input_shape=(3,)), layers.PReLU()])
    quantized = trained(lq.qat.quantize_model(model, scheme="prune_preserve"))
    assert (quantized.layers[-1].layer.alpha.numpy() != 0).any()


def test_only_the_layers_of_a_pattern_keep_their_zeros():
    model = pruned(
        tf_keras.Sequential(
            [
                layers.Dense(6, input_shape=(5,), name="kept"),
                layers.Dense(4, name="other"),
            ]
        )
    )
    schemes = {"kept": "prune_preserve", "*": "int8"}
    quantized = trained(lq.qat.quantize_apply(model, schemes))
    kept, other = (layer.layer.kernel for layer in quantized.layers[1:])
    assert (kept.numpy() == 0).mean() > 0.4
    assert (other.numpy() == 0).mean() < 0.1


def test_a_kernel_of_zeros_is_left_so_and_said_to_be(caplog):
    model = tf_keras.Sequential(
        [layers.Dense(3, input_shape=(2,), kernel_initializer="zeros", name="fc")]
    )
    with caplog.at_level(logging.WARNING, "larqlite.qat"):
        quantized = lq.qat.quantize_model(model, scheme="prune_preserve")
    assert 'all values of "fc/kernel:0" are 0' in caplog.text.replace("quant_fc/", "")
    np.testing.assert_array_equal(trained(quantized).layers[-1].layer.kernel.numpy(), 0)


def test_one_bit_which_has_no_zero_is_refused():
    with pytest.raises(ArgumentError, match="num_bits=1 has no level 0"):
        PrunePreserveQuantizer(num_bits=1)


def test_fewer_bits_keep_zeros_too():
    config = lq.qat.LayerQuantizeConfig({"kernel": PrunePreserveQuantizer(num_bits=2)})
    model = dense()
    zeros = model.layers[0].kernel.numpy() == 0
    quantized = lq.qat.quantize_apply(model, {"*": config})
    kernel = trained(quantized).layers[-1].layer.kernel
    np.testing.assert_array_equal(read(kernel)[zeros], 0)
    assert len(np.unique(read(kernel))) == 3


def test_a_layer_with_weights_that_is_wrapped_by_hand_is_captured():
    layer = layers.Dense(2, use_bias=False)
    layer.build((None, 2))
    layer.set_weights([np.array([[0.0, 1.0], [2.0, 0.0]])])
    wrapper = lq.qat.QuantizeWrapper(
        layer, lq.qat.LayerQuantizeConfig({"kernel": PrunePreserveQuantizer()})
    )
    wrapper.build((None, 2))
    assert wrapper.weight_slots[0][2]["mask"].numpy().tolist() == [
        [False, True],
        [True, False],
    ]
