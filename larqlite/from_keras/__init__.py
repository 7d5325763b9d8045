"""Models of Keras 3 become models of tf_keras. Importing this does not import Keras 3.

It is for the other packages of larqlite, but for what `lq.models` offers: `from_keras`
and `keras3_converter`.
"""

from larqlite.from_keras import _activations, _operation_functions, _own_layers
from larqlite.from_keras._activations import (
    keras3_leaky_relu,
    keras3_relu6,
)
from larqlite.from_keras._door import (
    ConvertedModel,
    as_tf_keras,
    convert,
    from_keras,
    say_that_it_came_in,
)
from larqlite.from_keras._operation_layers import KerasOperation
from larqlite.from_keras._own_layers import LayerScale, RMSNormalization, ScaledSum
from larqlite.from_keras._registry import keras3_converter

del _activations, _operation_functions, _own_layers  # imported for what they register

__all__ = [
    "ConvertedModel",
    "KerasOperation",
    "LayerScale",
    "RMSNormalization",
    "ScaledSum",
    "as_tf_keras",
    "convert",
    "from_keras",
    "keras3_converter",
    "keras3_leaky_relu",
    "keras3_relu6",
    "say_that_it_came_in",
]
