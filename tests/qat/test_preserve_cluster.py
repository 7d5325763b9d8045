"""Weights that are equal when a model becomes quantization-aware stay equal."""

import logging
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, QuantizerError
from larqlite.qat.collab_opts import (
    ClusterPreserveQuantizer,
    Default8BitClusterPreserveQuantizeScheme,
    PrunePreserveQuantizer,
    update_latent_weights,
)
from larqlite.qat.preserve._find import clusters_of
from larqlite.qat.preserve._nearest import nearest, pulled
from larqlite.qat.quantizers import LastValueQuantizer
from tests.qat.preserve_cases import (
    by_channel as with_own_values,
    clustered,
    kernels,
    pruned,
)

layers = tf_keras.layers
KERNELS = kernels()


def dense(kernel=KERNELS["dense_8_pruned"], **arguments) -> tf_keras.Model:
    layer = layers.Dense(kernel.shape[1], input_shape=kernel.shape[:1], **arguments)
    model = tf_keras.Sequential([layer])
    layer.kernel.assign(kernel)
    return model


def conv(kernel) -> tf_keras.Model:
    layer = layers.Conv2D(kernel.shape[-1], kernel.shape[:2], input_shape=(6, 6, 4))
    model = tf_keras.Sequential([layer])
    layer.kernel.assign(kernel)
    return model


def quantized(model, **arguments):
    scheme = Default8BitClusterPreserveQuantizeScheme(**arguments)
    return lq.qat.quantize_model(model, scheme=scheme)


def slot(model):
    """Kernel, quantizer and variables of the last layer."""
    return model.layers[-1].weight_slots[0][:3]


def read(weight) -> np.ndarray:
    with lq.context.quantized_scope(True):
        return weight.numpy()


def trained(model, optimizer=None, steps: int = 5):
    rng = np.random.default_rng(1)
    model.compile(
        optimizer or tf_keras.optimizers.SGD(0.1, 0.9), "mse", run_eagerly=True
    )
    x = rng.normal(size=(8, *model.input_shape[1:])).astype("float32")
    y = rng.normal(size=(8, *model.output_shape[1:])).astype("float32")
    for _ in range(steps):
        model.train_on_batch(x, y)
    return model


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
def test_the_gradient_of_a_centroid_is_the_sum_over_its_members(compiled):
    centroids, lookup = tf.Variable([1.0, 2.0, 3.0]), [[0, 1, 1], [1, -1, 0]]
    latent = tf.Variable(tf.zeros((2, 3)))
    dy = tf.constant([[1.0, 10.0, 100.0], [1000.0, 7.0, 0.5]])

    @tf.function(jit_compile=compiled)
    def run():
        with tf.GradientTape() as tape:
            arguments = (latent.read_value(), tf.constant(lookup))
            values = pulled(centroids.read_value(), *arguments)
            loss = tf.reduce_sum(values * dy)
        return values, *tape.gradient(loss, (centroids, latent))

    values, of_centroids, of_latent = run()
    assert values.numpy().tolist() == [[1.0, 2.0, 2.0], [2.0, 0.0, 1.0]]
    assert isinstance(of_centroids, tf.Tensor)
    assert of_centroids.numpy().tolist() == [1.5, 1110.0, 0.0]
    assert of_latent.numpy().tolist() == [[1.0, 10.0, 100.0], [1000.0, 0.0, 0.5]]


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("counts", [7, [2, 1, 2, 2], [3, 0, 1, 3]], ids=str)
def test_the_nearest_centroid_is_found_as_by_brute_force(counts, compiled):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 50, 4)).astype("float32")
    centroids = rng.normal(size=7).astype("float32")
    found = tf.function(nearest, jit_compile=compiled)(values, centroids, counts)
    ends = [7] * 4 if counts == 7 else np.cumsum(counts)
    starts = [0] * 4 if counts == 7 else ends - counts
    for c in range(4):
        own = centroids[starts[c] : ends[c]]
        if len(own):
            distances = np.abs(values[..., c, None] - own)
            expected = distances.argmin(-1) + starts[c]
            np.testing.assert_array_equal(found[..., c], expected)


def test_a_step_moves_each_centroid_by_the_summed_gradient_of_the_loss():
    model = quantized(dense(), train_lookup=False)
    variables = slot(model)[2]
    before, lookup = variables["centroids"].numpy(), variables["lookup"].numpy()
    x = np.random.default_rng(3).normal(size=(4, 12)).astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.layers[-1](x, training=True))
    variables_ = model.trainable_variables
    gradients = tape.gradient(loss, variables_)
    tf_keras.optimizers.SGD(0.5).apply_gradients(
        zip(gradients, variables_, strict=True)
    )
    per_weight = np.repeat(x.sum(0)[:, None], 10, 1)
    expected = [before[k] - 0.5 * per_weight[lookup == k].sum() for k in range(8)]
    np.testing.assert_allclose(variables["centroids"].numpy(), expected, rtol=1e-4)


