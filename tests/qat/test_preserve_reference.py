"""Pruned and clustered kernels become what TensorFlow Model Optimization 0.8.1 made of them."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.qat.collab_opts import (
    ClusterPreserveQuantizer,
    Default8BitClusterPreserveQuantizeScheme,
    PrunePreserveQuantizer,
)
from tests.qat.preserve_cases import data, flat_data, kernels, moved

layers = tf_keras.layers
KERNELS = kernels()
PRUNED = ("dense", "conv")
CLUSTERED = [name for name in KERNELS if name not in PRUNED]


@pytest.fixture(scope="module")
def golden():
    path = Path(__file__).resolve().parent.parent / "golden" / "qat_preserve.npz"
    with np.load(path) as file:
        return dict(file)


def wrapped(kernel, scheme):
    """A quantized layer with this kernel: its kernel, quantizer and variables."""
    if kernel.ndim == 2:
        layer = layers.Dense(kernel.shape[-1], use_bias=False)
        shape = kernel.shape[:1]
    else:
        layer = layers.Conv2D(kernel.shape[-1], kernel.shape[:2], use_bias=False)
        shape = (8, 8, kernel.shape[2])
    model = tf_keras.Sequential([layers.Input(shape), layer])
    layer.set_weights([kernel])
    quantized = lq.qat.quantize_model(model, scheme=scheme)
    return quantized.layers[-1].weight_slots[0][:3]


@pytest.mark.parametrize("name", PRUNED)
def test_a_pruned_kernel_that_has_moved_is_masked_and_rounded_as_the_reference_does(
    name, golden
):
    kernel = KERNELS[name]
    weight, quantizer, variables = wrapped(kernel, "prune_preserve")
    assert type(quantizer) is PrunePreserveQuantizer
    np.testing.assert_array_equal(variables["mask"], golden[f"{name}/mask"] == 1)
    weight.assign(moved(name, kernel)[0])
    for training in (True, False):
        values = quantizer(weight, training, variables)
        key = "training" if training else "inference"
        np.testing.assert_array_equal(values, golden[f"{name}/{key}"])
    np.testing.assert_array_equal(variables["max_var"], golden[f"{name}/max"])


@pytest.mark.parametrize("keep_zeros", [False, True])
@pytest.mark.parametrize("name", CLUSTERED)
def test_clusters_their_gradients_and_codes_are_the_references(
    name, keep_zeros, golden
):
    kernel = KERNELS[name]
    key = f"{name}/{'zeros' if keep_zeros else 'all'}"
    scheme = Default8BitClusterPreserveQuantizeScheme(keep_zeros)
    weight, quantizer, variables = wrapped(kernel, scheme)
    if golden[f"{key}/clusters"] == 0:
        assert type(quantizer) is lq.qat.quantizers.LastValueQuantizer
        return
    assert type(quantizer) is ClusterPreserveQuantizer
    centroids, lookup = variables["centroids"].numpy(), variables["lookup"].numpy()
    values = np.where(lookup < 0, 0, centroids[lookup])
    np.testing.assert_array_equal(values, golden[f"{key}/values"])
    np.testing.assert_array_equal(values, kernel)
    assert (lookup < 0).any() == (keep_zeros and (kernel == 0).any())
    dy = moved(name, kernel)[1]
    with tf.GradientTape() as tape:
        quantized = quantizer(tf.convert_to_tensor(weight), True, variables)
    gradient = tape.gradient(quantized, variables["centroids"], dy).numpy()
    np.testing.assert_array_equal(quantized, golden[f"{key}/quantized"])
    others = lookup >= 0  # zeros that are kept have none
    expected = golden[f"{key}/gradient"][others]
    np.testing.assert_allclose(gradient[lookup][others], expected, rtol=1e-5, atol=1e-6)


def test_a_pruned_network_trains_as_in_the_reference(golden):
    model = tf_keras.Sequential(
        [
            layers.Conv2D(5, 3, activation="relu", input_shape=(6, 6, 4)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, activation="relu"),
            layers.Dense(3),
        ]
    )
    model.layers[0].kernel.assign(KERNELS["conv"])
    model.layers[2].kernel.assign(KERNELS["dense"][:5])
    model.layers[3].kernel.assign(KERNELS["dense"][:10, :3])
    quantized = lq.qat.quantize_model(model, scheme="prune_preserve")
    quantized.compile(tf_keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    x, y = data()
    for _ in range(4):
        quantized.train_on_batch(x, y)
    for index, variable in enumerate(quantized.trainable_variables):
        expected = golden[f"trained/{index}"]
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-4, atol=1e-6)
        if variable.shape.rank > 1:
            np.testing.assert_array_equal(variable.numpy() == 0, expected == 0)
    outputs = quantized.predict(x, verbose=0)
    # One step of the outputs' 8 bits over the range that starts as [-6, 6].
    np.testing.assert_allclose(outputs, golden["trained/outputs"], atol=12 / 255 + 1e-4)
    assert np.mean(outputs != golden["trained/outputs"]) < 0.05


def test_a_clustered_network_trains_as_in_the_reference(golden):
    model = tf_keras.Sequential(
        [layers.Dense(10, activation="relu", input_shape=(12,)), layers.Dense(3)]
    )
    model.layers[0].kernel.assign(KERNELS["dense_8"])
    model.layers[1].kernel.assign(KERNELS["dense_8_pruned"][:10, :3])
    scheme = Default8BitClusterPreserveQuantizeScheme(preserve_sparsity=False)
    quantized = lq.qat.quantize_model(model, scheme=scheme)
    quantized.compile(tf_keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    x, y = flat_data()
    for _ in range(6):
        quantized.train_on_batch(x, y)
    moves = 0
    for index, before in enumerate(model.layers):
        weight, _, variables = quantized.layers[index + 1].weight_slots[0][:3]
        values = variables["centroids"].numpy()[variables["lookup"]]
        expected = golden[f"clusters/{index}/values"]
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
        latent = golden[f"clusters/{index}/latent"]
        np.testing.assert_allclose(weight.numpy(), latent, rtol=1e-4, atol=1e-5)
        kernel = before.kernel.numpy()
        moves += sum(len(set(values[kernel == v])) > 1 for v in np.unique(kernel))
    assert moves > 2  # so that the nearest centroid has been looked for
