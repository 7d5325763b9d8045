"""Reference binarized networks, with cards, weights, data pipelines and recipes.

`import larqlite_zoo` registers every model and every layer that a saved model may
hold; the data pipelines and the recipes are imported when they are used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import larqlite
from larqlite_runtime.start import command_of

__all__ = [
    "list_models",
    "get",
    "card",
    "register_model",
    "Card",
    "Paper",
    "Accuracy",
    "Measurement",
    "WeightFile",
    "Costs",
    "literature",
    "sota",
    "small",
    "datasets",
    "training",
    "preprocess_input",
    "decode_predictions",
    "global_pool",
]

_IMPORTED_WHEN_USED = {
    "datasets": ("larqlite_zoo.datasets", None),
    "training": ("larqlite_zoo.training", None),
    "preprocess_input": ("larqlite_zoo.datasets", "preprocess_input"),
    "decode_predictions": ("larqlite_zoo._decode", "decode_predictions"),
}
# All others, which a command imports after it has read its words.
_IMPORTED_AT_ONCE = {
    "literature": ("larqlite_zoo.literature", None),
    "small": ("larqlite_zoo.small", None),
    "sota": ("larqlite_zoo.sota", None),
    "global_pool": ("larqlite_zoo._build", "global_pool"),
    "card": ("larqlite_zoo._figures", "card"),
    **{
        name: ("larqlite_zoo._card", name)
        for name in ("Accuracy", "Card", "Costs", "Measurement", "Paper", "WeightFile")
    },
    **{
        name: ("larqlite_zoo._registered_models", name)
        for name in ("get", "list_models", "register_model")
    },
}


def load_everything() -> None:
    """Imports TensorFlow, larqlite, and all that registers anything with tf_keras.

    It is done on import, but in the command `lqz`, which reads its words first; see
    `larqlite.load_everything`.
    """
    larqlite.load_everything()
    importlib.import_module("larqlite_zoo._learning_schedules")
    for name in _IMPORTED_AT_ONCE:
        globals().setdefault(name, _found(name))
    # Where words were read that name a recipe, it is there in part.
    if "larqlite_zoo.training" in sys.modules:
        sys.modules["larqlite_zoo.training"].load_everything()


def _found(name: str):
    module_name, attribute = (_IMPORTED_WHEN_USED | _IMPORTED_AT_ONCE)[name]
    module = importlib.import_module(module_name)
    return module if attribute is None else getattr(module, attribute)


def __getattr__(name: str):
    if name in _IMPORTED_AT_ONCE:
        larqlite.load_everything()
    elif name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module 'larqlite_zoo' has no attribute {name!r}")
    return _found(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from larqlite_zoo import datasets, literature, small, sota, training
    from larqlite_zoo._build import global_pool
    from larqlite_zoo._card import (
        Accuracy,
        Card,
        Costs,
        Measurement,
        Paper,
        WeightFile,
    )
    from larqlite_zoo._decode import decode_predictions
    from larqlite_zoo._figures import card
    from larqlite_zoo._registered_models import get, list_models, register_model
    from larqlite_zoo.datasets import preprocess_input
elif command_of(sys.orig_argv) is None or "larqlite._tensorflow" in sys.modules:
    load_everything()
