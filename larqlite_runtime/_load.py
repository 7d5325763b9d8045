"""Loads a packed model."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Sequence

from larqlite_runtime._arguments import tensor_names, whole_number
from larqlite_runtime._machine import available_cores
from larqlite_runtime._model import Model, reload  # noqa: F401 (pickles of earlier versions)
from larqlite_runtime._runner import LoadOptions
from larqlite_runtime.reader import DEFAULT_BUDGET, ModelSource

MOST_THREADS = 1024
MOST_BYTES = 1 << 62
# Bytes of a file: going through all free memory of a process takes milliseconds.
WORTH_GIVING_BACK = 1 << 20


def load(
    path_or_bytes: str | os.PathLike | bytes,
    threads: int | None = None,
    *,
    isa: str | None = None,
    precision: str = "float32",
    engine: str = "auto",
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    budget: int = DEFAULT_BUDGET,
) -> Model:
    """Loads a packed model that `lq.deploy.export` wrote.

    Args:
        path_or_bytes: path of the file, or its bytes.
        threads: that work on one call, at most; by default all physical cores that this
            process may use. A small model, or a small step, is run by fewer where these
            are faster (`Model.explain` says how many), and no more than there are
            processors that the caller may run on.
        isa: instruction set of the kernels: "amx", "avx512", "avx2", "neon" or "portable"; the
            fastest of this CPU by default. The environment variable LARQLITE_ISA says
            the same.
        precision: of float layers. "float32", the default, is exact but for the order of
            sums. "bf16" rounds inputs and weights of the float convolutions and dense
            layers that the kernels run to bfloat16 (8 bits), and sums in float32.
            "int8-input" takes whole numbers from 0 to 255 and computes the first layer on
            them in integers, its weights rounded to 16 bits. Where the CPU or the file
            lets it not, float32 runs, which is said; `Model.precision` is what runs.
        engine: who computes what. "auto", the default, leaves float layers to ONNX Runtime
            where it was measured to be faster, or has what the kernels have not. "native" has
            the kernels run everything, so that ONNX Runtime is never called.
        inputs: names of tensors that are fed in place of the inputs of the model; those
            inside have the layout of the file (channels first).
        outputs: names of tensors that come out in place of the outputs of the model,
            likewise.
        budget: most bytes that the model may need; a file that asks for more is refused.

    Returns:
        A `Model`: `model(x)` runs it.

    Raises:
        ArgumentError: `threads` or `budget` is no number of something, `inputs` or
            `outputs` no list of names, or `precision` or `engine` none of the above.
        ModelFileError: the file is missing, damaged, or no packed model.
        InputError: a name in `inputs` or `outputs` that the model does not have.
        NativeError: an unknown `isa`; or no native kernels although
            LARQLITE_REQUIRE_NATIVE is set.
        NoNativeStepError: `engine="native"`, and the kernels have no step for a node; all such
            nodes are named.
        MissingOnnxRuntimeError: a part of the file computes in float with operations that
            NumPy lacks, and ONNX Runtime is not installed.

    Example:
        >>> layer = lq.layers.QuantDense(3, input_quantizer="ste_sign", input_shape=[8])
        >>> model = tf_keras.Sequential([layer])
        >>> path = getfixture("tmp_path") / "model.onnx"
        >>> _ = lq.deploy.export(model, path)
        >>> x = np.ones([2, 8], "float32")
        >>> runtime = lq.runtime.load(path, threads=1)
        >>> np.allclose(runtime(x), model(x), atol=1e-6)
        True
    """
    if threads is None:
        threads = available_cores()
    fix = "an integer from 1 up; leave it out for all physical cores."
    threads = whole_number("load: threads", threads, 1, MOST_THREADS, fix)
    fix = "bytes as an integer, e.g. budget=256 << 20 for 256 MiB."
    budget = whole_number("load: budget", budget, 1, MOST_BYTES, fix)
    chosen = tensor_names("inputs", inputs), tensor_names("outputs", outputs)
    source = ModelSource(path_or_bytes, budget)
    options = LoadOptions(threads, isa, *chosen, precision, engine)
    model = Model(source, source(), options)
    if source.size >= WORTH_GIVING_BACK:
        _give_back_memory()
    return model


def part_loader(
    content: bytes, model: Model
) -> Callable[[Sequence[str], Sequence[str]], Model]:
    """A function that loads parts of a file, which is read once, at the first of them.

    Args:
        content: of the file.
        model: the same, loaded; parts have its instruction set, threads, budget, engine, and
            precision, but for that of pixels where it does not begin with the input.

    Returns:
        A function of the names of inputs and outputs; see `load`.
    """
    source = ModelSource(content, model.budget)
    read = functools.cache(source)
    isa = None if model.isa == "numpy" else model.isa

    def load_part(inputs: Sequence[str], outputs: Sequence[str]) -> Model:
        chosen = tensor_names("inputs", inputs), tensor_names("outputs", outputs)
        begins = {item.name for item in model.inputs} <= set(inputs)
        is_other = model.precision == "int8-input" and not begins
        precision = "float32" if is_other else model.precision
        options = LoadOptions(model.threads, isa, *chosen, precision, model.engine)
        return Model(source, read(), options)

    return load_part


def _give_back_memory() -> None:
    """Returns what planning used to the system, where the C library keeps it (glibc)."""
    trim = (
        getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    )
    if trim is not None:
        trim(0)
