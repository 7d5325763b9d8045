"""larqlite: binarized and low-bit networks in Keras, by naming quantizers.

`import larqlite as lq` registers every quantizer, layer, optimizer, metric and
constraint with tf_keras, so that a saved model loads after it alone, and bare
names such as `activation="ste_sign"` resolve in plain Keras layers.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from larqlite._version import __version__
from larqlite_runtime.start import command_of

__all__ = [
    "__version__",
    "activations",
    "analysis",
    "callbacks",
    "constraints",
    "context",
    "errors",
    "datasets",
    "deploy",
    "hub",
    "integer",
    "keras3",
    "layers",
    "math",
    "metrics",
    "models",
    "optimizers",
    "plot",
    "qat",
    "quantizers",
    "regularizers",
    "runtime",
    "search",
    "utils",
    "variables",
]

_IMPORTED_WHEN_USED = (
    "analysis",
    "datasets",
    "deploy",
    "hub",
    "keras3",
    "plot",
    "runtime",
    "search",
)


def load_everything() -> None:
    """Imports TensorFlow, and all that registers anything with tf_keras.

    It is done on import, but in the commands `lq` and `lqz`: they read their words
    first, so that a mistake in them is answered at once.
    """
    if "larqlite._tensorflow" in sys.modules:  # done, or under way
        return
    importlib.import_module("larqlite._tensorflow")
    for name in __all__:
        if name not in ("__version__", *_IMPORTED_WHEN_USED):
            importlib.import_module(f"larqlite.{name}")


def __getattr__(name: str):
    if name in _IMPORTED_WHEN_USED:
        return importlib.import_module(f"larqlite.{name}")
    if name in __all__:
        load_everything()
        return importlib.import_module(f"larqlite.{name}")
    raise AttributeError(f"module 'larqlite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from larqlite import (
        activations,
        analysis,
        callbacks,
        constraints,
        context,
        datasets,
        deploy,
        errors,
        hub,
        integer,
        keras3,
        layers,
        math,
        metrics,
        models,
        optimizers,
        plot,
        qat,
        quantizers,
        regularizers,
        runtime,
        search,
        utils,
        variables,
    )
elif command_of(sys.orig_argv) is None:
    load_everything()
