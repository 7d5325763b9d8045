"""Two replicas train like one process, in a process with two virtual devices."""

import json

import pytest

TRAIN = """
    import json

    import numpy as np
    import tensorflow as tf
    import tf_keras

    import larqlite as lq

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    from tests.optimizers.resumable import make, train

    weights = []
    for scope in (tf.distribute.get_strategy().scope(), strategy.scope()):
        with scope:
            tf_keras.utils.set_random_seed(1)
            model = make(normalized=False)
            train(model)
            weights.append([weight.numpy() for weight in model.trainable_weights])
    model.save("model.keras")
    step_counts = [int(x.iterations.numpy()) for x in model.optimizer.optimizers]
    with strategy.scope():
        restored = tf_keras.models.load_model("model.keras")
    train(model)
    train(restored)
    pairs = zip(model.weights, restored.weights)
    print(json.dumps({
        "names": [weight.name for weight in model.trainable_weights],
        "differences": [float(np.abs(a - b).max()) for a, b in zip(*weights)],
        "step_counts": step_counts,
        "resumed": all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs),
        "is_distributed": len(model.trainable_weights[0].values),
    }))
"""


@pytest.mark.slow
def test_two_replicas_take_the_steps_of_one_process(run_fork):
    result = json.loads(run_fork(TRAIN).splitlines()[-1])
    assert result["is_distributed"] == 2
    assert result["step_counts"] == [12] * 4
    assert result["resumed"]
    differences = dict(zip(result["names"], result["differences"], strict=True))
    assert differences.pop("binary/kernel:0") == 0
    # The rest differs by the order of sums only.
    assert max(differences.values()) < 1e-5
