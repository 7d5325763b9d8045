"""CaseOptimizer: which optimizer trains which variable, with which learning rate."""

import pytest
import tensorflow as tf
import tf_keras

from larqlite.errors import MissingHyperparameterError
from larqlite.optimizers import Bop, CaseOptimizer
from tests.optimizers.networks import bop_and, named, ones, values, variables

SGD = tf_keras.optimizers.SGD
Adam = tf_keras.optimizers.Adam
legacy = tf_keras.optimizers.legacy


def test_each_variable_is_trained_by_the_optimizer_that_claims_it():
    a, b, c = variables("a", "b", "c")
    optimizer = CaseOptimizer(
        (named("a"), SGD(0.5)),
        (named("b"), legacy.SGD(0.25)),
        default_optimizer=Bop(gamma=1.0),
    )
    optimizer.apply_gradients(ones([a, b, c]))
    assert values([a, b, c]) == [0.5, 0.75, -1.0]


def test_names_and_configs_of_optimizers_are_accepted():
    optimizer = CaseOptimizer(
        (named("a"), "sgd"),
        (named("b"), {"class_name": "Bop", "config": {"gamma": 0.5}}),
        default_optimizer="adam",
    )
    types = [type(x).__name__ for x in optimizer.optimizers]
    assert types == ["SGD", "Bop", "Adam"]
    assert float(optimizer.optimizers[1].gamma) == 0.5


def test_a_variable_that_nobody_claims_is_named_in_a_warning_and_stays():
    a, b = variables("a", "b")
    optimizer = CaseOptimizer((named("a"), SGD(0.5)))
    with pytest.warns(UserWarning, match=r"(?s)claims b:0.*default_optimizer"):
        optimizer.apply_gradients(ones([a, b]))
    optimizer.apply_gradients(ones([a, b]))  # a second warning would be an error
    assert values([a, b]) == [0.0, 1.0]
    assert "untrained: b:0 (1,)" in repr(optimizer)


def test_the_repr_lists_which_variable_went_where():
    optimizer = CaseOptimizer(
        (named("a"), Adam(name="slow")), (named("c"), Bop()), default_optimizer=SGD()
    )
    assert repr(optimizer).count("not built yet") == 3
    optimizer.build(variables("a", "b", "c"))
    assert repr(optimizer).splitlines() == [
        '<CaseOptimizer "optimizer_case"',
        '  Adam "slow": a:0 (1,)',
        "  Bop: c:0 (1,)",
        "  SGD (default): b:0 (1,)>",
    ]


def test_a_group_without_gradients_is_left_alone():
    a, b = variables("a", "b")
    optimizer = CaseOptimizer(
        (named("a"), legacy.SGD(0.5, momentum=0.5)), default_optimizer=SGD(0.5)
    )
    optimizer.apply_gradients([(None, a), (tf.constant([1.0]), b)])
    optimizer.apply_gradients(ones([a]))  # and a subset of the variables is fine
    assert values([a, b]) == [0.5, 0.5]
    assert int(optimizer.iterations) == 2


def test_sparse_gradients_reach_new_and_legacy_optimizers():
    table, other = tf.Variable(tf.ones((3, 1)), name="a"), tf.Variable(tf.ones((3, 1)))
    gradient = tf.IndexedSlices(
        tf.ones((2, 1)), tf.constant([1, 1]), tf.constant([3, 1])
    )
    optimizer = CaseOptimizer(
        (named("a"), legacy.SGD(0.25)), default_optimizer=SGD(0.25)
    )
    optimizer.apply_gradients([(gradient, table), (gradient, other)])
    for variable in (table, other):
        assert variable.numpy().ravel().tolist() == [1.0, 0.5, 1.0]


def test_averages_of_a_sub_optimizer_are_written_at_the_end():
    a, b = variables("a", "b")
    optimizer = CaseOptimizer(
        (named("a"), SGD(1.0, use_ema=True, ema_momentum=0.5)),
        default_optimizer=legacy.SGD(1.0),
    )
    optimizer.apply_gradients(ones([a, b]))
    optimizer.finalize_variable_values([a, b])
    assert values([a, b]) == [0.5, 0.0]  # half way between 1 and 0


def test_its_variables_are_the_state_of_all_with_unique_names():
    optimizer = CaseOptimizer(
        (named("a"), legacy.Adam()), (named("b"), Bop()), default_optimizer=Adam()
    )
    optimizer.build(variables("a", "b", "c"))
    names = [variable.name for variable in optimizer.variables]
    assert len(set(names)) == len(names) == 6  # a count, 2 + 1 + 2 averages


def test_the_learning_rate_is_that_of_the_default_optimizer():
    optimizer = CaseOptimizer((named("a"), Adam(0.5)), default_optimizer=SGD(0.25))
    assert float(optimizer.lr) == 0.25
    optimizer.learning_rate = 0.125
    assert [float(x.learning_rate) for x in optimizer.optimizers] == [0.5, 0.125]


def test_the_learning_rate_is_else_that_of_the_only_one_that_has_one():
    optimizer = bop_and(None)
    with pytest.raises(MissingHyperparameterError, match="no learning rate"):
        optimizer.learning_rate = 0.5
    pairs = (named("a"), Bop()), (named("b"), legacy.SGD(0.5))
    optimizer = CaseOptimizer(*pairs, default_optimizer=Bop())
    optimizer.lr = 0.25
    assert float(optimizer.optimizers[1].lr) == 0.25


def test_an_ambiguous_learning_rate_does_not_exist_and_says_what_to_do():
    optimizer = CaseOptimizer((named("a"), Adam()), (named("b"), SGD()))
    assert not hasattr(optimizer, "lr")
    with pytest.raises(AttributeError, match=r"(?s)Adam and SGD.*optimizer=sub"):
        _ = optimizer.learning_rate
