"""Per tensor or per axis: what is reduced for one number each, and how they come back.

Shapes and axes only, so the same serves TensorFlow and NumPy.
"""

from __future__ import annotations

from larqlite.errors import ArgumentError, near_matches

__all__ = ["granularity", "other_axes", "shape_along"]

GRANULARITIES = ("per-tensor", "per-axis")


def granularity(axis: str, where: str) -> str:
    """`axis`, which must be "per-tensor" or "per-axis".

    Args:
        axis: the word.
        where: who takes it, for the message.

    Raises:
        ArgumentError: another word.
    """
    if axis not in GRANULARITIES:
        raise ArgumentError(
            f"{where}: axis={axis!r}.{near_matches(str(axis), GRANULARITIES)}\n"
            '  Fix: axis="per-tensor", or "per-axis" for a range of each channel.'
        )
    return axis


def other_axes(rank: int, axis: int = -1) -> list[int]:
    """The axes that are reduced for one number for each index of `axis`: all others.

    A vector has none: each of its entries is a channel. Where all of it is to be one, that
    is `other_axes(1) or None`, which reductions take for all axes.

    Args:
        rank: of the tensor.
        axis: counted from the front, or from the end if negative.

    >>> from larqlite.primitives import other_axes
    >>> np.abs([[1.0, -4.0], [3.0, 2.0]]).max(axis=tuple(other_axes(2))).tolist()
    [3.0, 4.0]
    >>> other_axes(4, 1), other_axes(1)
    ([0, 2, 3], [])
    """
    return [i for i in range(rank) if i != axis % rank]


def shape_along(rank: int, axis: int) -> list[int]:
    """The shape in which numbers, one for each index of `axis`, meet the tensor.

    Args:
        rank: of the tensor.
        axis: counted from the front, or from the end if negative.

    >>> from larqlite.primitives import shape_along
    >>> shape_along(4, 1)
    [1, -1, 1, 1]
    >>> (np.ones((2, 3)) * np.float64([1, 10]).reshape(shape_along(2, 0)))[:, 0].tolist()
    [1.0, 10.0]
    """
    shape = [1] * rank
    shape[axis] = -1
    return shape
