"""larqlite: binarized and low-bit networks in Keras, by naming quantizers.

`import larqlite as lq` registers every quantizer, layer, optimizer, metric and
constraint with tf_keras, so that a saved model loads after it alone, and bare
names such as `activation="ste_sign"` resolve in plain Keras layers.
"""

from __future__ import annotations

import contextlib
import importlib
import sys

from larqlite._command_start import is_the_command, messages_held_back
from larqlite._version import __version__, require_same_minor

_start = messages_held_back if is_the_command(sys.orig_argv) else contextlib.nullcontext
with _start():
    import tensorflow
    import tf_keras
require_same_minor(tensorflow.__version__, tf_keras.__version__)

from larqlite import (  # noqa: E402
    activations,
    callbacks,
    constraints,
    context,
    errors,
    integer,
    layers,
    math,
    metrics,
    models,
    optimizers,
    qat,
    quantizers,
    utils,
    variables,
)

__all__ = [
    "__version__",
    "activations",
    "callbacks",
    "constraints",
    "context",
    "errors",
    "datasets",
    "deploy",
    "integer",
    "layers",
    "math",
    "metrics",
    "models",
    "optimizers",
    "plot",
    "qat",
    "quantizers",
    "runtime",
    "utils",
    "variables",
]

_IMPORTED_WHEN_USED = ("datasets", "deploy", "plot", "runtime")


def __getattr__(name: str):
    if name in _IMPORTED_WHEN_USED:
        return importlib.import_module(f"larqlite.{name}")
    raise AttributeError(f"module 'larqlite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_IMPORTED_WHEN_USED})