NAMES = ("dense_8", "dense_8_pruned", "conv_by_channel_pruned", "conv_unequal")
# Neighbours differ in one of `preserve_sparsity` and `train_lookup`.
WAYS = ((False, False), (False, True), (True, True), (True, False))


@pytest.mark.parametrize(
    ("name", "preserve_sparsity", "train_lookup"),
    [
        pytest.param(name, *way, marks=[pytest.mark.slow] * ((number + place) % 2))
        for number, name in enumerate(NAMES)
        for place, way in enumerate(WAYS)
    ],
)
def test_a_kernel_or_its_channels_never_have_more_values(
    name, preserve_sparsity, train_lookup
):
    kernel = KERNELS[name]
    make = dense if kernel.ndim == 2 else conv
    model = quantized(
        make(kernel), preserve_sparsity=preserve_sparsity, train_lookup=train_lookup
    )
    weight, quantizer, variables = slot(model)
    lookup = variables["lookup"].numpy()
    trained(model, tf_keras.optimizers.AdamW(0.05, weight_decay=0.1))
    assert (variables["lookup"].numpy() != lookup).any() == train_lookup
    values = quantizer.preserved(weight.latent_variable, variables).numpy()
    assert np.abs(values - kernel).max() > 0.05
    by_channel = name == "conv_by_channel_pruned"
    assert isinstance(quantizer.clusters, list) == by_channel
    if not by_channel:
        assert len(np.unique(values)) <= len(np.unique(kernel))
    if not train_lookup or by_channel:
        for c in range(kernel.shape[-1]):
            count = len(np.unique(kernel[..., c]))
            assert len(np.unique(values[..., c])) <= count
            assert len(np.unique(read(weight)[..., c])) <= count
    if preserve_sparsity:
        np.testing.assert_array_equal(read(weight)[kernel == 0], 0)
        np.testing.assert_array_equal(variables["lookup"].numpy() < 0, kernel == 0)


def test_a_weight_changes_to_the_centroid_that_has_come_nearer_and_back_in_training_only():
    model = quantized(dense(use_bias=False))
    weight, quantizer, variables = slot(model)
    kernel, centroids = weight.numpy(), variables["centroids"].numpy()
    order = np.argsort(centroids)
    moved = np.where(kernel == 0, 5.0, -kernel)
    weight.assign(moved)
    model(np.ones((1, 12)), training=False)
    np.testing.assert_array_equal(
        quantizer.preserved(weight.latent_variable, variables), kernel
    )
    for training in (True, tf.constant(True), tf.Variable(True)):
        variables["lookup"].assign(np.where(kernel == 0, -1, 0))
        tf.function(quantizer)(tf.convert_to_tensor(weight), training, variables)
        expected = centroids[np.abs(moved[..., None] - centroids).argmin(-1)]
        np.testing.assert_array_equal(
            quantizer.preserved(weight.latent_variable, variables),
            np.where(kernel == 0, 0, expected),
        )
    assert (np.diff(centroids[order]) > 0).all()
    before = variables["lookup"].numpy()
    weight.assign(kernel)
    lq.qat.calibrate(model, np.ones((4, 12), "float32"))
    np.testing.assert_array_equal(variables["lookup"].numpy(), before)


def test_without_preserved_sparsity_zeros_move_together():
    kernel = KERNELS["dense_8_pruned"]
    model = trained(quantized(dense(), preserve_sparsity=False, train_lookup=False))
    weight, quantizer, variables = slot(model)
    values = quantizer.preserved(weight.latent_variable, variables).numpy()
    assert len(np.unique(values[kernel == 0])) == 1
    assert (values[kernel == 0] != 0).all()


@pytest.mark.parametrize("train_lookup", [False, True], ids=["fixed", "trained"])
def test_the_kernel_is_trained_if_it_chooses_the_centroids_and_else_is_not(
    train_lookup,
):
    model = quantized(dense(), train_lookup=train_lookup)
    names = sorted(v.name.rpartition("/")[2] for v in model.trainable_variables)
    expected = ["bias:0", "kernel:0", "kernel_centroids:0"]
    assert names == [n for n in expected if train_lookup or n != "kernel:0"]
    wrapper = model.layers[-1]
    ids = [id(v) for v in wrapper.weights]
    assert len(set(ids)) == len(ids)
    assert {id(v) for v in wrapper.variables} == set(ids)
    wrapper.trainable = False
    assert model.trainable_variables == []
    assert {id(v) for v in wrapper.weights} == set(ids)
    wrapper.trainable = True
    assert len(model.trainable_variables) == 2 + train_lookup


