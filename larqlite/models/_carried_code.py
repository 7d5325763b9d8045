"""What a saved model's configuration would make Python run while it is loaded.

Keras keeps a lambda as byte code, and other objects as the name of a module and of what
stands in it. Both are looked for in the configuration as text, before Keras sees it.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import tf_keras

from larqlite.models._file_operations import (
    op_touches_files,
    symbol_touches_files,
    why_not_run,
)

# Modules of Keras whose functions compute on tensors and do nothing else.
_MODULES_OF_FUNCTIONS = (
    "activations", "backend", "constraints", "initializers", "losses", "metrics",
    "regularizers",
)  # fmt: skip
_OWN_PACKAGES = ("larq", "larqlite", "larqlite_zoo")
# Keras makes an object of a class only through its `from_config`, which no class of
# theirs has but for those of Keras; a function it takes as it is.
_PACKAGES_WITH_SIDE_EFFECTS = ("tensorflow", "numpy", "h5py", "scipy", "keras")
_COMPUTES_IN_PYTHON = ("abs", "max", "min", "pow", "round", "sum")
_READS_ANOTHER_MODEL = ("ReloadedLayer", "TFSMLayer")
# Layers whose vocabulary is a list of words, or the name of a file that they read.
_LOOKUPS = ("IntegerLookup", "StringLookup", "TextVectorization")


class Finding(NamedTuple):
    """One place in a file that would run something.

    Attributes:
        phrase: such as `the Lambda layer "shift" (Python byte code)`.
        module: the module that would be imported, if that is all.
    """

    phrase: str
    module: str | None = None


def carried_code(config, known: Mapping[str, object]) -> list[Finding]:
    """What loading this configuration would run, each place once.

    Args:
        config: lists, dictionaries, strings and numbers, as in a file's JSON.
        known: objects that the user has named, as `custom_objects`.

    Returns:
        Nothing where the file holds only configurations of known classes.
    """
    return list(dict.fromkeys(_walk(config, known, _ConfigPath())))


def is_byte_code(node) -> bool:
    """Whether a dictionary is what Keras writes for a lambda.

    Of an activation it writes the three parts of the byte code without a class.
    """
    if not isinstance(node, dict):
        return False
    if node.get("class_name") == "__lambda__":
        return True
    parts = node.get("value")
    return (
        set(node) == {"value"}
        and isinstance(parts, (list, tuple))
        and len(parts) == 3
        and isinstance(parts[0], str)
    )


class _ConfigPath:
    """Where in the model the walk is: the names of the layers, and the last class."""

    def __init__(self, names: tuple[str, ...] = (), kind: str = "", key: str = ""):
        self.names, self.kind, self.key = names, kind, key

    def inside(self, kind: str, name) -> _ConfigPath:
        if not isinstance(name, str):
            return _ConfigPath(self.names, self.kind, self.key)
        return _ConfigPath((*self.names, name), kind, "")

    def under(self, key: str) -> _ConfigPath:
        return _ConfigPath(self.names, self.kind, key if key != "config" else self.key)

    def __str__(self) -> str:
        if not self.names:
            return f"its {self.key or 'configuration'}"
        names = self.names[1:] or self.names  # without that of the model
        owner = f'the {self.kind} layer "{"/".join(names)}"'
        return f"the {self.key} of {owner}" if self.key else owner


def _walk(node, known, place: _ConfigPath) -> Iterator[Finding]:
    if isinstance(node, (list, tuple)):
        for item in node:
            yield from _walk(item, known, place)
        return
    if not isinstance(node, dict):
        return
    name = node.get("class_name")
    if is_byte_code(node):
        yield Finding(f"{place} (Python byte code)")
        return
    if isinstance(name, str):
        inner = node.get("config")
        own = inner.get("name") if isinstance(inner, dict) else None
        place = place.inside(name.rpartition(">")[2], own)
        yield from _of_object(node, name.rpartition(">")[2], known, place)
    for key, kind in node.items():
        function = key.removesuffix("_type")
        if key != function and kind == "lambda" and node.get(function) is not None:
            where = place if function == "function" else place.under(function)
            yield Finding(f"{where} (Python byte code)")
    for key, value in node.items():
        yield from _walk(value, known, place.under(str(key)))


def _of_object(node: dict, name: str, known, place: _ConfigPath) -> Iterator[Finding]:
    """What is to be said of one object's own entry, without what is nested in it."""
    inner = node.get("config")
    if name in _READS_ANOTHER_MODEL:
        yield Finding(f"{place} (reads another model's folder)")
    elif name in _LOOKUPS and isinstance(file := _vocabulary(inner), str):
        yield Finding(f"the vocabulary of {place} (reads the file {file!r})")
    elif name in ("TFOpLambda", "SlicingOpLambda") and isinstance(inner, dict):
        symbol = str(inner.get("function"))
        if symbol_touches_files(symbol):
            yield Finding(f"{place} (runs tf.{symbol}, which {why_not_run(symbol)})")
    elif name == "ClassMethod" and isinstance(inner, dict):
        symbol = str(inner.get("cls_symbol"))
        if symbol not in ("Tensor", "RaggedTensor", "SparseTensor"):
            yield Finding(f"{place} (runs a method of tf.{symbol})")
    elif name == "TensorFlowOpLayer" and isinstance(inner, dict):
        op = _op_of(inner.get("node_def"))
        if op_touches_files(op):
            yield Finding(f"{place} (runs the operation {op}, which {why_not_run(op)})")
    elif isinstance(module := node.get("module"), str) and module:
        yield from _of_module(node, module, known, place)


def _vocabulary(config) -> object:
    return config.get("vocabulary") if isinstance(config, dict) else None


def _op_of(definition) -> str:
    if isinstance(definition, dict):
        return str(definition.get("op"))
    # Older files hold the text of the protocol buffer.
    text = str(definition)
    return text.partition('op: "')[2].partition('"')[0] or "of an unknown name"


def _of_module(node: dict, module: str, known, place: _ConfigPath) -> Iterator[Finding]:
    """What is to be said of an object that is named by its module."""
    is_function = node["class_name"] == "function"
    name = str(
        node.get("spec_name")
        or (node.get("config") if is_function else node["class_name"])
    )
    registered = name if is_function else node.get("registered_name") or name
    for each in (name, str(registered)):
        if tf_keras.saving.get_registered_object(each, custom_objects=dict(known)):
            return
    is_function = is_function or name.rpartition(".")[2].lstrip("_")[:1].islower()
    root, *rest = module.split(".")
    what = f"{place} (names {module}.{name}"
    if root in ("keras", "tf_keras"):
        allowed = not is_function or (
            rest[:1] and rest[0] in _MODULES_OF_FUNCTIONS and "." not in name
        )
    elif module == "builtins":
        allowed = (
            not is_function
            or name in _COMPUTES_IN_PYTHON
            or not hasattr(builtins, name)
        )
    elif root in _OWN_PACKAGES:
        allowed = not is_function or root == "larq"
    elif module not in sys.modules:
        yield Finding(f"{what}, a module that is not imported)", module)
        return
    else:
        others = root in sys.stdlib_module_names or root in _PACKAGES_WITH_SIDE_EFFECTS
        allowed = root == "__main__" or not others or not is_function
    if not allowed:
        yield Finding(f"{what}, which is no function on tensors)")
