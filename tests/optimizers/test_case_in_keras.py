"""CaseOptimizer inside Keras: fit, tapes, loss scaling, XLA, callbacks, files."""

import copy

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from larqlite.optimizers import CaseOptimizer
from tests.optimizers.networks import bop_and, fit, named, small_model

Adam = tf_keras.optimizers.Adam
legacy = tf_keras.optimizers.legacy


@pytest.mark.parametrize("make", [Adam, legacy.Adam], ids=["new", "legacy"])
def test_it_trains_exactly_like_the_only_optimizer_inside(make):
    results = []
    for optimizer in (make(0.02), CaseOptimizer(default_optimizer=make(0.02))):
        tf_keras.utils.set_random_seed(1)
        model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(6,))])
        model.compile(optimizer, "mse", run_eagerly=make is legacy.Adam)
        fit(model, epochs=3)
        results.append(model.get_weights())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_skipped_steps_of_a_loss_scale_count_as_they_do_for_the_optimizer_alone():
    # The first steps overflow, and Adam's bias correction depends on the count.
    results = []
    split = CaseOptimizer((named("kernel"), Adam(0.02)), default_optimizer=Adam(0.02))
    for optimizer in (Adam(0.02), split):
        tf_keras.mixed_precision.set_global_policy("mixed_float16")
        tf_keras.utils.set_random_seed(1)
        model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(6,))])
        tf_keras.mixed_precision.set_global_policy("float32")
        scaled = tf_keras.mixed_precision.LossScaleOptimizer(
            optimizer, initial_scale=2.0**20
        )
        model.compile(scaled, "mse")
        fit(model, epochs=6)
        assert 1 < scaled.loss_scale < 2.0**20
        results.append(model.get_weights())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_fit_and_a_tape_by_hand_take_equal_steps():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 16, 6)), rng.normal(size=(2, 16, 2))
    x, y = x.astype("float32"), y.astype("float32")
    results = []
    for by_hand in (False, True):
        tf_keras.utils.set_random_seed(1)
        model = small_model()
        model.compile(bop_and(legacy.SGD(0.1, momentum=0.9)), "mse")
        for inputs, targets in zip(x, y, strict=True):
            if not by_hand:
                model.train_on_batch(inputs, targets)
                continue
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(inputs, training=True) - targets) ** 2)
            gradients = tape.gradient(loss, model.trainable_variables)
            pairs = zip(gradients, model.trainable_variables, strict=True)
            model.optimizer.apply_gradients(pairs)
        results.append(model.get_weights())
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_it_compiles_with_the_whole_step_and_under_mixed_precision():
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    model = small_model()
    model.compile(bop_and(Adam(0.02)), "mse", jit_compile=True)
    tf_keras.mixed_precision.set_global_policy("float32")
    before = model.get_weights()
    fit(model, epochs=2)
    after = model.get_weights()
    assert set(np.abs(after[0]).ravel()) == {1.0}
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    assert all(np.all(np.isfinite(x)) for x in after)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_the_learning_rate_callbacks_of_keras_work(policy):
    tf_keras.mixed_precision.set_global_policy(policy)
    model = small_model()
    model.compile(bop_and(Adam(0.5)), "mse", run_eagerly=True)
    tf_keras.mixed_precision.set_global_policy("float32")
    callbacks = [
        tf_keras.callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2),
        tf_keras.callbacks.ReduceLROnPlateau("loss", 0.1, patience=1, min_delta=1e9),
    ]
    history = fit(model, epochs=3, callbacks=callbacks).history
    # Halved before each epoch, and divided by ten after the second.
    np.testing.assert_allclose(history["lr"], [0.25, 0.125, 0.00625], rtol=1e-5)


def test_a_file_holds_the_state_of_a_sub_optimizer_once(tmp_path):
    h5py = pytest.importorskip("h5py")
    model = small_model()
    model.compile(bop_and(Adam()), "mse")
    model.optimizer.build(model.trainable_variables)
    model.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        # A step count, one average of the binary kernel, two of each other variable.
        assert list(file["optimizer"]) == ["vars"]
        assert len(file["optimizer/vars"]) == 1 + 1 + 2 * 4


def test_a_model_saved_before_its_first_step_starts_from_there(tmp_path):
    model = small_model()
    model.compile(bop_and(Adam()), "mse")
    for suffix in ("keras", "h5"):
        model.save(tmp_path / f"model.{suffix}")
        restored = tf_keras.models.load_model(tmp_path / f"model.{suffix}")
        restored.run_eagerly = True
        assert np.isfinite(fit(restored).history["loss"]).all()
        assert "Bop: " in repr(restored.optimizer)


def test_a_copied_model_goes_on_training_like_the_first():
    model = small_model()
    model.compile(bop_and(Adam()), "mse", run_eagerly=True)
    fit(model)
    twin = copy.deepcopy(model)
    fit(model)
    fit(twin)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_what_it_says_of_keras_own_files_holds_for_adam_alone(tmp_path):
    """A SavedModel, and an .h5 with a loss scale, forget the state of Adam."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(6,))])
    model.compile(Adam(), "mse", run_eagerly=True)
    fit(model)
    model.save(tmp_path / "saved_model", save_format="tf")
    scaled = tf_keras.Sequential([tf_keras.layers.Dense(2, input_shape=(6,))])
    optimizer = tf_keras.mixed_precision.LossScaleOptimizer(Adam())
    scaled.compile(optimizer, "mse", run_eagerly=True)
    fit(scaled)
    scaled.save(tmp_path / "scaled.h5")
    for trained, path in ((model, "saved_model"), (scaled, "scaled.h5")):
        assert int(trained.optimizer.iterations) == 2
        restored = tf_keras.models.load_model(tmp_path / path)
        assert int(restored.optimizer.iterations) == 0
        assert not any(np.any(x.numpy()) for x in restored.optimizer.variables)


def test_a_saved_model_loads_and_trains_afresh(tmp_path):
    model = small_model()
    model.compile(bop_and(Adam()), "mse", run_eagerly=True)
    fit(model)
    model.save(tmp_path / "saved_model", save_format="tf")
    restored = tf_keras.models.load_model(tmp_path / "saved_model")
    restored.run_eagerly = True
    before = restored.get_weights()
    fit(restored)
    assert int(restored.optimizer.iterations) == 2
    after = restored.get_weights()
    assert all(np.any(a != b) for a, b in zip(before[1:], after[1:], strict=True))
