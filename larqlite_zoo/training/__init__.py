"""Training recipes, the loop that survives a crash, and distillation."""

from larqlite_zoo.training import (  # noqa: F401 - the recipes are listed thereby
    _literature_recipes,
    _real_to_binary_recipes,
    _small_recipes,
    _sota_recipes,
    knowledge_distillation,
    learning_schedules,
)
from larqlite_zoo.training._determinism import make_deterministic
from larqlite_zoo.training._distribution import WorkerLostError
from larqlite_zoo.training._divergence import DivergenceError
from larqlite_zoo.training._evaluate import Evaluation, evaluate
from larqlite_zoo.training._files import OutputError
from larqlite_zoo.training._optimizers import SGD, Adam, Bop, TwoOptimizers
from larqlite_zoo.training._options import Options
from larqlite_zoo.training._outputs import Result
from larqlite_zoo.training._recipe import (
    Distillation,
    MultiStage,
    Recipe,
    add_recipe,
    recipe,
    recipe_names,
    recipe_notes,
)
from larqlite_zoo.training._schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    RealToBinary,
    Steps,
)
from larqlite_zoo.training._train import train, train_stages
from larqlite_zoo.training.knowledge_distillation import (
    AttentionMatchingLossLayer,
    OutputDistributionMatchingLossLayer,
    WeightedCrossEntropyLoss,
    get_unique_layer_with_partial_name,
)

__all__ = [
    "train",
    "train_stages",
    "make_deterministic",
    "evaluate",
    "Evaluation",
    "Result",
    "Recipe",
    "MultiStage",
    "Distillation",
    "Options",
    "recipe",
    "add_recipe",
    "recipe_names",
    "recipe_notes",
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
    "knowledge_distillation",
    "AttentionMatchingLossLayer",
    "OutputDistributionMatchingLossLayer",
    "WeightedCrossEntropyLoss",
    "get_unique_layer_with_partial_name",
    "DivergenceError",
    "OutputError",
    "WorkerLostError",
]
