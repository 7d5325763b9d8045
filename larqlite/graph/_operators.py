"""What is known of TensorFlow functions that are used as layers (`tf.reshape(x)`), by name.

tf_keras wraps a function applied to a symbolic tensor in a layer that carries the
function's public name as `symbol`; its last word is looked up here.
"""

from __future__ import annotations


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# What comes out are values that went in.
KEEPING_VALUES = names(
    """
    broadcast_to concat ensure_shape expand_dims flip gather gather_nd getitem identity
    reshape reverse slice split squeeze stack stop_gradient strided_slice tile transpose
    unstack max_pool max_pool1d max_pool2d max_pool3d reduce_max reduce_min roll
    depth_to_space space_to_depth batch_to_space space_to_batch
    """
)

# Of these, those that put several tensors together, whose ranges may be unlike.
JOINING = names("concat stack")
