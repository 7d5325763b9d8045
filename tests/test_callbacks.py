"""HyperparameterScheduler: what it sets, when, what it logs, and what it refuses."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.callbacks import HyperparameterScheduler
from larqlite.errors import ArgumentError, KerasVersionError
from larqlite.optimizers import Bop, CaseOptimizer

SGD, legacy = tf_keras.optimizers.SGD, tf_keras.optimizers.legacy


def compiled(optimizer, in_a_graph=False):
    """A model to train; in a graph where a test is about what the traced step reads."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(2,))])
    model.compile(optimizer, "mse", run_eagerly=not in_a_graph)
    return model


def fit(model, *callbacks, epochs=3):
    x, y = np.ones((4, 2)), np.ones((4, 1))
    return model.fit(
        x, y, batch_size=2, epochs=epochs, verbose=0, callbacks=list(callbacks)
    ).history


def halved(t, value):
    return value / 2


@pytest.mark.parametrize("name", ["lr", "learning_rate"])
@pytest.mark.parametrize("make", [SGD, legacy.SGD], ids=["new", "legacy"])
def test_the_learning_rate_follows_the_schedule(make, name):
    model = compiled(make(0.8))
    history = fit(model, HyperparameterScheduler(halved, name))
    np.testing.assert_allclose(history[name], [0.4, 0.2, 0.1], rtol=1e-6)
    assert all(type(value) is float for value in history[name])


@pytest.mark.parametrize("name", ["gamma", "threshold"])
def test_the_hyperparameters_of_bop_follow_the_schedule(name):
    seen = fit(
        compiled(Bop()), HyperparameterScheduler(lambda t: 0.5**t, name, log_name="x")
    )
    assert seen["x"] == [1.0, 0.5, 0.25]
    assert name not in seen


def test_the_value_that_was_set_is_the_one_that_trains():
    model = compiled(legacy.SGD(0.5), in_a_graph=True)
    before = model.get_weights()
    fit(model, HyperparameterScheduler(lambda epoch: 0.0, "lr"))
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # The same graph, which then trains after all.
    fit(model, HyperparameterScheduler(lambda epoch: 0.1, "lr"))
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_sub_optimizers_of_a_case_optimizer_follow_their_own_schedules():
    bop, sgd = Bop(gamma=0.8), SGD(0.8)
    optimizer = CaseOptimizer(
        (lambda variable: "kernel" in variable.name, bop), default_optimizer=sgd
    )
    history = fit(
        compiled(optimizer, in_a_graph=True),
        HyperparameterScheduler(halved, "gamma", optimizer=bop),
        HyperparameterScheduler(lambda t: 0.125, "lr"),  # that of the default one
    )
    np.testing.assert_allclose(history["gamma"], [0.4, 0.2, 0.1], rtol=1e-6)
    assert history["lr"] == [0.125] * 3
    assert float(sgd.learning_rate) == 0.125


def test_it_looks_inside_a_loss_scale_optimizer():
    scaled = tf_keras.mixed_precision.LossScaleOptimizer(Bop(gamma=0.8))
    history = fit(
        compiled(scaled, in_a_graph=True), HyperparameterScheduler(halved, "gamma")
    )
    np.testing.assert_allclose(history["gamma"], [0.4, 0.2, 0.1], rtol=1e-6)


def test_it_can_follow_the_steps(capsys):
    model = compiled(SGD(0.5), in_a_graph=True)
    steps = []
    schedule = HyperparameterScheduler(
        lambda step: steps.append(step) or 0.25 * (step + 1),
        "lr",
        update_freq="step",
        verbose=1,
    )
    history = fit(model, schedule, epochs=2)
    assert steps == [0, 1, 2, 3]
    assert history["lr"] == [0.5, 1.0]
    assert capsys.readouterr().out.splitlines()[:2] == [
        "Batch 0: lr is now 0.25.",
        "Batch 1: lr is now 0.5.",
    ]


def test_it_tells_the_epoch_if_asked(capsys):
    fit(
        compiled(SGD(0.5)),
        HyperparameterScheduler(halved, "lr", verbose=1, log_name="rate"),
        epochs=1,
    )
    assert capsys.readouterr().out == "Epoch 0: rate is now 0.25.\n"


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (lambda t, value: value + t, [0.5, 1.5]),
        (lambda t: t + 0.25, [0.25, 1.25]),
        (lambda t, value=9.0: value + t, [0.5, 1.5]),
        (lambda *arguments: len(arguments), [2.0, 2.0]),
        (lambda t, *, factor=0.25: factor * t, [0.0, 0.25]),
        (functools.partial(lambda factor, t: factor * t, 0.25), [0.0, 0.25]),
        (lambda t: np.float64(t), [0.0, 1.0]),
        (lambda t: tf.constant([0.5, 0.25])[t], [0.5, 0.25]),
    ],
    ids=["two", "one", "default", "any", "keyword", "partial", "numpy", "tensor"],
)
def test_the_signature_decides_how_the_schedule_is_called(schedule, expected):
    history = fit(compiled(SGD(0.5)), HyperparameterScheduler(schedule, "lr"), epochs=2)
    assert history["lr"] == expected


