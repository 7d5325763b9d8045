"""What the model of a run sees: one shape, in training and in validation."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from larqlite_zoo import _registered_models, datasets
from larqlite_zoo.datasets.internal import validation_batches
from larqlite_zoo.training._recipe import Recipe

MOST_CLASSES_LISTED = 20


class Images(NamedTuple):
    """Images as a model sees them.

    Attributes:
        shape: `(height, width, channels)`.
        preprocessing: `(image, key, training)` to an image of that shape.
    """

    shape: tuple[int, int, int]
    preprocessing: datasets.Preprocessing


def images_of(recipe: Recipe, data: datasets.Dataset, size=None) -> Images:
    """The images of a dataset as the model of a recipe sees them.

    Height and width are those of the recipe, else those of the dataset, else (the images
    of a folder differ) those that the model is registered with. The channels are what
    the preprocessing makes.

    Args:
        recipe: says which preprocessing, and perhaps the size.
        data: the dataset.
        size: of a model that is there already, in place of all these.
    """
    if size is None and recipe.image_size is not None:
        size = recipe.image_size
    if size is None and data.image_shape is not None:
        size = data.image_shape[:2]
    if size is None:
        size = _registered_models.find(recipe.model).input_shape[:2]
    height, width = (size, size) if isinstance(size, int) else map(int, size)
    prepare = datasets.preprocessing(
        recipe.preprocessing or data.preprocessing, (height, width)
    )
    batches = validation_batches(data.validation, prepare, batch_size=1)
    channels = batches.element_spec[0].shape[-1]
    if channels is None:
        channels = 3 if data.image_shape is None else data.image_shape[-1]
    return Images((height, width, int(channels)), prepare)


def chosen(data: datasets.Dataset, recipe: Recipe) -> datasets.Dataset:
    """The dataset, with as many images of each split as the recipe says.

    The choice does not depend on the seed of the run, so that runs can be compared.
    """
    for split in ("train", "validation"):
        count = getattr(recipe, f"{split}_images")
        if count is not None:
            some = getattr(data, split).choose(count, seed=0)
            data = dataclasses.replace(data, **{split: some})
    return data


def by_class(data: datasets.Dataset, split: str) -> str:
    """How many images of each class a split has, for the log.

    Of more than 20 classes only the smallest and the largest number.
    """
    labels = getattr(data, split).all_labels()
    counts = np.bincount(labels, minlength=data.num_classes)
    if len(counts) > MOST_CLASSES_LISTED or counts.min() == counts.max():
        low, high = counts.min(), counts.max()
        number = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        return f"{number} of each of {len(counts)} classes"
    pairs = zip(data.class_names, counts, strict=True)
    return ", ".join(f"{name} {count:,}" for name, count in pairs)
