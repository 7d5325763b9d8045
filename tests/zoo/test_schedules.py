"""Learning rates: those of Larq Zoo 2.4.0, and by hand from the papers' tables."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tf_keras

from larqlite.errors import ArgumentError
from larqlite_zoo import training
from larqlite_zoo.training import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    RealToBinary,
    Steps,
    learning_schedules,
)

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden" / "zoo_schedules.json").read_text()
)


def rates(schedule, steps):
    """Learning rates at steps; `schedule` may be a number, as for Keras optimizers."""
    if isinstance(schedule, float):
        return np.full(len(steps), schedule)
    return np.array([float(schedule(step)) for step in steps])


@pytest.mark.parametrize("name", sorted(GOLDEN["epochs"]))
def test_the_rate_changes_where_and_by_how_much_it_does_in_larq_zoo(name):
    recipe, expected = training.recipe(name), GOLDEN["epochs"][name]
    assert recipe.epochs == len(expected)
    schedule = recipe.optimizer.schedule.build(7, recipe.epochs)
    ends = [
        epoch
        for epoch in range(recipe.epochs)
        if len({*expected[max(epoch - 1, 0) : epoch + 2]}) > 1
    ]
    epochs = [0, *ends, recipe.epochs - 1]
    wanted = [expected[epoch] for epoch in epochs]
    first = rates(schedule, [7 * epoch for epoch in epochs])
    last = rates(schedule, [7 * epoch + 6 for epoch in epochs])
    np.testing.assert_allclose(first, wanted, rtol=2e-6)
    np.testing.assert_allclose(last, wanted, rtol=2e-6)


@pytest.mark.parametrize(
    ("key", "schedule"),
    [
        ("linear", Linear(5e-3, decay_steps=750_684).build(1, 1)),
        ("linear_cosine", Linear(5e-3, 750_684, cosine=True).build(1, 1)),
        ("r2b_1e-3_spe10_0.3", RealToBinary(1e-3, 0.3).build(10, 75)),
        ("r2b_2e-4_spe10_0.1", RealToBinary(2e-4, 0.1).build(10, 75)),
        ("cosine_1e-2_50_6000", Cosine(1e-2, warmup=5).build(10, 600)),
        ("cosine_0.1_2_1000", learning_schedules.CosineDecayWithWarmup(0.1, 2, 1000)),
    ],
)
def test_every_step_has_larq_zoos_learning_rate(key, schedule):
    steps, expected = zip(*GOLDEN["steps"][key], strict=True)
    # Near 0 a cosine in float32 is off by a rounding error of the highest rate.
    tolerance = 1e-7 * max(expected)
    np.testing.assert_allclose(rates(schedule, steps), expected, 1e-5, tolerance)


@pytest.mark.parametrize(
    ("name", "epoch", "rate"),
    [
        ("TrainBinaryAlexNet", 0, 1e-2),
        ("TrainBinaryAlexNet", 9, 1e-2),
        ("TrainBinaryAlexNet", 10, 5e-3),
        ("TrainBinaryAlexNet", 149, 1e-2 / 2**14),
        ("TrainBiRealNet", 150, 2.5e-3),
        ("TrainBiRealNet", 299, 5e-3 / 300),
        ("TrainBinaryResNetE18", 69, 4e-3),
        ("TrainBinaryResNetE18", 70, 1.2e-3),
        ("TrainBinaryResNetE18", 110, 1.08e-4),
        ("TrainBinaryDenseNet28", 100, 4e-4),
        ("TrainBinaryDenseNet37Dilated", 70, 4e-5),
        ("TrainBinaryDenseNet45", 79, 8e-3),
        ("TrainBinaryDenseNet45", 80, 8e-4),
        ("TrainXNORNet", 18, 1e-3),
        ("TrainXNORNet", 44, 5e-5),
        ("TrainXNORNet", 86, 1e-7),
        ("TrainDoReFaNet", 59, 2e-4),
        ("TrainDoReFaNet", 60, 4e-5),
        ("TrainDoReFaNet", 75, 8e-6),
        ("TrainDoReFaNet", 83, 8e-7),
        ("TrainDoReFaNet", 89, 8e-10),
        ("TrainR2BBFP", 20, 1e-3),
        ("TrainR2BBNN", 65, 2e-4 * 0.3**2),
        ("TrainR2BStrongBaselineBAN", 74, 1e-3 * 0.1**3),
    ],
)
def test_a_rate_by_hand_in_the_middle_of_an_epoch(name, epoch, rate):
    recipe = training.recipe(name)
    steps = 1000
    if name == "TrainBiRealNet":  # its schedule counts steps of ImageNet, not epochs
        schedule = recipe.optimizer.schedule.build(steps, recipe.epochs)
        assert rates(schedule, [epoch * 750_684 // 300])[0] == pytest.approx(rate, 1e-3)
        return
    schedule = recipe.optimizer.schedule.build(steps, recipe.epochs)
    assert rates(schedule, [steps * epoch + 500])[0] == pytest.approx(rate, rel=1e-5)


def test_quicknets_two_rates_rise_for_five_epochs_and_fall_to_zero_in_six_hundred():
    optimizer = training.recipe("TrainQuickNet").optimizer
    for part, highest in ((optimizer.binary, 1e-2), (optimizer.other, 0.1)):
        schedule = part.schedule.build(100, 600)
        found = rates(schedule, [0, 250, 499, 500, 500 + 59_499 // 2, 59_999])
        middle = highest * (1 + math.cos(math.pi * 29_749 / 59_499)) / 2
        expected = [0, highest * 250 / 499, highest, highest, middle, 0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_linear_ends_with_the_run_and_constant_never_changes():
    schedule = Linear(1.0).build(10, 4)
    found = rates(schedule, [0, 10, 39, 40])
    np.testing.assert_allclose(found, [1, 0.75, 0.025, 0], rtol=1e-5)
    assert rates(Constant(0.3).build(10, 4), [0, 99]) == pytest.approx(0.3)


@pytest.mark.parametrize(
    "schedule",
    [
        learning_schedules.CosineDecayWithWarmup(0.1, 5, 100),
        learning_schedules.R2BStepSchedule(0.1, 10, 0.3, name="r2b"),
        learning_schedules.LinearCosineDecay(0.1, 100, alpha=0.1, beta=0.01),
        Steps(0.1, (2, 3), (0.5, 0.25)).build(10, 5),
        Exponential(0.1, 0.5, 2).build(10, 5),
    ],
)
def test_a_schedule_survives_serialization(schedule):
    serialized = tf_keras.optimizers.schedules.serialize(schedule)
    again = tf_keras.optimizers.schedules.deserialize(
        json.loads(json.dumps(serialized))
    )
    steps = range(0, 100, 19)
    assert type(again) is type(schedule)
    np.testing.assert_array_equal(rates(again, steps), rates(schedule, steps))
    assert again.get_config() == schedule.get_config()


@pytest.mark.parametrize(
    ("epochs", "factors", "message"),
    [
        ((3, 5), (0.1,), "2 epochs"),
        ((5, 3), (0.1, 0.01), "ascending"),
        ((3, 3), (0.1, 0.01), "ascending"),
        ((0, 3), (0.1, 0.01), "at least 1"),
    ],
)
def test_steps_that_cannot_be_are_refused(epochs, factors, message):
    with pytest.raises(ArgumentError, match=message):
        Steps(1e-3, epochs, factors)
