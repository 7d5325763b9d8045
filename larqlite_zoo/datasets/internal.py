"""What training uses of the datasets; it may change without notice."""

from larqlite_zoo.datasets._pipeline import (
    steps_per_epoch,
    training_batches,
    validation_batches,
)

__all__ = ["steps_per_epoch", "training_batches", "validation_batches"]
