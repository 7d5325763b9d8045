"""A loaded model: call it, feed it batches, ask where its time and memory go."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from larqlite_runtime._arguments import whole_number
from larqlite_runtime._errors import InputError
from larqlite_runtime._float_layers import reasons
from larqlite_runtime._graph import CheckedGraph, Shape
from larqlite_runtime._input import (
    batches_of,
    check_indices,
    check_inputs,
    check_pixels,
    tables,
)
from larqlite_runtime._profile import PATHS, Profile, StepTime
from larqlite_runtime._program import FLOAT_CONVS, SUMS_OF_INTEGERS, StepKind
from larqlite_runtime._runner import LoadOptions, ModelRunner
from larqlite_runtime.backends import (
    Engine,
    Workspace,
    pieces_of,
    threads_of,
    workspace_bytes,
)
from larqlite_runtime.planner import Subgraph
from larqlite_runtime.reader import DEFAULT_BUDGET, ModelSource

if TYPE_CHECKING:
    from larqlite_runtime._explain import Explanation


@dataclass(frozen=True)
class TensorInfo:
    """An input or an output: its name, its shape (None: the batch), its dtype."""

    name: str
    shape: Shape
    dtype: str


class Model:
    """A packed model in memory; made by `larqlite_runtime.load`.

    It may be called from several threads at once, with any batch sizes. After a fork the
    child loads the file again at its first call; pickling keeps the file's bytes.

    Attributes:
        inputs, outputs: descriptions, in order.
        layers: what the file says of each packed layer.
        threads: that work on one call, at most.
        isa: the instruction set of the kernels, or "numpy".
        precision: of float layers, as they run: "float32", "bf16" or "int8-input".
        engine: who computes what, as it was loaded: "auto", or "native".
        budget: most bytes that the model may need, as it was loaded.
        float_layers: what multiplies in float, and why; see
            `larqlite_runtime.float_layers`.
    """

    def __init__(
        self, source: ModelSource, graph: CheckedGraph, options: LoadOptions
    ) -> None:
        self._source = source
        self._runner = ModelRunner(source, graph, options)
        self.threads, self.engine = options.threads, options.engine
        self.budget = source.budget
        self.metadata = dict(graph.metadata)
        self.layers: list[dict] = json.loads(self.metadata.get("larqlite.layers", "[]"))
        plan = self._runner.engine().plan
        self.float_layers: dict[str, str] = reasons(graph, plan.why_float)
        subgraph = plan.subgraph
        self._fed = CheckedGraph(
            inputs={name: subgraph.shapes[name] for name in subgraph.inputs}
        )
        self._tables = tables(subgraph)
        self._pixels = plan.pixel_inputs
        self.inputs = self._describe(subgraph, subgraph.inputs)
        self.outputs = self._describe(subgraph, subgraph.outputs)

    @property
    def isa(self) -> str:
        """The instruction set of the kernels, or "numpy"."""
        return self._runner.engine().isa

    @property
    def precision(self) -> str:
        """In which numbers float layers run; see `larqlite_runtime.load`."""
        return self._runner.engine().plan.numbers.value

    @staticmethod
    def _describe(subgraph: Subgraph, names: Iterable[str]) -> list[TensorInfo]:
        return [
            TensorInfo(
                name, subgraph.shapes[name], np.dtype(subgraph.dtypes[name]).name
            )
            for name in names
        ]

    def _checked(self, x) -> dict[str, np.ndarray]:
        """The inputs by name, ready to run; the usual case without a second look."""
        is_usual = type(x) is np.ndarray and x.dtype == np.float32
        if is_usual and len(self.inputs) == 1 and not (self._tables or self._pixels):
            item = self.inputs[0]
            if x.shape[1:] == item.shape[1:] and len(x) and x.flags.c_contiguous:
                return {item.name: x}
        arrays = check_inputs(self._fed, x)
        check_indices(self._tables, arrays)
        check_pixels(self._pixels, x, arrays)
        return arrays

    def __repr__(self) -> str:
        ends = [
            ", ".join(f"{item.name} {item.shape}" for item in items)
            for items in (self.inputs, self.outputs)
        ]
        return f"<larqlite_runtime.Model {ends[0]} -> {ends[1]}, {self.isa}>"

    def __call__(self, x):
        """Runs the model on one batch.

        Args:
            x: an array `(batch, ...)` in the layout of Keras; for several inputs a list
                in the order of `inputs`, or a dictionary by name. Numbers of other
                dtypes are cast to float32.

        Returns:
            A float32 array; a list of arrays if there are several outputs.

        Raises:
            InputError: a wrong shape, or missing inputs; with the precision "int8-input",
                values that are no whole numbers from 0 to 255; says what was expected.
            InputTypeError: what is no array of numbers.
        """
        results = self._runner.run(self._checked(x))
        return results[0] if len(results) == 1 else results

    def run(self, x) -> dict[str, np.ndarray]:
        """As a call, but returns a dictionary of all outputs by name."""
        results = self._runner.run(self._checked(x))
        return {
            item.name: result
            for item, result in zip(self.outputs, results, strict=True)
        }

    def predict(
        self,
        batches,
        batch_size: int = 32,
        progress: bool | Callable[[int, int | None], None] | None = None,
    ):
        """Runs the model on many samples.

        Args:
            batches: an array of samples (or a dictionary of them by name), which is cut
                into batches, or an iterable of batches (of anything that a call takes);
                of pairs (inputs, labels), as `tf.data` has them, the labels are left out.
            batch_size: samples of a batch if `batches` is an array.
            progress: true prints how many batches are done to standard error; a function
                is called with that number and their total (None if unknown).

        Returns:
            What a call returns, for all samples together.

        Raises:
            ArgumentError: `batch_size` is no integer from 1 up.
            InputError: as in a call; also if there are no batches.
        """
        fix = "an integer from 1 up, e.g. batch_size=32."
        batch_size = whole_number(
            "predict: batch_size", batch_size, 1, sys.maxsize, fix
        )
        batches, total = batches_of(batches, batch_size, self._fed.inputs)
        show = _print_progress if progress is True else progress or None
        found: list[list[np.ndarray]] = []
        for number, batch in enumerate(batches, 1):
            found.append(self._runner.run(self._checked(batch)))
            if show:
                show(number, total)
        if not found:
            raise InputError(
                "predict: there are no batches.\n  Fix: give an array of samples or an "
                "iterable of arrays; a generator can be used only once."
            )
        results = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        return results[0] if len(results) == 1 else results

    def profile(self, x, repeat: int = 10, show: bool = False) -> Profile:
        """Measures every step.

        Args:
            x: as for a call.
            repeat: calls of which the least time of each step is taken, from 1 up.
            show: whether to print the table.

        Returns:
            Times, speeds and paths, in the order in which steps run; `str()` of it is
            a table.
        """
        fix = "an integer from 1 up, e.g. repeat=10."
        repeat = whole_number("profile: repeat", repeat, 1, sys.maxsize, fix)
        inputs = self._checked(x)
        batch = len(next(iter(inputs.values())))
        engine = self._runner.engine()
        workspace = Workspace(engine, batch)
        workspace.run(inputs)
        sizes = [
            1 if stage.part is None else len(engine.plan.program.parts[stage.part])
            for stage in engine.plan.stages
        ]
        runs, whole = [], []
        for _ in range(repeat):
            times = [np.zeros(size) for size in sizes]
            workspace.run(inputs, times)
            runs.append(np.concatenate([np.zeros(0), *times]))
            begin = time.perf_counter()
            workspace.run(inputs)
            whole.append(time.perf_counter() - begin)
        seconds = np.min(runs, 0)
        steps = tuple(
            step for step in self._step_times(engine, seconds.tolist(), batch)
        )
        threads = threads_of(engine, workspace.pieces)
        result = Profile(steps, min(whole), batch, threads, self.float_layers)
        if show:
            print(result)
            result._is_printed()
        return result

    @staticmethod
    def _step_times(
        engine: Engine, seconds: list[float], batch: int
    ) -> Iterator[StepTime]:
        left = iter(seconds)
        for stage in engine.plan.stages:
            if stage.part is None:
                names = (
                    ", ".join(node.name for node in stage.nodes) or "order of inputs"
                )
                yield StepTime(names, "segment", engine.segment_path, next(left), 0)
                continue
            for step in engine.plan.program.parts[stage.part]:
                products = step.products * batch if step.kind in SUMS_OF_INTEGERS else 0
                kind = step.kind.name.lower()
                yield StepTime(
                    step.label, kind, PATHS[engine.isa], next(left), products
                )

    def explain(self) -> Explanation:
        """Tells how the model runs: steps, what is fused into them, where tensors lie.

        Returns:
            Steps and buffers as data; `str()` of it is a text.

        Example:
            >>> layer = lq.layers.QuantDense(
            ...     3, input_quantizer="ste_sign", kernel_quantizer="ste_sign", input_shape=[8]
            ... )
            >>> path = getfixture("tmp_path") / "model.onnx"
            >>> _ = lq.deploy.export(tf_keras.Sequential([layer]), path)
            >>> [step.kind for step in lq.runtime.load(path).explain().steps]
            ['load', 'conv']
        """
        from larqlite_runtime._explain import explanation

        return explanation(self._runner.engine(), self.float_layers)

    def memory(self, batch: int = 1) -> dict[str, int]:
        """Bytes that the model takes.

        Args:
            batch: samples of a call.

        Returns:
            `packed_weights`, `float_weights`, `tables` (scales, thresholds, corrections
            of borders), and `workspace`, which every running call needs once. A batch
            needs more than a sample only for what its threads work on at the same time, and
            for what segments and outputs hold.
        """
        fix = "an integer from 1 up, e.g. batch=1."
        batch = whole_number("memory: batch", batch, 1, sys.maxsize, fix)
        engine = self._runner.engine()
        program = engine.plan.program
        steps = [step for part in program.parts for step in part]
        sizes = {
            number: buffer.bytes
            for number, buffer in enumerate(program.buffers)
            if buffer.constant is not None
        }

        def weights(*kinds: StepKind) -> int:
            numbers = {step.weights for step in steps if step.kind in kinds}
            return sum(sizes[number] for number in numbers)

        pieces = pieces_of(engine, min(batch, self._runner.most_batch))
        packed, floats = weights(*SUMS_OF_INTEGERS), weights(*FLOAT_CONVS)
        sessions = engine.sessions.values()
        return {
            "packed_weights": packed,
            "float_weights": floats + sum(part.float_bytes for _, part in sessions),
            "tables": sum(sizes.values()) - packed - floats,
            "workspace": workspace_bytes(engine, pieces),
        }

    def __reduce__(self):
        source = self._source
        return reload, (source.data(), self._runner.options, source.budget)


def reload(data: bytes, options: LoadOptions, budget: int = DEFAULT_BUDGET) -> Model:
    """Makes a pickled model again, as it was asked for; earlier pickles have no budget."""
    source = ModelSource(data, budget)
    return Model(source, source(), options)


def _print_progress(done: int, total: int | None) -> None:
    of = f" of {total}" if total is not None else ""
    end = "\n" if done == total else ""
    print(f"\rbatch {done}{of}", end=end, file=sys.stderr, flush=True)
