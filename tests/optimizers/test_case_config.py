"""CaseOptimizer: what its config keeps, and what it is restored for."""

import copy

import pytest
import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import OptimizerError
from larqlite.optimizers import Bop, CaseOptimizer
from tests.optimizers.networks import bop_and, named, variables

SGD = tf_keras.optimizers.SGD
Adam = tf_keras.optimizers.Adam
legacy = tf_keras.optimizers.legacy


def test_the_config_keeps_schedules_names_and_the_absence_of_a_default():
    schedule = tf_keras.optimizers.schedules.ExponentialDecay(0.5, 2, 0.5)
    optimizer = CaseOptimizer(
        (Bop.is_binary_variable, Bop(gamma=schedule, name="flip")),
        (named("a"), legacy.SGD(schedule, momentum=0.9, name="old")),
        (named("b"), Adam(schedule, name="young")),
        name="three",
    )
    config = optimizer.get_config()
    assert config["predicates"] == ["larqlite>is_binary_variable", None, None]
    restored = CaseOptimizer.from_config(config)
    assert restored.get_config() == config
    assert restored.name == "three"
    assert [type(x) for x in restored.optimizers] == [Bop, legacy.SGD, Adam]
    names = [x.get_config()["name"] for x in restored.optimizers]
    assert names == ["flip", "old", "young"]
    assert isinstance(
        restored.optimizers[1].learning_rate,
        tf_keras.optimizers.schedules.ExponentialDecay,
    )


def test_a_registered_predicate_survives_a_config_that_was_never_built():
    bit = lq.variables.QuantizedVariable(tf.Variable([1.0], name="k"), precision=1)
    restored = CaseOptimizer.from_config(bop_and(SGD()).get_config())
    restored.build([bit, *variables("b")])
    assert "Bop: k:0 (1,)\n  SGD (default): b:0 (1,)" in repr(restored)


def test_a_predicate_that_is_lost_is_told_with_the_fix():
    optimizer = CaseOptimizer((named("a"), Adam()))
    restored = CaseOptimizer.from_config(optimizer.get_config())
    with pytest.raises(OptimizerError, match=r"(?s)before its first step.*a:0.*Fix:"):
        restored.build(variables("a"))


def rebuilt(names, others):
    """Builds for `names`, then what is restored from its config for `others`."""
    optimizer = CaseOptimizer((named("kernel"), Adam()), default_optimizer=SGD())
    optimizer.build(variables(*names))
    restored = CaseOptimizer.from_config(optimizer.get_config())
    restored.build(variables(*others))
    return restored


def test_a_restored_optimizer_assigns_by_position_without_its_predicates():
    restored = rebuilt(["d/kernel", "d/bias"], ["d/kernel", "d/bias"])
    assert "Adam: d/kernel:0 (1,)\n  SGD (default): d/bias:0" in repr(restored)


@pytest.mark.parametrize(
    "names",
    [
        ["kernel", "bias", "kernel"],
        ["model/d/kernel", "model/d/bias", "model/d_1/kernel"],
        ["d_4/kernel", "d_4/bias", "d_5/kernel"],
    ],
    ids=["without layers", "with the model", "counted on"],
)
def test_names_that_keras_makes_up_may_change(names):
    rebuilt(["d/kernel", "d/bias", "d_1/kernel"], names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["d/kernel", "d/bias"], r"2 instead of 3.*Missing: d_1/kernel:0 \(1,\)"),
        (["d/kernel", "d/bias", "d_1/kernel", "e/bias"], r"4 instead.*New: e/bias:0"),
        (["d/kernel", "d/bias", "d_2/kernel"], "Missing: d_1/k.*New: d_2/k"),
        (["d/bias", "d/kernel", "d_1/kernel"], "Missing: none.*same order"),
    ],
    ids=["fewer", "more", "another", "order"],
)
def test_other_variables_than_it_was_saved_with_are_told_apart(names, message):
    with pytest.raises(OptimizerError, match=f"(?s){message}.*compile=False"):
        rebuilt(["d/kernel", "d/bias", "d_1/kernel"], names)


def test_another_shape_than_it_was_saved_with_is_told():
    optimizer = CaseOptimizer(default_optimizer=SGD())
    optimizer.build(variables("a"))
    restored = CaseOptimizer.from_config(optimizer.get_config())
    with pytest.raises(OptimizerError, match=r"a:0 \(1,\).*(?s:.)*a:0 \(2,\)"):
        restored.build([tf.Variable([1.0, 1.0], name="a")])


def test_a_state_of_another_size_is_refused():
    optimizer = CaseOptimizer(default_optimizer=Adam())
    optimizer.build(variables("a"))
    state = [x.numpy() for x in optimizer.variables]
    with pytest.raises(OptimizerError, match=r"(?s)does not fit: 2 values.*Fix:"):
        optimizer.set_weights(state[:2])


def test_copies_are_equal_and_independent():
    optimizer = CaseOptimizer((named("a"), Bop()), default_optimizer=Adam(0.5))
    twin = copy.deepcopy(optimizer)
    twin.learning_rate = 0.25
    assert float(optimizer.learning_rate) == 0.5
    twin.build(variables("a", "b"))  # with the predicates of the first
    with pytest.raises(OptimizerError, match="cannot be copied"):
        copy.deepcopy(twin)
