"""CaseOptimizer: what it refuses, how it says so, and that nothing is changed then."""

import numpy as np
import pytest
import tf_keras

from larqlite.errors import KerasVersionError, OptimizerError, OptimizerTypeError
from larqlite.optimizers import CaseOptimizer
from tests.optimizers.networks import (
    bop_and,
    fit,
    named,
    ones,
    small_model,
    values,
    variables,
)

SGD = tf_keras.optimizers.SGD
Adam = tf_keras.optimizers.Adam
legacy = tf_keras.optimizers.legacy


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        (
            [("", Adam), ("b", SGD)],
            r"more than one predicate claims b:0 by Adam and SGD",
        ),
        (
            [("", Adam), ("b", Adam)],
            r"claims b:0 by Adam \(pair 0\) and Adam \(pair 1\)",
        ),
        (
            [("a", Adam), ("x", SGD)],
            r"predicate of SGD claims no variable.*a:0 \(1,\)",
        ),
    ],
    ids=["twice", "twins", "nothing"],
)
def test_predicates_that_clash_or_claim_nothing_change_nothing(cases, message):
    a, b = variables("a", "b")
    optimizers = [make() for _, make in cases]
    optimizer = CaseOptimizer(
        *[(named(text), x) for (text, _), x in zip(cases, optimizers, strict=True)],
        default_optimizer=legacy.Ftrl(),
    )
    with pytest.raises(OptimizerError, match=f"(?s){message}.*Fix:"):
        optimizer.apply_gradients(ones([a, b]))
    assert values([a, b]) == [1.0, 1.0]
    assert int(optimizer.iterations) == 0
    # The sub-optimizers are as new: they serve in a correct one.
    correct = CaseOptimizer(
        (named("a"), optimizers[0]), default_optimizer=optimizers[1]
    )
    correct.apply_gradients(ones([a, b]))
    assert all(value < 1 for value in values([a, b]))


def test_an_error_in_fit_arrives_as_it_is_and_the_model_still_trains():
    model = small_model()
    model.compile(CaseOptimizer((named(""), Adam()), (named("top"), SGD())), "mse")
    before = model.get_weights()
    with pytest.raises(OptimizerError, match="top/kernel:0 by Adam and SGD"):
        fit(model)
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    model.compile(bop_and(Adam()), "mse", run_eagerly=True)
    assert np.isfinite(fit(model).history["loss"]).all()


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        (["adam"], OptimizerTypeError, r"pair 0: got 'adam'.*\(predicate, optimizer\)"),
        ([(named("a"), "adam", 1)], OptimizerTypeError, "pair 0"),
        ([("a", "adam")], OptimizerTypeError, "predicate 'a' is not callable"),
        ([(named("a"), Adam)], OptimizerTypeError, "pair 0.*not an optimizer"),
        ([(named("a"), "addam")], OptimizerTypeError, "no optimizer 'addam'"),
        ([], OptimizerError, "no optimizer"),
    ],
    ids=["bare", "triple", "text", "class", "name", "empty"],
)
def test_an_argument_that_cannot_serve_is_named_with_the_fix(pairs, error, message):
    with pytest.raises(error, match=f"(?s){message}") as raised:
        CaseOptimizer(*pairs)
    assert "Fix:" in str(raised.value)


def test_a_keras_3_optimizer_is_named_as_such():
    import keras  # Keras 3, which TensorFlow brings along

    assert keras.__version__.startswith("3")
    with pytest.raises(KerasVersionError, match=r"(?s)default_optimizer.*Fix:"):
        CaseOptimizer(default_optimizer=keras.optimizers.Adam())


def test_loss_scaling_belongs_around_it():
    scaled = tf_keras.mixed_precision.LossScaleOptimizer(Adam())
    with pytest.raises(OptimizerTypeError, match="inner optimizer"):
        CaseOptimizer(default_optimizer=scaled)


@pytest.mark.parametrize("make", [Adam, legacy.Adam], ids=["new", "legacy"])
def test_an_optimizer_given_twice_or_used_before_is_refused(make):
    optimizer = make()
    with pytest.raises(OptimizerError, match=r"(?s)Adam is given twice.*Fix:"):
        CaseOptimizer((named("a"), optimizer), default_optimizer=optimizer)
    optimizer.apply_gradients(ones(variables("a")))
    with pytest.raises(OptimizerError, match=r"(?s)Adam was used before.*Fix:"):
        CaseOptimizer(default_optimizer=optimizer)


def test_a_variable_that_comes_later_is_refused_and_nothing_moves():
    a, b = variables("a", "b")
    optimizer = CaseOptimizer(default_optimizer=SGD(0.5))
    optimizer.build([a])
    with pytest.raises(OptimizerError, match=r"(?s)b:0.*first step.*Fix:.*build"):
        optimizer.apply_gradients(ones([a, b]))
    assert values([a, b]) == [1.0, 1.0]


def test_no_gradient_at_all_is_an_error_that_names_the_variables():
    optimizer = CaseOptimizer(default_optimizer=SGD())
    with pytest.raises(OptimizerError, match=r"(?s)no gradient.*a:0.*Fix:"):
        optimizer.apply_gradients([(None, variables("a")[0])])
