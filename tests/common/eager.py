"""Short computations of tests, which take longer to trace than to do."""

import contextlib

import tensorflow as tf

from larqlite import integer, qat


@contextlib.contextmanager
def eagerly():
    """No `tf.function` is traced here; `fit` and `predict` do not go with it."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


def quantize_model(*args, **kwargs):
    """`qat.quantize_model`, whose calibration is not traced."""
    with eagerly():
        return qat.quantize_model(*args, **kwargs)


def quantize_apply(*args, **kwargs):
    """`qat.quantize_apply`, whose calibration is not traced."""
    with eagerly():
        return qat.quantize_apply(*args, **kwargs)


def binarize(*args, **kwargs):
    """`qat.binarize`, whose calibration is not traced."""
    with eagerly():
        return qat.binarize(*args, **kwargs)


def calibrate(*args, **kwargs):
    """`qat.calibrate`, not traced."""
    with eagerly():
        return qat.calibrate(*args, **kwargs)


def quantize(*args, **kwargs):
    """`integer.models.quantize`, whose calibration is not traced."""
    with eagerly():
        return integer.models.quantize(*args, **kwargs)
