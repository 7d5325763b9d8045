"""Training that goes on in a fresh process equals the training that never stopped."""

import json

import numpy as np
import tensorflow as tf
import tf_keras

from tests.optimizers.resumable import make, state, train

GO_ON = """
    import json

    import larqlite
    import tf_keras

    models = {}
    for file in ("float32.keras", "float32.h5", "mixed_float16.keras"):
        # Keras scales the loss of a loaded model only if this is set again.
        tf_keras.mixed_precision.set_global_policy(file.split(".")[0])
        models[file] = tf_keras.models.load_model(file)
    tf_keras.mixed_precision.set_global_policy("float32")

    import numpy as np
    import tensorflow as tf
    from tests.optimizers.resumable import make, state, train

    result = {}

    def go_on(name, model):
        model.run_eagerly = "float32" in name
        train(model)
        end = np.load(name.split(".")[0] + ".npz")
        reached = state(model)
        result[name] = [
            len(end.files),
            sum(np.array_equal(reached[key], end[key]) for key in reached),
        ]

    for file, model in models.items():
        go_on(file, model)
    for name in ("float32.deferred", "float32.built"):
        model = make()
        if name == "float32.built":
            model.optimizer.build(model.trainable_variables)
        checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        status = checkpoint.read("float32.checkpoint")
        go_on(name, model)
        status.assert_consumed()
    model = make()
    model.load_weights("float32.weights")
    go_on("float32.weights", model)
    print(json.dumps(result))
"""


def test_every_file_goes_on_in_a_fresh_process_bit_for_bit(tmp_path, run_fork):
    tensors = {}
    for policy in ("float32", "mixed_float16"):
        tf_keras.mixed_precision.set_global_policy(policy)
        model = make()
        tf_keras.mixed_precision.set_global_policy("float32")
        # One of them in a graph; in the others tracing takes longer than the steps.
        model.run_eagerly = policy == "float32"
        train(model)
        model.save(tmp_path / f"{policy}.keras")
        if policy == "float32":
            model.save(tmp_path / "float32.h5")
            model.save_weights(tmp_path / "float32.weights", save_format="tf")
            checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
            checkpoint.write(str(tmp_path / "float32.checkpoint"))
        stopped = state(model)
        train(model)
        assert not any(
            np.array_equal(x, stopped[key]) for key, x in state(model).items()
        )
        np.savez(tmp_path / f"{policy}.npz", **state(model))
        tensors[policy] = len(state(model))
    result = json.loads(run_fork(GO_ON).splitlines()[-1])
    assert result == {
        name: [tensors[name.split(".")[0]]] * 2
        for name in (
            "float32.keras",
            "float32.h5",
            "mixed_float16.keras",
            "float32.deferred",
            "float32.built",
            "float32.weights",
        )
    }
