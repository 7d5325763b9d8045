"""The weights of a model: from a local file, or fetched, checked and cached."""

from __future__ import annotations

import os
from pathlib import Path

import tf_keras

import larqlite as lq
from larqlite.errors import ArgumentError, UnsupportedModelError, near_matches
from larqlite_zoo._card import WeightFile
from larqlite_zoo._download import fetch, path_of_url
from larqlite_zoo._h5 import compare_shapes, load_float_kernels
from larqlite_zoo._registered_models import RegisteredModel, entries_of_keras_name, find

_FILE_ENDINGS = (".h5", ".hdf5", ".keras", ".ckpt")


def check_weights(
    name: str,
    weights: str | os.PathLike | None,
    *,
    include_top: bool,
    num_classes: int,
) -> None:
    """Refuses weights that cannot fit, before anything is built.

    Args:
        name: the model's registered name or that of its function.
        weights: None (random), the word for published weights such as "imagenet", a
            path, or a `file://` address.
        include_top: whether the model ends in its classifier.
        num_classes: of the classifier.

    Raises:
        ArgumentError: none of these, nothing published under that word, or a
            classifier of another size than the published one.
    """
    if weights is None:
        return
    if not isinstance(weights, (str, os.PathLike)):
        raise ArgumentError(
            f"{name}: weights={weights!r} is a {type(weights).__name__}.\n"
            '  Fix: None, "imagenet", or the path of a file.'
        )
    entry = find(name)
    words = sorted({file.dataset for file in entry.weights})
    if weights not in words:
        _check_path(name, os.fspath(weights), words)
        return
    _published(name, entry, weights, include_top)
    if include_top and num_classes != entry.num_classes:
        raise ArgumentError(
            f'{name}: num_classes={num_classes}, but the weights "{weights}" have a '
            f"classifier of {entry.num_classes} classes.\n"
            f"  Fix: num_classes={entry.num_classes}; or include_top=False and a "
            "classifier of your own; or weights=None."
        )


def load_weights(
    model: tf_keras.Model, name: str, weights: str | os.PathLike, *, include_top: bool
) -> None:
    """Loads weights into a model by topology: layer after layer, whatever their names.

    Args:
        model: freshly built; it changes only if everything fits.
        name: the name of the Keras model.
        weights: as in `check_weights`.
        include_top: picks the published file.

    Raises:
        ArgumentError: published weights for images of other channels.
        DownloadError: the published file could not be fetched.
        UnsupportedModelError: the file holds the weights of another network.
    """
    entry = next(
        (
            entry
            for entry in entries_of_keras_name(name)
            if weights in {file.dataset for file in entry.weights}
        ),
        None,
    )
    if entry is None:
        _check_path(name, os.fspath(weights), words=[])
        load_file(model, _local_path(os.fspath(weights)))
        return
    _check_channels(model, entry, weights)
    file = _published(entry.function, entry, weights, include_top)
    load_file(model, fetch(file, entry.name))


def load_file(model: tf_keras.Model, path: Path) -> None:
    """Loads a weight file, or says what in it does not fit the model.

    Args:
        model: any built tf_keras model; it changes only if everything fits.
        path: `.h5` (weights or a whole model), `.weights.h5`, `.keras`, or the prefix
            of a TensorFlow checkpoint.

    Raises:
        UnsupportedModelError: the file is of another network, or damaged.
    """
    is_h5 = path.name.endswith((".h5", ".hdf5"))
    with lq.context.quantized_scope(False):  # latent weights, whatever is outside
        if is_h5 and load_float_kernels(model, path):
            return
        compared = is_h5 and compare_shapes(model, path)
        before = None if compared else model.get_weights()
        try:
            status = model.load_weights(path)
            if status is not None:  # a TensorFlow checkpoint
                status.expect_partial().assert_existing_objects_matched()
        except (ValueError, KeyError, OSError, AssertionError) as error:
            if before is not None:
                model.set_weights(before)
            raise UnsupportedModelError(
                f'{path}: these weights cannot be loaded into "{model.name}": {error}\n'
                "  Fix: a file saved from the same network, with the same arguments."
            ) from error


def _check_path(name: str, weights: str, words: list[str]) -> None:
    known = " or ".join(f'"{word}"' for word in words)
    if weights.startswith(("http://", "https://")):
        raise ArgumentError(
            f'{name}: weights="{weights}" is an address without a known checksum.\n'
            "  Fix: download it and give the path."
        )
    path = _local_path(weights)
    if path.is_dir():
        raise ArgumentError(
            f'{name}: weights="{weights}" is a folder.\n'
            "  Fix: the file in it (.h5, .weights.h5, .keras, or a checkpoint's prefix)."
        )
    if path.is_file() or path.with_name(path.name + ".index").is_file():
        return
    looks_like_a_path = os.sep in weights or weights.endswith(_FILE_ENDINGS)
    if looks_like_a_path or weights.startswith("file:"):
        raise ArgumentError(
            f'{name}: weights="{weights}": there is no such file ({path.absolute()}).'
            "\n  Fix: the path of a weight file"
            + (f", or {known} for the published weights." if words else ".")
        )
    if words:
        raise ArgumentError(
            f'{name}: weights="{weights}" is neither a word for published weights nor '
            f"a file.\n  Fix: {known}, None, or a path.{near_matches(weights, words)}"
        )
    raise ArgumentError(
        f'{name}: weights="{weights}", but nobody published weights of this model, and '
        "there is no file of that name.\n"
        "  Fix: weights=None and train it, or the path of a file."
    )


def _published(
    name: str, entry: RegisteredModel, word: str, include_top: bool
) -> WeightFile:
    for file in entry.weights:
        if file.dataset == word and file.include_top == include_top:
            return file
    raise ArgumentError(
        f'{name}: the weights "{word}" are published only '
        f"{'without' if include_top else 'with'} the classifier.\n"
        f"  Fix: include_top={not include_top}, or weights=None."
    )


def _check_channels(model: tf_keras.Model, entry: RegisteredModel, word: str) -> None:
    first = next((weight for weight in model.weights if weight.shape.rank == 4), None)
    channels = entry.input_shape[-1]
    if first is not None and first.shape[2] != channels:
        raise ArgumentError(
            f"{entry.function}: input_shape={tuple(model.input_shape[1:])}, but the "
            f'weights "{word}" were trained on images of {channels} channels.\n'
            f"  Fix: images of {channels} channels, or weights=None."
        )


def _local_path(weights: str) -> Path:
    if weights.startswith("file:"):
        return path_of_url(weights)
    return Path(weights).expanduser()