@pytest.mark.parametrize("train_lookup", [False, True], ids=["fixed", "trained"])
def test_training_warns_of_no_missing_gradient(train_lookup, caplog):
    model = quantized(dense(), train_lookup=train_lookup)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        kernel = model.layers[-1].layer.kernel.numpy()
        trained(model, "adam", 2)
    assert "Gradients do not exist" not in caplog.text
    now = model.layers[-1].layer.kernel.numpy()
    assert (now != kernel).any() == train_lookup
    np.testing.assert_array_equal(now[kernel == 0], 0)


def test_what_is_counted_is_the_kernel_with_8_bits_and_no_centroids():
    model = quantized(dense())
    assert lq.models.profile(model).params_by_bits == {8: 120, 32: 10}
    assert lq.qat.report(model, verbose=False).layers[-1].weights == {"kernel": 8}


def test_the_float_values_of_clusters_can_be_stored_in_the_kernel():
    model = trained(quantized(dense()))
    weight, _, variables = slot(model)
    before = model(np.ones((1, 12))).numpy()
    assert update_latent_weights(model) is model
    expected = np.append(variables["centroids"], 0)[variables["lookup"]]
    np.testing.assert_array_equal(weight.numpy(), expected)
    np.testing.assert_array_equal(model(np.ones((1, 12))), before)


def test_inference_reads_the_stored_centroids_and_range():
    model = trained(quantized(dense(use_bias=False)))
    weight, _, variables = slot(model)
    end = variables["max_var"].numpy()
    values = np.append(variables["centroids"], 0)[variables["lookup"]]
    codes = np.clip(np.round(values / end * 127), -127, 127)
    np.testing.assert_allclose(read(weight), codes * end / 127, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("kernel", "warning"),
    [
        (KERNELS["dense_1100"], "has 1100 distinct values"),
        (KERNELS["dense_1"], "has 1 distinct value,"),
        (np.zeros((4, 3), "float32"), "has 1 distinct value,"),
        (np.arange(1, 13, dtype="float32").reshape(4, 3), None),
    ],
    ids=["too many", "one", "zeros", "all distinct"],
)
def test_a_kernel_without_clusters_is_trained_as_usual(kernel, warning, caplog):
    with caplog.at_level(logging.WARNING, "larqlite.qat"):
        model = quantized(dense(kernel, name="fc"))
    _, quantizer, variables = slot(model)
    expected = PrunePreserveQuantizer if not kernel.any() else LastValueQuantizer
    assert type(quantizer) is expected
    assert "centroids" not in variables
    if warning is None:
        assert "distinct" not in caplog.text
    else:
        assert f'kernel of Dense "fc" {warning}' in caplog.text
    assert any(
        v is model.layers[-1].layer.kernel for v in model.layers[-1].trainable_weights
    )


def test_zeros_of_a_kernel_with_too_many_clusters_stay_zero():
    kernel = pruned(np.random.default_rng(0), KERNELS["dense_1100"], 0.05)
    assert len(np.unique(kernel)) > 1024
    model = trained(quantized(dense(kernel)))
    weight, quantizer, _ = slot(model)
    assert type(quantizer) is PrunePreserveQuantizer
    np.testing.assert_array_equal(read(weight)[kernel == 0], 0)


def test_channels_have_clusters_of_their_own_where_the_kernel_has_too_many():
    rng = np.random.default_rng(0)
    kernel = with_own_values(rng, (3, 3, 16, 80), [14, 15] * 40)
    assert len(np.unique(kernel)) > 1024
    found = clusters_of(kernel, per_channel=True, keep_zeros=True)
    assert (found.counts, found.most) == ([14, 15] * 40, 15)
    assert found.centroids.size == 40 * (14 + 15)
    np.testing.assert_array_equal(found.values, kernel)
    for c in (0, 1, 79):
        assert found.lookup[..., c].max() - found.lookup[..., c].min() in (13, 14)
    layer = layers.Conv2D(80, 3, input_shape=(4, 4, 16))
    model = tf_keras.Sequential([layer])
    layer.kernel.assign(kernel)
    model = trained(quantized(model), steps=2)
    for c in (0, 1, 79):
        assert len(np.unique(read(slot(model)[0])[..., c])) <= 14 + c % 2
    # Numbers that differ by more mean that values do not belong to channels.
    unequal = with_own_values(rng, (3, 3, 16, 80), [10, 30] * 40)
    found = clusters_of(unequal, per_channel=True, keep_zeros=True)
    assert found.counts == len(np.unique(unequal))


