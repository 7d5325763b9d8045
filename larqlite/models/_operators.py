"""What TensorFlow functions cost when they are used as layers (`a + b`, `tf.reshape(x)`).

tf_keras wraps a function applied to a symbolic tensor in a layer that carries
the function's public name as `symbol`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from larqlite.graph import KEEPING_VALUES, names
from larqlite.models._bits import weight_bits
from larqlite.models._call import (
    FLOAT_BITS,
    Call,
    Shape,
    TensorProfile,
    UnknownCost,
    size,
    static_shape,
)
from larqlite.models._macs import Formula, Product, einsum, no_macs

WITHOUT_MACS = names(
    """
    abs acos acosh add add_n all any argmax argmin argsort asin asinh atan atan2 atanh
    avg_pool avg_pool1d avg_pool2d avg_pool3d bias_add boolean_mask cast ceil
    clip_by_value convert_to_tensor cos cosh crelu crop_to_bounding_box cumsum div_no_nan
    divide dropout elu equal erf exp expm1 eye fill flip_left_right flip_up_down floor
    floor_div floordiv floormod gelu greater greater_equal is_finite is_inf is_nan
    l2_normalize leaky_relu less less_equal local_response_normalization log log1p
    log_sigmoid log_softmax logical_and logical_not logical_or logical_xor maximum
    minimum mirror_pad mod moments multiply multiply_no_nan ne negative norm not_equal
    one_hot ones ones_like pad pad_to_bounding_box pow range rank reciprocal
    reduce_all reduce_any reduce_euclidean_norm reduce_logsumexp reduce_mean reduce_prod
    reduce_std reduce_sum reduce_variance relu relu6 resize round rsqrt scalar_mul selu
    sequence_mask shape shape_n sigmoid sign silu sin sinh size softmax softplus softsign
    sqrt square squared_difference subtract swish tan tanh top_k truediv truncatediv where
    xdivy xlogy zero_fraction zeros zeros_like
    """
)


def matrix_product(call: Call) -> Iterator[Product]:
    """One product per element of the output and of the axis that is summed."""
    names = ("a", "b", "transpose_a")
    given = dict(zip(names, call.args, strict=False)) | call.kwargs
    left, right = given.get("a", given.get("x")), given.get("b", given.get("y"))
    summed = _shape(left)[-2 if given.get("transpose_a") else -1]
    yield size(call.output_shape[1:]) * size([summed]), _bits(right), _bits(left)


def tensor_product(call: Call) -> Iterator[Product]:
    """`tf.einsum`: one product per combination of all indices of the equation."""
    equation, *operands = call.args
    if len(operands) > 2:
        raise UnknownCost("the order in which an einsum of three or more is computed")
    if len(operands) == 2:
        left, right = operands
        macs = einsum(equation, (_shape(left), _shape(right)))
        yield macs, _bits(right), _bits(left)


FORMULAS = {"matmul": matrix_product, "einsum": tensor_product}


def formula_of(symbol: str) -> Formula | None:
    """The formula for a function's public name, e.g. `"math.add"`, or None."""
    name = symbol.rpartition(".")[2]
    if name in KEEPING_VALUES or name in WITHOUT_MACS:
        return no_macs
    return FORMULAS.get(name)


def _shape(operand: Any) -> Shape:
    return (
        operand.shape
        if isinstance(operand, TensorProfile)
        else static_shape(operand.shape)
    )


def _bits(operand: Any) -> int:
    if isinstance(operand, TensorProfile):
        return FLOAT_BITS if operand.bits is None else operand.bits
    return weight_bits(operand) if isinstance(operand, tf.Variable) else FLOAT_BITS
