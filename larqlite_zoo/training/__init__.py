"""Training recipes, the loop that survives a crash, and distillation.

A command that reads its words has no TensorFlow yet, and imports only recipes.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from larqlite_zoo.training import (  # noqa: F401 - the recipes are listed thereby
    _literature_recipes,
    _real_to_binary_recipes,
    _small_recipes,
    _sota_recipes,
)
from larqlite_zoo.training._methods import Method, add_method, method, method_names
from larqlite_zoo.training._optimizers import SGD, Adam, Bop, TwoOptimizers
from larqlite_zoo.training._options import Options
from larqlite_zoo.training._recipe import (
    Distillation,
    MultiStage,
    Recipe,
    add_recipe,
    recipe,
    recipe_by_words,  # noqa: F401 - for the command
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

__all__ = [
    "train",
    "train_stages",
    "sweep",
    "sweep_summary",
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
    "Method",
    "method",
    "add_method",
    "method_names",
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

# What needs TensorFlow, by where it is.
_WITH_TENSORFLOW = {
    "_determinism": ("make_deterministic",),
    "_distribution": ("WorkerLostError",),
    "_divergence": ("DivergenceError",),
    "_evaluate": ("Evaluation", "evaluate"),
    "_files": ("OutputError",),
    "_outputs": ("Result",),
    "_sweep": ("sweep",),
    "_sweep_table": ("sweep_summary",),
    "_train": ("train", "train_stages"),
    "knowledge_distillation": (
        "AttentionMatchingLossLayer",
        "OutputDistributionMatchingLossLayer",
        "WeightedCrossEntropyLoss",
        "get_unique_layer_with_partial_name",
    ),
}
_MODULES = ("knowledge_distillation", "learning_schedules")


def load_everything() -> None:
    """Imports the rest, and registers losses that files may hold."""
    for place, names in _WITH_TENSORFLOW.items():
        module = importlib.import_module(f"{__name__}.{place}")
        for name in names:
            globals().setdefault(name, getattr(module, name))
    for place in _MODULES:
        importlib.import_module(f"{__name__}.{place}")


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    load_everything()
    return globals()[name]


if TYPE_CHECKING:
    from larqlite_zoo.training import knowledge_distillation, learning_schedules
    from larqlite_zoo.training._determinism import make_deterministic
    from larqlite_zoo.training._distribution import WorkerLostError
    from larqlite_zoo.training._divergence import DivergenceError
    from larqlite_zoo.training._evaluate import Evaluation, evaluate
    from larqlite_zoo.training._files import OutputError
    from larqlite_zoo.training._outputs import Result
    from larqlite_zoo.training._sweep import sweep
    from larqlite_zoo.training._sweep_table import sweep_summary
    from larqlite_zoo.training._train import train, train_stages
    from larqlite_zoo.training.knowledge_distillation import (
        AttentionMatchingLossLayer,
        OutputDistributionMatchingLossLayer,
        WeightedCrossEntropyLoss,
        get_unique_layer_with_partial_name,
    )
elif "larqlite._tensorflow" in sys.modules:
    load_everything()
