"""Lambdas of a trusted file as named functions, since Keras cannot read its own entries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tf_keras

from larqlite.models._carried_code import is_byte_code


@contextlib.contextmanager
def lambdas_by_name(config, bare: bool) -> Iterator:
    """Within the block Keras knows each lambda of a configuration by a name.

    Keras writes the byte code of a lambda that is an activation, an initializer, a
    regularizer or a constraint, and then looks for a function called "__lambda__".

    Args:
        config: of a file that may run code.
        bare: whether a string stands for a function there, as in `.h5` files.

    Yields:
        The configuration, with names for the lambdas.
    """
    functions: dict[str, object] = {}

    def named(node):
        if isinstance(node, list):
            return [named(item) for item in node]
        if not isinstance(node, dict):
            return node
        if not is_byte_code(node):
            return {key: named(value) for key, value in node.items()}
        inner = node.get("config", node)
        name = f"lambda_of_a_file_{len(functions)}"
        functions[name] = tf_keras.saving.deserialize_keras_object(
            {"class_name": "__lambda__", "config": inner}, safe_mode=False
        )
        if bare:
            return name
        return {
            "module": "builtins",
            "class_name": "function",
            "config": name,
            "registered_name": name,
        }

    readable = named(config)
    with tf_keras.saving.custom_object_scope(functions):
        yield readable
