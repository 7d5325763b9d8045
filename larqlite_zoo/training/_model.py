"""The compiled model of a run: the student alone, or with its teacher."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError
from larqlite_zoo import _registered_models
from larqlite_zoo.datasets import Dataset
from larqlite_zoo.training._distillation import with_teacher
from larqlite_zoo.training._first_weights import weight_file
from larqlite_zoo.training._images import images_of
from larqlite_zoo.training._recipe import Recipe

ARGUMENTS = ("width", "input_quantizer", "kernel_quantizer")


@dataclass(frozen=True)
class Trained:
    """What `fit` is called on, and the network that it is about.

    Attributes:
        model: compiled; equals `student` without a teacher.
        student: the network that is kept.
        learning_rate: `step -> float`.
    """

    model: tf_keras.Model
    student: tf_keras.Model
    learning_rate: Callable[[int], float]


def build(
    recipe: Recipe,
    data: Dataset,
    strategy: tf.distribute.Strategy,
    steps_per_epoch: int,
    output: Path,
    flip_ratio: bool = False,
) -> Trained:
    """Builds and compiles the model of a recipe under a strategy.

    Raises:
        ArgumentError: images of a dataset that differ in size without `image_size`, a
            model that cannot take them, or weights that do not exist.
    """
    shape = images_of(recipe, data).shape
    scope = lq.context.metrics_scope(["flip_ratio"] if flip_ratio else [])
    with strategy.scope():
        # In the scope too: each device needs its own copy of what the optimizer reads.
        optimizer = recipe.optimizer.build(steps_per_epoch, recipe.epochs)
        with scope if flip_ratio else contextlib.nullcontext():
            student = _registered_models.get(
                recipe.model,
                input_shape=shape,
                num_classes=data.num_classes,
                weights=weight_file(recipe.initial_weights, output, recipe.model),
                **arguments_of(recipe),
            )
        model, loss = with_teacher(student, recipe, data, shape, output)
        model.compile(
            optimizer,
            loss,
            metrics=[
                tf_keras.metrics.SparseCategoricalAccuracy("accuracy"),
                tf_keras.metrics.SparseTopKCategoricalAccuracy(5, "top_5_accuracy"),
            ],
        )
        model.optimizer.build(model.trainable_variables)
    return Trained(model, student, _learning_rate(recipe, steps_per_epoch))


def arguments_of(recipe: Recipe) -> dict[str, Any]:
    """The arguments of the model's function that a recipe says.

    Raises:
        ArgumentError: the model has no such argument.
    """
    model = _registered_models.find(recipe.model)
    known = inspect.signature(model.build).parameters
    said = {
        name: value
        for name in ARGUMENTS
        if (value := getattr(recipe, name)) is not None
    }
    for name in said:
        if name not in known:
            others = [
                each.name
                for each in _registered_models.entries()
                if name in inspect.signature(each.build).parameters
            ]
            raise ArgumentError(
                f"{recipe.name}: {name}={said[name]!r}, but {model.name} is made without "
                f"it.\n  Fix: leave it out; these take it: {', '.join(others)}."
            )
    return said


def _learning_rate(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """The learning rate at a step; of two optimizers that of the first that has one."""
    optimizer = recipe.optimizer
    parts = getattr(optimizer, "binary", optimizer), getattr(optimizer, "other", None)
    schedule = next(part.schedule for part in parts if hasattr(part, "schedule"))
    rate = schedule.build(steps_per_epoch, recipe.epochs)
    return lambda step: float(rate(step) if callable(rate) else rate)
