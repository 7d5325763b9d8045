"""Loading saved models, those of Larq among them; no file runs code of its own."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import tf_keras

from larqlite._progress import bar
from larqlite._registration import import_companions
from larqlite.errors import (
    LarqliteError,
    MissingFileError,
    UnsafeFileError,
    UnsupportedModelError,
)
from larqlite.from_keras import convert, say_that_it_came_in
from larqlite.graph import is_restored
from larqlite.models._carried_code import Finding, carried_code
from larqlite.models._foreign_values import foreign_values
from larqlite.models._lambdas import lambdas_by_name
from larqlite.models._larq_names import (
    LARQ_ZOO_FUNCTIONS,
    by_registered_names,
    in_our_names,
    is_larqs_own,
    own_classes,
)
from larqlite.models._saved_model_folder import read_folder
from larqlite.models._what_is_there import no_model_in, nothing_at

__all__ = ["load"]

log = logging.getLogger("larqlite.models")


def load(
    path,
    custom_objects: dict | None = None,
    compile: bool = True,
    safe_mode: bool = True,
):
    """Loads a model from `.keras`, `.h5` or a SavedModel folder.

    Beyond `tf_keras.models.load_model` it reads files saved by Larq 0.14, also
    beside another library that took the bare names first, `.h5` files with
    custom activation functions, and models with objects of `larqlite_zoo`,
    which it imports for them. A `.keras` or `.h5` file of Keras 3 comes in as by
    `from_keras`, uncompiled, and a line says so. An optimizer, loss or metric that cannot be
    restored is left out with a warning, as are Bop and CaseOptimizer of Larq,
    whose state depends on the process that saved it: the model comes uncompiled.

    A file may hold Python byte code (of a `Lambda` layer, of a lambda as an
    activation), name any function of any module or any file to read (of a
    vocabulary, of weights), or hold operations that touch files. Each format is
    looked through before anything of it is loaded, and such a file is refused.

    Args:
        path: the file or folder.
        custom_objects: names mapped to classes or functions of your own.
        compile: whether to restore the optimizer, loss and metrics.
        safe_mode: False runs what the file carries; for files whose maker you trust.

    Returns:
        The tf_keras model.

    Raises:
        MissingFileError: there is nothing at `path`.
        UnsupportedLayerError: the file was saved by Keras 3, and a layer of it has no
            equal here.
        UnsafeFileError: an `UnsupportedModelError`: the file would run code of its
            own, or read or write files. Nothing of it has run.
        UnsupportedModelError: the file holds no model, or names a class or
            function that is not known.

    Example:
        >>> import tempfile, os
        >>> model = tf_keras.Sequential([tf_keras.Input((2,)), lq.layers.QuantDense(3)])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.save(os.path.join(folder, "model.keras"))
        ...     lq.models.load(os.path.join(folder, "model.keras")).layers[0].units
        3
    """
    path = Path(path)
    if not path.exists():
        raise MissingFileError(f"lq.models.load: {nothing_at(path)}")
    settings = _Settings(path, custom_objects or {}, compile, safe_mode)
    with bar("load"), tf_keras.saving.custom_object_scope(settings.custom_objects):
        try:
            if path.is_dir():
                return _load_saved_model(settings)
            if h5py.is_hdf5(path):
                return _load_h5(settings)
            if zipfile.is_zipfile(path):
                return _load_keras(settings)
        except LarqliteError:
            raise
        except Exception as error:
            raise UnsupportedModelError(
                f"lq.models.load: {str(path)!r} could not be read as a model: {error}\n"
                "  Fix: if it names a class or function of your own, import its module "
                "first (lq: --import MODULE) or pass custom_objects={'Name': Name}."
            ) from error
    raise UnsupportedModelError(f"lq.models.load: {no_model_in(path)}")


@dataclass(frozen=True)
class _Settings:
    path: Path
    custom_objects: dict
    compile: bool
    safe_mode: bool


def _load_keras(settings: _Settings):
    path = settings.path
    with zipfile.ZipFile(path) as archive:
        files = set(archive.namelist())
        if "config.json" not in files:
            raise UnsupportedModelError(
                f"lq.models.load: {str(path)!r} is a zip file without a config.json, so "
                "not a .keras model."
            )
        config = json.loads(archive.read("config.json"))
        metadata = {}
        if "metadata.json" in files:
            metadata = json.loads(archive.read("metadata.json"))
        elsewhere = []
        for name in sorted(files):
            if name.endswith(".h5"):
                with archive.open(name) as stream, h5py.File(stream) as weights:
                    elsewhere += foreign_values(weights)
    version = metadata.get("keras_version", "2")
    if not version.startswith("2"):
        return _of_keras3(settings)
    training = config.get("compile_config") or {}
    network = {key: value for key, value in config.items() if key != "compile_config"}
    _look_inside(settings, [network], [training], elsewhere)
    text = json.dumps(config)
    of_larq = any(f'"{name}' in text for name in ("larq.", *LARQ_ZOO_FUNCTIONS))
    readable = in_our_names(config) if of_larq else config
    with contextlib.ExitStack() as stack:
        if not settings.safe_mode:
            readable = stack.enter_context(lambdas_by_name(readable, bare=False))
        if readable != config or path.suffix != ".keras":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            copy = Path(folder, f"{path.stem}.keras")
            _write_with_config(path, copy, readable)
            path = copy

        def read(compile: bool):
            return tf_keras.models.load_model(
                path, compile=compile, safe_mode=settings.safe_mode
            )

        return _with_state(_restored(read, settings, training.get("optimizer")))


def _of_keras3(settings: _Settings):
    """The model of a file of Keras 3, with a line that says so."""
    where = "lq.models.load"
    came = convert(settings.path, custom_objects=settings.custom_objects, where=where)
    say_that_it_came_in(repr(str(settings.path)), came, where)
    return came.model


def _with_state(model):
    """The model with what its layers derive from weights (Keras leaves out bins here)."""
    for layer in model.submodules:
        if isinstance(layer, tf_keras.layers.Layer):
            layer.finalize_state()
    return model


def _write_with_config(path: Path, copy: Path, config: dict) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename == "config.json":
                content = json.dumps(config).encode()
            new.writestr(item, content)


def _load_h5(settings: _Settings):
    path = settings.path
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise UnsupportedModelError(
                f"lq.models.load: {str(path)!r} holds weights but no model.\n"
                "  Fix: build the model and call model.load_weights(path)."
            )
        if not str(file.attrs.get("keras_version", "2")).startswith("2"):
            return _of_keras3(settings)
        config = json.loads(file.attrs["model_config"])
        training = json.loads(file.attrs.get("training_config", "{}"))
        elsewhere = foreign_values(file)
    _look_inside(settings, [config], [training], elsewhere)
    with contextlib.ExitStack() as stack:
        # Keras looks for the layers of a nested Sequential model under bare names.
        readable = by_registered_names(in_our_names(config))
        if not settings.safe_mode:
            readable = stack.enter_context(lambdas_by_name(readable, bare=True))
        readable_training = by_registered_names(training)
        if (readable, readable_training) != (config, training):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            path = Path(shutil.copy(path, Path(folder, path.name)))
            with h5py.File(path, "r+") as file:
                file.attrs["model_config"] = json.dumps(readable).encode()
                if training:
                    file.attrs["training_config"] = json.dumps(readable_training)
        file = stack.enter_context(h5py.File(path))

        def read(compile: bool):
            # The open file, since Keras takes a path that ends in .keras for a zip.
            return tf_keras.models.load_model(file, compile=compile)

        return _restored(read, settings, training.get("optimizer_config"))


def _load_saved_model(settings: _Settings):
    path = settings.path
    if not (path / "saved_model.pb").exists():
        raise UnsupportedModelError(f"lq.models.load: {no_model_in(path)}")
    folder = read_folder(path, "lq.models.load")
    if not folder.metadata:
        raise UnsupportedModelError(
            f"lq.models.load: {str(path)!r} is a SavedModel without Keras metadata.\n"
            "  Fix: save it with model.save(path), not with tf.saved_model.save."
        )
    training = [node.get("training_config") for node in folder.metadata]
    network = [
        {key: value for key, value in node.items() if key != "training_config"}
        for node in folder.metadata
    ]
    _look_inside(settings, network, training, folder.operations)

    def read(compile: bool):
        with tf_keras.saving.custom_object_scope(own_classes()):
            return tf_keras.models.load_model(path, compile=compile)

    model = _restored(read, settings, None)
    if not isinstance(model, tf_keras.Model):
        raise UnsupportedModelError(
            f"lq.models.load: {str(path)!r} is a SavedModel of something that is no "
            "model of Keras.\n  Fix: save the model with model.save(path)."
        )
    unknown = [part.name for part in (model, *model.submodules) if is_restored(part)]
    if unknown:
        log.warning(
            "lq.models.load: %s: Keras knows no class for the layers %s and restored "
            "their computation only. Fix: pass their classes as custom_objects.",
            path,
            unknown,
        )
    return model


def _look_inside(
    settings: _Settings, network: list, training: list, others: list[str] = ()
) -> None:
    """Imports what the file may name, and refuses a file that would run its own code.

    Args:
        settings: of the call.
        network: the configurations that are always loaded.
        training: those of the optimizer, the loss and the metrics.
        others: phrases about the graph of a SavedModel, or about HDF5's values.
    """
    import_companions(json.dumps([network, training if settings.compile else None]))
    if not settings.safe_mode:
        return
    found = [Finding(phrase) for phrase in others]
    found += carried_code(network, settings.custom_objects)
    of_training = []
    if settings.compile:
        of_training = carried_code(training, settings.custom_objects)
    if not (found or of_training):
        return
    modules = sorted({each.module for each in found + of_training if each.module})
    fixes = [
        "if you trust whoever made the file: safe_mode=False (on the command line "
        "--unsafe)"
    ]
    if modules:
        fixes.append(
            "look at the module and import it first: "
            + ", ".join(f"import {name}" for name in modules)
            + f" (lq: --import {' '.join(modules)})"
        )
    if not found:
        fixes.append("compile=False, which leaves the loss and the metrics out")
    if any("vocabulary" in each.phrase for each in found):
        fixes.append(
            "in a model of your own: the words themselves as its vocabulary, saved anew"
        )
    if any("byte code" in each.phrase for each in found):
        fixes.append(
            "in a model of your own: a layer class instead of a Lambda, saved anew"
        )
    raise UnsafeFileError(
        f"lq.models.load: {str(settings.path)!r} would run code, or read files, that it "
        "brings or names; none of it was run or read:\n    "
        + "\n    ".join(_listed([each.phrase for each in found + of_training]))
        + "\n  Fix: "
        + "; or ".join(fixes)
        + "."
    )


def _listed(phrases: list[str], most: int = 5) -> list[str]:
    rest = len(phrases) - most
    return phrases[:most] + ([f"and {rest} more"] if rest > 0 else [])


def _restored(read: Callable[[bool], object], settings: _Settings, optimizer):
    """The model, compiled where that was asked for and is possible."""
    if not settings.compile or is_larqs_own(optimizer, settings.path):
        return read(False)
    try:
        return read(True)
    except Exception as error:
        try:
            model = read(False)
        except Exception:
            raise error from None
        log.warning(
            "lq.models.load: %s: its optimizer, loss or metrics cannot be restored (%s); "
            "the model is not compiled. Fix: import the module of what is not known "
            "first, or compile the model.",
            settings.path,
            str(error).strip().split("\n")[0],
        )
        return model
