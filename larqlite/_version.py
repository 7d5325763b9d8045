"""The version of larqlite, and the check that TensorFlow and tf_keras fit together."""

from __future__ import annotations

from larqlite_runtime import __version__

__all__ = ["__version__", "require_same_minor"]


def require_same_minor(tensorflow_version: str, tf_keras_version: str) -> None:
    """Raises if TensorFlow and tf_keras are of different minor versions.

    pip keeps the two together, but `pip install --upgrade tensorflow` or
    `--no-deps` can part them, and the errors that follow name neither.

    Args:
        tensorflow_version: `tensorflow.__version__`, such as "2.21.0".
        tf_keras_version: `tf_keras.__version__`.

    Raises:
        ImportError: the first two numbers of the versions differ.

    >>> require_same_minor("2.21.0", "2.21.1")
    >>> require_same_minor("2.21.0", "2.19.0")
    Traceback (most recent call last):
    ImportError: larqlite: tensorflow 2.21.0 and tf_keras 2.19.0 do not fit together...
    """
    minor = tensorflow_version.split(".")[:2]
    if minor != tf_keras_version.split(".")[:2]:
        raise ImportError(
            f"larqlite: tensorflow {tensorflow_version} and tf_keras "
            f"{tf_keras_version} do not fit together; their first two numbers must "
            f'be equal.\n  Fix: pip install "tf-keras=={".".join(minor)}.*"'
        )
