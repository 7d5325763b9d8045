"""A recipe: all that decides the outcome of a training run, as typed data.

Every field is a flag of `lqz train`. Where a run writes, and how often, does not change
its outcome: that is in `_options.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import arg

from larqlite.errors import ArgumentError, near_matches
from larqlite_zoo.training._optimizers import Adam, AnyOptimizer

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


@dataclass(frozen=True)
class Distillation:
    """What a student learns from a teacher beside the labels.

    Raises:
        ArgumentError: with a teacher and no weight above 0, or the other way round.
    """

    teacher: Annotated[
        str | None, arg(help="The registered model that teaches; None for no teacher.")
    ] = None
    teacher_weights: Annotated[
        str | None,
        arg(help="A weight file, or the model of an earlier stage, for the teacher."),
    ] = None
    classification_weight: Annotated[
        float, arg(help="Factor of the cross-entropy with the labels.")
    ] = 1.0
    attention_weight: Annotated[
        float, arg(help="Factor of the attention matching loss.")
    ] = 0.0
    attention_layers: Annotated[
        tuple[str, ...],
        arg(help="Parts of the names of the layers whose attention is matched."),
    ] = ()
    teacher_attention_layers: Annotated[
        tuple[str, ...],
        arg(help="The same for the teacher; empty for the student's names."),
    ] = ()
    output_weight: Annotated[
        float, arg(help="Factor of the output distribution matching loss.")
    ] = 0.0
    temperature: Annotated[
        float, arg(help="Temperature of the softmax in the output matching loss.")
    ] = 1.0
    train_teacher_by_attention: Annotated[
        bool, arg(help="Let the attention loss change the teacher too.")
    ] = False
    train_teacher_by_output: Annotated[
        bool, arg(help="Let the output loss change the teacher too.")
    ] = False


@dataclass(frozen=True)
class Recipe:
    """One stage of training: a model, its data, its optimizer, and for how long.

    Raises:
        ArgumentError: a number of epochs, images or a seed that cannot be.
    """

    name: Annotated[str, arg(help="The name of the recipe.")]
    model: Annotated[str, arg(help="The registered model: `lqz list`.")]
    dataset: Annotated[str, arg(help="The dataset: `lqz list --datasets`.")] = "imagenet"
    epochs: Annotated[int, arg(help="How often to go through the images.")] = 100
    batch_size: Annotated[
        int, arg(help="Images of one step, over all replicas together.")
    ] = 256
    optimizer: AnyOptimizer = field(default_factory=Adam)
    preprocessing: Annotated[
        str | None, arg(help="How images become numbers; None for the dataset's own.")
    ] = None
    image_size: Annotated[
        int | None, arg(help="Height and width; None for those of the dataset.")
    ] = None
    initial_weights: Annotated[
        str | None,
        arg(help="A weight file, or the model of an earlier stage, to start from."),
    ] = None
    precision: Annotated[
        Precision, arg(help="The dtype policy of the model's computations.")
    ] = "float32"
    distillation: Distillation = field(default_factory=Distillation)
    seed: Annotated[int, arg(help="Of first weights, shuffling, augmentation.")] = 1

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("image_size", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ArgumentError(
                    f"{self.name}: {name}={value}.\n  Fix: a number of at least {least}."
                )


@dataclass(frozen=True)
class MultiStage:
    """Recipes run one after the other; a later one starts from an earlier one's weights.

    Where a stage says `initial_weights="r2b_ban"` or `teacher_weights="r2b_ban"`, it
    takes the weights of the student of that Keras name that an earlier stage trained.
    """

    name: Annotated[str, arg(help="The name of the recipe.")]
    stages: tuple[Recipe, ...]

    def __post_init__(self) -> None:
        if not self.stages:
            raise ArgumentError(f"{self.name}: no stages.\n  Fix: at least one recipe.")


AnyRecipe = Recipe | MultiStage

_recipes: dict[str, AnyRecipe] = {}


def add_recipe(recipe: AnyRecipe) -> AnyRecipe:
    """Lists a recipe under its name."""
    _recipes[recipe.name] = recipe
    return recipe


def recipe(name: str) -> AnyRecipe:
    """The recipe of that name, or of the registered model of that name.

    Raises:
        ArgumentError: there is none; the message lists near matches.

    Example:
        >>> from larqlite_zoo import training
        >>> training.recipe("binary_vgg_small").name
        'TrainBinaryVGGSmall'
    """
    if name in _recipes:
        return _recipes[name]
    of_model = [r for r in _recipes.values() if getattr(r, "model", None) == name]
    if of_model:
        return of_model[0]
    models = [getattr(r, "model", r.name) for r in _recipes.values()]
    raise ArgumentError(
        f'no recipe or model "{name}".{near_matches(name, [*_recipes, *models])}\n'
        "  Fix: a name of `lqz list --recipes` or `lqz list`."
    )


def recipe_names() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(_recipes)

