"""Scopes: whether kernels read as quantized, and which training metrics quantizers get.

Scopes are context-local (`contextvars`): they are restored when the block ends,
also by an exception, and one thread does not see another's. `carry` takes the
current scopes into another thread.

A `tf.function` reads the scope while it is *traced*: a function traced outside
`quantized_scope(True)` keeps reading latent weights when it is called inside.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterable, Iterator

from larqlite import _progress
from larqlite.errors import ArgumentError, near_matches

__all__ = [
    "carry",
    "get_training_metrics",
    "metrics_scope",
    "progress_scope",
    "quantized_scope",
    "should_quantize",
]

AVAILABLE_METRICS = frozenset({"flip_ratio"})

_quantize: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "larqlite_quantize", default=False
)
_metrics: contextvars.ContextVar[set[str]] = contextvars.ContextVar(
    "larqlite_metrics",
    default=set(),  # noqa: B039  the live set outside of any scope, mutable by design
)


def should_quantize() -> bool:
    """Whether quantized variables read as quantized here (default: False)."""
    return _quantize.get()


@contextlib.contextmanager
def quantized_scope(quantize: bool) -> Iterator[bool]:
    """Within the block, kernels of Quant layers read as quantized, or as latent.

    Reads of every kind follow the scope (`numpy()`, operators, `get_weights()`);
    assignments always act on the latent weight.

    Args:
        quantize: True for quantized values, False for latent values.

    Yields:
        `quantize`.

    Example:
        >>> layer = lq.layers.QuantDense(2, kernel_quantizer="ste_sign",
        ...     kernel_constraint="weight_clip", kernel_initializer="ones")
        >>> layer.build((None, 1))
        >>> _ = layer.kernel.assign([[0.3, -0.2]])
        >>> with lq.context.quantized_scope(True):
        ...     layer.kernel.numpy().tolist()
        [[1.0, -1.0]]
    """
    token = _quantize.set(bool(quantize))
    try:
        yield quantize
    finally:
        _quantize.reset(token)


@contextlib.contextmanager
def progress_scope(is_shown: bool) -> Iterator[bool]:
    """Within the block, long work shows how far it is, or does not.

    Where nothing is said, functions of larqlite that take more than a second
    (`lq.deploy.export`, `lq.deploy.verify`, `lq.integer.models.quantize`, calibration, ...)
    draw a bar on the error stream as `fit` of Keras does: on a terminal, or in a notebook
    with ipywidgets, never into a file or a pipe; it is gone when the work is done.

    Args:
        is_shown: False for no bar; True for a bar within a block that has none.

    Yields:
        `is_shown`.

    Example:
        >>> layer = tf_keras.layers.Dense(2, input_shape=(3,))
        >>> with lq.context.progress_scope(False):
        ...     model = lq.integer.models.quantize(tf_keras.Sequential([layer]))
    """
    with _progress.wanted(bool(is_shown)):
        yield is_shown


def get_training_metrics() -> set[str]:
    """The live set of metrics that kernel quantizers made here will track."""
    return _metrics.get()


@contextlib.contextmanager
def metrics_scope(metrics: Iterable[str] = ()) -> Iterator[set[str]]:
    """Within the block, kernel quantizers of new layers track these metrics.

    Names add to those of the outer scope.

    Args:
        metrics: names; `"flip_ratio"` is the one available.

    Yields:
        The live set of names.

    Raises:
        ArgumentError: an unknown name.

    Example:
        >>> with lq.context.metrics_scope(["flip_ratio"]):
        ...     layer = lq.layers.QuantDense(2, kernel_quantizer="ste_sign",
        ...         kernel_constraint="weight_clip")
        >>> layer.kernel_quantizer.tracked_metrics
        ('flip_ratio',)
    """
    names = check_metrics(metrics, "lq.context.metrics_scope")
    token = _metrics.set(_metrics.get() | set(names))
    try:
        yield _metrics.get()
    finally:
        _metrics.reset(token)


def check_metrics(metrics: Iterable[str], where: str) -> tuple[str, ...]:
    """The metric names as a tuple, or an ArgumentError that lists those there are."""
    if isinstance(metrics, str):
        metrics = (metrics,)
    names = tuple(metrics)
    for name in names:
        if name not in AVAILABLE_METRICS:
            raise ArgumentError(
                f"{where}: unknown training metric {name!r}."
                f"{near_matches(str(name), AVAILABLE_METRICS)}"
                f" Available: {sorted(AVAILABLE_METRICS)}."
            )
    return names


def carry(function: Callable) -> Callable:
    """`function`, bound to the scopes that are active now, for use in another thread.

    Example:
        >>> import threading
        >>> with lq.context.quantized_scope(True):
        ...     seen = []
        ...     task = lq.context.carry(lambda: seen.append(lq.context.should_quantize()))
        ...     thread = threading.Thread(target=task)
        ...     thread.start(); thread.join()
        >>> seen
        [True]
    """
    here = contextvars.copy_context()

    @functools.wraps(function)
    def carried(*args, **kwargs):
        # A Context can be entered by one thread at a time, hence the copy.
        return here.copy().run(function, *args, **kwargs)

    return carried
