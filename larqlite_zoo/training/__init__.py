"""Training recipes, the loop that survives a crash, and distillation."""

from larqlite_zoo.training import _small_recipes, learning_schedules  # noqa: F401 - adds
from larqlite_zoo.training._divergence import DivergenceError
from larqlite_zoo.training._files import OutputError
from larqlite_zoo.training._optimizers import SGD, Adam, Bop, TwoOptimizers
from larqlite_zoo.training._options import Options
from larqlite_zoo.training._recipe import (
    Distillation,
    MultiStage,
    Recipe,
    recipe,
    recipe_names,
)
from larqlite_zoo.training._run import Result, train
from larqlite_zoo.training._schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    RealToBinary,
    Steps,
)

__all__ = [
    "train",
    "Result",
    "Recipe",
    "MultiStage",
    "Distillation",
    "Options",
    "recipe",
    "recipe_names",
    "Adam",
    "SGD",
    "Bop",
    "TwoOptimizers",
    "Constant",
    "Steps",
    "Exponential",
    "Linear",
    "Cosine",
    "RealToBinary",
    "learning_schedules",
    "DivergenceError",
    "OutputError",
]
