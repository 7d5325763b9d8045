"""The table of models: which names there are, and what builds each."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from larqlite.errors import ArgumentError, near_matches
from larqlite.internal import Registry
from larqlite_zoo._card import Accuracy, Paper, WeightFile, trained_here

if TYPE_CHECKING:
    import tf_keras


@dataclass(frozen=True)
class RegisteredModel:
    """A registered model: the hand-written facts of its card, and its function."""

    name: str
    build: Callable[..., tf_keras.Model]
    family: str
    summary: str
    paper: Paper
    published: tuple[Accuracy, ...]
    weights: tuple[WeightFile, ...]
    input_shape: tuple[int, int, int]
    num_classes: int
    recipe: str | None
    notes: tuple[str, ...]
    keras_name: str

    @property
    def function(self) -> str:
        """The name of the function, such as "QuickNet"."""
        return self.build.__name__


_entries: dict[str, RegisteredModel] = Registry()


def register_model(
    name: str,
    *,
    summary: str,
    paper: Paper,
    published: tuple[Accuracy, ...] = (),
    weights: tuple[WeightFile, ...] = (),
    input_shape: tuple[int, int, int] = (224, 224, 3),
    num_classes: int = 1000,
    recipe: str | None = None,
    notes: tuple[str, ...] = (),
    keras_name: str | None = None,
) -> Callable:
    """Decorator: lists the function that builds a model under `name`.

    The function is returned as it is. It takes keyword arguments only, among them
    `input_shape`, `weights` and `num_classes`.

    Args:
        name: lower case with underscores, such as "quicknet_small".
        summary: one sentence.
        paper: where the architecture was published.
        published: accuracies that others published, each with its source.
        weights: files of published weights; those trained here are added by name.
        input_shape: of one image `(height, width, channels)`; costs are given there.
        num_classes: of the default classifier.
        recipe: name of the training recipe, or None.
        notes: remarks for the card.
        keras_name: name of the Keras model, where it is not `name`.

    Raises:
        ArgumentError: the name, or that of the function, is another model's.
    """

    def remember(function: Callable) -> Callable:
        package, _, rest = function.__module__.partition(".")
        family = rest.split(".")[0] if package == "larqlite_zoo" else package
        entry = RegisteredModel(
            name, function, family, summary, paper, published,
            (*weights, *trained_here(name)),
            input_shape, num_classes, recipe, notes, keras_name or name,
        )  # fmt: skip
        for other in _entries.values():
            taken = {_fold(other.name), _fold(other.function)}
            if _is_other(entry, other) and taken & {_fold(name), _fold(entry.function)}:
                raise ArgumentError(
                    f'register_model("{name}"): the name is taken by '
                    f"{other.build.__module__}.{other.function}.\n"
                    "  Fix: another name for the model and its function."
                )
        _entries[name] = entry
        return function

    return remember


def list_models(pattern: str = "*") -> list[str]:
    """Names of the registered models that match a shell pattern, sorted.

    Args:
        pattern: with `*`, `?` and `[...]`; upper and lower case are equal, and the
            names of functions match too.

    Example:
        >>> import larqlite_zoo
        >>> larqlite_zoo.list_models("quicknet*")
        ['quicknet', 'quicknet_large', 'quicknet_small']
    """
    pattern = pattern.lower()
    return sorted(
        entry.name
        for entry in _entries.values()
        if fnmatch.fnmatchcase(entry.name, pattern)
        or fnmatch.fnmatchcase(entry.function.lower(), pattern)
    )


def get(name: str, **kwargs) -> tf_keras.Model:
    """Builds the model of that name.

    Args:
        name: a registered name such as "quicknet_small", or that of the function,
            such as "QuickNetSmall".
        **kwargs: handed to the function: `input_shape`, `input_tensor`, `weights`,
            `include_top`, `num_classes`, and what else it takes.

    Raises:
        ArgumentError: there is no such model, or an argument does not fit.

    Example:
        >>> import larqlite_zoo
        >>> model = larqlite_zoo.get("quicknet", weights=None, input_shape=(32, 32, 3))
        >>> model.output_shape
        (None, 1000)
    """
    return find(name).build(**kwargs)


def find(name: str) -> RegisteredModel:
    """The entry of a registered name, a function's name or a Keras model's name.

    Raises:
        ArgumentError: there is none; the message lists near matches.
    """
    if not isinstance(name, str):
        raise ArgumentError(
            f"{name!r} is a {type(name).__name__}, not the name of a model.\n"
            "  Fix: a string; all names: larqlite_zoo.list_models()."
        )
    folded = _fold(name)
    for entry in _entries.values():
        if folded in (_fold(entry.name), _fold(entry.function)):
            return entry
    for entry in entries_of_keras_name(name):
        return entry
    raise ArgumentError(
        f'There is no model "{name}".{near_matches(name, _entries)}\n'
        "  All names: larqlite_zoo.list_models()."
    )


def entries_of_keras_name(name: str) -> list[RegisteredModel]:
    """The entries whose Keras model carries this name, those with weights first."""
    found = [e for e in _entries.values() if _fold(e.keras_name) == _fold(name)]
    return sorted(found, key=lambda entry: not entry.weights)


def entries() -> Iterator[RegisteredModel]:
    """All entries, by name."""
    return (_entries[name] for name in sorted(_entries))


def _fold(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _is_other(entry: RegisteredModel, other: RegisteredModel) -> bool:
    where = [(e.build.__module__, e.build.__qualname__) for e in (entry, other)]
    return where[0] != where[1]