def test_a_codebook_that_channels_share_stays_one():
    kernel = clustered(np.random.default_rng(0), (3, 3, 4, 5), 6)
    model = trained(quantized(conv(kernel), disable_per_axis=True))
    weight, _, variables = slot(model)
    assert variables["centroids"].shape == (6,)
    assert len(np.unique(read(weight))) <= 6


def test_depthwise_kernels_are_clustered_only_on_request():
    kernel = clustered(np.random.default_rng(0), (3, 3, 4, 1), 5)
    model = tf_keras.Sequential([layers.DepthwiseConv2D(3, input_shape=(5, 5, 4))])
    model.layers[0].depthwise_kernel.assign(kernel)
    assert type(slot(quantized(model))[1]) is LastValueQuantizer
    _, quantizer, _ = slot(quantized(model, depthwise=True))
    assert quantizer.clusters == 5


def test_both_parts_of_a_separable_convolution_get_what_is_theirs():
    model = tf_keras.Sequential([layers.SeparableConv2D(6, 3, input_shape=(6, 6, 4))])
    kernel = clustered(np.random.default_rng(0), (1, 1, 4, 6), 5)
    model.layers[0].pointwise_kernel.assign(kernel)
    _, quantizer, variables = slot(quantized(model))
    assert quantizer.clusters == 5
    np.testing.assert_array_equal(
        variables["centroids"].numpy()[variables["lookup"]], kernel
    )


def test_layers_that_are_shared_or_nested_keep_their_clusters():
    inner = dense(clustered(np.random.default_rng(0), (4, 4), 3))
    inputs = tf_keras.Input((4,))
    outer = tf_keras.Model(inputs, inner(inner(inputs)))
    model = trained(lq.qat.quantize_model(outer, scheme="cluster_preserve"))
    (wrapper,) = (w for w in model.submodules if getattr(w, "weight_slots", None))
    assert len(np.unique(read(wrapper.layer.kernel))) <= 3


def test_a_pattern_chooses_the_layers_that_keep_clusters():
    model = tf_keras.Sequential(
        [layers.Dense(10, input_shape=(12,), name="a"), layers.Dense(10, name="b")]
    )
    model.layers[0].kernel.assign(KERNELS["dense_8"])
    model.layers[1].kernel.assign(KERNELS["dense_8"][:10])
    found = lq.qat.quantize_apply(model, {"a": "cluster_preserve", "*": "int8"})
    kinds = [type(layer.weight_slots[0][1]) for layer in found.layers[1:]]
    assert kinds == [ClusterPreserveQuantizer, LastValueQuantizer]


def test_a_config_of_ones_own_counts_the_clusters_too():
    config = lq.qat.LayerQuantizeConfig({"kernel": ClusterPreserveQuantizer(4)})
    model = dense()
    for found in (
        lq.qat.quantize_apply(model, {"*": config}).layers[-1],
        lq.qat.QuantizeWrapper(model.layers[0], config),
    ):
        if not found.built:
            found.build((None, 12))
        _, quantizer, variables = found.weight_slots[0][:3]
        assert (quantizer.clusters, quantizer.num_bits) == (8, 4)
        values = np.append(variables["centroids"], 0)[variables["lookup"]]
        np.testing.assert_array_equal(values, KERNELS["dense_8_pruned"])


def test_regularizers_of_the_kernel_are_said_to_have_no_effect(caplog):
    with caplog.at_level(logging.WARNING, "larqlite.qat"):
        quantized(dense(kernel_regularizer="l2", name="fc"), train_lookup=False)
    assert 'kernel_regularizer of "fc" has no effect' in caplog.text


def test_mistakes_are_named():
    layer = layers.Dense(3)
    config = lq.qat.LayerQuantizeConfig({"kernel": ClusterPreserveQuantizer()})
    with pytest.raises(QuantizerError, match="number of clusters is not known"):
        lq.qat.QuantizeWrapper(layer, config).build((None, 2))
    with pytest.raises(ArgumentError, match="clusters='8'"):
        ClusterPreserveQuantizer(clusters="8")
    with pytest.raises(ArgumentError, match="num_bits=1"):
        ClusterPreserveQuantizer(num_bits=1)
    quantizer = ClusterPreserveQuantizer(clusters=3)
    variables = quantizer.build((2,), "kernel", tf_keras.layers.Layer())
    with pytest.raises(ArgumentError, match="clusters=3, but w:0 has 2 distinct"):
        quantizer.capture(tf.Variable([1.0, 2.0], name="w"), variables)
    with pytest.raises(ArgumentError, match="prune_preserve"):
        lq.qat.quantize_model(dense(), scheme="prune_preserv")
