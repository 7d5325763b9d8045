"""Does a deployed file compute what its model does? Asked by users, and by `export`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from larqlite.deploy.verifier._result import Verification, VerificationError
from larqlite.errors import ArgumentError
from larqlite.from_keras import as_tf_keras

if TYPE_CHECKING:
    import os

    import tf_keras

    import larqlite_runtime

# Float32 sums of a few thousand terms, in another order, differ by some 1e-5.
TOLERANCE = 1e-4
# Runtimes compute a sigmoid to some 1e-7 of 1, so that one of 1e-11 may be 0.
ABSOLUTE = 1e-6
# Of arrays; of a large network fewer samples are held at a time.
BATCH_SIZE = 32
# Samples on which `export` compares: random ones, and those of given data.
RANDOM, MOST_GIVEN = 2, 16


def verify(
    model: tf_keras.Model,
    file: str | os.PathLike | bytes | larqlite_runtime.Model,
    data: Any = None,
    *,
    samples: int = 4,
    batch_size: int = BATCH_SIZE,
    stock: bool = True,
    tolerance: float = TOLERANCE,
    absolute_tolerance: float = ABSOLUTE,
    precision: str | None = None,
) -> Verification:
    r"""Compares a deployed file with its model, layer by layer and as a whole.

    Each packed layer of the file is cut out and given the input $x$ that the layer has in
    Keras. Its quantized input has to be $q(x)$, and its accumulators the integers

    $$ a = q(x) * w / (s_x s_w) $$

    that the Keras layer itself sums for its quantized kernel $w$; $s_x$ and $s_w$ are the
    steps of the two. These are compared bit for bit. What the layer gives out (with
    scale, bias, activation) is compared up to `tolerance`, and so is what its output in
    Keras becomes on the way to the packed layers behind it. Last, it is run in one piece
    with what follows, which a runtime fuses into it, and compared with the two pieces. A
    value that comes out on the other side of a threshold is explained if Keras' own value
    before the threshold lies within the tolerance of it.

    Then the whole file runs: labels, outputs and quantized inputs of packed layers are
    counted that are not those of Keras. Floats are summed in another order there, so a
    few values in millions may fall on the other side of a threshold.

    Keras runs as in `predict`, whatever the learning phase. Labels are compared where an
    output is classes: along the axis of a softmax, or of a plain output `(samples,
    values)`; the loss that the model is compiled with decides before that. Ties in Keras
    count apart, and NaN in Keras is not compared. The verdict depends on the data as a
    whole, and not on the size or order of batches: they are read twice, a generator by
    way of a temporary file.

    Args:
        model: the tf_keras model that the file was made of.
        file: path or bytes of the file, or what `larqlite_runtime.load` returned, to
            verify the instruction set and threads that it was loaded with.
        data: inputs: an array, or a list or dictionary of them; a tuple of inputs and
            labels, which are not used; batches of these (a `tf.data.Dataset`, a generator,
            a list). Random inputs by default.
        samples: how many random inputs.
        batch_size: for arrays. Of a large network fewer samples are held at a time.
        stock: whether to run everything on a stock ONNX Runtime too.
        tolerance: largest difference of floats, relative to the largest value that the
            tensor has in all of the data.
        absolute_tolerance: largest difference of what a function with bounded values
            (sigmoid, softmax, tanh, ...) gives out, however small it is; layers behind it
            carry it on.
        precision: of float layers, as `larqlite_runtime.load` takes it. The proof above is
            one of "float32". In another precision the whole file runs once more: `reduced`
            of the result has its labels, the quantized inputs of packed layers that flip,
            and the largest difference. That of a loaded file by default, else "float32".

    Returns:
        A `Verification`: `print()` shows a table, `ok` says whether each packed layer is
        exact and all labels are the same but for ties.

    Raises:
        ArgumentError: no such precision, no data, data that the model does not take or
            on which it gives NaN only, random inputs where it takes others, a number out
            of range, or a file of another model.
        MissingFileError: there is no such file.
        UnsupportedModelError: a model that cannot be exported.

    Example:
        >>> model = tf_keras.Sequential([
        ...     tf_keras.Input((8, 8, 32)),
        ...     lq.layers.QuantConv2D(64, 3, input_quantizer="ste_sign",
        ...         kernel_quantizer="ste_sign", kernel_constraint="weight_clip"),
        ...     tf_keras.layers.BatchNormalization(),
        ...     tf_keras.layers.GlobalAveragePooling2D()])
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = os.path.join(folder, "model.onnx")
        ...     report = lq.deploy.export(model, file)
        ...     result = lq.deploy.verify(model, file, samples=2)
        >>> result.ok, result.layers[0].accumulators.values
        (True, 4608)
        >>> result.layers[0].accumulators.different
        0
    """
    from larqlite.deploy.verifier import _run
    from larqlite_runtime import RuntimeModelError

    model = as_tf_keras(model, "lq.deploy.verify")
    try:
        return _run.run(
            model,
            file,
            data,
            samples,
            batch_size,
            stock,
            tolerance,
            absolute_tolerance,
            precision=precision,
        )
    except RuntimeModelError as error:
        raise ArgumentError(f"lq.deploy.verify: {error}") from error


def require_exact(model: tf_keras.Model, data: Any, content: bytes) -> None:
    """Refuses a file that does not compute what its model does.

    Args:
        model: the model.
        data: inputs, of which the first ones are taken; random ones if it is None.
        content: of the file.

    Raises:
        VerificationError: a packed layer is not exact, or the runtime refuses the file.
        ArgumentError: data that the model does not take, or none where random ones will
            not do.
    """
    from larqlite.deploy.verifier import _run
    from larqlite.onnx_graph import WHERE
    from larqlite_runtime import RuntimeModelError

    where = WHERE.get()
    fix = (
        "  Fix: no file was written. If a converter is your own "
        "(@lq.deploy.converter), see what it writes; else please report this. "
        "verify=False writes the file as it is, and lq.deploy.verify(model, path) shows "
        "where it departs."
    )
    try:
        found = _run.run(
            model,
            content,
            data,
            RANDOM,
            BATCH_SIZE,
            stock=False,
            tolerance=TOLERANCE,
            absolute_tolerance=ABSOLUTE,
            where=where,
            limit=MOST_GIVEN,
        )
    except RuntimeModelError as error:
        raise VerificationError(
            f"{where}: larqlite_runtime cannot run the file: {error}\n{fix}"
        ) from error
    if not found.exact:
        raise VerificationError(
            f'{where}: the file does not compute what "{model.name}" does.\n{found}\n{fix}'
        )
