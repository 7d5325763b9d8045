"""A recipe: all that decides the outcome of a training run, as typed data.

Every field is a flag of `lqz train`. Where a run writes, and how often, does not change
its outcome: that is in `_options.py`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from tyro.conf import arg

from larqlite.errors import ArgumentError, near_matches
from larqlite.internal import Registry
from larqlite_zoo import _registered_models
from larqlite_zoo.training._optimizers import Adam, AnyOptimizer
from larqlite_zoo.training._schedules import Cosine

Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


@dataclass(frozen=True)
class Distillation:
    """What a student learns from a teacher beside the labels.

    Raises:
        ArgumentError: a teacher without a matching weight above 0, or the other way
            round; a negative weight, a temperature that is not positive, or lists of
            layers that do not pair.
    """

    teacher: Annotated[
        str | None, arg(help="The registered model that teaches; None for no teacher.")
    ] = None
    teacher_weights: Annotated[
        str | None,
        arg(
            help="For the teacher: a weight file, the model of an earlier stage, or a "
            "word for published weights."
        ),
    ] = None
    allow_missing_teacher_weights: Annotated[
        bool, arg(help="Accept a teacher that nobody has trained.")
    ] = False
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

    def __post_init__(self) -> None:
        weights = self.attention_weight, self.output_weight
        found = f"attention_weight={weights[0]}, output_weight={weights[1]}"
        if min(*weights, self.classification_weight) < 0:
            raise ArgumentError(
                f"distillation: {found}, classification_weight="
                f"{self.classification_weight}.\n  Fix: no number below 0."
            )
        if self.teacher is None and any(weights):
            raise ArgumentError(
                f"distillation: {found}, but no teacher to match.\n"
                "  Fix: teacher=NAME of a registered model, or both weights 0."
            )
        if self.teacher is not None and not any(weights):
            raise ArgumentError(
                f'distillation: the teacher "{self.teacher}" teaches nothing: {found}.\n'
                "  Fix: one of the two above 0, or teacher=None."
            )
        if not self.temperature > 0:
            raise ArgumentError(
                f"distillation: temperature={self.temperature}.\n  Fix: a positive number."
            )
        own, theirs = self.attention_layers, self.teacher_attention_layers
        if (self.attention_weight and not own) or (theirs and len(theirs) != len(own)):
            raise ArgumentError(
                f"distillation: attention_weight={self.attention_weight} with "
                f"{len(own)} attention_layers and {len(theirs)} "
                "teacher_attention_layers.\n  Fix: at least one layer, and as many of "
                "the teacher, or none where the names are the same."
            )


@dataclass(frozen=True)
class Recipe:
    """One stage of training: a model, its data, its optimizer, and for how long.

    Raises:
        ArgumentError: a number of epochs, images or a seed that cannot be.
    """

    name: Annotated[str, arg(help="The name of the recipe.")]
    model: Annotated[str, arg(help="The registered model: `lqz list`.")]
    dataset: Annotated[str, arg(help="The dataset: `lqz list --datasets`.")] = (
        "imagenet"
    )
    epochs: Annotated[int, arg(help="How often to go through the images.")] = 100
    batch_size: Annotated[
        int, arg(help="Images of one step, over all replicas together.")
    ] = 256
    optimizer: Annotated[AnyOptimizer, arg(name="")] = field(default_factory=Adam)
    preprocessing: Annotated[
        str | None, arg(help="How images become numbers; None for the dataset's own.")
    ] = None
    image_size: Annotated[
        int | None,
        arg(help="Height and width; None for those of the dataset, else the model's."),
    ] = None
    width: Annotated[
        int | None,
        arg(help="Filters of the first convolution; None for those of the model."),
    ] = None
    input_quantizer: Annotated[
        str | None,
        arg(
            help="Of the layers' inputs, such as 'dorefa(2)', or float; None: its own."
        ),
    ] = None
    kernel_quantizer: Annotated[
        str | None,
        arg(help="Of the layers' kernels, such as ste_sign, or float; None: its own."),
    ] = None
    initial_weights: Annotated[
        str | None,
        arg(
            help="To start from: a weight file, the model of an earlier stage, or a word "
            "for published weights."
        ),
    ] = None
    precision: Annotated[
        Precision, arg(help="The dtype policy of the model's computations.")
    ] = "float32"
    distillation: Annotated[Distillation, arg(name="")] = field(
        default_factory=Distillation
    )
    train_images: Annotated[
        int | None,
        arg(
            help="Use only so many training images, of each class its part; None: all."
        ),
    ] = None
    validation_images: Annotated[
        int | None,
        arg(help="Use only so many validation images, in the same way; None for all."),
    ] = None
    seed: Annotated[int, arg(help="Of first weights, shuffling, augmentation.")] = 1

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "batch_size",
            "image_size",
            "width",
            "train_images",
            "validation_images",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(
                    f"{self.name}: --{name.replace('_', '-')} {value}.\n"
                    "  Fix: a number of at least 1."
                )


@dataclass(frozen=True)
class MultiStage:
    """Recipes run one after the other; a later one starts from an earlier one's weights.

    Where a stage says `initial_weights="r2b_ban"` or `teacher_weights="r2b_ban"`, it
    takes the weights of the student of that Keras name that an earlier stage trained.

    Raises:
        ArgumentError: no stages, or an `initial_stage` that is none of them.
    """

    name: Annotated[str, arg(help="The name of the recipe.")]
    stages: tuple[Recipe, ...]
    initial_stage: Annotated[
        int,
        arg(
            help="The first stage to run, counted from 0; the ones before it are done."
        ),
    ] = 0

    def __post_init__(self) -> None:
        if not self.stages:
            raise ArgumentError(f"{self.name}: no stages.\n  Fix: at least one recipe.")
        if not 0 <= self.initial_stage < len(self.stages):
            raise ArgumentError(
                f"{self.name}: initial_stage={self.initial_stage} of {len(self.stages)} "
                f"stages.\n  Fix: 0 to {len(self.stages) - 1}."
            )

    def with_each_stage(self, **changes) -> MultiStage:
        """The same stages with some fields changed in all of them.

        Example:
            >>> from larqlite_zoo import training
            >>> short = training.recipe("TrainR2B").with_each_stage(epochs=1)
            >>> [stage.epochs for stage in short.stages]
            [1, 1, 1, 1]
        """
        stages = tuple(replace(stage, **changes) for stage in self.stages)
        return replace(self, stages=stages)


AnyRecipe = Recipe | MultiStage

_recipes: dict[str, AnyRecipe] = Registry()
_notes: dict[str, str] = Registry()


def add_recipe(recipe: AnyRecipe, notes: str = "") -> AnyRecipe:
    """Lists a recipe under its name.

    Args:
        recipe: a `Recipe` or `MultiStage`.
        notes: where it comes from, and what it does not do.
    """
    _recipes[recipe.name] = recipe
    _notes[recipe.name] = notes
    return recipe


def recipe(name: str) -> AnyRecipe:
    """The recipe of that name, or of the registered model of that name.

    Upper and lower case, hyphens and underscores make no difference. A registered model
    that has no recipe gets a plain one: 100 epochs of Adam, the learning rate falling
    from 1e-3 along a cosine.

    Args:
        name: such as "TrainQuickNet", "train_quicknet", "quicknet" or "QuickNet".

    Raises:
        ArgumentError: there is none; the message lists near matches.

    Example:
        >>> from larqlite_zoo import training
        >>> training.recipe("binary_vgg_small").name
        'TrainBinaryVGGSmall'
        >>> training.recipe("train-quicknet").model
        'quicknet'
    """
    found = _named(name)
    if found is not None:
        return found
    try:
        entry = _registered_models.find(name)
    except ArgumentError as error:
        functions = [entry.function for entry in _registered_models.entries()]
        known = [*_recipes, *_registered_models.list_models(), *functions]
        raise ArgumentError(
            f'no recipe or model "{name}".{near_matches(str(name), known)}\n'
            "  Fix: a name of `lqz list --recipes` or `lqz list`."
        ) from error
    if entry.recipe in _recipes:
        return _recipes[entry.recipe]
    for found in _recipes.values():
        if getattr(found, "model", None) == entry.name:
            return found
    return Recipe(
        name=f"Train{entry.function}", model=entry.name, optimizer=Adam(Cosine(1e-3))
    )


def recipe_by_words(name: str) -> AnyRecipe | None:
    """As `recipe`, but models are not imported: None where only they can tell.

    A model that more than one recipe trains, or none, is such a case.
    """
    named = _named(name) or _named(f"Train{name}")
    if named is not None:
        return named
    found = [
        each
        for each in _recipes.values()
        if _fold(name) in {_fold(s.model) for s in getattr(each, "stages", (each,))}
    ]
    return found[0] if len(found) == 1 else None


def _named(name: str) -> AnyRecipe | None:
    for known, found in _recipes.items():
        if _fold(known) == _fold(name):
            return found
    return None


def recipe_names() -> list[str]:
    """Names of all recipes, sorted.

    Example:
        >>> from larqlite_zoo import training
        >>> "TrainQuickNet" in training.recipe_names()
        True
    """
    return sorted(_recipes)


def recipe_notes(name: str) -> str:
    """What is to be known of a recipe: its source, and where it differs from it."""
    return next((_notes[known] for known in _notes if _fold(known) == _fold(name)), "")


def _fold(name: str) -> str:
    return str(name).lower().replace("_", "").replace("-", "")


def as_dict(recipe) -> dict:
    """A recipe or options as plain data, with the classes of their parts."""

    def convert(value):
        if dataclasses.is_dataclass(value):
            fields = {
                field.name: convert(getattr(value, field.name))
                for field in dataclasses.fields(value)
            }
            return {"class": type(value).__name__, **fields}
        return [convert(item) for item in value] if isinstance(value, tuple) else value

    return convert(recipe)