def test_a_schedule_of_keras_serves_too():
    decay = tf_keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.25])
    history = fit(compiled(SGD(1.0)), HyperparameterScheduler(decay, "lr"), epochs=2)
    assert history["lr"] == [0.5, 0.25]


def test_a_type_error_inside_the_schedule_is_not_hidden():
    def schedule(t, value):
        return value + "a"

    with pytest.raises(TypeError, match="unsupported operand"):
        fit(compiled(SGD()), HyperparameterScheduler(schedule, "lr"))


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (0.5, "0.5 is not a function"),
        (None, "None is not a function"),
        (lambda: 0.5, r"signature \(\)"),
        (lambda a, b, c: 0.5, r"signature \(a, b, c\)"),
        (lambda *, epoch: 0.5, r"signature \(\*, epoch\)"),
    ],
)
def test_a_schedule_that_cannot_be_called_is_refused_at_once(schedule, message):
    with pytest.raises(ArgumentError, match=f"(?s){message}.*Fix:"):
        HyperparameterScheduler(schedule, "lr")


@pytest.mark.parametrize("returned", [None, "fast", [0.1, 0.2], float("nan")])
def test_a_schedule_that_returns_no_number_is_named_with_what_it_returned(returned):
    model = compiled(SGD(0.5))
    with pytest.raises(ArgumentError, match=r"(?s)returned .* for epoch 0.*Fix:"):
        fit(model, HyperparameterScheduler(lambda t: returned, "lr"))
    assert float(model.optimizer.learning_rate) == 0.5


def test_an_unknown_update_frequency_is_refused():
    with pytest.raises(ArgumentError, match=r"(?s)update_freq='batch'.*Fix:.*step"):
        HyperparameterScheduler(halved, "lr", update_freq="batch")


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (SGD, "gamma", 'SGD "SGD" has no such.*it has learning_rate'),
        (Bop, "lr", 'Bop "Bop" has no such.*it has gamma and threshold'),
        (lambda: SGD(momentum=0.9), "momentum", "constant 0.9.*legacy"),
        (
            lambda: CaseOptimizer(
                (lambda v: "k" in v.name, Bop()), default_optimizer="sgd"
            ),
            "gamma",
            'CaseOptimizer .*pass optimizer=.*Bop "Bop" has it',
        ),
        (
            lambda: CaseOptimizer(
                (lambda v: "k" in v.name, "adam"), (lambda v: "b" in v.name, "sgd")
            ),
            "lr",
            'pass optimizer=.*Adam "Adam" and SGD "SGD"',
        ),
    ],
    ids=["absent", "no rate", "constant", "sub-optimizer", "ambiguous"],
)
def test_a_hyperparameter_that_is_not_there_is_told_with_the_fix(make, name, message):
    with pytest.raises(ArgumentError, match=f"(?s){message}"):
        fit(compiled(make()), HyperparameterScheduler(halved, name))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (SGD, "lr"),
        (legacy.SGD, "learning_rate"),
        (lambda schedule: Bop(gamma=schedule), "gamma"),
        (lambda schedule: CaseOptimizer(default_optimizer=SGD(schedule)), "lr"),
        (
            lambda schedule: tf_keras.mixed_precision.LossScaleOptimizer(SGD(schedule)),
            "lr",
        ),
    ],
    ids=["new", "legacy", "bop", "case", "loss scale"],
)
def test_a_hyperparameter_that_follows_a_schedule_already_is_refused(make, name):
    decay = tf_keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    with pytest.raises(ArgumentError, match=r"(?s)LearningRateSchedule.*Fix:"):
        fit(compiled(make(decay)), HyperparameterScheduler(halved, name))


def test_a_keras_3_optimizer_is_named_as_such():
    import keras  # Keras 3, which TensorFlow brings along

    assert keras.__version__.startswith("3")
    with pytest.raises(KerasVersionError):
        HyperparameterScheduler(halved, "lr", optimizer=keras.optimizers.SGD())


def test_one_callback_serves_one_model_after_another():
    scheduler = HyperparameterScheduler(halved, "lr")
    for _ in range(2):
        model = compiled(SGD(0.5))
        fit(model, scheduler, epochs=1)
        assert float(model.optimizer.learning_rate) == 0.25


def test_it_is_reached_from_the_package():
    assert lq.callbacks.HyperparameterScheduler is HyperparameterScheduler
