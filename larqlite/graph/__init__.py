"""A Keras model as a graph: how it is followed, and how its layers are called in it.

It is for the other packages of larqlite, and may change without notice.
"""

from larqlite._copies import is_functional
from larqlite.graph._inference import (
    call_in_inference,
    recorded_training,
    without_training,
)
from larqlite.graph._nodes import ends_of, inner_layers, is_restored, nodes_of
from larqlite.graph._operators import JOINING, KEEPING_VALUES, names
from larqlite.graph._require_model import require_model

__all__ = [
    "JOINING",
    "KEEPING_VALUES",
    "call_in_inference",
    "ends_of",
    "inner_layers",
    "is_functional",
    "is_restored",
    "names",
    "nodes_of",
    "recorded_training",
    "require_model",
    "without_training",
]
