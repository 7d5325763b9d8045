"""A Keras model as a graph: how it is followed, edited and built anew, what its layers are, and
how they are called.

It is for the other packages of larqlite, and may change without notice.
"""

from larqlite._copies import is_functional
from larqlite.graph._attributes import locate, resolve
from larqlite.graph._equalize import equalize
from larqlite.graph._follow import (
    LayerCall,
    cut_inputs,
    ends_of,
    follow,
    in_order,
    inner_layers,
    is_restored,
)
from larqlite.graph._inference import (
    call_in_inference,
    recorded_training,
    without_training,
)
from larqlite.graph._known_layers import FACTS
from larqlite.graph._layer_facts import (
    METHODS,
    KernelAxes,
    LayerFacts,
    add_layer_facts,
    class_with_facts,
    classes_where,
    facts_of,
    first_override,
)
from larqlite.graph._layer_graph import MARKS, Edge, LayerEntry, LayerGraph, LayerUse
from larqlite.graph._layer_of_kernel import LayerOfKernel
from larqlite.graph._operators import JOINING, KEEPING_VALUES, names
from larqlite.graph._rebuild import Builder
from larqlite.graph._require_model import require_model

__all__ = [
    "Builder",
    "Edge",
    "FACTS",
    "JOINING",
    "KEEPING_VALUES",
    "KernelAxes",
    "LayerCall",
    "LayerEntry",
    "LayerFacts",
    "LayerGraph",
    "LayerOfKernel",
    "LayerUse",
    "MARKS",
    "METHODS",
    "add_layer_facts",
    "call_in_inference",
    "class_with_facts",
    "classes_where",
    "cut_inputs",
    "ends_of",
    "equalize",
    "facts_of",
    "first_override",
    "follow",
    "in_order",
    "inner_layers",
    "is_functional",
    "is_restored",
    "locate",
    "names",
    "recorded_training",
    "require_model",
    "resolve",
    "without_training",
]
