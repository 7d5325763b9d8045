"""A training run from beginning to end, and on from where it stopped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
import tf_keras
from rich.console import Console

import larqlite as lq
from larqlite_zoo import datasets
from larqlite_zoo.datasets.internal import (
    steps_per_epoch,
    training_batches,
    validation_batches,
)
from larqlite_zoo.training import (
    _distribution as distribution,
    _divergence as divergence,
    _files as files,
    _outputs as outputs,
)
from larqlite_zoo.training._determinism import random_state
from larqlite_zoo.training._images import chosen, images_of
from larqlite_zoo.training._model import Trained, build
from larqlite_zoo.training._options import Options
from larqlite_zoo.training._outputs import Result
from larqlite_zoo.training._progress import progress_bar, say
from larqlite_zoo.training._recipe import Recipe
from larqlite_zoo.training._saving import Progress
from larqlite_zoo.training._state import Checkpoints, History
from larqlite_zoo.training._tensorboard import Scalars


def run(
    recipe: Recipe,
    options: Options | None,
    data: datasets.Dataset | None,
    console: Console | None,
    command: str | None,
) -> Result:
    """Trains one recipe; see `train`."""
    options = options or Options()
    console = console or Console()
    output = options.output or Path("runs") / recipe.name
    table = options.results / f"{recipe.dataset}.csv"
    outputs.require_own(output, table, recipe.model)
    finished = outputs.finished(output, recipe, options)
    if finished is not None:
        say(console, f"{output}: this run is finished. Begin anew with --restart.")
        return Result(output=output, **finished)
    with contextlib.ExitStack() as stack:
        stack.enter_context(dtype_policy(recipe.precision))
        return _Run(recipe, options, data, console, output, command, stack).run()


class _Run:
    """The parts of one run, made in the order in which something can be refused.

    `stack` ends what must not outlive the run.
    """

    def __init__(self, recipe, options, data, console, output, command, stack):
        self.recipe, self.options = recipe, options
        self.console, self.output = console, output
        self.command = command or f"lqz train {recipe.name}"
        # Several workers must find each other before TensorFlow computes anything.
        self.strategy = distribution.strategy(options.strategy)
        self.shard = distribution.shard_of(self.strategy)
        self.chief = self.shard[0] == 0
        distribution.check_batch(recipe.batch_size, self.strategy)
        stack.enter_context(distribution.losses_named(self.strategy, output))
        if self.chief:
            stack.enter_context(files.locked(output))
            files.require_space(options.results, 2**16, "results", "--results")
        if not options.restart:
            outputs.check_same_recipe(output, recipe, longer=True)
        data = data or datasets.load(recipe.dataset, folder=options.folder)
        self.data = chosen(data, recipe)
        self.steps = steps_per_epoch(self.data.train, recipe.batch_size)
        self.shape, self.preprocessing = images_of(recipe, self.data)
        self.random_states: list[tf.Variable] = []
        self.trained: Trained = self._build()
        if self.chief:
            self._require_space()
            if options.restart:
                outputs.clear(output)
        self._try_one_validation_batch()
        with self.strategy.scope():
            self.checkpoints = Checkpoints(
                output / "checkpoints",
                self.trained.model,
                options.keep_checkpoints,
                writes=self.chief,
                random_states=self.random_states,
            )
        self.history = History(output, writes=self.chief)
        self._stack = stack

    def run(self) -> Result:
        recipe, options = self.recipe, self.options
        first_step = self.checkpoints.restore()
        epoch, inside = divmod(first_step, self.steps)
        self.history.load(epoch)
        earlier = float(self.checkpoints.seconds.numpy())
        begin = time.perf_counter()
        student = self.trained.student
        outputs.begin(self.output, recipe, options, student, writes=self.chief)
        distribution.require_same_step(self.strategy, first_step, self.output)
        if not self.chief:
            files.require_seen(self.output / outputs.CONFIG)
        outputs.announce(self.console, self, first_step)
        if self.checkpoints.last is None:
            with self.strategy.scope():
                self.checkpoints.save(
                    0
                )  # what a divergence in the first steps goes back to
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
        callbacks = [progress, *schedules_of(student, recipe.epochs)]
        if options.tensorboard and self.chief:
            scalars = Scalars(self.output / "tensorboard", self.history)
            self._stack.callback(scalars.close)
            callbacks.append(scalars)
        total = recipe.epochs * self.steps
        shown = options.progress and self.chief
        with progress_bar(self.console, shown, total, progress) as bar:
            callbacks += bar
            if inside:
                self._fit(first_step, epoch, epoch + 1, self.steps - inside, callbacks)
                epoch += 1
            if epoch < recipe.epochs:
                self._fit(
                    epoch * self.steps, epoch, recipe.epochs, self.steps, callbacks
                )
        return outputs.finish(self)

    def batches(self, first_step: int, shard=None, replica_batch_size=None):
        """The training batches of this worker from a step on."""
        return training_batches(
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
        return validation_batches(
            self.data.validation, self.preprocessing, batch_size=self.recipe.batch_size
        )

    def _fit(self, first_step, first_epoch, epochs, steps, callbacks) -> None:
        def of_worker(context: tf.distribute.InputContext):
            return self.batches(
                first_step,
                (context.input_pipeline_id, context.num_input_pipelines),
                context.get_per_replica_batch_size(self.recipe.batch_size),
            )

        with self._broken_images_named():
            self.trained.model.fit(
                self.strategy.distribute_datasets_from_function(of_worker),
                initial_epoch=first_epoch,
                epochs=epochs,
                steps_per_epoch=steps,
                validation_data=self.validation(),
                validation_freq=self._validated(first_epoch, epochs),
                callbacks=callbacks,
                verbose=0,
            )

    def _validated(self, first: int, end: int) -> list[int]:
        """The epochs, counted from 1 as Keras does here, after which to validate."""
        every, last = self.options.validation_frequency, self.recipe.epochs
        counted = range(first + 1, end + 1)
        return [e for e in counted if e % every == 0 or e == last] or [last]

    def _build(self) -> Trained:
        tf_keras.utils.set_random_seed(self.recipe.seed)
        with random_state(self.random_states):
            parts = (self.recipe, self.data, self.strategy, self.steps, self.output)
            return build(*parts, self.options.flip_ratio)

    def _require_space(self) -> None:
        needed = outputs.bytes_needed(self.trained.model, self.options.keep_checkpoints)
        there = files.bytes_of(self.output / "checkpoints")
        files.require_space(self.output, needed - there, "the checkpoints of this run")

    def _try_one_validation_batch(self) -> None:
        """Finds what does not fit before training does, and creates all metrics."""
        with self._broken_images_named():
            self.trained.model.evaluate(self.validation().take(1), verbose=0)
        self.trained.model.reset_metrics()

    @contextlib.contextmanager
    def _broken_images_named(self) -> Iterator[None]:
        """A file that turns out to be unreadable is named by the error."""
        try:
            yield
        except tf.errors.InvalidArgumentError as error:
            for split in (self.data.train, self.data.validation):
                named = split.explain(error)
                if named is not None:
                    raise named from error
            raise

    def _diverged(self, step: int, in_validation: bool) -> None:
        raise divergence.error(self, step, in_validation)


def schedules_of(student: tf_keras.Model, epochs: int) -> list:
    """What tells quantizers such as `ede_sign` how far the run is, if there are any."""
    told = any(
        isinstance(getattr(part, "progress", None), tf.Variable)
        for part in student.submodules
        if isinstance(part, lq.quantizers.Quantizer)
    )
    return [lq.callbacks.QuantizerSchedule(epochs)] if told else []


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Within the block, layers are made with that dtype policy."""
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)
