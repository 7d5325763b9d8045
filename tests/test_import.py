"""What importing larqlite does, and does not do."""

import json
import textwrap

import pytest

from tests.common.samples import sampled

SEED_SNIPPETS = """
    import os
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # read when `tf.keras` is first used

    import sys
    import numpy as np
    import larqlite
    sys.modules["larq"] = larqlite  # the document was written for that name

    import tensorflow as tf
    import larq as lq

    def fresh():
        tf.keras.utils.set_random_seed(5)
        return tf.keras.Input((16,))

    inputs = x = fresh()
    x = lq.layers.QuantDense(64, activation=None)(x)
    x = lq.layers.QuantDense(64, input_quantizer="ste_sign")(x)
    first = tf.keras.Model(inputs, x)

    inputs = x = fresh()
    x = lq.layers.QuantDense(64)(x)
    x = tf.keras.layers.Activation("ste_sign")(x)
    x = lq.layers.QuantDense(64)(x)
    second = tf.keras.Model(inputs, x)

    inputs = x = fresh()
    x = lq.layers.QuantDense(64, activation="ste_sign")(x)
    x = lq.layers.QuantDense(64)(x)
    third = tf.keras.Model(inputs, x)

    data = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")
    results = []
    for model in (first, second, third):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(data) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        results.append([loss.numpy(), *[g.numpy() for g in gradients]])
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)
    assert abs(results[0][1]).sum() > 0

    by_name = lq.layers.QuantDense(64, kernel_quantizer="ste_sign")
    by_object = lq.layers.QuantDense(
        64, kernel_quantizer=lq.quantizers.SteSign(clip_value=1.0)
    )
    a, b = (layer.kernel_quantizer.get_config() for layer in (by_name, by_object))
    assert a["clip_value"] == b["clip_value"] == 1.0

    layer = lq.layers.QuantDense(
        16, kernel_quantizer=lq.quantizers.NoOpQuantizer(precision=1),
    )
    layer.build((None, 4))
    assert layer.kernel.precision == 1
    assert larq_quantizer(lq) is lq.quantizers.DoReFa
    print("equal")
"""


def test_names_of_keras_still_mean_what_they_do_in_keras():
    """A quantizer that is called as an initializer is, such as "uniform", hid it."""
    import tensorflow as tf
    import tf_keras

    import larqlite as lq

    names = ("uniform", "normal", "ones", "zeros", "identity", "glorot_uniform")
    for name in names:
        found = tf_keras.initializers.get(name)
        assert type(found).__module__.startswith("tf_keras."), name
    for _ in range(2):  # a notebook runs its cells again
        lq.quantizers.register("ramp_of_mine")(tf.identity)
    layer = tf_keras.layers.Embedding(3, 2)
    assert layer.embeddings_initializer.get_config()["maxval"] == 0.05


def test_the_snippets_of_the_users_document_run_word_for_word(run_fork):
    code = "def larq_quantizer(lq): return lq.quantizers.DoReFaQuantizer\n"
    snippets = code + textwrap.dedent(SEED_SNIPPETS)
    printed = run_fork(snippets)
    assert printed.split()[-1] == "equal"


@pytest.mark.parametrize("setting", sampled([{}, {"TF_USE_LEGACY_KERAS": "1"}], 2))
@pytest.mark.parametrize("first", ["larqlite", "tf_keras"])
def test_bare_strings_resolve_after_importing_larqlite_alone(
    setting, first, run_python, run_fork
):
    # A fork is a process that has imported tf_keras and nothing else.
    run = run_fork if first == "tf_keras" and not setting else run_python
    printed = run(
        f"""
        import {first}
        import larqlite
        import numpy as np
        import tf_keras
        layer = tf_keras.layers.Dense(
            4, activation="ste_sign", kernel_constraint="weight_clip"
        )
        y = layer(np.array([[1.0, -2.0]], "float32"))
        print(abs(y.numpy()).ravel().tolist(), layer.kernel_constraint.clip_value)
        import sys
        print("keras" in sys.modules)
        """,
        **setting,
    )
    *_, values, keras_3 = printed.strip().splitlines()
    assert values == "[1.0, 1.0, 1.0, 1.0] 1"
    # Without the variable TensorFlow imports a part of Keras 3 by itself.
    assert not (setting and keras_3 == "True")


def test_importing_initialises_no_device_and_loads_nothing_heavy(run_fork):
    printed = run_fork(
        """
        import json, sys
        import tf_keras  # loads some of these by itself
        before = set(sys.modules)
        import larqlite
        from tensorflow.python.eager import context
        heavy = {"matplotlib.figure", "rich.table", "tyro", "onnx", "larqlite.plot"}
        heavy |= {"larqlite.from_keras._walk", "larqlite.keras3"}  # they import Keras 3
        loaded = sorted(heavy & (set(sys.modules) - before))
        print(json.dumps([context.context()._initialized, loaded]))
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        assert len(tf.config.list_logical_devices("CPU")) == 2
        """
    )
    assert json.loads(printed.strip().splitlines()[-1]) == [False, []]


def test_keras_3_objects_are_named_as_such(run_fork):
    printed = run_fork(
        """
        import keras
        import larqlite as lq
        import tf_keras

        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        tensor = keras.Input((4,))
        layer = lq.layers.QuantDense(2)
        attempts = {
            "layer": lambda: layer(tensor),
            "quantizer": lambda: lq.quantizers.SteSign()(tensor),
            "get": lambda: lq.quantizers.get(keras.layers.Dense(2)),
            "freeze": lambda: lq.models.freeze(model),
            "quantized_weights": lambda: lq.models.quantized_weights(model),
            "optimizer": lambda: lq.optimizers.CaseOptimizer(
                (lambda v: True, keras.optimizers.Adam())
            ),
        }
        for name, attempt in attempts.items():
            try:
                attempt()
            except lq.errors.KerasVersionError as error:
                assert "TF_USE_LEGACY_KERAS=1" in str(error), error
                print("named", name)
            else:
                print("silent", name)
        """
    )
    lines = [line for line in printed.splitlines() if line[:6] in ("named ", "silent")]
    assert lines == [
        f"named {name}"
        for name in [
            "layer",
            "quantizer",
            "get",
            "freeze",
            "quantized_weights",
            "optimizer",
        ]
    ]
