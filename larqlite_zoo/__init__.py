"""Reference binarized networks, with cards, weights, data pipelines and recipes.

`import larqlite_zoo` registers every model and every layer that a saved model may
hold; the data pipelines and the recipes are imported when they are used.
"""

from __future__ import annotations

import importlib

import larqlite
from larqlite_runtime import start

start.require_in_the_command()
larqlite.load_everything()  # registers what a saved model may hold

from larqlite_zoo import (  # noqa: E402
    _learning_schedules,  # noqa: F401
    literature,
    small,
    sota,
)
from larqlite_zoo._build import global_pool  # noqa: E402
from larqlite_zoo._card import Accuracy, Card, Costs, Measurement, Paper, WeightFile  # noqa: E402
from larqlite_zoo._figures import card  # noqa: E402
from larqlite_zoo._registered_models import get, list_models, register_model  # noqa: E402

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


def __getattr__(name: str):
    if name not in _IMPORTED_WHEN_USED:
        raise AttributeError(f"module 'larqlite_zoo' has no attribute {name!r}")
    module_name, attribute = _IMPORTED_WHEN_USED[name]
    module = importlib.import_module(module_name)
    return module if attribute is None else getattr(module, attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
