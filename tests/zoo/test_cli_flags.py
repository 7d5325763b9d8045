"""`lqz train`: every field of a recipe and of the options is a flag."""

import typing

import pytest

import larqlite_zoo
from larqlite_zoo import _train_command, training


def parsed(arguments):
    """Recipe and options of `lqz train ARGUMENTS`, which is not run."""
    return _train_command.parse(arguments.split())


@pytest.mark.parametrize("name", ["TrainQuickNet", "TrainBiRealNet", "TrainR2B"])
def test_help_has_every_field_of_the_recipe_and_of_the_options(lqz, capsys, name):
    with pytest.raises(SystemExit) as exit_:
        lqz(f"train {name} --help")
    assert exit_.value.code == 0
    printed = capsys.readouterr().out
    flags = {word.strip(",") for word in printed.split() if word.startswith("--")}
    prefix = "--stages.3." if name == "TrainR2B" else "--"
    for kind in (training.Recipe, training.Distillation):
        for field in set(kind.__dataclass_fields__) - {"optimizer", "distillation"}:
            assert prefix + field.replace("_", "-") in flags
    for field in training.Options.__dataclass_fields__:
        assert f"--{field.replace('_', '-')}" in flags
    if name == "TrainQuickNet":
        expected = "--binary.learning-rate --binary.warmup --other.momentum"
    elif name == "TrainBiRealNet":
        expected = "--learning-rate --decay-steps --cosine --beta-1 --epsilon"
    else:
        expected = "--initial-stage --stages.1.decay-fraction --stages.0.momentum"
    assert {*expected.split()} <= flags


def test_every_flag_has_a_help_text():
    kinds = [
        training.Recipe, training.Distillation, training.Options, training.Adam,
        training.SGD, training.Bop, training.Constant, training.Steps,
        training.Exponential, training.Linear, training.Cosine, training.RealToBinary,
    ]  # fmt: skip
    for kind in kinds:
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            if name not in ("optimizer", "schedule", "distillation"):
                assert hint.__metadata__[0].help.endswith("."), (
                    f"{kind.__name__}.{name}"
                )


def test_flags_reach_the_recipe_whatever_their_spelling():
    recipe, options = parsed(
        "bi_real_net --batch_size 7 --image-size 64 --precision mixed_bfloat16 "
        "--weight_decay 1e-4 --cosine --decay-steps 99 --strategy mirrored --threads 2 "
        "--output here --no-progress"
    )
    assert (recipe.name, recipe.batch_size, recipe.image_size) == (
        "TrainBiRealNet",
        7,
        64,
    )
    assert recipe.precision == "mixed_bfloat16"
    assert recipe.optimizer == training.Adam(
        training.Linear(5e-3, 99, cosine=True), weight_decay=1e-4
    )
    assert (options.strategy, options.threads, str(options.output)) == (
        "mirrored", 2, "here",
    )  # fmt: skip
    assert not options.progress


def test_flags_of_two_optimizers_have_their_prefix():
    recipe, _ = parsed("quicknet --binary.learning-rate 0.5 --other.warmup 2")
    assert recipe.optimizer.binary == training.Adam(training.Cosine(0.5, 5))
    assert recipe.optimizer.other == training.SGD(training.Cosine(0.1, 2), 0.9)


def test_flags_of_stages_for_one_and_for_all():
    recipe, _ = parsed(
        "TrainR2B --stages.0.epochs 3 --dataset fashion_mnist --batch-size 4 "
        "--stages.3.learning-rate 0.7 --initial-stage 1"
    )
    assert [stage.epochs for stage in recipe.stages] == [3, 75, 75, 75]
    assert {stage.dataset for stage in recipe.stages} == {"fashion_mnist"}
    assert {stage.batch_size for stage in recipe.stages} == {4}
    assert recipe.stages[3].optimizer.schedule.learning_rate == 0.7
    assert recipe.stages[2].optimizer.schedule.learning_rate == 1e-3
    assert recipe.initial_stage == 1


def test_another_optimizer_or_schedule_keeps_what_it_shares_with_the_old_one():
    recipe, _ = parsed("birealnet --schedule cosine --warmup 3 --optimizer=sgd")
    assert recipe.optimizer == training.SGD(training.Cosine(5e-3, 3))
    recipe, _ = parsed("quicknet --binary bop --binary.threshold 1e-6")
    assert recipe.optimizer.binary == training.Bop(1e-6)
    recipe, _ = parsed(
        "TrainR2B --stages.2.schedule steps --stages.2.at-epochs 3 5 "
        "--stages.2.factors 0.1 0.01"
    )
    steps = training.Steps(1e-3, (3, 5), (0.1, 0.01))
    assert recipe.stages[2].optimizer.schedule == steps


def test_a_recipe_that_is_found_by_its_words_is_the_one_of_the_model():
    found = {
        name: training.recipe_by_words(name) for name in larqlite_zoo.list_models()
    }
    assert sum(each is not None for each in found.values()) > len(found) / 2
    for name, each in found.items():
        assert each in (None, training.recipe(name)), name
    for name in training.recipe_names():
        assert training.recipe_by_words(name) == training.recipe(name)
    assert training.recipe_by_words("no_such_model") is None
