"""A pruned and a clustered network for images of clothes, trained on in 8 bits and converted."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

import larqlite as lq
from larqlite.qat.collab_opts import Default8BitClusterPreserveQuantizeScheme
from tests.common.eager import quantize_model
from tests.common.samples import sampled

layers = tf_keras.layers
SPARSITY = 0.6
CLUSTERS = 8


@functools.cache
def clothes():
    (x, y), (x_test, y_test) = lq.datasets.load_fashion_mnist()
    x, x_test = (lq.datasets.to_float_images(v) for v in (x, x_test))
    return x[:6000], y[:6000], x_test, y_test


def network() -> tf_keras.Model:
    return tf_keras.Sequential(
        [
            layers.Conv2D(12, 3, strides=2, use_bias=False, input_shape=(28, 28, 1)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10),
        ]
    )


def fit(model, epochs: int, rate: float = 2e-3, eager_steps: int | None = None):
    """Trains; with `eager_steps` no more than that, for which no graph is traced."""
    model.compile(
        tf_keras.optimizers.Adam(rate),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "accuracy",
        run_eagerly=eager_steps is not None,
    )
    tf_keras.utils.set_random_seed(0)
    x, y, _, _ = clothes()
    count = None if eager_steps is None else 64 * eager_steps
    model.fit(x[:count], y[:count], batch_size=64, epochs=epochs, verbose=0)
    return model


def accuracy(model) -> float:
    _, _, x, y = clothes()
    return model.evaluate(x, y, batch_size=500, verbose=0)[1]


@functools.cache
def trained(epochs: int = 3) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(0)
    return fit(network(), epochs)


def changed(change, epochs: int) -> tf_keras.Model:
    """A copy of the trained network with its kernels changed."""
    source = trained(epochs)
    model = tf_keras.models.clone_model(source)
    model.set_weights(source.get_weights())
    model.compile(source.optimizer, source.loss, "accuracy")
    for variable in model.trainable_variables:
        if variable.shape.rank > 1:
            variable.assign(change(variable.numpy()))
    return model


def without_the_smallest(kernel: np.ndarray) -> np.ndarray:
    limit = np.quantile(np.abs(kernel), SPARSITY)
    return np.where(np.abs(kernel) < limit, 0, kernel)


def clustered(kernel: np.ndarray) -> np.ndarray:
    """The kernel with each value that is not 0 replaced by the nearest of 8, by k-means."""
    values = kernel[kernel != 0]
    centroids = np.quantile(values, (np.arange(CLUSTERS) + 0.5) / CLUSTERS)
    for _ in range(20):
        nearest = np.abs(values[:, None] - centroids).argmin(1)
        for k in set(nearest):
            centroids[k] = values[nearest == k].mean()
    result = centroids[np.abs(kernel[..., None] - centroids).argmin(-1)]
    return np.where(kernel == 0, 0, result).astype("float32")


def kernels(model) -> dict[str, np.ndarray]:
    """The quantized kernels by the names of the layers they belong to."""
    with lq.context.quantized_scope(True):
        return {
            wrapper.name: weight.numpy()
            for wrapper in model.layers[1:]
            for weight, *_ in wrapper.weight_slots
        }


def codes(content: bytes, like: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The int8 kernels of a file, output channels first, by the names of the layers."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    found = {}
    for detail in interpreter.get_tensor_details():
        for name, kernel in like.items():
            shape = detail["shape"]
            if detail["dtype"] != np.int8 or np.prod(shape) != kernel.size:
                continue
            if shape[0] == kernel.shape[-1]:
                found[name] = interpreter.get_tensor(detail["index"])
    return found


def labels(content: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(model_content=content, num_threads=1)
    (given,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(given["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], x)
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    return interpreter.get_tensor(output["index"]).argmax(-1)


@functools.cache
def pruned(is_quick: bool = False) -> tuple[tf_keras.Model, tf_keras.Model]:
    """The pruned network, and its quantization-aware copy after training."""
    model = changed(without_the_smallest, 1 if is_quick else 3)
    return model, tuned(model, "prune_preserve", is_quick)


@functools.cache
def clustered_network(is_quick: bool = False) -> tf_keras.Model:
    return changed(
        lambda kernel: clustered(without_the_smallest(kernel)), 1 if is_quick else 3
    )


@functools.cache
def grouped(is_quick: bool = False) -> tuple[tf_keras.Model, tf_keras.Model]:
    """The pruned and clustered network, and its copy after training."""
    model = clustered_network(is_quick)
    return model, tuned(model, Default8BitClusterPreserveQuantizeScheme(), is_quick)


def tuned(model, scheme, is_quick: bool) -> tf_keras.Model:
    """A quantization-aware copy, trained for two epochs or, quickly, for five steps."""
    quantize = quantize_model if is_quick else lq.qat.quantize_model
    copy = quantize(model, scheme=scheme, calibrate=clothes()[0][:500])
    return fit(copy, 1, 1e-3, 5) if is_quick else fit(copy, 2, 1e-3)


def converted(model, plainly: bool) -> bytes:
    if not plainly:
        return lq.qat.to_tflite(model)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


@pytest.mark.slow
def test_a_pruned_network_is_as_sparse_and_as_good_after_training():
    model, copy = pruned()
    found = kernels(copy)
    assert len(found) == 4
    for old, new in zip(model.layers, copy.layers[1:], strict=True):
        if hasattr(old, "kernel"):
            zeros = old.kernel.numpy() == 0
            assert 0.59 < zeros.mean() < 0.61
            np.testing.assert_array_equal(found[new.name][zeros], 0)
            np.testing.assert_array_equal(new.layer.kernel.numpy() == 0, zeros)
    assert accuracy(copy) > accuracy(trained()) - 0.02 > 0.75
    assert accuracy(copy) > accuracy(model)


@pytest.mark.slow
def test_a_clustered_network_has_no_more_clusters_and_is_as_good_after_training():
    model, copy = grouped()
    found = kernels(copy)
    for old, new in zip(model.layers, copy.layers[1:], strict=True):
        if hasattr(old, "kernel"):
            before, after = old.kernel.numpy(), found[new.name]
            clusters = len(np.unique(before)) - 1
            assert 5 <= clusters <= CLUSTERS
            np.testing.assert_array_equal(after[before == 0], 0)
            for c in range(before.shape[-1]):
                assert len(np.unique(after[..., c])) <= clusters + 1
            assert new.weight_slots[0][2]["centroids"].shape == (clusters,)
    assert accuracy(copy) > accuracy(trained()) - 0.03 > 0.75
    assert accuracy(copy) > accuracy(model) + 0.2


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected")
@pytest.mark.parametrize(
    "plainly", sampled([False, True], 2), ids=["to_tflite", "plain"]
)
@pytest.mark.parametrize(
    "made", sampled([pruned, grouped], 2), ids=["pruned", "grouped"]
)
def test_the_file_for_tflite_has_the_zeros_and_clusters(made, plainly):
    model, copy = made(is_quick=made is pruned)
    content = converted(copy, plainly)
    float_kernels = {
        f"quant_{layer.name}": layer.kernel.numpy()
        for layer in model.layers
        if hasattr(layer, "kernel")
    }
    stored = codes(content, float_kernels)
    assert set(stored) == set(float_kernels)
    for old, new in zip(model.layers, copy.layers[1:], strict=True):
        if hasattr(old, "kernel") and made is pruned:
            assert np.mean(old.kernel.numpy() != new.layer.kernel.numpy()) > 0.1
        elif hasattr(old, "kernel"):
            before = set(np.unique(old.kernel.numpy())) - {0}
            assert set(new.weight_slots[0][2]["centroids"].numpy()) != before
    if made is pruned:
        trained_kernels = kernels(copy)
    for name, kernel in float_kernels.items():
        channels = np.moveaxis(kernel, -1, 0)
        found = stored[name]
        np.testing.assert_array_equal(found[channels.reshape(found.shape) == 0], 0)
        for c in range(len(channels)):
            if made is grouped:
                assert len(np.unique(found[c])) <= CLUSTERS + 1
        if made is pruned:
            expected = np.moveaxis(trained_kernels[name], -1, 0).reshape(found.shape)
            np.testing.assert_array_equal(found == 0, expected == 0)
        if made is grouped and kernel.ndim == 2:  # one scale for all channels
            assert len(np.unique(found)) <= CLUSTERS + 1
    x = clothes()[2][:500]
    agree = labels(content, x) == copy(x, training=False).numpy().argmax(-1)
    assert agree.mean() > 0.99


@pytest.mark.slow
def test_files_of_every_format_go_on_training_in_a_fresh_process(tmp_path, run_fork):
    x, y = clothes()[2][:64], clothes()[3][:64]
    arrays = {"x": x, "y": y}
    for made in (pruned, grouped):
        copy = made()[1]
        arrays[made.__name__] = copy(x, training=False)
        for ending in (".keras", ".h5", ""):
            copy.save(tmp_path / f"{made.__name__}{ending}")
    np.savez(tmp_path / "data.npz", **arrays)
    run_fork(
        f"""
        import itertools
        import numpy as np, tf_keras, larqlite as lq
        data = np.load("data.npz")

        def kernels(model):
            with lq.context.quantized_scope(True):
                return [w.numpy() for layer in model.layers[1:]
                        for w, *_ in layer.weight_slots]

        for name, ending in itertools.product(("pruned", "grouped"), (".keras", ".h5", "")):
            model = tf_keras.models.load_model(name + ending)
            outputs = model(data["x"], training=False)
            np.testing.assert_array_equal(outputs, data[name])
            model.run_eagerly = True
            before = kernels(model)
            assert len(before) == 4
            for _ in range(3):
                model.train_on_batch(data["x"], data["y"])
            for old, new in zip(before, kernels(model), strict=True):
                assert (old != new).any()
                assert (new == 0).mean() >= 0.59
                if name == "grouped":
                    for c in range(old.shape[-1]):
                        assert len(np.unique(new[..., c])) <= {CLUSTERS + 1}
        """
    )


@pytest.mark.parametrize("scheme", ["prune_preserve", "cluster_preserve"])
def test_mixed_precision_keeps_them_too(scheme):
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = network()
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    model.set_weights(clustered_network(is_quick=True).get_weights())
    x, y, x_test, _ = clothes()
    copy = quantize_model(model, scheme=scheme, calibrate=x[:200])
    optimizer = tf_keras.mixed_precision.LossScaleOptimizer(
        tf_keras.optimizers.Adam(1e-3)
    )
    copy.compile(
        optimizer,
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    copy.fit(x[:160], y[:160], verbose=0)
    for old, new in zip(model.layers, copy.layers[1:], strict=True):
        if hasattr(old, "kernel"):
            zeros = old.kernel.numpy() == 0
            assert (old.kernel.numpy() != new.layer.kernel.numpy()).any()
            read = kernels(copy)[new.name]
            assert read.dtype == np.float32
            np.testing.assert_array_equal(read[zeros], 0)
            if scheme == "cluster_preserve":
                assert new.weight_slots[0][2]["centroids"].dtype == tf.float32
                for c in range(read.shape[-1]):
                    assert len(np.unique(read[..., c])) <= CLUSTERS + 1
    assert copy(x_test[:10], training=False).dtype == tf.float16


@pytest.mark.slow
def test_replicas_keep_clusters_and_zeros(run_fork):
    run_fork(
        """
        import numpy as np, tensorflow as tf, tf_keras
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * 2)
        import larqlite as lq
        rng = np.random.default_rng(0)
        kernel = rng.choice([0.0, 0.0, -0.5, 0.25, 1.0], (12, 6)).astype("float32")
        x, y = rng.normal(size=(8, 12)), rng.normal(size=(8, 6))
        results = []
        for strategy in (tf.distribute.get_strategy(),
                         tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
            with strategy.scope():
                model = tf_keras.Sequential([tf_keras.layers.Dense(6, input_shape=(12,))])
                model.layers[0].kernel.assign(kernel)
                for scheme in ("prune_preserve", "cluster_preserve"):
                    copy = lq.qat.quantize_model(model, scheme=scheme, calibrate=x)
                    copy.compile(tf_keras.optimizers.SGD(0.1, momentum=0.9), "mse")
                    copy.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
                    lq.qat.collab_opts.update_latent_weights(copy)
                    values = copy.layers[-1].layer.kernel.numpy()
                    assert (values[kernel == 0] == 0).all()
                    assert (values != kernel).any()
                    if scheme == "cluster_preserve":
                        assert len(np.unique(values)) <= 4, np.unique(values)
                    results.append(values)
        for one, two in zip(results[:2], results[2:]):
            np.testing.assert_allclose(one, two, rtol=0.05, atol=0.02)
        """
    )
