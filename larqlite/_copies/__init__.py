"""Copies of layers and models, whole: the one place that makes them.

A copy is made in two steps, since weights exist only once a layer is built:
`layer_like` makes a new layer of the same class and configuration, and, after it was
called, `carry` gives it what the old one holds: weights, and state that is no weight.
`model_around` puts layers into a model of the same class, and `carry_model` gives that
what a model carries beside its layers. What cannot be taken along is refused, or said,
by name.
"""

from larqlite._copies._carry import carry, carry_model
from larqlite._copies._layer import config_of, layer_like
from larqlite._copies._model import (
    add_end,
    copy_of,
    is_end,
    model_around,
    same_class,
    sequential_like,
)
from larqlite._copies._parts import (
    children,
    is_functional,
    is_table,
    parts,
    variables_of,
)

__all__ = [
    "add_end",
    "carry",
    "carry_model",
    "children",
    "config_of",
    "copy_of",
    "is_end",
    "is_functional",
    "is_table",
    "layer_like",
    "model_around",
    "parts",
    "same_class",
    "sequential_like",
    "variables_of",
]
