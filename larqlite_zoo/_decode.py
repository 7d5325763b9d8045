"""What the outputs of a classifier mean: the names of the most probable classes."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from larqlite.errors import ArgumentError

_CLASSES = Path(__file__).with_name("_imagenet_classes.txt")


def decode_predictions(preds, top: int = 5, classes: Sequence[str] | None = None):
    """The most probable classes of each image, best first. Needs no network.

    Args:
        preds: array or tensor `(batch, classes)`, scores of any kind.
        top: how many classes for each image.
        classes: names in the order of the columns; by default those of ImageNet
            (ILSVRC 2012), each the first WordNet lemma, as Keras gives them.

    Returns:
        For each image a list of `top` tuples `(WordNet id, name, score)`; with
        `classes`, of tuples `(name, score)`. Of equal scores the last class comes first.

    Raises:
        ArgumentError: `preds` has not two axes or not one column for each class, or
            `top` is no number from 1.

    Example:
        >>> from larqlite_zoo import decode_predictions
        >>> decode_predictions(np.eye(1000, dtype="float32")[[207]], top=1)[0][0][:2]
        ('n02099601', 'golden_retriever')
        >>> [[(name, score)]] = decode_predictions([[0.1, 0.9]], 1, ["cat", "dog"])
        >>> name
        'dog'

    References:
        ImageNet Large Scale Visual Recognition Challenge,
        https://arxiv.org/abs/1409.0575
    """
    scores = np.asarray(preds)
    names = imagenet_classes() if classes is None else [(name,) for name in classes]
    if scores.ndim != 2:
        raise ArgumentError(
            f"decode_predictions: preds has the shape {scores.shape}, but two axes "
            "(batch, classes) are needed.\n"
            "  Fix: the output of model.predict; for one image preds[np.newaxis]."
        )
    if scores.shape[1] != len(names):
        what = "ImageNet has" if classes is None else "classes names"
        raise ArgumentError(
            f"decode_predictions: preds has {scores.shape[1]} columns (shape "
            f"{scores.shape}), but {what} {len(names)} classes.\n"
            "  Fix: decode_predictions(preds, classes=[...]) with the names of your "
            "own classes, in the order of the columns."
        )
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1:
        raise ArgumentError(
            f"decode_predictions: top={top!r} is no number of classes.\n"
            "  Fix: a whole number from 1."
        )
    best = np.argsort(scores, axis=1, kind="stable")[:, ::-1][:, :top]
    return [
        [(*names[column], row[column]) for column in columns]
        for row, columns in zip(scores, best, strict=True)
    ]


@functools.cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """WordNet id and name of the 1000 ImageNet classes, in the order of their labels.

    >>> imagenet_classes()[0]
    ('n01440764', 'tench')
    """
    lines = _CLASSES.read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split()) for line in lines)
