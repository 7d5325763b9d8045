"""The sum or the average of tensors."""

from __future__ import annotations

import tf_keras

from larqlite._registration import register_object
from larqlite.errors import ArgumentError
from larqlite.graph import LayerFacts
from larqlite.integer.layers._layer_classes import known

__all__ = ["Add", "require_same_shapes"]


def _facts(layer: tf_keras.layers.Layer) -> LayerFacts:
    if layer.average:
        return LayerFacts(values="between", is_monotone=True, merge="average")
    return LayerFacts(is_monotone=True, merge="add")


@known(_facts)
@register_object("IntegerAdd")
class Add(tf_keras.layers.Add):
    """A Keras `Add` that can take the average.

    Args:
        average: whether to divide the sum by the number of inputs.
        **kwargs: those of a Keras layer.

    Inputs: two or more tensors of the same shape; the output has it too.

    Raises:
        ArgumentError: shapes that differ.

    Example:
        >>> lq.integer.layers.Add(average=True)(
        ...     (tf.constant([1.0, 2.0]), tf.constant([3.0, 5.0]))).numpy().tolist()
        [2.0, 3.5]
    """

    def __init__(self, average: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.average = average

    def build(self, input_shape):
        require_same_shapes(input_shape, f'{type(self).__name__} "{self.name}"')
        super().build(input_shape)

    def _merge_function(self, inputs):
        outputs = super()._merge_function(inputs)
        return outputs / len(inputs) if self.average else outputs

    def get_config(self) -> dict:
        return {**super().get_config(), "average": self.average}


def require_same_shapes(shapes, where: str) -> None:
    """Raises unless there are two or more shapes, and they are equal as far as known.

    Raises:
        ArgumentError: they are not.
    """
    shapes = (
        [tuple(shape) for shape in shapes] if isinstance(shapes, (list, tuple)) else []
    )
    is_equal = len({len(shape) for shape in shapes}) == 1 and all(
        len(set(sizes) - {None}) <= 1 for sizes in zip(*shapes, strict=True)
    )
    if len(shapes) < 2 or not is_equal:
        raise ArgumentError(
            f"{where}: inputs of shapes {shapes}.\n"
            "  Fix: call it with a list of two or more tensors of the same shape."
        )
