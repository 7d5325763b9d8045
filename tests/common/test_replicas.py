"""Every layer trains on two replicas as on one (in a process with two virtual CPUs)."""

import json

import pytest

TRAIN_ON_REPLICAS = """
    import json
    import numpy as np
    import tensorflow as tf
    import larqlite as lq
    # Importing must not have initialised a device, or this raises.
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    import tf_keras
    from tests.common import cases

    def steps(model, x, y):
        # One batch a fit, since a distributed data set may order batches differently.
        for _ in range(2):
            model.fit(x, y, batch_size=len(x), verbose=0)
        return model.get_weights()

    tf_keras.utils.set_random_seed(1)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    report = {}
    for name in cases.LAYERS:
        x, y = cases.inputs(name), np.ones((4, 2), "float32")
        alone = tf_keras.Sequential(
            [tf_keras.Input(x.shape[1:]), cases.layer(name),
             tf_keras.layers.Flatten(), tf_keras.layers.Dense(2)]
        )
        start = alone.get_weights()
        with strategy.scope():
            with lq.context.metrics_scope(["flip_ratio"]):
                both = tf_keras.Sequential(
                    [tf_keras.Input(x.shape[1:]), cases.layer(name),
                     tf_keras.layers.Flatten(), tf_keras.layers.Dense(2)]
                )
            both.set_weights(start)
            both.compile(tf_keras.optimizers.SGD(0.05), "mse")
        alone.compile(tf_keras.optimizers.SGD(0.05), "mse")
        expected, actual = steps(alone, x, y), steps(both, x, y)
        kernels = [getattr(both.layers[0], w) for w in both.layers[0].quantized_weights]
        with lq.context.quantized_scope(True):
            quantized = [k.quantizer(k.latent_variable) for k in kernels]
            reads = [
                all(
                    np.array_equal(q, r)
                    for r in (tf.convert_to_tensor(k), k.numpy(), k * 1, 0 + k, -(-k), k[:],
                              np.ones(k.shape, "float32") * k, tf.identity(k))
                )
                for k, q in zip(kernels, quantized)
            ]
        report[name] = dict(
            difference=max(
                float(np.max(np.abs(a - b)) / max(1, np.max(np.abs(b))))
                for a, b in zip(actual, expected)
            ),
            moved=max(float(np.max(np.abs(a - b))) for a, b in zip(actual, start)),
            distributed=all(isinstance(k, tf.distribute.DistributedValues) for k in kernels),
            reads=all(reads),
            flips=sum("flip_ratio" in m.name for m in both.metrics),
        )
    print(json.dumps(report))
"""


@pytest.mark.slow
def test_two_replicas_train_like_one_and_kernels_stay_distributed(run_fork):
    printed = run_fork(TRAIN_ON_REPLICAS, timeout=400)
    report = json.loads(printed.strip().splitlines()[-1])
    assert len(report) == 13
    for name, found in report.items():
        assert found["moved"] > 1e-4, name
        # Of the largest weight: gradients of two halves are added in another order.
        assert found["difference"] < 1e-5, (name, found)
        assert found["distributed"], (name, found)
        assert found["reads"], (name, found)
        assert found["flips"] >= 1, name
