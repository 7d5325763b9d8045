"""Models of Keras 3 become models of tf_keras. Importing this does not import Keras 3.

It is for the other packages of larqlite, but for what `lq.models` offers: `from_keras`
and `keras3_converter`.
"""

from larqlite.from_keras import _activations, _operation_layers, _own_layers
from larqlite.from_keras._door import ConvertedModel, convert, from_keras, is_of_keras3
from larqlite.from_keras._registry import keras3_converter

del _activations, _operation_layers, _own_layers  # imported for what they register

__all__ = [
    "ConvertedModel",
    "convert",
    "from_keras",
    "is_of_keras3",
    "keras3_converter",
]
