"""A training run from beginning to end, and on from where it stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
import tf_keras
from rich.console import Console

from larqlite_zoo import datasets
from larqlite_zoo.datasets import _pipeline as pipeline
from larqlite_zoo.training import (
    _distribution as distribution,
    _divergence as divergence,
    _files as files,
    _outputs as outputs,
)
from larqlite_zoo.training._model import Trained, build
from larqlite_zoo.training._options import Options
from larqlite_zoo.training._progress import progress_bar
from larqlite_zoo.training._recipe import Recipe
from larqlite_zoo.training._state import Checkpoints, History, Progress


@dataclass(frozen=True)
class Result:
    """What a run ended with.

    Attributes:
        row: the row of the table of results.
        history: one dictionary for each epoch.
        weights: the weight file, or None where none was asked for.
        output: the folder of the run.
    """

    row: dict
    history: list[dict]
    weights: Path | None
    output: Path


def train(
    recipe: Recipe,
    options: Options | None = None,
    *,
    data: datasets.Dataset | None = None,
    console: Console | None = None,
    command: str | None = None,
) -> Result:
    """Trains a model as the recipe says; goes on with a run that was interrupted.

    After a crash the same call continues from the last checkpoint, and ends with the
    same bits as a run that was not interrupted (on a CPU, with the same number of
    threads).

    Args:
        recipe: what to train; see `recipe("TrainBinaryVGGSmall")`.
        options: where to write, how often, on which devices.
        data: a dataset of your own instead of the one that the recipe names.
        console: where to print.
        command: what to note as the command in the table of results.

    Returns:
        The measured accuracy and the paths of what was written.

    Raises:
        OutputError: no space, or no right to write; before anything is trained.
        ArgumentError: a model, dataset, batch or shape that do not fit together, or an
            output folder that holds a run of another recipe.
        DivergenceError: the loss became NaN or infinite.
    """
    options = options or Options()
    console = console or Console()
    output = options.output or Path("runs") / recipe.name
    finished = outputs.finished(output, recipe, options)
    if finished is not None:
        console.print(
            f"{output}: this run is finished. Begin anew with --restart.", highlight=False
        )
        return Result(output=output, **finished)
    data = data or datasets.load(recipe.dataset, folder=options.folder)
    with _dtype_policy(recipe.precision):
        run = _Run(recipe, options, data, console, output, command)
        try:
            return run.run()
        finally:
            run.close()


class _Run:
    """The parts of one run, made in the order in which something can be refused."""

    def __init__(self, recipe, options, data, console, output, command):
        self.recipe, self.options, self.data = recipe, options, data
        self.console, self.output = console, output
        self.command = command or f"lqz train {recipe.name}"
        self.strategy = distribution.strategy(options.strategy)
        self.shard = distribution.shard_of(self.strategy)
        self.chief = self.shard[0] == 0
        distribution.check_batch(recipe.batch_size, self.strategy)
        self.steps = pipeline.steps_per_epoch(data.train, recipe.batch_size)
        self.preprocessing = datasets.preprocessing(
            recipe.preprocessing or data.preprocessing, recipe.image_size
        )
        self.trained: Trained = self._build()
        if self.chief:
            needed = outputs.bytes_needed(self.trained.model, options.keep_checkpoints)
            files.require_space(output, needed, "the checkpoints of this run")
            if options.restart:
                outputs.clear(output)
        outputs.check_same_recipe(output, recipe)
        self._try_one_validation_batch()
        with self.strategy.scope():
            self.checkpoints = Checkpoints(
                output / "checkpoints",
                self.trained.model,
                options.keep_checkpoints,
                writes=self.chief,
            )
        self.history = History(output, writes=self.chief)

    def run(self) -> Result:
        recipe, options = self.recipe, self.options
        first_step = self.checkpoints.restore()
        epoch, inside = divmod(first_step, self.steps)
        self.history.load(epoch)
        earlier = self.history.rows[-1]["seconds"] if self.history.rows else 0.0
        begin = time.perf_counter()
        if self.chief:
            outputs.begin(self.output, recipe, options, self.trained.student)
        outputs.announce(self.console, self, first_step)
        progress = Progress(
            self.checkpoints,
            self.history,
            steps_per_epoch=self.steps,
            first_step=first_step,
            every=options.checkpoint_steps,
            on_divergence=self._diverged,
            learning_rate=self.trained.learning_rate,
            clock=lambda: earlier + time.perf_counter() - begin,
        )
        callbacks = [progress]
        if options.tensorboard and self.chief:
            callbacks.append(
                tf_keras.callbacks.TensorBoard(
                    str(self.output / "tensorboard"), write_graph=False, profile_batch=0
                )
            )
        total = recipe.epochs * self.steps
        shown = options.progress and self.chief
        with progress_bar(self.console, shown, total, progress) as bar:
            callbacks += bar
            if inside:
                self._fit(first_step, epoch, epoch + 1, self.steps - inside, callbacks)
                epoch += 1
            if epoch < recipe.epochs:
                self._fit(epoch * self.steps, epoch, recipe.epochs, self.steps, callbacks)
        return outputs.finish(self)

    def batches(self, first_step: int, shard=None, replica_batch_size=None):
        """The training batches of this worker from a step on."""
        return pipeline.training_batches(
            self.data.train,
            self.preprocessing,
            batch_size=self.recipe.batch_size,
            seed=self.recipe.seed,
            first_step=first_step,
            shard=shard or self.shard,
            replica_batch_size=replica_batch_size,
        )

    def validation(self) -> tf.data.Dataset:
        """All validation batches."""
        return pipeline.validation_batches(
            self.data.validation, self.preprocessing, batch_size=self.recipe.batch_size
        )

    def start_again(self) -> None:
        """Puts the weights back to those before the first step."""
        fresh = self._build()
        self.trained.model.set_weights(fresh.model.get_weights())
        for variable, first in zip(
            self.trained.model.optimizer.variables,
            fresh.model.optimizer.variables,
            strict=True,
        ):
            variable.assign(first)

    def close(self) -> None:
        """Ends what must not outlive the run."""
        if hasattr(self, "checkpoints"):
            self.checkpoints.close()

    def _fit(self, first_step, first_epoch, epochs, steps, callbacks) -> None:
        def of_worker(context: tf.distribute.InputContext):
            return self.batches(
                first_step,
                (context.input_pipeline_id, context.num_input_pipelines),
                context.get_per_replica_batch_size(self.recipe.batch_size),
            )

        self.trained.model.fit(
            self.strategy.distribute_datasets_from_function(of_worker),
            initial_epoch=first_epoch,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=self.validation(),
            validation_freq=_validated(
                first_epoch, epochs, self.options.validation_frequency, self.recipe.epochs
            ),
            callbacks=callbacks,
            verbose=0,
        )

    def _build(self) -> Trained:
        tf_keras.utils.set_random_seed(self.recipe.seed)
        return build(
            self.recipe,
            self.data,
            self.strategy,
            self.steps,
            self.output,
            self.options.flip_ratio,
        )

    def _try_one_validation_batch(self) -> None:
        """Finds what does not fit before training does, and creates all metrics."""
        self.trained.model.evaluate(self.validation().take(1), verbose=0)
        self.trained.model.reset_metrics()

    def _diverged(self, step: int) -> None:
        raise divergence.error(self, step)


def _validated(first: int, end: int, frequency: int, epochs: int) -> list[int]:
    """The epochs, counted from 1 as Keras does here, after which to validate."""
    return [
        epoch
        for epoch in range(first + 1, end + 1)
        if epoch % frequency == 0 or epoch == epochs
    ] or [epochs]


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


def as_dict(recipe) -> dict:
    """A recipe as plain data, with the classes of its parts."""

    def convert(value):
        if dataclasses.is_dataclass(value):
            fields = {
                field.name: convert(getattr(value, field.name))
                for field in dataclasses.fields(value)
            }
            return {"class": type(value).__name__, **fields}
        return [convert(item) for item in value] if isinstance(value, tuple) else value

    return convert(recipe)
