"""What the zoo itself uses of the datasets; it may change without notice."""

from larqlite_zoo.datasets._pipeline import (
    steps_per_epoch,
    training_batches,
    validation_batches,
)
from larqlite_zoo.datasets._registered_datasets import LOADERS

__all__ = ["LOADERS", "steps_per_epoch", "training_batches", "validation_batches"]
